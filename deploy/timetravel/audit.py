"""What must be true of the years that were lived, whoever's word it contradicts.

Periods are counted from what was agreed, money from the gateway's book. Every finding is a
sentence that names its row; none is a violation too few.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from deploy.timetravel.gateway import Book
from deploy.timetravel.oracle import start_of
from deploy.timetravel.rows import Row, Rows
from shared.billing.calendar import BillingCycle, Interval, IntervalUnit

_BILLED: Final = frozenset({"trialing", "active", "past_due"})
_MOVED: Final = frozenset({"paid", "cancelled"})
_REFUND_UNDER_WAY: Final = frozenset({"waiting", "claimed", "unknown"})
_ENDS: Final = {
    "paid": "invoice.paid",
    "uncollectible": "invoice.uncollectible",
    "void": "invoice.voided",
}


def violations(rows: Rows, book: Book, now: datetime) -> list[str]:
    """Return everything that is wrong at an instant at which nothing is under way any more."""
    return [*_periods(rows, now), *_ends(rows, now), *_money(rows, book)]


# Periods: each begun one once, end to end, on the right day.


def _periods(rows: Rows, now: datetime) -> Iterator[str]:
    billed: defaultdict[UUID, list[Row]] = defaultdict(list)
    skipped: defaultdict[UUID, list[Row]] = defaultdict(list)
    for row in rows.invoices:
        billed[row.subscription_id].append(row)
    for row in rows.skipped:
        skipped[row.subscription_id].append(row)
    for subscription in rows.subscriptions:
        turns = rows.turns.get(subscription.id, ())
        of_it = billed[subscription.id], skipped[subscription.id]
        for fault in _life(subscription, *of_it, turns, now):
            yield f"subscription {subscription.id}: {fault}"


def _life(
    subscription: Row, billed: Sequence[Row], skipped: Sequence[Row], turns: Sequence[Row], now: Any
) -> Iterator[str]:
    periods = sorted([*billed, *skipped], key=lambda row: row.period_index)
    seen = [row.period_index for row in periods]
    wanted = list(range(subscription.first_index, subscription.next_period_index))
    for index in sorted(set(wanted) - set(seen)):
        yield f"period {index} was missed"
    for index in sorted({index for index in seen if seen.count(index) > 1}):
        yield f"period {index} has more than one end"
    for index in sorted(set(seen) - set(wanted)):
        yield f"period {index} is billed or skipped, and is not one of its periods"
    skipped_indices = {row.period_index for row in skipped}
    returns = [turn.at for turn in turns if turn.name == "subscription.reactivated"]
    for one, other in pairwise(periods):
        # What was skipped is over when the next begins: nobody has used it.
        ends_at = one.period_end_at
        if one.period_index in skipped_indices:
            ends_at = min(ends_at, other.period_start_at)
        left = any(ends_at <= at <= other.period_start_at for at in returns)
        if ends_at > other.period_start_at:
            yield f"periods {one.period_index} and {other.period_index} overlap"
        elif ends_at < other.period_start_at and not left:
            yield f"between periods {one.period_index} and {other.period_index} is a gap"
    yield from _still_due(subscription, turns, now)
    if not turns:
        yield from _days(subscription, periods)


def _still_due(subscription: Row, turns: Sequence[Row], now: datetime) -> Iterator[str]:
    """Find periods that began and that nobody decided."""
    next_at, ends_at = subscription.next_renewal_at, subscription.cancel_at
    if subscription.status in _BILLED and next_at <= now and (ends_at is None or next_at < ends_at):
        yield f"period {subscription.next_period_index} is due since {next_at} and not opened"
    paused = any(turn.name == "subscription.paused" for turn in turns)
    if subscription.status == "canceled" and subscription.canceled_at and not paused:
        begins_at = _cycle(subscription).period(subscription.next_period_index).start_at
        if begins_at < subscription.canceled_at:
            yield f"period {subscription.next_period_index} began before its end and was missed"
    if subscription.status == "canceled" and subscription.closed_at is None:
        yield "it has ended and is not closed"


def _cycle(subscription: Row) -> BillingCycle:
    interval = Interval(IntervalUnit(subscription.interval_unit), subscription.interval_count)
    return BillingCycle(
        subscription.anchor_at, interval, subscription.time_zone, subscription.anchor_index
    )


def _days(subscription: Row, periods: Sequence[Row]) -> Iterator[str]:
    """Compare the days of an undisturbed life with another way of counting them."""
    for row in periods:
        wanted = start_of(
            subscription.anchor_at,
            subscription.interval_unit,
            (row.period_index - subscription.anchor_index) * subscription.interval_count,
            subscription.time_zone,
        )
        if row.period_start_at != wanted:
            yield f"period {row.period_index} begins {row.period_start_at} and not {wanted}"


# Ends: each period paid, in dunning, or explained.


def _ends(rows: Rows, now: datetime) -> Iterator[str]:
    for row in rows.invoices:
        name = f"invoice {row.id}"
        if (row.lines_amount, row.lines_tax_free) != (row.amount, row.tax_free):
            yield f"{name} is of {row.amount} won, its lines add up to {row.lines_amount}"
        for status, event in _ENDS.items():
            told = rows.told.get((event, row.id), 0)
            if told != (row.status == status):
                yield f"{name} is {row.status}, and {event} was told {told} times"
    yield from _left_open(rows, now)
    for refund in rows.refunds:
        if refund.status in _REFUND_UNDER_WAY:
            yield f"refund {refund.id} is still {refund.status}"


def _left_open(rows: Rows, now: datetime) -> Iterator[str]:
    """Find invoices that are neither paid nor in dunning, and of which nothing is explained."""
    keys = {row.id: row.key_status for row in rows.subscriptions}
    claimed = {row.invoice_id for row in rows.attempts if row.status == "claimed"}
    held = {row.invoice_id for row in rows.attempts if row.status in {"unknown", "parked"}}
    for row in rows.invoices:
        if row.status != "open":
            continue
        waits = keys[row.subscription_id] != "active" or row.collection_stopped or row.id in held
        if row.id in claimed:
            yield f"invoice {row.id} has a claim that nobody ended"
        elif row.next_attempt_at is None and not waits:
            yield f"invoice {row.id} is open, and nobody collects it"
        elif row.next_attempt_at is not None and row.next_attempt_at <= now:
            yield f"invoice {row.id} is due since {row.next_attempt_at} and was not tried"


# Money: what the gateway holds, beside what we say.


def _money(rows: Rows, book: Book) -> Iterator[str]:
    invoice_of = {row.merchant_uid: row.invoice_id for row in rows.attempts}
    windows = {row.merchant_uid for row in rows.windows}
    taken: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    kept = {row.imp_uid: row for row in rows.payments}
    for record in book:
        if record["status"] not in _MOVED or record["customer_uid_usage"] == "issue":
            continue
        uid, imp_uid = record["merchant_uid"], record["imp_uid"]
        if uid in invoice_of:
            taken[invoice_of[uid]].append(record)
        elif uid not in windows:
            yield f"{imp_uid} is paid, and no attempt of ours made it"
        row = kept.pop(imp_uid, None)
        said = None if row is None else (row.amount, row.tax_free, row.cancelled_amount)
        if said != (held := (record["amount"], record["tax_free"], record["cancel_amount"])):
            yield f"payment {imp_uid} is kept as {said}, the book holds {held}"
    for imp_uid in kept:
        yield f"payment {imp_uid} is kept, the book holds no such"
    for row in rows.invoices:
        yield from _paid_otherwise(row, taken[row.id])


def _paid_otherwise(row: Row, records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    name = f"invoice {row.id}"
    if len(records) > 1:
        yield f"{name} was paid {len(records)} times"
    if row.status == "paid":
        if row.amount and not records:
            yield f"{name} is paid, the book holds no payment"
        for record in records:
            if (record["amount"], record["tax_free"]) != (row.amount, row.tax_free):
                yield f"{name} is of {row.amount} won, the book took {record['amount']}"
        return
    for record in records:
        if record["cancel_amount"] != record["amount"]:
            yield f"{name} is {row.status}, the book holds a payment"
