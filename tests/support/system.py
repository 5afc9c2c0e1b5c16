"""The whole of Dalmada as real processes, for tests that kill them."""

import asyncio
import json
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import redis
from celery import Celery
from psycopg.rows import dict_row

from deploy.launcher.children import Child
from deploy.launcher.servers import OwnServers
from deploy.launcher.waiting import wait_until
from deploy.verdict import Verdict, compare
from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.money import Price
from shared.billing.subscription import Agreement, Buyer
from shared.clock import WallClock
from shared.db import subscriptions
from shared.db.engine import connect
from shared.db.subscriptions import NewSubscription
from shared.jobs.contracts import (
    CHARGE_QUEUE,
    COMMAND_QUEUE,
    EVENT_QUEUE,
    INQUIRY_QUEUE,
    REFUND_QUEUE,
    SCAN_QUEUE,
    WEBHOOK_QUEUE,
    Job,
)
from tests.support.sandbox import IMP_KEY, IMP_SECRET, SandboxControl

CHECKOUT = Path(__file__).resolve().parents[2]
LEAN_SITE = Path(__file__).with_name("lean_site")
T = TypeVar("T")

# Seconds where production has minutes; in the same order: window + total time-out < lease.
QUICK = {
    "DALMADA_SEND_WINDOW_S": "2",
    "DALMADA_GATEWAY_CONNECT_TIMEOUT_S": "1",
    "DALMADA_GATEWAY_READ_TIMEOUT_S": "2",
    "DALMADA_GATEWAY_TOTAL_TIMEOUT_S": "3",
    "DALMADA_LEASE_S": "6",
    "DALMADA_SETTLE_DELAY_S": "2",
    "DALMADA_INQUIRY_GAPS_S": "[0.5,1]",
    "DALMADA_RESEND_DELAY_S": "0.5",
    "DALMADA_RESEND_DELAY_MAX_S": "2",
    "DALMADA_HOLD_S": "1",
    "DALMADA_DUNNING_DELAYS_S": "[1,1,1]",
    "DALMADA_SCAN_INTERVAL_S": "1",
    "DALMADA_REDISPATCH_AFTER_S": "3",
    "DALMADA_LEADER_LEASE_S": "3",
}
WORK_QUEUES = (
    CHARGE_QUEUE,
    INQUIRY_QUEUE,
    REFUND_QUEUE,
    COMMAND_QUEUE,
    WEBHOOK_QUEUE,
    EVENT_QUEUE,
)
# The longest the tests wait for anything; a bound, not a duration.
PATIENCE_S = 90.0


