"""`python -m tests.bench.reconcile`: comparing the books of so many records, measured.

A database of its own holds the payments of a month; the gateway's list is made up as it is read,
so that the memory of this process is what the comparison takes. Some payments differ, and no
figure is printed unless exactly those were found.
"""

import argparse
import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import structlog

from deploy.launcher.servers import temporary_servers
from shared.billing.inquiry import PaymentRecord, RecordStatus
from shared.billing.merchant_uid import merchant_uid
from shared.clock import FixedClock
from shared.db import reconciliation_runs as runs
from shared.db.engine import connect
from tests.support.databases import fresh_database, make_template
from worker.services.reconcile import LEASE, ReconcileBooks

_SINCE = datetime(2026, 1, 1, tzinfo=UTC)
_UNTIL = datetime(2026, 2, 1, tzinfo=UTC)
_NOW = datetime(2026, 2, 2, tzinfo=UTC)
_AMOUNT = 9_900
# Of so many payments one is unknown to either side, and one was given back at the gateway.
_EVERY = 20_000
_ROWS_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True)
class MadeUpBook:
    """The gateway's side: the payments with numbers up to ``count``, but for those it has lost."""

    count: int

    async def payments_in(
        self, since: datetime, until: datetime, status: RecordStatus | None = None
    ) -> AsyncIterator[PaymentRecord]:
        """Yield every record, and never two at a time."""
        assert (since, until, status) == (_SINCE, _UNTIL, None)
        for number in range(1, self.count + 1):
            if (record := self.record(number)) is not None:
                yield record

    async def payment(self, imp_uid: str) -> PaymentRecord | None:
        """Return one payment."""
        return self.record(int(imp_uid.removeprefix("imps_")))

    def record(self, number: int) -> PaymentRecord | None:
        """Return the record of a number, unless it is lost."""
        if number % _EVERY == 1:
            return None
        is_cancelled = number % _EVERY == 2
        return PaymentRecord(
            imp_uid=f"imps_{number:012}",
            merchant_uid=uid_of(number),
            status=RecordStatus.CANCELLED if is_cancelled else RecordStatus.PAID,
            amount=_AMOUNT,
            cancel_amount=_AMOUNT if is_cancelled else 0,
            customer_uid=f"customer-{number}",
            paid_at=_SINCE + timedelta(seconds=number % 2_600_000),
            usage="payment",
        )


def uid_of(number: int) -> str:
    """Return the ``merchant_uid`` of a payment; one of many names a subscription nobody has."""
    return merchant_uid(UUID(int=number), 0, 1)


def fill(url: str, count: int) -> None:
    """Write the rows of so many payments, but for those that we have lost."""
    with psycopg.connect(url, autocommit=True) as connection:
        for first in range(1, count + 1, _ROWS_AT_ONCE):
            last = min(first + _ROWS_AT_ONCE - 1, count)
            uids = [uid_of(number) for number in range(first, last + 1)]
            connection.execute(_FILL, {"first": first, "uids": uids, "amount": _AMOUNT})
            print(f"\r{last:,} payments written", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        connection.execute("DELETE FROM payments WHERE id % 20000 = 3")
        connection.execute("VACUUM ANALYZE")


_FILL = """
    WITH numbered AS (
        SELECT :first + position - 1 AS number, uid
        FROM unnest(CAST(:uids AS text[])) WITH ORDINALITY AS u (uid, position)
    ), keys AS (
        INSERT INTO billing_keys (id, customer_uid) OVERRIDING SYSTEM VALUE
        SELECT number, 'customer-' || number FROM numbered
    ), subscribed AS (
        INSERT INTO subscriptions (
            id, billing_key_id, amount, tax_free, order_name, interval_unit, interval_count,
            anchor_at, time_zone, next_period_index, next_renewal_at, consented_amount
        )
        SELECT CAST(lpad(to_hex(number), 32, '0') AS uuid), number, :amount, 0, '구독', 'month', 1,
            '2026-01-01Z', 'Asia/Seoul', 1, '2026-02-01Z', :amount
        FROM numbered
    ), opened AS (
        INSERT INTO invoices (
            id, subscription_id, period_index, period_start_at, period_end_at, amount, tax_free,
            order_name, lines, status, paid_at
        ) OVERRIDING SYSTEM VALUE
        SELECT number, CAST(lpad(to_hex(number), 32, '0') AS uuid), 0, '2026-01-01Z',
            '2026-02-01Z', :amount, 0, '구독', '[]', 'paid', '2026-01-01Z'
        FROM numbered
    ), attempted AS (
        INSERT INTO payment_attempts (
            id, invoice_id, number, send_number, merchant_uid, billing_key_id, amount, tax_free,
            status, claimed_at, lease_until, imp_uid, settled_at
        ) OVERRIDING SYSTEM VALUE
        SELECT number, number, 1, 1, uid, number, :amount, 0, 'paid', '2026-01-01Z',
            '2026-01-01Z', 'imps_' || lpad(CAST(number AS text), 12, '0'), '2026-01-01Z'
        FROM numbered
    )
    INSERT INTO payments (id, imp_uid, merchant_uid, attempt_id, amount, tax_free, paid_at)
    OVERRIDING SYSTEM VALUE
    SELECT number, 'imps_' || lpad(CAST(number AS text), 12, '0'), uid, number, :amount, 0,
        CAST('2026-01-01Z' AS timestamptz) + make_interval(secs => number %% 2600000)
    FROM numbered
"""
for _name in ("first", "uids", "amount"):
    _FILL = _FILL.replace(f":{_name}", f"%({_name})s")


async def compare(url: str, count: int) -> dict[str, Any]:
    """Compare, and return the figures; raise unless what was found is what was planted."""
    database = connect(url, connections_max=2)
    clock = FixedClock(_NOW)
    try:
        run = await database.run(
            lambda connection: runs.begin(connection, _SINCE, _UNTIL, _NOW + LEASE)
        )
        reconcile = ReconcileBooks(
            database, MadeUpBook(count), clock, timedelta(minutes=5), watch=_told
        )
        before_s, cpu_s = time.monotonic(), time.process_time()
        report = await reconcile(run)
        seconds, cpu = time.monotonic() - before_s, time.process_time() - cpu_s
    finally:
        await database.aclose()
    assert report is not None, "the run failed"
    differences: Any = report["differences"]
    found = {kind: each["count"] for kind, each in differences.items() if each["count"]}
    planted = {
        kind: sum(number % _EVERY == rest for number in range(1, count + 1))
        for kind, rest in (("ours_only", 1), ("refund_differs", 2), ("status_differs", 3))
    }
    assert found == {kind: each for kind, each in planted.items() if each}, (found, planted)
    return {
        "records": report["records"],
        "matched": report["matched"],
        "differences": found,
        "seconds": round(seconds, 1),
        "cpu_s": round(cpu, 1),
        "records_per_s": round(count / seconds),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _told(step: str, done: int, /) -> None:
    if sys.stderr.isatty():
        print(f"\r{step}: {done:,}          ", end="", file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.reconcile", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    count = parser.parse_args().records
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    with temporary_servers() as servers:
        make_template(servers.postgres)
        with fresh_database(servers.postgres) as url:
            fill(url, count)
            idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            figures = asyncio.run(compare(url, count))
    print(json.dumps({**figures, "peak_mib_before": idle}))


if __name__ == "__main__":
    main()
