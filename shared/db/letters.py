"""Dead letters as people decide them: read, taken up again, or put away."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import AttemptStatus
from shared.billing.events import Json
from shared.billing.refund import RefundStatus


class LetterKind(enum.StrEnum):
    """What a letter is about."""

    ATTEMPT = "attempt"
    MESSAGE = "message"
    PAYMENT = "payment"
    REFUND = "refund"


class Resolution(enum.StrEnum):
    """What a person did with a letter."""

    REQUEUED = "requeued"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, with where its attempt or refund stands.

    ``payload`` may hold what a merchant's command said, a billing key among it.
    """

    id: int
    kind: LetterKind
    cause: str
    attempt_id: int | None
    attempt_status: AttemptStatus | None
    refund_id: int | None
    refund_status: RefundStatus | None
    resolution: Resolution | None
    resolved_at: datetime | None
    created_at: datetime
    payload: Mapping[str, Any] = field(repr=False)


async def newest(
    connection: AsyncConnection, *, limit: int, resolved: bool = False
) -> list[Letter]:
    """Return the newest letters, newest first; those that were decided only where asked for."""
    rows = await connection.execute(_NEWEST, {"limit": limit, "resolved": resolved})
    return [_letter(row) for row in rows]


async def open_count(connection: AsyncConnection) -> int:
    """Return how many letters nobody has decided."""
    count = await connection.scalar(
        text("SELECT count(*) FROM dead_letters WHERE resolved_at IS NULL")
    )
    return int(count or 0)


async def lock(connection: AsyncConnection, letter_id: int) -> Letter | None:
    """Return one letter, locked until the caller's transaction ends."""
    row = (await connection.execute(_LOCK, {"id": letter_id})).first()
    return _letter(row) if row else None


async def get(connection: AsyncConnection, letter_id: int) -> Letter | None:
    """Return one letter."""
    row = (await connection.execute(_GET, {"id": letter_id})).first()
    return _letter(row) if row else None


async def resolve(
    connection: AsyncConnection, letter_id: int, resolution: Resolution, now: datetime
) -> None:
    """Say what was done with a letter that the caller holds locked."""
    await connection.execute(
        text("UPDATE dead_letters SET resolution = :resolution, resolved_at = :now WHERE id = :id"),
        {"id": letter_id, "resolution": resolution, "now": now},
    )


async def ask_again_about_attempt(
    connection: AsyncConnection, attempt_id: int, settle_delay: timedelta, now: datetime
) -> bool:
    """Have the gateway asked about a parked attempt, its deadline counted anew.

    It may have been parked a moment ago, with its send still under way: the gateway's silence
    proves something only once the lease is over, and what it may still book after that.
    """
    done = await connection.execute(
        text(
            """
            UPDATE payment_attempts
            SET status = 'unknown', dispatched_at = NULL, unknown_since = :now,
                inquire_at = greatest(:now, lease_until + CAST(:settle_delay AS interval)),
                inquiries = 0, no_records = 0
            WHERE id = :id AND status = 'parked'
            RETURNING id
            """
        ),
        {"id": attempt_id, "settle_delay": settle_delay, "now": now},
    )
    return done.first() is not None


async def look_again_at_payment(connection: AsyncConnection, imp_uid: str, now: datetime) -> bool:
    """Have a payment read again of which somebody once said something."""
    done = await connection.execute(
        text(
            """
            UPDATE hints SET next_read_at = :now, dispatched_at = NULL, reads = 0, finding = NULL
            WHERE imp_uid = :imp_uid
            RETURNING id
            """
        ),
        {"imp_uid": imp_uid, "now": now},
    )
    return done.first() is not None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """What was given up: the ids and amounts that an event about it tells."""

    subscription_id: UUID | None
    data: dict[str, Json]


async def give_up_attempt(
    connection: AsyncConnection, attempt_id: int, message: str
) -> GivenUp | None:
    """End a parked attempt without a payment, and its invoice if that is open.

    Returns the invoice, or None where it stays as it is or the attempt is not parked any more.
    """
    values = {"id": attempt_id, "message": message}
    row = (await connection.execute(_GIVE_UP_ATTEMPT, values)).first()
    if row is None:
        return None
    data: dict[str, Json] = {
        "invoice_id": row.id,
        "period_index": row.period_index,
        "amount": row.amount,
        "tax_free": row.tax_free,
        "declines": row.declines,
    }
    return GivenUp(row.subscription_id, data)


async def give_up_refund(
    connection: AsyncConnection, refund_id: int, message: str, now: datetime
) -> GivenUp | None:
    """End a parked refund; returns None where it is not parked any more."""
    values = {"id": refund_id, "message": message, "now": now}
    row = (await connection.execute(_GIVE_UP_REFUND, values)).first()
    if row is None:
        return None
    data: dict[str, Json] = {
        "refund_id": row.id,
        "imp_uid": row.imp_uid,
        "merchant_uid": row.merchant_uid,
        "amount": row.amount,
        "tax_free": row.tax_free,
        "reason": row.reason,
        "requester": row.requester,
        "message": row.refusal,
    }
    return GivenUp(row.subscription_id, data)


_SELECT = """
    SELECT l.id, l.kind, l.cause, l.attempt_id, a.status AS attempt_status, l.refund_id,
        r.status AS refund_status, l.resolution, l.resolved_at, l.created_at, l.payload
    FROM dead_letters l
    LEFT JOIN payment_attempts a ON a.id = l.attempt_id
    LEFT JOIN refunds r ON r.id = l.refund_id
"""
_NEWEST = text(
    f"{_SELECT} WHERE :resolved OR l.resolved_at IS NULL ORDER BY l.id DESC LIMIT :limit"
)
_GET = text(f"{_SELECT} WHERE l.id = :id")
_LOCK = text(f"{_SELECT} WHERE l.id = :id FOR NO KEY UPDATE OF l")
_GIVE_UP_ATTEMPT = text(
    """
    WITH ended AS (
        UPDATE payment_attempts SET status = 'void', message = :message
        WHERE id = :id AND status = 'parked'
        RETURNING invoice_id
    ), closed AS (
        UPDATE invoices i
        SET status = 'uncollectible', message = :message, next_attempt_at = NULL,
            dispatched_at = NULL
        FROM ended e WHERE i.id = e.invoice_id AND i.status = 'open'
        RETURNING i.*
    )
    SELECT id, subscription_id, period_index, amount, tax_free, declines FROM closed
    """
)
_GIVE_UP_REFUND = text(
    """
    WITH ended AS (
        UPDATE refunds SET status = 'void', message = :message, settled_at = :now
        WHERE id = :id AND status = 'parked'
        RETURNING *
    )
    SELECT e.id, e.amount, e.tax_free, e.reason, e.requester, e.refusal, p.imp_uid,
        p.merchant_uid, i.subscription_id
    FROM ended e
    JOIN payments p ON p.id = e.payment_id
    LEFT JOIN payment_attempts a ON a.id = p.attempt_id
    LEFT JOIN invoices i ON i.id = a.invoice_id
    """
)


def _letter(row: Row[Any]) -> Letter:
    return Letter(
        id=row.id,
        kind=LetterKind(row.kind),
        cause=row.cause,
        attempt_id=row.attempt_id,
        attempt_status=None if row.attempt_status is None else AttemptStatus(row.attempt_status),
        refund_id=row.refund_id,
        refund_status=None if row.refund_status is None else RefundStatus(row.refund_status),
        resolution=None if row.resolution is None else Resolution(row.resolution),
        resolved_at=row.resolved_at,
        created_at=row.created_at,
        payload=row.payload,
    )
