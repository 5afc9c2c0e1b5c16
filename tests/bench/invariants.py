"""What a look at the invariants costs: ``python -m tests.bench.invariants --invoices 1000000``.

Fills a database of its own with subscriptions of ten paid periods each, one of a hundred of them
with something under way, and measures looks as ``invariant.check`` makes them, one after the other,
each with the next lot of its walk.
"""

import argparse
import asyncio
import json
import statistics
import sys
from dataclasses import dataclass
from time import perf_counter

from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.launcher.servers import temporary_servers
from shared.clock import WallClock
from shared.db import invariant_checks
from shared.db.engine import Database, connect
from shared.db.invariant import Bounds, find, lot_after, newest_rows
from shared.db.invariant_checks import Check
from shared.db.invariants import INVARIANTS
from tests.bench.machine import description
from tests.support.databases import fresh_database, make_template
from worker.console.doctor_invariants import LOT

PERIODS = 10
LOOKS = 7

# Everything that has happened, as rows: ids, amounts and instants are what a look reads.
_FILL = (
    """
    INSERT INTO billing_keys (customer_uid)
    SELECT 'key' || n FROM generate_series(1, :subscriptions) AS n
    """,
    """
    INSERT INTO subscriptions (
        id, billing_key_id, amount, tax_free, order_name, interval_unit, interval_count, anchor_at,
        time_zone, next_period_index, next_renewal_at, noticed_index, consented_amount
    )
    SELECT CAST(lpad(to_hex(k.id), 32, '0') AS uuid), k.id, 9900, 0, '슬림 요금제', 'month', 1,
        begun, 'Asia/Seoul', :periods, begun + :periods * interval '30 days', :periods, 9900
    FROM billing_keys k, LATERAL (
        SELECT now() - (:periods - 1) * interval '30 days'
            - k.id * interval '20 days' / :subscriptions AS begun
    ) AS b
    """,
    """
    INSERT INTO invoices (
        subscription_id, period_index, period_start_at, period_end_at, amount, tax_free, order_name,
        status, attempts, paid_at, lines, created_at
    )
    SELECT s.id, n, begun, begun + interval '30 days', 9900, 0, s.order_name, 'paid', 1, begun,
        '[{"kind": "recurring", "description": "슬림 요금제", "amount": 9900, "tax_free": 0,
           "quantity": 1, "adjustment_id": null}]', begun
    FROM generate_series(0, :periods - 1) AS n CROSS JOIN subscriptions s, LATERAL (
        SELECT s.anchor_at + n * interval '30 days' AS begun
    ) AS b
    """,
    """
    INSERT INTO payment_attempts (
        invoice_id, number, send_number, merchant_uid, billing_key_id, amount, tax_free, status,
        claimed_at, lease_until, imp_uid, settled_at
    )
    SELECT i.id, 1, 1, 'uid' || i.id, s.billing_key_id, i.amount, i.tax_free, 'paid', i.paid_at,
        i.paid_at, 'imp_' || i.id, i.paid_at
    FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id
    """,
    """
    INSERT INTO payments (imp_uid, merchant_uid, attempt_id, amount, tax_free, paid_at)
    SELECT imp_uid, merchant_uid, id, amount, tax_free, settled_at FROM payment_attempts
    """,
    """
    INSERT INTO events (subscription_id, name, data, created_at, relayed_at)
    SELECT subscription_id, 'invoice.paid', jsonb_build_object('invoice_id', id), paid_at, paid_at
    FROM invoices
    """,
    # Of one subscription in a hundred the last charge is under way.
    """
    UPDATE payment_attempts
    SET status = 'unknown', inquire_at = now() + interval '1 hour', settled_at = NULL,
        unknown_since = now()
    WHERE billing_key_id % 100 = 0 AND invoice_id > :invoices - :subscriptions
    """,
    """
    DELETE FROM payments p USING payment_attempts a
    WHERE a.id = p.attempt_id AND a.status <> 'paid'
    """,
    """
    UPDATE invoices SET status = 'open', paid_at = NULL
    WHERE id IN (SELECT invoice_id FROM payment_attempts WHERE status = 'unknown')
    """,
    "ANALYZE",
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one invariant costs, in milliseconds a look."""

    name: str
    kind: str
    median_ms: float
    longest_ms: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What looks cost: each invariant's, and one at every row of the past, in seconds."""

    costs: tuple[Cost, ...]
    whole_s: float


async def measure(url: str, invoices: int, console: Console) -> Measured:
    """Return what looks cost in a database that holds so many invoices."""
    database = connect(url, connections_max=1, statement_timeout_s=3_600)
    try:
        await _fill(database, invoices, console)
        async with database.transaction() as connection:
            costs = [await _cost(connection, number) for number in range(len(INVARIANTS))]
            return Measured(tuple(costs), await _whole_s(connection))
    finally:
        await database.aclose()


async def _fill(database: Database, invoices: int, console: Console) -> None:
    values = {"invoices": invoices, "subscriptions": invoices // PERIODS, "periods": PERIODS}
    with console.status("filling") as status:
        async with database.transaction() as connection:
            for number, statement in enumerate(_FILL, 1):
                status.update(f"filling, step {number} of {len(_FILL)}")
                await connection.execute(text(statement), values)


async def _cost(connection: AsyncConnection, number: int) -> Cost:
    invariant, check = INVARIANTS[number], None
    spent: list[float] = []
    now = WallClock().now()
    # A walk is measured in the midst of its table.
    if invariant.walks is not None:
        newest = await newest_rows(connection, invariant.walks, 1)
        check = Check(invariant.name, now, walked_to=newest.high // 2 if newest else 0)
    for _ in range(LOOKS):
        begun_s = perf_counter()
        looked = await invariant_checks.look(connection, invariant, Bounds(), check, now)
        spent.append((perf_counter() - begun_s) * 1000)
        check = looked.check
        if check.known:
            raise RuntimeError(f"{invariant.name} finds {check.known[0].finding} where all is well")
    kind = f"walks {invariant.walks}" if invariant.walks else "live"
    return Cost(invariant.name, kind, statistics.median(spent), max(spent))


async def _whole_s(connection: AsyncConnection) -> float:
    """Return how long ``dalmada doctor --all`` takes for what it walks through."""
    begun_s, now = perf_counter(), WallClock().now()
    for invariant in INVARIANTS:
        low: int | None = 0 if invariant.walks else None
        while low is not None:
            lot = await lot_after(connection, invariant.walks or "", low, LOT)
            if lot is not None:
                await find(connection, invariant, Bounds(), now, [lot])
            low = None if lot is None else lot.high
    return perf_counter() - begun_s


def main() -> None:
    """Print what a look costs."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.invariants", description=__doc__)
    parser.add_argument("--invoices", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    console = Console(stderr=True)
    with temporary_servers() as servers:
        make_template(servers.postgres)
        machine = description(servers)
        with fresh_database(servers.postgres) as url:
            measured = asyncio.run(measure(url, options.invoices, console))
    costs, whole_s = measured.costs, measured.whole_s
    total = sum(cost.median_ms for cost in costs)
    if options.json:
        rows = [
            {"name": cost.name, "kind": cost.kind, "ms": cost.median_ms, "ms_max": cost.longest_ms}
            for cost in costs
        ]
        json.dump(
            {
                "invoices": options.invoices,
                "total_ms": total,
                "whole_s": whole_s,
                "invariants": rows,
                **machine,
            },
            sys.stdout,
            indent=2,
        )
        return
    table = Table("invariant", "kind", "ms a look", "longest")
    for cost in costs:
        table.add_row(cost.name, cost.kind, f"{cost.median_ms:.1f}", f"{cost.longest_ms:.1f}")
    table.add_row("all", "", f"{total:.0f}", "")
    Console().print(table)
    print(f"every row of the past (dalmada doctor --all): {whole_s:.1f} s")
    print(f"{options.invoices:,} invoices · {machine['processor']} · {machine['postgres']}")


if __name__ == "__main__":
    main()
