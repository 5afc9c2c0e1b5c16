"""The drill: back up, live on, lose the database, restore the backup, recover, live on."""

import asyncio
import json
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
import redis
from psycopg import sql
from sqlalchemy import make_url

from deploy.launcher.children import Child
from shared.billing.merchant_uid import parse
from shared.billing.refund import Requester
from shared.clock import WallClock
from shared.db.holds import RESTORED
from shared.jobs.commands import RefundPayment
from tests.support.drill import (
    PRICE,
    REASON,
    administrator,
    backed_up,
    dropped,
    new_subscriptions,
    restored,
)
from tests.support.system import CHECKOUT, System, ready

# From when on the periods begin that are charged after the backup.
SOON = timedelta(seconds=4)
# A recovery waits for a lease and a settle delay.
SHORT = {
    "DALMADA_SEND_WINDOW_S": "1",
    "DALMADA_GATEWAY_CONNECT_TIMEOUT_S": "1",
    "DALMADA_GATEWAY_READ_TIMEOUT_S": "1.5",
    "DALMADA_GATEWAY_TOTAL_TIMEOUT_S": "1.5",
    "DALMADA_LEASE_S": "3",
    "DALMADA_SETTLE_DELAY_S": "0.5",
}
KNOWN, LOST = 2, 5


Lose = Callable[[System, list[Child]], list[Child]]


