"""What the two books say differently, as rows that are found again, repaired and explained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json, iso
from shared.billing.reconciliation import (
    LOOKED_AT_AGAIN,
    Difference,
    DifferenceStatus,
    Found,
    Ours,
    Owner,
    Repair,
    Theirs,
    status_of,
)
from shared.db.reconciliation_records import Pair
from shared.db.tables import one_of
from shared.db.text import to_json


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """A difference that was found, and where it stands; amounts are won."""

    id: int
    imp_uid: str
    merchant_uid: str | None
    difference: Difference
    status: DifferenceStatus
    repair: Repair
    owner: Owner
    amount: int
    theirs: Mapping[str, Json] | None
    ours: Mapping[str, Json] | None
    payment_id: int | None
    subscription_id: UUID | None
    found_by: int
    seen_at: datetime
    decided_at: datetime | None
    created_at: datetime


_COLUMNS: Final = """
    id, imp_uid, merchant_uid, difference, status, repair, owner, amount, theirs, ours, payment_id,
    subscription_id, found_by, seen_at, decided_at, created_at
"""


async def write(
    connection: AsyncConnection,
    run_id: int,
    found: Sequence[tuple[Pair, Found]],
    now: datetime,
) -> None:
    """Keep differences that a run has found, each in the row that it had before, if it had one.

    What a person has dismissed stays so until either side says something else.
    """
    rows = [_values(pair, what) for pair, what in found]
    await connection.execute(_WRITE, {"run": run_id, "now": now, "rows": to_json(rows)})


_WRITE = text(
    """
    INSERT INTO discrepancies AS d (
        imp_uid, merchant_uid, difference, status, repair, owner, amount, theirs, ours, payment_id,
        subscription_id, found_by, seen_by, seen_at
    )
    SELECT imp_uid, merchant_uid, difference, status, repair, owner, amount, theirs, ours,
        payment_id, subscription_id, :run, :run, :now
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS f (
        imp_uid text, merchant_uid text, difference text, status text, repair text, owner text,
        amount bigint, theirs jsonb, ours jsonb, payment_id bigint, subscription_id uuid
    )
    ON CONFLICT (imp_uid, difference) DO UPDATE
    SET merchant_uid = excluded.merchant_uid, repair = excluded.repair, owner = excluded.owner,
        amount = excluded.amount, theirs = excluded.theirs, ours = excluded.ours,
        payment_id = excluded.payment_id, subscription_id = excluded.subscription_id,
        seen_by = excluded.seen_by, seen_at = excluded.seen_at,
        status = CASE WHEN d.status = 'dismissed' AND (d.theirs, d.ours)
                IS NOT DISTINCT FROM (excluded.theirs, excluded.ours)
            THEN d.status ELSE excluded.status END,
        decided_at = CASE WHEN d.status = 'dismissed' AND (d.theirs, d.ours)
                IS NOT DISTINCT FROM (excluded.theirs, excluded.ours)
            THEN d.decided_at END
    """
)


async def to_look_at_again(
    connection: AsyncConnection, before: datetime, after: int, limit: int
) -> list[tuple[int, str]]:
    """Return ids and payments of what nobody has settled or looked at since ``before``."""
    rows = await connection.execute(
        text(
            f"""
            SELECT id, imp_uid FROM discrepancies
            WHERE id > :after AND {one_of("status", LOOKED_AT_AGAIN)} AND seen_at < :before
            ORDER BY id LIMIT :limit
            """  # noqa: S608 - made of constants only
        ),
        {"before": before, "after": after, "limit": limit},
    )
    return [(row.id, row.imp_uid) for row in rows]


async def note_vanished(connection: AsyncConnection, run_id: int, begun_at: datetime) -> int:
    """Note what a run that began at an instant has not found again; return how many these were."""
    gone = await connection.execute(
        text(
            f"""
            UPDATE discrepancies
            SET status = 'vanished', seen_by = :run, seen_at = :begun_at, decided_at = NULL
            WHERE {one_of("status", LOOKED_AT_AGAIN)} AND seen_at < :begun_at
            """  # noqa: S608 - made of constants only
        ),
        {"run": run_id, "begun_at": begun_at},
    )
    return gone.rowcount


@dataclass(frozen=True, slots=True)
class Counted:
    """How many differences of one kind stand alike, and how much money they are about."""

    difference: Difference
    status: DifferenceStatus
    count: int
    amount: int


async def counted(connection: AsyncConnection, begun_at: datetime) -> list[Counted]:
    """Return what a run that began at an instant has found, by kind and by where it stands.

    By the instant, for a run beside it may have seen the same after it.
    """
    rows = await connection.execute(
        text(
            """
            SELECT difference, status, count(*), sum(amount)::bigint
            FROM discrepancies
            WHERE seen_at >= :begun_at AND status <> 'vanished'
            GROUP BY difference, status ORDER BY difference, status
            """
        ),
        {"begun_at": begun_at},
    )
    return [
        Counted(Difference(difference), DifferenceStatus(status), count, amount)
        for difference, status, count, amount in rows
    ]


async def list_(
    connection: AsyncConnection,
    limit: int,
    *,
    statuses: frozenset[DifferenceStatus],
    difference: Difference | None = None,
    run_id: int | None = None,
) -> list[Discrepancy]:
    """Return differences of some statuses, newest first, of one kind or as one run saw them.

    Later runs see the same again: what was found by then and seen from then on is what it saw.
    """
    rows = await connection.execute(
        text(
            f"""
            SELECT {_COLUMNS} FROM discrepancies
            WHERE status = ANY(CAST(:statuses AS text[]))
              AND (CAST(:difference AS text) IS NULL OR difference = :difference)
              AND (CAST(:run AS bigint) IS NULL OR found_by <= :run AND seen_by >= :run)
            ORDER BY id DESC LIMIT :limit
            """  # noqa: S608 - made of constants only
        ),
        {
            "statuses": [str(status) for status in statuses],
            "difference": difference,
            "run": run_id,
            "limit": limit,
        },
    )
    return [_discrepancy(row) for row in rows]


async def open_count(connection: AsyncConnection) -> int:
    """Return how many differences wait for a person."""
    found = await connection.scalar(
        text("SELECT count(*) FROM discrepancies WHERE status = 'open'")
    )
    return int(found or 0)


async def get(
    connection: AsyncConnection, discrepancy_id: int, *, lock: bool = False
) -> Discrepancy | None:
    """Return one difference, locked until the caller's transaction ends if that is asked for."""
    row = await connection.execute(_LOCK if lock else _GET, {"id": discrepancy_id})
    found = row.first()
    return None if found is None else _discrepancy(found)


