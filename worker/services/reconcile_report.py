"""What a comparison of the books came to, as one document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json
from shared.billing.reconciliation import Difference, DifferenceStatus, Found
from shared.db import reconciliation_sums as sums
from shared.db.reconciliation_records import Pair, Slice
from shared.db.reconciliation_rows import Counted
from shared.db.reconciliation_runs import Run
from shared.db.reconciliation_sums import Sums

_HOURLY_MAX: Final = timedelta(days=2)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


@dataclass(slots=True)
class Tally:
    """What a run has counted so far.

    Attributes:
        listed: Records that the gateway listed, one that it showed twice counted twice.
        asked: Payments that were asked for singly.
        staged: Records that there are to compare.
        records: Those of them that have been.
        differing: Payments among them in which the books differ.
    """

    listed: int = 0
    asked: int = 0
    staged: int = 0
    records: int = 0
    registrations: int = 0
    unpaid: int = 0
    foreign: int = 0
    foreign_held: int = 0
    differing: int = 0

    @property
    def matched(self) -> int:
        """Payments in which the books agree."""
        beside = self.registrations + self.unpaid + self.foreign + self.differing
        return self.records - beside

    def add_slice(self, part: Slice) -> None:
        """Count the records of a slice."""
        self.records += part.records
        self.registrations += part.registrations
        self.unpaid += part.unpaid
        self.foreign += part.foreign
        self.foreign_held += part.foreign_held

    def add_found(self, found: Sequence[tuple[Pair, Found]]) -> None:
        """Count the payments of a slice in which the books differ."""
        self.differing += sum(
            pair.theirs is not None
            and pair.theirs.was_paid
            and not pair.theirs.is_registration
            and what.difference is not Difference.FOREIGN
            for pair, what in found
        )


async def report_of(
    connection: AsyncConnection, run: Run, tally: Tally, found: Sequence[Counted], vanished: int
) -> dict[str, Json]:
    """Return the report of a run whose records are still staged."""
    width = _HOUR if run.until - run.since <= _HOURLY_MAX else _DAY
    ours = await sums.of_ours(connection, run.since, run.until)
    theirs = await sums.of_theirs(connection, run.id, run.since, run.until)
    bars = await sums.bars(connection, run.id, run.since, run.until, width)
    return {
        "run_id": run.id,
        "cause": run.cause,
        "since": run.since.isoformat(),
        "until": run.until.isoformat(),
        "records": tally.records,
        "matched": tally.matched,
        "registrations": tally.registrations,
        "unpaid": tally.unpaid,
        "foreign": {"count": tally.foreign, "amount": tally.foreign_held},
        "theirs": _sums(theirs),
        "ours": _sums(ours),
        "differences": {
            str(difference): _counts(found, difference, DifferenceStatus.OPEN)
            for difference in Difference
        },
        "watched": _counts(found, None, DifferenceStatus.WATCHED),
        "dismissed": _counts(found, None, DifferenceStatus.DISMISSED),
        "vanished": vanished,
        "bar_s": int(width.total_seconds()),
        "bars": [
            {"at": bar.at.isoformat(), "theirs": bar.theirs, "ours": bar.ours} for bar in bars
        ],
    }


def differing(report: Mapping[str, Json]) -> int:
    """Return how many differences a report says wait for a person."""
    differences = cast("Mapping[str, Mapping[str, int]]", report["differences"])
    return sum(each["count"] for each in differences.values())


def _sums(book: Sums) -> dict[str, Json]:
    return {"payments": book.payments, "amount": book.amount, "cancelled_amount": book.cancelled}


def _counts(
    found: Sequence[Counted], difference: Difference | None, status: DifferenceStatus
) -> dict[str, Json]:
    alike = [
        one
        for one in found
        if one.status is status and (difference is None or one.difference is difference)
    ]
    return {"count": sum(one.count for one in alike), "amount": sum(one.amount for one in alike)}
