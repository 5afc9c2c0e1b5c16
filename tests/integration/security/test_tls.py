"""TLS and passwords of PostgreSQL and Redis, by nothing but the two addresses."""

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from celery import Celery
from flower.utils.broker import Broker
from kombu.exceptions import OperationalError as BrokerError
from pydantic import ValidationError
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from scheduler.leader import Lease
from shared.config import Settings
from shared.db import migrate
from shared.db.engine import connect
from shared.db.grants import Role
from shared.db.outbox import StoredEvent
from shared.jobs.celery_settings import celery_settings
from shared.jobs.commands import ReceiveWebhook
from shared.jobs.contracts import WEBHOOK_QUEUE, DispatchRelay
from shared.jobs.deliveries import Deliveries
from shared.jobs.enqueue import CeleryEnqueue, RedisEnqueue
from tests.integration.console.commands import Commands
from tests.integration.db.logins import PASSWORD, login_of, logins
from tests.integration.security.secured import Secured, let_close
from tests.support.sandbox import SandboxControl
from tests.support.system import PATIENCE_S, QUICK, WORK_QUEUES, ready, running_system
from worker.console import session
from worker.events.stream import StreamPublisher
from worker.receiver import broker

WRONG = "planted-wrong-password"
# Nothing dies here, so nobody waits for a lease, and a busy machine misses none. A scan that has
# waited for an interval is let go, so that one must not be shorter than such a machine is late.
PATIENT = {
    "DALMADA_SEND_WINDOW_S": "30",
    "DALMADA_GATEWAY_CONNECT_TIMEOUT_S": "5",
    "DALMADA_GATEWAY_READ_TIMEOUT_S": "30",
    "DALMADA_GATEWAY_TOTAL_TIMEOUT_S": "30",
    "DALMADA_LEASE_S": "70",
    "DALMADA_REDISPATCH_AFTER_S": "30",
    "DALMADA_LEADER_LEASE_S": "15",
    "DALMADA_SCAN_INTERVAL_S": "2",
}


def settings_of(secured: Secured, **changes: str) -> Settings:
    said = {
        "database_url": secured.database_url(),
        "redis_url": secured.redis_url(),
        "portone_imp_key": "planted-key",
        "portone_imp_secret": "planted-secret",
        **changes,
    }
    return Settings.model_validate(said)


def assert_untold(text: str) -> None:
    """Fail if a password stands in a text, escaped or not."""
    assert not re.findall(r"planted|p@ss|p%40ss|w:rd|w%3Ard", text)


BAD_DATABASES: Mapping[str, tuple[Callable[[Secured], str], str]] = {
    "another authority": (
        lambda secured: secured.database_url(ca=secured.stranger),
        "certificate verify failed",
    ),
    "another host's certificate": (
        lambda secured: secured.database_url(host="localhost"),
        "does not match host name",
    ),
    "no such authority": (
        lambda secured: secured.database_url(ca=Path("/nowhere/authority.pem")),
        'root certificate file "/nowhere/authority.pem" does not exist',
    ),
    "a server without TLS": (
        lambda secured: secured.database_url(port=secured.servers.postgres.port),
        "server does not support SSL, but SSL was required",
    ),
    "a wrong password": (
        lambda secured: secured.database_url(password=WRONG),
        'password authentication failed for user "dalmada"',
    ),
}
BAD_BROKERS: Mapping[str, tuple[Callable[[Secured], str], str]] = {
    "another authority": (
        lambda secured: secured.redis_url(ca=secured.stranger),
        "certificate verify failed: unable to get local issuer certificate",
    ),
    "another host's certificate": (
        lambda secured: secured.redis_url(host="localhost"),
        "certificate is not valid for 'localhost'",
    ),
    # Celery by itself would then trust anybody.
    "no authority named": (
        lambda secured: secured.redis_url(says_tls=False),
        "certificate verify failed: unable to get local issuer certificate",
    ),
    "a wrong password": (
        lambda secured: secured.redis_url(password=WRONG),
        "invalid username-password pair",
    ),
}