class Drill:
    """A system of real processes whose database is set back."""

    def __init__(self, system: System) -> None:
        self.system = system

    def back_up(self) -> None:
        """Copy the database in one moment; whoever is connected is cut and comes back."""
        with self._closed():
            self.backup = backed_up(self.system.database_url)

    def restore(self) -> None:
        """Lose the database, and put the backup in its place."""
        restored(self.system.database_url, self.backup)
        dropped(self.system.database_url, self.backup)

    @contextmanager
    def _closed(self) -> Iterator[None]:
        name = make_url(self.system.database_url).database or ""
        alter = "ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}"
        with administrator(self.system.database_url) as connection:
            connection.execute(sql.SQL(alter).format(sql.Identifier(name), sql.SQL("false")))
            try:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                    [name],
                )
                yield
            finally:
                connection.execute(sql.SQL(alter).format(sql.Identifier(name), sql.SQL("true")))

    def subscribe(self, count: int, begins_at: datetime) -> list[str]:
        """Add subscriptions whose first period begins at an instant; return their keys."""
        new = new_subscriptions(count, begins_at)
        self.system.sandbox.register([each.customer_uid for each in new])
        asyncio.run(self.system._add(new, WallClock().now()))
        return [each.customer_uid for each in new]

    def refund(self, imp_uid: str, amount: int) -> None:
        """Give money back, and wait until the gateway shows it and our rows know."""
        before = self.money()[imp_uid]["cancel_amount"]
        command = RefundPayment(
            command_id=uuid.uuid4().hex,
            imp_uid=imp_uid,
            amount=amount,
            reason=REASON,
            requester=Requester.CUSTOMER,
        )
        self.system.publish(command)
        self.system.wait(
            lambda: (
                self.system.value(
                    "SELECT cancelled_amount FROM payments WHERE imp_uid = %s", imp_uid
                )
                == before + amount
            ),
            "the refund is done",
        )

    def money(self) -> dict[str, dict[str, Any]]:
        """Return the gateway's records of money that moved, given back or not."""
        return {
            each["imp_uid"]: each
            for each in self.system.sandbox.book()
            if each["status"] in {"paid", "cancelled"}
        }

    def is_held(self) -> bool:
        """Whether the database is known to have been set back."""
        try:
            return bool(self.system.value(f"SELECT {RESTORED}"))
        except psycopg.OperationalError:
            return False

    def recover(self) -> dict[str, Any]:
        """Run `dalmada recover` as an operator does, and return its report."""
        done = subprocess.run(
            [sys.executable, "-m", "worker.console", "recover", "--yes", "--json"],
            capture_output=True,
            encoding="utf-8",
            env=self.system.environment,
            cwd=CHECKOUT,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def assert_agreed(self) -> None:
        """One payment a period, and our rows say of each what the gateway says."""
        money = self.money()
        periods = Counter()  # type: ignore[var-annotated]
        for each in money.values():
            name = parse(each["merchant_uid"])
            assert name is not None
            periods[name.subscription_id, name.period_index] += 1
        assert set(periods.values()) <= {1}, "charged twice"
        rows = self.system.rows("SELECT imp_uid, cancelled_amount FROM payments")
        ours = {row["imp_uid"]: row["cancelled_amount"] for row in rows}
        assert ours == {uid: each["cancel_amount"] for uid, each in money.items()}
        open_ones = "SELECT count(*) FROM invoices WHERE status <> 'paid'"
        assert self.system.value(open_ones) == 0
        assert self.system.value("SELECT count(*) FROM dead_letters") == 0


def lose_nothing_else(_system: System, processes: list[Child]) -> list[Child]:
    """Let every process live on: their connections break, and come back."""
    return processes


def lose_the_broker_too(system: System, processes: list[Child]) -> list[Child]:
    """Kill every process and empty the broker: only the gateway knows."""
    for child in processes:
        child.signal(signal.SIGKILL)
    with redis.Redis.from_url(system.servers.valkey.url) as client:
        client.flushall()
    return started(system)


def started(system: System) -> list[Child]:
    """Start beat, a scan worker and a worker of everything else."""
    scan = system.scan_worker()
    queues = "billing.charge,billing.inquiry,billing.refund,billing.event,billing.command"
    work = system._worker("work", "worker.app", f"{queues},billing.webhook", 4)
    beat = system.beat()
    for child in (scan, work):
        ready(child)
    return [scan, work, beat]


@pytest.mark.parametrize("system", [SHORT], indirect=True, ids=["quick"])
@pytest.mark.timeout(420)  # Three drills, each waits until nothing sent before is under way.
def test_nobody_is_charged_twice_and_no_payment_is_lost(system: System) -> None:
    drill = Drill(system)
    processes = started(system)
    for policy, lose in (
        ("never_reusable", lose_nothing_else),
        ("refused_if_paid", lose_nothing_else),
        ("none", lose_the_broker_too),
    ):
        system.sandbox.faults(duplicate_policy=policy)
        processes = _drill(drill, processes, lose)


def _drill(drill: Drill, processes: list[Child], lose: Lose) -> list[Child]:
    """Back up, live on, lose the database and what else is lost; recover, and live on."""
    system = drill.system
    before = set(drill.money())
    drill.subscribe(KNOWN, WallClock().now())
    system.wait(lambda: len(drill.money()) == len(before) + KNOWN, "what is due is paid")
    system.wait_until_collected()
    known = set(drill.money()) - before
    keys = drill.subscribe(LOST, WallClock().now() + SOON)
    system.sandbox.behave(keys[0], ["declined", "declined"])
    system.sandbox.behave(keys[1], ["declined"])
    system.sandbox.behave(keys[2], [{"ending": "late_success", "delay_s": 0}])
    drill.back_up()
    assert len(drill.money()) == len(before) + KNOWN, "the backup came too late to miss anything"
    drill.refund(next(iter(known)), 4_000)
    system.wait(lambda: len(drill.money()) == len(before) + KNOWN + LOST, "what came due is paid")
    system.wait_until_collected()
    drill.refund(next(iter(set(drill.money()) - before - known)), PRICE)
    money, booked = drill.money(), len(system.sandbox.book())

    drill.restore()
    processes = lose(system, processes)
    system.wait(drill.is_held, "it is seen that the database was set back")
    report = drill.recover()

    assert report["finished"]
    assert report["attempts_written"] == LOST + 3
    assert drill.money() == money
    assert len(system.sandbox.book()) == booked
    drill.subscribe(1, WallClock().now())
    system.wait(lambda: len(drill.money()) == len(money) + 1, "it lives on")
    system.wait_until_collected()
    drill.assert_agreed()
    return processes