@dataclass
class System:
    """Processes of ours on one database, one broker and one sandbox.

    Attributes:
        overrides: Variables of every process, beside the quick ones and in their place.
        of_one: Variables of a single process, by the stem of its log's name.
    """

    servers: OwnServers
    database_url: str
    sandbox: SandboxControl
    logs: Path
    overrides: Mapping[str, str] = field(default_factory=dict)
    children: list[Child] = field(default_factory=list)
    of_one: Callable[[str], Mapping[str, str]] = lambda _: {}
    # What is asked many times while a test waits is asked on one connection.
    _looker: psycopg.Connection[dict[str, Any]] | None = field(default=None, init=False)
    _looking: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def environment(self) -> dict[str, str]:
        """The variables every process of ours is started with."""
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("DALMADA_")},
            **QUICK,
            "DALMADA_DATABASE_URL": self.database_url,
            "DALMADA_REDIS_URL": self.servers.valkey.url,
            "DALMADA_PORTONE_BASE_URL": self.sandbox.url,
            "DALMADA_PORTONE_IMP_KEY": IMP_KEY,
            "DALMADA_PORTONE_IMP_SECRET": IMP_SECRET,
            "PYTHONPATH": os.pathsep.join((str(LEAN_SITE), str(CHECKOUT))),
            **self.overrides,
        }

    def process(self, name: str, *arguments: str) -> Child:
        """Start one process of ours, in the background."""
        stem = f"{name}-{len(self.children)}"
        child = Child(
            name,
            [sys.executable, *arguments],
            log=self.logs / f"{stem}.log",
            env={**self.environment, **self.of_one(stem)},
            cwd=CHECKOUT,
        )
        self.children.append(child)
        child.start()
        return child

    def worker(self, name: str = "charge", threads: int = 4) -> Child:
        """Start a worker of charges, inquiries, refunds and events."""
        queues = "billing.charge,billing.inquiry,billing.refund,billing.event"
        return self._worker(name, "worker.app", queues, threads)

    def command_worker(
        self, name: str = "command", threads: int = 4, app: str = "worker.app"
    ) -> Child:
        """Start a worker of commands and webhooks."""
        return self._worker(name, app, "billing.command,billing.webhook", threads)

    def receiver(self) -> str:
        """Start the receiver of webhooks and return its address."""
        child = self.process("receiver", "-m", "worker.receiver", "--port", "0")
        return str(child.wait_for_log(r"^receiver: (http://\S+)$", timeout_s=60)[1])

    def scan_worker(self, name: str = "scan") -> Child:
        """Start a worker of the scan queue."""
        return self._worker(name, "scheduler.app", "billing.scan", 2)

    def beat(self, name: str = "beat") -> Child:
        """Start a beat."""
        return self.process(name, "-m", "celery", "-A", "scheduler.app", "beat", "-l", "info")

    def start(self, workers: int = 1) -> list[Child]:
        """Start beat, the scan worker and some charge workers; return these once all are ready."""
        charge = [self.worker(f"charge{number}") for number in range(1, workers + 1)]
        scan = self.scan_worker()
        self.beat()
        for child in [*charge, scan]:
            ready(child)
        return charge

    def _worker(self, name: str, app: str, queues: str, threads: int) -> Child:
        return self.process(
            name,
            *("-m", "celery", "-A", app, "worker", "--pool", "threads", "-c", str(threads)),
            *("-Q", queues, "-n", f"{name}{len(self.children)}@%h", "-l", "info"),
            *("--without-mingle", "--without-gossip"),
        )

    def subscribe(
        self,
        count: int = 1,
        *,
        price: Price | None = None,
        periods_ago: int = 0,
        interval: Interval | None = None,
        buyer: Buyer | None = None,
        registered: bool = True,
        customer_uid: str | None = None,
    ) -> list[NewSubscription]:
        """Add subscriptions whose period began ``periods_ago`` periods before the running one.

        Each has a billing key of its own unless one is given.
        """
        interval = interval or Interval(IntervalUnit.MONTH)
        now = WallClock().now()
        cycle = BillingCycle(now - timedelta(days=400), interval)
        new = [
            NewSubscription(
                uuid.uuid4(),
                customer_uid or f"buyer_{uuid.uuid4().hex}",
                buyer or Buyer(),
                Agreement(
                    price or Price(9_900),
                    "Slim 요금제",
                    cycle,
                    cycle.index_at(now) - periods_ago,
                ),
            )
            for _ in range(count)
        ]
        if registered:
            self.sandbox.register([item.customer_uid for item in new])
        asyncio.run(self._add(new, now))
        return new

    async def _add(self, new: Sequence[NewSubscription], now: datetime) -> None:
        database = connect(self.database_url, connections_max=1)
        try:
            await database.run(lambda connection: subscriptions.add(connection, new, now))
        finally:
            await database.aclose()

    def rows(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        """Return what a statement finds."""
        with self._looking:
            if self._looker is not None:
                try:
                    return self._looker.execute(statement, parameters).fetchall()
                except psycopg.OperationalError:
                    # The server was restarted since, or something else is wrong.
                    if not self._looker.closed:
                        raise
            connect = psycopg.connect
            self._looker = connect(self.database_url, autocommit=True, row_factory=dict_row)
            return self._looker.execute(statement, parameters).fetchall()

    def value(self, statement: str, *parameters: object) -> Any:
        """Return the one value that a statement finds."""
        (row,) = self.rows(statement, *parameters)
        (value,) = row.values()
        return value

    def publish(self, *jobs: Job) -> None:
        """Put messages on the broker, as our own processes do."""
        app = Celery(broker=self.servers.valkey.url, set_as_current=False)
        try:
            for job in jobs:
                app.send_task(
                    job.task,
                    kwargs=job.model_dump(mode="json"),
                    queue=job.queue,
                    ignore_result=True,
                )
        finally:
            app.close()

    def wait(self, condition: Callable[[], T], what: str, timeout_s: float = PATIENCE_S) -> T:
        """Return the first true value of a condition; fail when it takes too long."""
        return wait_until(condition, what, timeout_s=timeout_s, interval_s=0.1)

    def idle(self) -> bool:
        """Whether no message waits and none is being worked, scans left out."""
        with redis.Redis.from_url(self.servers.valkey.url) as client:
            waiting = sum(client.llen(queue) for queue in WORK_QUEUES)
            held = [json.loads(message) for message in client.hvals("unacked")]
        return not waiting and all(message[2] == SCAN_QUEUE for message in held)

    def wait_until_collected(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait until every renewal is invoiced and no invoice is worked on any more."""
        self.wait(self._collected, "everything is collected", timeout_s)

    def _collected(self) -> bool:
        try:
            return bool(
                self.value(
                    """
                    SELECT NOT EXISTS (
                        SELECT FROM subscriptions
                        WHERE next_renewal_at <= now() AND status <> 'canceled'
                    ) AND NOT EXISTS (
                        SELECT FROM invoices i WHERE status = 'open' AND (
                            next_attempt_at IS NOT NULL OR EXISTS (
                                SELECT FROM payment_attempts a WHERE a.invoice_id = i.id
                                AND a.status IN ('claimed', 'unknown', 'waiting')))
                    )
                    """
                )
            )
        except psycopg.OperationalError:
            # The server is being restarted under us.
            return False

    def verdict(self) -> Verdict:
        """Compare our rows with the sandbox's book."""
        return asyncio.run(self._compare())

    async def _compare(self) -> Verdict:
        database = connect(self.database_url, connections_max=1)
        try:
            async with database.transaction() as connection:
                now = WallClock().now()
                return await compare(connection, self.sandbox.book(), now)
        finally:
            await database.aclose()

    def end(self) -> None:
        """End every process, and look no more."""
        for child in reversed(self.children):
            child.kill()
        if self._looker is not None:
            self._looker.close()

    def written(self) -> str:
        """Return everything the processes have written."""
        return "\n".join(
            path.read_text(errors="replace") for path in sorted(self.logs.glob("*.log"))
        )


def ready(worker: Child) -> None:
    """Wait until a worker takes messages."""
    worker.wait_for_log(r"@\S+ ready\.", timeout_s=60)


@contextmanager
def running_system(
    servers: OwnServers,
    database_url: str,
    sandbox: SandboxControl,
    logs: Path,
    overrides: Mapping[str, str],
) -> Iterator[System]:
    """Yield a system without processes yet, and end every process it started."""
    system = System(servers, database_url, sandbox, logs, overrides)
    try:
        yield system
    finally:
        system.end()
