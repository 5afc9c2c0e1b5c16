"""The figures for Prometheus: from rows, from Redis, and by a login that may only look."""

import asyncio
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from deploy.launcher.children import Child
from deploy.launcher.servers import OwnServers
from scheduler.gauges import METRICS, Figures, registry_of
from scheduler.metrics import QUEUES, Measuring, MetricsSettings, application
from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.notice import NoticeLeads
from shared.clock import FixedClock
from shared.db import holds
from shared.db.engine import connect
from shared.db.grants import Role
from shared.db.invariant import Bounds
from shared.db.invariants import INVARIANTS
from shared.jobs.beat import LEASE_KEY
from shared.jobs.contracts import CHARGE_QUEUE
from tests.integration.db.logins import login_of, logins, url_as
from tests.support.billing import World
from tests.support.reservations import Reserving
from worker.services.check import CheckInvariants

CHECKOUT = Path(__file__).resolve().parents[3]
ACCEPT = "text/plain;version=0.0.4"
NOWHERE = "postgresql://nobody:planted-password@127.0.0.1:1/nowhere"
Values = Mapping[tuple[str, tuple[str, ...]], float]


@pytest.fixture
def redis_url(servers: OwnServers) -> Iterator[str]:
    """A broker that no other test uses, in which one message waits and a beat leads."""
    url = servers.valkey.url.removesuffix("/0") + "/9"
    with Redis.from_url(url) as client:
        client.flushdb()
        client.lpush(CHARGE_QUEUE, "{}")
        client.set(LEASE_KEY, "somebody")
        yield url
        client.flushdb()


@pytest.fixture
def readonly(servers: OwnServers, module_url: str) -> Iterator[str]:
    """The database by a login that sees no key, no buyer and no secret, and writes nothing."""
    with logins(servers.postgres.url):
        yield url_as(module_url, login_of(Role.READONLY))


