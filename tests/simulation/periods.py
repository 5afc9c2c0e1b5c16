"""What must be true of the periods of every life: each decided once, and none upon another."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, TypeAlias

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit

Row: TypeAlias = Mapping[str, Any]
Rows: TypeAlias = Mapping[str, Sequence[Row]]

# What is left at least of a period that another one replaces at its very beginning.
_CUT = timedelta(microseconds=1)


def missing(rows: Rows, now: datetime) -> list[str]:
    """Return every period that is neither invoiced nor explained, or both, or overlaps another.

    Indices go on over every change of the cycle, so they are what is counted.
    """
    return [*_undecided(rows, now), *_overlapping(rows)]


def given_back(rows: Rows) -> set[int]:
    """Return the invoices of what PortOne executed before it could be revoked, and went back."""
    reserved = {
        row["id"]: row["invoice_id"]
        for row in rows["payment_attempts"]
        if row["reserved_for"] is not None
    }
    returned = {
        reserved[row["attempt_id"]]
        for row in rows["payments"]
        if row["attempt_id"] in reserved and row["cancelled_amount"] == row["amount"]
    }
    void = {row["id"] for row in rows["invoices"] if row["status"] == "void"}
    return returned | void & set(reserved.values())


def deciding(rows: Rows) -> list[Row]:
    """Return the invoices that decide their period.

    Where a pause has left it out, an invoice may be there all the same, for money that PortOne took
    before it could be revoked and that went back.
    """
    skipped = {
        (row["subscription_id"], row["data"]["period_index"])
        for row in rows["events"]
        if row["name"] == "period.skipped"
    }
    returned = given_back(rows)
    return [
        row
        for row in rows["invoices"]
        if row["id"] not in returned or (row["subscription_id"], row["period_index"]) not in skipped
    ]


def _undecided(rows: Rows, now: datetime) -> Iterator[str]:
    """Find periods before the next one that were not decided once, and one that was passed over."""
    decided = Counter((row["subscription_id"], row["period_index"]) for row in deciding(rows))
    decided.update(
        (row["subscription_id"], row["data"]["period_index"])
        for row in rows["events"]
        if row["name"] == "period.skipped"
    )
    first = {
        row["subscription_id"]: row["data"]["first_period_index"]
        for row in rows["events"]
        if row["name"] == "subscription.created"
    }
    for row in rows["subscriptions"]:
        id_, next_index = row["id"], row["next_period_index"]
        for index in range(first[id_], next_index):
            if (times := decided.pop((id_, index), 0)) != 1:
                word = "missed" if not times else f"decided {times} times"
                yield f"subscription {id_}: period {index} was {word}"
        if (at := _passed_over(row, now)) is not None:
            yield f"subscription {id_}: period {next_index} was missed, which began at {at}"
    for id_, index in decided:
        yield f"subscription {id_}: period {index} was decided before its turn"


def _passed_over(row: Row, now: datetime) -> datetime | None:
    """Return when the next period began, if it was left out; not if its renewal is still due."""
    next_at, until = row["next_renewal_at"], now
    if next_at is not None and datetime.fromisoformat(next_at) <= now:
        # Its renewal is still due: liveness speaks of that.
        return None
    if row["status"] == "canceled":
        if row["canceled_at"] is None:
            return None
        until = datetime.fromisoformat(row["canceled_at"]) - timedelta(microseconds=1)
    if row["pause_keeps"] == "time":
        # From the pause on no period begins.
        until = min(until, datetime.fromisoformat(row["pause_at"]) - timedelta(microseconds=1))
    interval = Interval(IntervalUnit(row["interval_unit"]), row["interval_count"])
    anchor_at, zone = datetime.fromisoformat(row["anchor_at"]), row["time_zone"]
    cycle = BillingCycle(anchor_at, interval, zone, row["anchor_index"])
    start_at = cycle.period(row["next_period_index"]).start_at
    return start_at if start_at <= until else None


def _overlapping(rows: Rows) -> Iterator[str]:
    """Find periods that begin before the one before them is over."""
    periods: dict[str, list[tuple[int, datetime, datetime]]] = defaultdict(list)
    for row in deciding(rows):
        start_at, end_at = (
            datetime.fromisoformat(row["period_start_at"]),
            datetime.fromisoformat(row["period_end_at"]),
        )
        periods[row["subscription_id"]].append((row["period_index"], start_at, end_at))
    for id_, found in periods.items():
        for (index, _, end_at), (_, start_at, _) in pairwise(sorted(found)):
            if start_at < end_at - _CUT:
                yield f"subscription {id_}: period {index} lasts until after the next one's start"