def every(cases: Mapping[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", list(cases.values()), ids=list(cases))


class TestPostgreSQL:
    def test_is_reached_by_address(self, secured: Secured) -> None:
        async def work() -> bool:
            database = connect(secured.database_url(), connections_max=1)
            try:
                async with database.transaction() as connection:
                    driven = (await connection.get_raw_connection()).driver_connection
                    assert isinstance(driven, psycopg.AsyncConnection)
                    return bool(driven.pgconn.ssl_in_use)
            finally:
                await database.aclose()

        assert asyncio.run(work())

    def test_is_migrated_and_looked_at_by_address(
        self, secured: Secured, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = secured.postgres.handshakes
        monkeypatch.setenv("DALMADA_DATABASE_URL", secured.database_url())
        assert migrate.main(["upgrade"]) == 0
        dalmada = Commands({"DALMADA_DATABASE_URL": secured.database_url()})
        assert dalmada("invoice", "list", "--json").json == {"invoices": [], "more": False}
        assert secured.postgres.handshakes == before + 2

    @every(BAD_DATABASES)
    def test_is_not_reached_by_a_wrong_address_and_the_error_says_why(
        self,
        secured: Secured,
        case: tuple[Callable[[Secured], str], str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        address, words = case
        url = address(secured)

        async def work() -> None:
            database = connect(url, connections_max=1)
            try:
                async with database.transaction():
                    raise AssertionError
            finally:
                await database.aclose()

        with pytest.raises(OperationalError, match=re.escape(words)) as caught:
            asyncio.run(work())
        monkeypatch.setenv("DALMADA_DATABASE_URL", url)
        assert migrate.main(["upgrade"]) == 1
        migration = capsys.readouterr().err
        monkeypatch.setattr(session, "_RETRY_FOR_S", 0.01)
        looked = Commands({"DALMADA_DATABASE_URL": url})("invoice", "list")
        assert looked.status == 1
        for said in (str(caught.value), migration, looked.err):
            assert words in said
            assert_untold(said)


class TestRedis:
    def test_is_reached_by_every_client_of_ours_by_address(self, secured: Secured) -> None:
        settings = settings_of(secured)
        url = settings.redis_url.get_secret_value()
        before = secured.valkey.handshakes
        with Celery(broker=url, set_as_current=False) as app, Redis.from_url(url) as redis:
            app.conf.update(celery_settings(settings))
            assert Lease(redis, "test:lease", 5).hold()
            # The words in which Flower asks, whose own reading of an address leaves TLS out.
            assert isinstance(app.conf.broker_use_ssl, dict)
            flower = Broker(
                app.connection().as_uri(include_password=True),
                broker_options=app.conf.broker_transport_options,
                broker_use_ssl=app.conf.broker_use_ssl,
            )
            asyncio.run(speak_to_redis(app, url, flower))
            status = Commands(
                {"DALMADA_DATABASE_URL": secured.database_url(), "DALMADA_REDIS_URL": url}
            )("status", "--json")
            assert status.json["redis"] == {"reachable": True, "error": None}
            assert status.json["queues"][WEBHOOK_QUEUE] == 1
            redis.delete(WEBHOOK_QUEUE, "billing.scan")
        assert secured.valkey.handshakes >= before + 5

    @every(BAD_BROKERS)
    def test_is_not_reached_by_a_wrong_address_and_the_error_says_why(
        self, secured: Secured, case: tuple[Callable[[Secured], str], str]
    ) -> None:
        address, words = case
        url = address(secured)
        app = Celery(broker=url, set_as_current=False)
        app.conf.update(celery_settings(settings_of(secured, redis_url=url)))
        with pytest.raises(BrokerError) as by_celery, app.connection() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
        with pytest.raises(RedisError) as by_receiver:
            asyncio.run(asked(broker(url)))
        with pytest.raises(RedisError) as by_worker:
            asyncio.run(asked(AsyncRedis.from_url(url)))
        with capture_logs() as by_beat, Redis.from_url(url) as redis:
            assert not Lease(redis, "test:lease", 5).hold()
        status = Commands(
            {"DALMADA_DATABASE_URL": secured.database_url(), "DALMADA_REDIS_URL": url}
        )("status", "--json")
        assert status.json["redis"]["reachable"] is False
        for said in (
            *(str(caught.value) for caught in (by_celery, by_receiver, by_worker)),
            str(by_beat),
            status.json["redis"]["error"],
        ):
            assert words in said
            assert_untold(said)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"scheme": "redis"}, "ssl_cert_reqs, ssl_ca_certs: only rediss://"),
            (
                {"ca": Path("/nowhere/authority.pem")},
                "ssl_ca_certs: there is no file /nowhere/authority.pem",
            ),
            (
                {"host": "x?ssl_cert_reqs=CERT_REQUIRED#"},
                "ssl_cert_reqs must be required, optional",
            ),
        ],
    )
    def test_an_address_that_clients_read_differently_is_refused_in_words(
        self, secured: Secured, changes: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(ValidationError) as caught:
            settings_of(secured, redis_url=secured.redis_url(**changes))
        assert words in str(caught.value)
        assert_untold(str(caught.value))


async def asked(redis: "AsyncRedis") -> None:
    try:
        await redis.ping()
    finally:
        await redis.aclose()
        await let_close()


async def speak_to_redis(app: Celery, url: str, flower: Any) -> None:
    """Have everything of ours that speaks to Redis say a word."""
    redis, receiving = AsyncRedis.from_url(url), broker(url)
    try:
        assert await Deliveries(redis).begin("tag") == 1
        await Deliveries(redis).end("tag")
        event = StoredEvent(1, None, "test", {}, datetime(2026, 1, 31, tzinfo=UTC))
        await StreamPublisher(redis, "test:events", 10)([event])
        assert await redis.xlen("test:events") == 1
        assert await RedisEnqueue(receiving)(ReceiveWebhook(imp_uid="imp_1")) == 1
        enqueue = CeleryEnqueue(app, redis)
        await enqueue([DispatchRelay()])
        assert await enqueue.waiting("billing.scan") == 1
        (queue,) = await flower.queues([WEBHOOK_QUEUE])
        assert queue == {"name": WEBHOOK_QUEUE, "messages": 1}
    finally:
        await redis.aclose()
        await receiving.aclose()


def test_processes_bill_by_addresses_with_a_login_for_each(
    secured: Secured, sandbox: SandboxControl, tmp_path: Path
) -> None:
    said = {**PATIENT, "DALMADA_REDIS_URL": secured.redis_url()}

    def as_role(role: Role, password: str = PASSWORD) -> None:
        login = login_of(role)
        said["DALMADA_DATABASE_URL"] = secured.database_url(user=login, password=password)

    with (
        logins(secured.database_url()),
        running_system(secured.servers, secured.database_url(), sandbox, tmp_path, said) as system,
    ):
        as_role(Role.SCHEDULER)
        system.beat()
        scan = system.scan_worker()
        as_role(Role.WORKER)
        worker = system._worker("all", "worker.app", ",".join(WORK_QUEUES), 4)
        del said["DALMADA_DATABASE_URL"]
        address = system.receiver()
        for child in (scan, worker):
            ready(child)

        system.subscribe(3)
        system.wait_until_collected()
        assert httpx.post(f"{address}/webhooks/portone", json={"imp_uid": "imp_1"}).text == "ok\n"
        hints = "SELECT count(*) FROM hints WHERE read_at IS NOT NULL"
        system.wait(lambda: system.value(hints) == 1, "the webhook is looked at")

        assert system.value("SELECT count(*) FROM payments") == len(sandbox.paid()) == 3
        assert "permission denied" not in system.written()
        assert_untold(system.written())


def test_processes_say_what_is_wrong_with_their_addresses(
    secured: Secured, sandbox: SandboxControl, tmp_path: Path
) -> None:
    said = dict(QUICK)
    with running_system(secured.servers, secured.database_url(), sandbox, tmp_path, said) as system:
        said["DALMADA_REDIS_URL"] = secured.redis_url(ca=secured.stranger)
        stranger = system.worker()
        # A queue of its own, since what it takes from there it cannot work.
        said["DALMADA_REDIS_URL"] = url = secured.redis_url().replace("/0?", "/1?")
        said["DALMADA_DATABASE_URL"] = secured.database_url(password=WRONG)
        scan = system.scan_worker()
        with Celery(broker=url, set_as_current=False) as app:
            app.send_task(DispatchRelay.task, queue="billing.scan", ignore_result=True)
        stranger.wait_for_log("certificate verify failed", timeout_s=PATIENCE_S)
        scan.wait_for_log("password authentication failed for user", timeout_s=PATIENCE_S)
        assert_untold(system.written())