def values_of(text: str) -> Values:
    """Return every sample by its name and the values of its labels."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def fetch(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers={"accept": ACCEPT})  # noqa: S310 - our own
    with opener.open(request, timeout=20) as reply:
        assert reply.headers["content-type"].startswith("text/plain")
        return str(reply.read(), "utf-8")


@asynccontextmanager
async def measuring(url: str, redis_url: str, clock: FixedClock) -> AsyncIterator[Measuring]:
    database = connect(url, connections_max=1)
    redis = AsyncRedis.from_url(redis_url, retry=Retry(NoBackoff(), 0))
    try:
        yield Measuring(database, redis, clock, NoticeLeads())
    finally:
        await redis.aclose()
        await database.aclose()


def measured(world: World, url: str, redis_url: str) -> Values:
    """Return what a process of this database and broker would tell."""

    async def figures() -> Figures:
        async with measuring(url, redis_url, world.clock) as one:
            return await one.figures()

    return values_of(generate_latest(registry_of(world.run(figures()))).decode())


def test_the_process_tells_every_metric_by_a_login_that_only_looks(
    world: World, readonly: str, redis_url: str, tmp_path: Path
) -> None:
    world.run(world.open_invoices(3))
    looked = CheckInvariants(world.database, world.clock, Bounds())
    assert world.run(looked()) is not None
    child = Child(
        "metrics",
        [sys.executable, "-m", "scheduler.metrics", "--port", "0"],
        log=tmp_path / "metrics.log",
        env={"DALMADA_DATABASE_URL": readonly, "DALMADA_REDIS_URL": redis_url},
        cwd=CHECKOUT,
    )
    child.start()
    try:
        match = child.wait_for_log(r"^metrics: (http://127\.0\.0\.1:\d+/metrics)$", timeout_s=30)
        values = values_of(fetch(match[1]))
    finally:
        child.stop()
    assert {name for name, _ in values} == set(METRICS)
    assert values["dalmada_database_up", ()] == values["dalmada_redis_up", ()] == 1
    assert values["dalmada_beat_leads", ()] == 1
    assert values["dalmada_queue_messages", (CHARGE_QUEUE,)] == 1
    # By the clock of the machine all of it is long overdue.
    assert values["dalmada_backlog", ("invoices",)] == 3
    assert values["dalmada_backlog_oldest_seconds", ("invoices",)] > 24 * 3_600
    assert values["dalmada_backlog", ("refunds",)] == 0
    assert values["dalmada_gateway_held", ()] == values["dalmada_restored", ()] == 0
    checked = world.clock.now().timestamp()
    for invariant in INVARIANTS:
        labels = (invariant.name, str(invariant.severity))
        assert values["dalmada_invariant_violations", labels] == 0
        key = "dalmada_invariant_checked_timestamp_seconds", (invariant.name,)
        assert values[key] == checked
    assert "planted" not in child.output()


def test_an_invariant_that_nobody_has_looked_at_is_as_old_as_can_be(
    world: World, redis_url: str
) -> None:
    values = measured(world, world.url, redis_url)
    for invariant in INVARIANTS:
        assert values["dalmada_invariant_checked_timestamp_seconds", (invariant.name,)] == 0
    assert not [name for name, _ in values if name == "dalmada_invariant_violations"]


def test_what_does_not_answer_is_told_and_the_rest_is_measured(
    world: World, redis_url: str
) -> None:
    values = measured(world, NOWHERE, redis_url)
    assert values["dalmada_database_up", ()] == 0
    assert values["dalmada_queue_messages", (CHARGE_QUEUE,)] == 1
    assert ("dalmada_backlog", ("invoices",)) not in values
    values = measured(world, world.url, "redis://127.0.0.1:1/0")
    assert (values["dalmada_redis_up", ()], values["dalmada_database_up", ()]) == (0, 1)
    assert values["dalmada_backlog", ("invoices",)] == 0
    assert ("dalmada_queue_messages", (CHARGE_QUEUE,)) not in values


def test_a_reservation_that_nobody_requests_is_counted(world: World, redis_url: str) -> None:
    here = Reserving.on(world)
    cycle = BillingCycle(world.clock.now(), Interval(IntervalUnit.DAY, 2))
    (subscription_id,) = world.run(world.subscribe(cycle=cycle))
    world.run(world.renew())
    world.run(world.charge_all())
    world.run(here.collect(subscription_id))
    assert len(world.run(here.plan())) == 1
    world.clock.instant += timedelta(minutes=5)
    values = measured(world, world.url, redis_url)
    assert values["dalmada_backlog", ("reservations",)] == 1
    assert values["dalmada_backlog_oldest_seconds", ("reservations",)] == 300

    now = world.clock.now()
    until = now + timedelta(hours=1)
    world.run(world.database.run(lambda c: holds.hold(c, "no such key", until, now)))
    assert measured(world, world.url, redis_url)["dalmada_backlog", ("reservations",)] == 0


def test_who_asks_again_within_moments_is_told_the_same(world: World, redis_url: str) -> None:
    async def scenario() -> tuple[Figures, Figures, Figures]:
        async with measuring(world.url, redis_url, world.clock) as one:
            first, second = await asyncio.gather(one.figures(), one.figures())
            world.pass_time(timedelta(seconds=6))
            return first, second, await one.figures()

    first, second, later = world.run(scenario())
    assert first is second
    assert later is not first


def test_every_queue_is_measured() -> None:
    assert CHARGE_QUEUE in QUEUES
    assert len(QUEUES) >= 7


def test_its_settings_name_no_secret_of_the_gateways() -> None:
    fields = set(MetricsSettings.model_fields)
    assert not {field for field in fields if "portone" in field}
    settings = MetricsSettings(
        database_url=SecretStr("postgresql://a:planted@b/c"), redis_url=SecretStr("redis://d/0")
    )
    assert "planted" not in repr(settings)
    assert {str(getattr(route, "path", "")) for route in application(settings).routes} == {
        "/metrics",
        "/healthz",
    }
