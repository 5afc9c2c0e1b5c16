"""A broker that is away, hangs or is full: the answer is 503, soon, and nothing is half done."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import SecretStr

from deploy.launcher.ports import HOST, free_port
from deploy.launcher.servers import OwnServers
from shared.config import ReceiverSettings
from shared.jobs.contracts import WEBHOOK_QUEUE
from tests.integration.receiver.conftest import Door
from worker.receiver import broker

PAID = {"imp_uid": "imp_1", "status": "paid"}
# What PortOne waits at most when it sends again.
PATIENCE_S = 15.0


@contextmanager
def elsewhere(url: str) -> Iterator[Door]:
    """A receiver whose broker is at another address."""
    with asyncio.Runner() as runner:
        redis = broker(url)
        try:
            yield Door(runner, redis, ReceiverSettings(redis_url=SecretStr(url)))
        finally:
            runner.run(redis.aclose())


def test_one_that_is_away(door: Door) -> None:
    del door
    with elsewhere(f"redis://{HOST}:{free_port()}/0") as away:
        started_s = time.monotonic()
        assert away.said(PAID) == (503, "the broker is away: send this webhook again later")
        assert away.ask("GET", "/healthz").status_code == 503
        assert time.monotonic() - started_s < PATIENCE_S / 2


def test_one_that_takes_connections_and_says_nothing() -> None:
    async def work(silent: Door) -> list[int]:
        answers = await asyncio.gather(*(silent.knock(json=PAID) for _ in range(100)))
        return [answer.status_code for answer in answers]

    # The kernel takes the connections; nobody ever reads what comes over them.
    with socket.create_server((HOST, 0), backlog=256) as listener:
        port = listener.getsockname()[1]
        with elsewhere(f"redis://{HOST}:{port}/0") as silent:
            started_s = time.monotonic()
            assert silent.run(work(silent)) == [503] * 100
            assert time.monotonic() - started_s < PATIENCE_S / 2


def test_it_is_well_again_with_the_broker(servers: OwnServers, door: Door) -> None:
    assert door.said(PAID) == (200, "ok")
    servers.valkey.stop()
    try:
        assert door.said(PAID)[0] == 503
    finally:
        servers.valkey.start()
    assert door.said(PAID) == (200, "ok")
    assert door.ask("GET", "/healthz").status_code == 200


def test_a_connection_that_the_broker_closed_meanwhile_is_not_noticed(door: Door) -> None:
    assert door.said(PAID) == (200, "ok")
    door.run(door.redis.client_kill_filter(_type="normal", skipme=False))
    assert door.said(PAID) == (200, "ok")


def test_a_queue_takes_no_more_than_it_may(door: Door) -> None:
    door.set(webhook_queue_max=3)
    statuses = [door.said(PAID)[0] for _ in range(6)]
    assert statuses == [200, 200, 200, 503, 503, 503]
    assert len(door.queued()) == 3

    door.run(door.redis.rpop(WEBHOOK_QUEUE))
    assert door.said(PAID)[0] == 200


def test_whoever_asks_how_it_is_hears_it(door: Door) -> None:
    answer = door.ask("GET", "/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


@pytest.mark.parametrize("count", [300])
def test_a_flood_is_taken_in_whole(door: Door, count: int) -> None:
    async def flood() -> list[int]:
        answers = await asyncio.gather(*(door.knock(json=PAID) for _ in range(count)))
        return [answer.status_code for answer in answers]

    assert door.run(flood()) == [200] * count
    assert len(door.queued()) == count
