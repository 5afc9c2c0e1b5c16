"""The comparison of our rows with the gateway's book, from which every claim of the demo is made.

Nothing here trusts what a worker said of itself: what was due is counted from the agreements, what
was collected from the book, and the two are laid beside the invoices.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the rows and the book compare.

    Attributes:
        subscriptions: How many subscriptions there are.
        invoices: How many invoices stand in each of paid, dunning, given_up, method_dead,
            unknown, unfinished, below_minimum and void.
        double_charges: Paid records beyond the first of any one period.
        missed: Periods that are due and neither invoiced, nor explained by an event, nor ended.
        disagreements: What rows and book say differently, in words.
    """

    subscriptions: int
    invoices: Mapping[str, int]
    double_charges: int
    missed: int
    disagreements: tuple[str, ...] = field(default=())

    @property
    def clean(self) -> bool:
        """Whether nothing was charged twice, missed, left unknown or told differently."""
        return not (
            self.double_charges or self.missed or self.invoices.get("unknown") or self.disagreements
        )


@dataclass(frozen=True, slots=True)
class _Row:
    """An invoice with what its attempts say."""

    id: int
    subscription_id: UUID
    period_index: int
    amount: int
    tax_free: int
    ending: str
    merchant_uids: frozenset[str]


async def compare(
    connection: AsyncConnection, book: Iterable[Mapping[str, Any]], now: datetime
) -> Verdict:
    """Return the verdict on everything that was due at ``now``.

    Args:
        connection: To our database, with nothing being collected any more.
        book: Every payment record of the gateway, as its control API shows them.
        now: Up to when periods count as due.
    """
    rows = await _invoices(connection)
    due = await _due_periods(connection, now)
    explained = await _explained(connection)
    invoiced = {(row.subscription_id, row.period_index) for row in rows}
    missed = len(due - invoiced - explained)
    missed += sum(row.ending == "unfinished" for row in rows)
    paid_records, disagreements = _paid_by_invoice(rows, book)
    for row in rows:
        disagreements.extend(_compare_one(row, paid_records[row.id]))
    return Verdict(
        subscriptions=int(await connection.scalar(text("SELECT count(*) FROM subscriptions")) or 0),
        invoices=Counter(row.ending for row in rows),
        double_charges=sum(max(0, len(records) - 1) for records in paid_records.values()),
        missed=missed,
        disagreements=tuple(disagreements),
    )


def _paid_by_invoice(
    rows: Sequence[_Row], book: Iterable[Mapping[str, Any]]
) -> tuple[defaultdict[int, list[Mapping[str, Any]]], list[str]]:
    """Return the paid records of each invoice, and a word on each that belongs to none."""
    owner = {uid: row.id for row in rows for uid in row.merchant_uids}
    paid: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    strangers = []
    for record in book:
        if record["status"] != "paid":
            continue
        invoice_id = owner.get(record["merchant_uid"])
        if invoice_id is None:
            strangers.append(f"{record['imp_uid']} is paid, but no attempt of ours made it")
        else:
            paid[invoice_id].append(record)
    return paid, strangers


def _compare_one(row: _Row, records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return in words how one invoice and the book differ."""
    name = f"invoice {row.id}"
    if row.ending == "paid" and row.amount and not records:
        return [f"{name} is paid, the book holds no payment"]
    if row.ending != "paid" and records:
        return [f"{name} is {row.ending}, the book holds a payment"]
    return [
        f"{name} is of {row.amount} won ({row.tax_free} tax-free), {record['imp_uid']} of"
        f" {record['amount']} ({record['tax_free']})"
        for record in records
        if (record["amount"], record["tax_free"]) != (row.amount, row.tax_free)
    ]


async def _invoices(connection: AsyncConnection) -> list[_Row]:
    rows = await connection.execute(
        text(
            """
            SELECT i.id, i.subscription_id, i.period_index, i.amount, i.tax_free,
                CASE
                    WHEN i.status = 'paid' THEN 'paid'
                    WHEN i.status = 'void' THEN 'void'
                    WHEN count(*) FILTER (WHERE a.status IN ('claimed', 'unknown', 'parked')) > 0
                        THEN 'unknown'
                    WHEN i.status = 'uncollectible' AND i.declines > 0 THEN 'given_up'
                    WHEN i.status = 'uncollectible' THEN 'below_minimum'
                    WHEN k.status = 'dead' AND i.next_attempt_at IS NULL THEN 'method_dead'
                    WHEN i.declines > 0 AND i.next_attempt_at IS NOT NULL
                        AND count(*) FILTER (WHERE a.status = 'waiting') = 0 THEN 'dunning'
                    ELSE 'unfinished'
                END AS ending,
                coalesce(array_agg(a.merchant_uid) FILTER (WHERE a.id IS NOT NULL), '{}') AS uids
            FROM invoices i
            JOIN subscriptions s ON s.id = i.subscription_id
            JOIN billing_keys k ON k.id = s.billing_key_id
            LEFT JOIN payment_attempts a ON a.invoice_id = i.id
            GROUP BY i.id, k.id
            """
        )
    )
    return [
        _Row(
            row.id,
            row.subscription_id,
            row.period_index,
            row.amount,
            row.tax_free,
            row.ending,
            frozenset(row.uids),
        )
        for row in rows
    ]


async def _due_periods(connection: AsyncConnection, now: datetime) -> set[tuple[UUID, int]]:
    """Return every period that has begun, counted from the agreements alone."""
    rows = await connection.execute(
        text(
            """
            SELECT s.id, s.anchor_at, s.interval_unit, s.interval_count, s.time_zone,
                (SELECT CAST(e.data ->> 'first_period_index' AS int) FROM events e
                 WHERE e.subscription_id = s.id AND e.name = 'subscription.created') AS first_index
            FROM subscriptions s WHERE s.status <> 'canceled'
            """
        )
    )
    due: set[tuple[UUID, int]] = set()
    for row in rows:
        interval = Interval(IntervalUnit(row.interval_unit), row.interval_count)
        cycle = BillingCycle(row.anchor_at, interval, row.time_zone)
        due |= {(row.id, index) for index in range(row.first_index, cycle.index_at(now) + 1)}
    return due


async def _explained(connection: AsyncConnection) -> set[tuple[UUID, int]]:
    """Return the periods of which an event says why they are not billed."""
    rows = await connection.execute(
        text(
            """
            SELECT subscription_id, CAST(data ->> 'period_index' AS int) AS period_index
            FROM events WHERE name = 'period.skipped'
            """
        )
    )
    return {(row.subscription_id, row.period_index) for row in rows}
