"""Events on their way out: in order, at least once, one relay at a time."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from deploy.launcher.ports import free_port
from deploy.launcher.servers import OwnServers
from shared.billing.events import Event, EventName
from shared.db import outbox
from shared.db.outbox import StoredEvent
from tests.support.billing import World, until
from worker.events.stream import StreamPublisher
from worker.services.ports import Publish
from worker.services.relay import RelayEvents

STREAM = "test:events"


@dataclass
class Told:
    """A publisher that remembers, and can be slow or die."""

    events: list[StoredEvent] = field(default_factory=list)
    dies: int = 0
    door: asyncio.Event | None = None

    async def __call__(self, events: Sequence[StoredEvent]) -> None:
        """Publish."""
        self.events += events
        if self.door is not None:
            await self.door.wait()
        if self.dies:
            self.dies -= 1
            raise ConnectionResetError

    @property
    def ids(self) -> list[int]:
        """The ids told, in order."""
        return [event.id for event in self.events]


async def write(world: World, count: int, subscription_id: UUID | None = None) -> None:
    """Write events, several a transaction."""
    owner = subscription_id or (await world.subscribe())[0]
    for start in range(0, count, 500):
        events = [
            Event(EventName.INVOICE_OPENED, owner, {"position": position, "이름": "값 😀\n"})
            for position in range(start, min(start + 500, count))
        ]
        await world.database.run(partial(outbox.write, events=events))


async def relay(world: World, publish: Publish, rows_max: int = 1000) -> int:
    return await RelayEvents(world.database, publish, world.clock, rows_max)()


async def backlog(world: World) -> int:
    return await world.database.run(outbox.backlog)


@asynccontextmanager
async def publisher(url: str, length_max: int = 100_000) -> AsyncIterator[StreamPublisher]:
    redis = Redis.from_url(url, retry=Retry(NoBackoff(), 0))
    try:
        yield StreamPublisher(redis, STREAM, length_max)
    finally:
        await redis.aclose()


def test_thousands_of_events_are_told_once_and_in_order(world: World) -> None:
    world.run(write(world, 2_300))
    told = Told()
    assert world.run(relay(world, told)) == 2_301
    assert told.ids == sorted(told.ids)
    assert len(set(told.ids)) == 2_301
    assert [event.data["position"] for event in told.events[1:]] == list(range(2_300))
    assert world.run(relay(world, told)) == 0
    assert world.run(backlog(world)) == 0


def test_of_one_subscription_the_later_number_is_never_told_first(world: World) -> None:
    """An event that has its number and no commit yet is not overtaken by a settlement's."""
    told = Told()

    async def meet() -> None:
        (invoice_id,) = await world.open_invoices()
        owner = (await world.invoice(invoice_id)).subscription_id
        async with world.database.transaction() as connection:
            event = Event(EventName.SUBSCRIPTION_ADJUSTED, owner, {})
            await outbox.write(connection, [event])
            charge = asyncio.create_task(world.charge([invoice_id]))
            await until(lambda: waits_for_a_lock(world))
            await relay(world, told)
        await charge
        await relay(world, told)

    world.run(meet())
    assert [event.name for event in told.events[-2:]] == ["subscription.adjusted", "invoice.paid"]
    assert told.ids == sorted(told.ids)


async def waits_for_a_lock(world: World) -> bool:
    return bool(await world.rows("SELECT FROM pg_locks WHERE NOT granted"))


def test_one_message_has_an_end(world: World) -> None:
    world.run(write(world, 49))
    assert world.run(relay(world, Told(), rows_max=2)) == 40
    assert world.run(backlog(world)) == 10


def test_a_death_after_publishing_tells_the_same_events_again(world: World) -> None:
    world.run(write(world, 5))
    told = Told(dies=1)
    with pytest.raises(ConnectionResetError):
        world.run(relay(world, told))
    assert world.run(backlog(world)) == 6
    assert world.run(relay(world, told)) == 6
    assert told.ids[:6] == told.ids[6:]
    assert told.events[:6] == told.events[6:]


