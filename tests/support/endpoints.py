"""A merchant's endpoint on this machine, and whoever delivers events to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from aiohttp import web
from sqlalchemy import Row

from scheduler.scans.deliveries import DispatchDeliveries
from shared.billing.delivery import Answer, DeliveryPolicy
from shared.billing.events import Event, EventName
from shared.db import endpoints, outbox
from shared.db.deliveries import Parcel
from shared.db.outbox import StoredEvent
from shared.jobs.contracts import DeliverEvents as DeliverJob
from tests.support.billing import RESEND_AFTER, World
from worker.events.http import EventPoster, Patience
from worker.events.signature import make_secret
from worker.services.deliver import DeliverEvents
from worker.services.ports import PostEvent
from worker.services.relay import RelayEvents

POLICY = DeliveryPolicy(
    gaps=(timedelta(seconds=5), timedelta(minutes=5), timedelta(hours=2)),
    retry_after_max=timedelta(days=1),
    disable_after=timedelta(days=5),
)
PATIENCE = Patience(connect_s=2.0, read_s=2.0, total_s=4.0)
# What a test that needs no end of one waits for at most.
PATIENCE_S = 20.0


@dataclass
class Receiver:
    """A merchant's server: remembers what came, and answers as it is told.

    Attributes:
        answer: What one request is answered with.
    """

    url: str = ""
    requests: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None
    at_once: int = 0
    at_once_max: int = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            body = await request.read()
            self.requests.append((dict(request.headers), body))
            return web.Response(status=204) if self.answer is None else await self.answer(request)
        finally:
            self.at_once -= 1

    def answers(self, *statuses: int, headers: Mapping[str, str] | None = None) -> None:
        """Answer the next requests with these statuses, and all others with 204."""
        left = list(statuses)

        async def answer(_request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=left.pop(0) if left else 204, headers=headers)

        self.answer = answer

    @property
    def bodies(self) -> list[Any]:
        """What came, in order."""
        return [json.loads(body) for _, body in self.requests]

    @property
    def event_ids(self) -> list[int]:
        """Which events came, in order."""
        return [body["data"]["event_id"] for body in self.bodies]


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """Yield a server on a free port of this machine."""
    made = Receiver()
    runner = web.ServerRunner(web.Server(made.handle))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        made.url = f"http://127.0.0.1:{port}/hooks?shop=1"
        yield made
    finally:
        await runner.cleanup()


class Silent:
    """A stream that nobody reads."""

    async def __call__(self, events: Sequence[StoredEvent]) -> None:
        """Publish."""


@dataclass
class Told:
    """An endpoint in memory, which remembers what it was handed.

    Attributes:
        script: What the next posts are answered with; all others are taken in.
    """

    parcels: list[Parcel] = field(default_factory=list)
    script: list[Answer] = field(default_factory=list)

    async def __call__(self, parcel: Parcel, _now: datetime, /) -> Answer:
        """Take an event in."""
        self.parcels.append(parcel)
        await asyncio.sleep(0)
        return self.script.pop(0) if self.script else Answer(204)

    @property
    def ids(self) -> list[int]:
        """Which events came, in order."""
        return [parcel.event_id for parcel in self.parcels]


@dataclass
class EndpointDesk:
    """One process that tells endpoints, on a world's rows and clock."""

    world: World
    post: PostEvent
    policy: DeliveryPolicy = POLICY
    under_way_max: int = 20

    async def add(
        self, url: str = "https://shop.example.com/hooks", *names: EventName, private: bool = True
    ) -> int:
        """Add an endpoint."""
        added = await self.world.database.run(
            lambda connection: endpoints.add(
                connection, url=url, secret=make_secret(), event_names=names, allow_private=private
            )
        )
        assert added is not None
        return added

    async def write(self, *events: Event) -> None:
        """Have something happen, and relay it."""
        await self.world.database.run(lambda connection: outbox.write(connection, events))
        await self.relay()

    async def happen(self, subscription_id: UUID | None, count: int = 1) -> None:
        """Have a few things happen to a subscription, or to none."""
        await self.write(
            *(
                Event(EventName.INVOICE_OPENED, subscription_id, {"position": position})
                for position in range(count)
            )
        )

    async def relay(self) -> int:
        """Relay what happened."""
        relay = RelayEvents(self.world.database, Silent(), self.world.clock, 1_000)
        return await relay()

    async def scan(self) -> list[DeliverJob]:
        """Look for what is due, and return the messages."""
        scan = DispatchDeliveries(
            self.world.database,
            self.world.queue,
            self.world.clock,
            self.under_way_max,
            RESEND_AFTER,
        )
        await scan()
        jobs = self.world.queue.take()
        assert all(isinstance(job, DeliverJob) for job in jobs)
        return [job for job in jobs if isinstance(job, DeliverJob)]

    @property
    def work(self) -> DeliverEvents:
        """What works a message."""
        return DeliverEvents(
            self.world.database,
            self.post,
            self.world.clock,
            self.policy,
            timedelta(seconds=PATIENCE.total_s),
        )

    async def deliver(self) -> list[str]:
        """Deliver what is due, and whatever becomes due by it; return the endings."""
        endings: list[str] = []
        for _ in range(100):
            jobs = await self.scan()
            if not jobs:
                return endings
            for several in await asyncio.gather(*(self.work(job.delivery_ids) for job in jobs)):
                endings += several
        raise AssertionError(endings)

    async def deliveries(self) -> list[Row[Any]]:
        """Return every delivery, by endpoint and event."""
        return await self.world.rows("SELECT * FROM deliveries ORDER BY endpoint_id, event_id")

    async def endpoint(self, endpoint_id: int) -> Row[Any]:
        """Return an endpoint's row."""
        (row,) = await self.world.rows("SELECT * FROM endpoints WHERE id = :id", id=endpoint_id)
        return row


@asynccontextmanager
async def posting(patience: Patience = PATIENCE, **changes: Any) -> AsyncIterator[EventPoster]:
    """Yield a poster as workers have it."""
    poster = EventPoster(patience, **changes)
    try:
        yield poster
    finally:
        await poster.aclose()
