"""Our side: the charge workers that the launcher starts, fed by the scans that beat would run."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import psycopg
from celery import Celery
from pydantic import SecretStr
from redis.asyncio import Redis

from deploy.launcher.children import Child
from deploy.launcher.environment import Environment
from deploy.launcher.stack import Stack, charge_worker, charge_worker_count, command_worker
from deploy.launcher.terminal import Terminal
from scheduler.scans.dispatch import DispatchInvoices
from scheduler.scans.relay import DispatchRelay
from scheduler.scans.renew import RenewSubscriptions
from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.money import Price
from shared.billing.subscription import Agreement, Buyer
from shared.clock import WallClock
from shared.config import Settings
from shared.db import subscriptions
from shared.db.engine import Database, connect
from shared.db.subscriptions import NewSubscription
from shared.jobs.celery_settings import celery_settings
from shared.jobs.contracts import CHARGE_QUEUE, EVENT_QUEUE, INQUIRY_QUEUE
from shared.jobs.enqueue import CeleryEnqueue
from tests.bench.side import (
    AMOUNT,
    BUYER_EMAIL,
    BUYER_NAME,
    BUYER_TEL,
    CHECKOUT,
    ORDER_NAME,
    TAX_FREE,
    Ledger,
    Stage,
    attempts_of,
)
from tests.support.databases import fresh_database
from tests.support.sandbox import IMP_KEY, IMP_SECRET

_ROWS_PER_TRANSACTION = 1_000
_ATTEMPTS = """
    SELECT a.merchant_uid, a.imp_uid, k.customer_uid, a.amount, a.tax_free, a.status,
        CAST(extract(epoch FROM a.settled_at) AS float8)
    FROM payment_attempts a JOIN billing_keys k ON k.id = a.billing_key_id
"""


@dataclass(frozen=True, slots=True)
class Ours:
    """One process a core, batches of ids, one event loop and one pool a process."""

    name: str = "ours"
    label: str = "ours: batches of ids, threads and one event loop a process, grouped SQL"
    queues: tuple[str, ...] = (CHARGE_QUEUE, INQUIRY_QUEUE, EVENT_QUEUE)

    @contextmanager
    def on(self, stage: Stage) -> Iterator["OursPlaying"]:
        """Yield our side on a fresh database."""
        with fresh_database(stage.servers.postgres) as url, asyncio.Runner() as runner:
            playing = OursPlaying(stage, url, runner)
            try:
                yield playing
            finally:
                runner.run(playing.aclose())


class OursPlaying:
    """Our side in one round."""

    def __init__(self, stage: Stage, url: str, runner: asyncio.Runner) -> None:
        self._stage = stage
        self._url = url
        self._runner = runner
        self._clock = WallClock()
        self._settings = Settings(
            database_url=SecretStr(url),
            redis_url=SecretStr(stage.servers.valkey.url),
            portone_imp_key=SecretStr(IMP_KEY),
            portone_imp_secret=SecretStr(IMP_SECRET),
        )
        self._app = Celery("dalmada-bench", set_as_current=False)
        self._app.conf.update(celery_settings(self._settings))
        self._redis = Redis.from_url(stage.servers.valkey.url)
        self._enqueue = CeleryEnqueue(self._app, self._redis)
        self._database = connect(url, connections_max=1)
        self._count = 0

    async def aclose(self) -> None:
        """Close every connection."""
        await self._database.aclose()
        await self._redis.aclose()
        self._app.close()

    def prepare(self, count: int) -> list[str]:
        """Add subscriptions, and have the scan open their invoices."""
        self._count = count
        now = self._clock.now()
        cycle = BillingCycle(now - timedelta(days=400), Interval(IntervalUnit.MONTH))
        agreement = Agreement(
            Price(AMOUNT, TAX_FREE), ORDER_NAME, cycle, first_period_index=cycle.index_at(now)
        )
        new = [
            NewSubscription(
                uuid.uuid4(),
                f"bench_{number:08d}",
                Buyer(BUYER_NAME, BUYER_EMAIL, BUYER_TEL),
                agreement,
            )
            for number in range(count)
        ]
        opened = self._runner.run(self._open(self._database, new))
        if opened != count:
            raise AssertionError(f"{opened} invoices were opened for {count} subscriptions")
        with psycopg.connect(self._url, autocommit=True) as connection:
            # What was told so far is not part of charging.
            connection.execute("UPDATE events SET relayed_at = now()")
            connection.execute("VACUUM ANALYZE")
        return [item.customer_uid for item in new]

    async def _open(self, database: Database, new: list[NewSubscription]) -> int:
        for begin in range(0, len(new), _ROWS_PER_TRANSACTION):
            some = new[begin : begin + _ROWS_PER_TRANSACTION]
            async with database.transaction() as connection:
                await subscriptions.add(connection, some, self._clock.now())
        renew = RenewSubscriptions(
            database,
            self._clock,
            self._settings.renewal_policies,
            len(new) + 1,
            self._settings.collection_rules.leases.settle_delay,
        )
        return await renew()

    def workers(self) -> list[Child]:
        """Return the charge workers as `make up` starts them, in number and in kind."""
        stack = Stack(
            environment=Environment(CHECKOUT, Terminal()),
            terminal=Terminal(),
            checkout=CHECKOUT,
            logs=self._stage.logs,
            state=self._stage.logs,
            variables={
                "DALMADA_DATABASE_URL": self._url,
                "DALMADA_REDIS_URL": self._stage.servers.valkey.url,
                "DALMADA_PORTONE_BASE_URL": self._stage.sandbox.url,
                "DALMADA_PORTONE_IMP_KEY": IMP_KEY,
                "DALMADA_PORTONE_IMP_SECRET": IMP_SECRET,
            },
        )
        charging = [charge_worker(stack, number + 1) for number in range(charge_worker_count())]
        # Whoever relays the events of what was paid.
        return [*charging, command_worker(stack)]

    def publish(self) -> None:
        """Run the scan that sends charge messages, once, with room for all of them."""
        dispatch = DispatchInvoices(
            self._database,
            self._enqueue,
            self._clock,
            batch_size=self._settings.charge_batch_size,
            rows_max=self._count,
            queued_batches_max=self._count,
            resend_after=timedelta(seconds=self._settings.redispatch_after_s),
        )
        sent = self._runner.run(dispatch())
        if sent != self._count:
            raise AssertionError(f"messages for {sent} of {self._count} invoices were published")

    def accompany(self) -> None:
        """Have the workers relay the events of what was paid, as beat does."""
        self._runner.run(DispatchRelay(self._database, self._enqueue)())

    def paid(self) -> int:
        """Count the invoices paid so far."""
        with psycopg.connect(self._url) as connection:
            row = connection.execute(
                "SELECT count(*) FROM invoices WHERE status = 'paid'"
            ).fetchone()
        assert row is not None
        return int(row[0])

    def ledger(self) -> Ledger:
        """Read what the rows say."""
        with psycopg.connect(self._url) as connection:
            counts = connection.execute(
                """
                SELECT count(*), count(*) FILTER (WHERE status = 'paid'),
                    (SELECT count(*) FROM dead_letters), (SELECT count(*) FROM gateway_holds)
                FROM invoices
                """
            ).fetchone()
            attempts = connection.execute(_ATTEMPTS).fetchall()
        assert counts is not None
        invoices, paid, letters, holds = counts
        complaints = [f"{letters} dead letters"] if letters else []
        complaints += ["the gateway was put on hold"] if holds else []
        return Ledger(invoices, paid, attempts_of(attempts), complaints)