def test_a_commit_that_fails_tells_the_same_events_again(world: World) -> None:
    world.run(write(world, 5))
    told = Told()
    killed = False

    async def publish(events: Sequence[StoredEvent]) -> None:
        nonlocal killed
        await told(events)
        if not killed:
            killed = True
            await world.twin().rows(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE state = 'idle in transaction' AND datname = current_database()
                """
            )

    assert world.run(relay(world, publish)) == 6
    assert told.ids[:6] == told.ids[6:]
    assert world.run(backlog(world)) == 0


def test_two_relays_at_once_do_not_interleave(world: World) -> None:
    world.run(write(world, 30))
    other = world.twin()

    async def scenario() -> None:
        slow, fast = Told(door=asyncio.Event()), Told()
        first = asyncio.create_task(relay(world, slow, rows_max=10))
        await until(lambda: bool(slow.events))
        assert await relay(other, fast, rows_max=10) == 0
        assert fast.events == []
        assert slow.door is not None
        slow.door.set()
        assert await first == 31
        assert slow.ids == sorted(slow.ids)

    world.run(scenario())


def test_many_relays_at_once_tell_each_event_once(world: World) -> None:
    world.run(write(world, 100))
    told = Told()
    processes = [world, world.twin(), world.twin()]

    async def scenario() -> None:
        await asyncio.gather(*(relay(process, told, rows_max=7) for process in processes * 3))
        await relay(world, told)

    world.run(scenario())
    assert told.ids == sorted(set(told.ids))
    assert len(told.ids) == 101


def test_an_event_that_is_committed_late_is_not_left_behind(world: World) -> None:
    """Its number is lower than that of another subscription's, which were told before."""
    (owner,), (other,) = world.run(world.subscribe()), world.run(world.subscribe())
    told = Told()

    async def scenario() -> None:
        async with world.database.transaction() as connection:
            late = Event(EventName.INVOICE_PAID, owner, {})
            await outbox.write(connection, [late])
            await write(world, 3, other)
            assert await relay(world, told) == 5
        assert await relay(world, told) == 1

    world.run(scenario())
    assert told.events[-1].name == "invoice.paid"
    assert told.ids[-1] < told.ids[-2]


class TestStream:
    def test_a_reader_finds_everything_in_order_and_byte_for_byte(
        self, world: World, servers: OwnServers
    ) -> None:
        world.run(write(world, 1_200))

        async def scenario() -> list[dict[str, str]]:
            async with publisher(servers.valkey.url) as publish:
                await publish.redis.delete(STREAM)
                assert await relay(world, publish, rows_max=500) == 1_201
                entries: Any = await publish.redis.xrange(STREAM)
                return [
                    {key.decode(): value.decode() for key, value in fields.items()}
                    for _, fields in entries
                ]

        entries = world.run(scenario())
        assert [int(entry["id"]) for entry in entries] == sorted(
            int(entry["id"]) for entry in entries
        )
        assert set(entries[0]) == {"id", "name", "subscription_id", "created_at", "data"}
        assert json.loads(entries[-1]["data"]) == {"position": 1_199, "이름": "값 😀\n"}
        assert "이름" in entries[-1]["data"]

    def test_its_length_is_bounded(self, world: World, servers: OwnServers) -> None:
        world.run(write(world, 1_200))

        async def scenario() -> int:
            async with publisher(servers.valkey.url, length_max=300) as publish:
                await publish.redis.delete(STREAM)
                await relay(world, publish)
                return int(await publish.redis.xlen(STREAM))

        # Approximate: whole nodes of a hundred entries are dropped.
        assert 300 <= world.run(scenario()) <= 400

    def test_events_wait_while_the_stream_is_away(self, world: World) -> None:
        world.run(write(world, 3))

        async def scenario() -> None:
            async with publisher(f"redis://127.0.0.1:{free_port()}/0") as publish:
                with pytest.raises(RedisError):
                    await relay(world, publish)

        world.run(scenario())
        assert world.run(backlog(world)) == 4