_GET = text(
    f"SELECT {_COLUMNS} FROM discrepancies WHERE id = :id"  # noqa: S608 - made of constants only
)
_LOCK = text(f"{_GET.text} FOR NO KEY UPDATE")


async def decide(
    connection: AsyncConnection, discrepancy_id: int, status: DifferenceStatus, now: datetime
) -> None:
    """Write what a person has done with a difference that the caller holds locked."""
    await connection.execute(
        text("UPDATE discrepancies SET status = :status, decided_at = :now WHERE id = :id"),
        {"id": discrepancy_id, "status": status, "now": now},
    )


def _values(pair: Pair, found: Found) -> dict[str, object]:
    payment = pair.ours.payment
    return {
        "imp_uid": pair.imp_uid,
        "merchant_uid": pair.merchant_uid,
        "difference": found.difference,
        "status": status_of(found),
        "repair": found.repair,
        "owner": found.owner,
        "amount": found.amount,
        "theirs": None if pair.theirs is None else _theirs(pair.theirs),
        "ours": _ours(pair.ours),
        "payment_id": None if payment is None else payment.id,
        "subscription_id": None if pair.subscription_id is None else str(pair.subscription_id),
    }


def _theirs(theirs: Theirs) -> dict[str, Json]:
    return {
        "status": theirs.status,
        "amount": theirs.amount,
        "cancelled_amount": theirs.cancelled,
        "at": iso(theirs.changed_at),
    }


def _ours(ours: Ours) -> dict[str, Json] | None:
    said: dict[str, Json] = {}
    if ours.payment is not None:
        said |= {"amount": ours.payment.amount, "cancelled_amount": ours.payment.cancelled}
    if ours.attempt is not None:
        said |= {"attempt_id": ours.attempt.id, "attempt_status": ours.attempt.status}
    if ours.window is not None:
        said |= {"window": ours.window.kind, "window_status": ours.window.status}
    return said or None


def _discrepancy(row: Row[Any]) -> Discrepancy:
    return Discrepancy(
        row.id,
        row.imp_uid,
        row.merchant_uid,
        Difference(row.difference),
        DifferenceStatus(row.status),
        Repair(row.repair),
        Owner(row.owner),
        row.amount,
        row.theirs,
        row.ours,
        row.payment_id,
        row.subscription_id,
        row.found_by,
        row.seen_at,
        row.decided_at,
        row.created_at,
    )
