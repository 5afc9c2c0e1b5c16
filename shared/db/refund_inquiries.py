"""Refunds whose outcome only the gateway can tell: which to ask about, and when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.errors import BillingError
from shared.billing.refund import REFUND_INQUIRABLE, RefundQuestion
from shared.db.dispatch import dispatch, dispatching
from shared.db.refunds import REFUND_COLUMNS, REFUND_TABLES, claim_of
from shared.db.tables import one_of


async def dispatch_due(
    connection: AsyncConnection, limit: int, now: datetime, resend_after: timedelta
) -> list[int]:
    """Return refunds whose inquiry is due and has no message under way, and note that one will be.

    A message that was lost is sent again after ``resend_after``.
    """
    rows = await dispatch(connection, _DISPATCH, limit, now, resend_after)
    return [row.id for row in rows]


_DISPATCH = dispatching(
    "refunds",
    f"d.{one_of('status', REFUND_INQUIRABLE)} AND d.inquire_at <= :now",
    "d.inquire_at",
)


@dataclass(frozen=True, slots=True)
class RefundQuestions:
    """Refunds to be asked about, and those whose rows make no sense, with the reason."""

    askable: tuple[RefundQuestion, ...]
    faulty: Mapping[int, str]


async def open_questions(
    connection: AsyncConnection, refund_ids: Sequence[int], now: datetime
) -> RefundQuestions:
    """Return those of the refunds that may be asked about now.

    A refund whose send may still be under way, here or at the gateway, is left out, whatever the
    message says. A row that makes no sense holds up nobody else.
    """
    rows = await connection.execute(
        text(
            f"""
            SELECT {REFUND_COLUMNS}
            FROM {REFUND_TABLES}
            WHERE r.id = ANY(CAST(:ids AS bigint[])) AND r.{one_of("status", REFUND_INQUIRABLE)}
              AND r.inquire_at <= :now
            ORDER BY r.id
            """  # noqa: S608 - made of constants only
        ),
        {"ids": list(refund_ids), "now": now},
    )
    questions: list[RefundQuestion] = []
    faulty: dict[int, str] = {}
    for row in rows:
        try:
            claim = claim_of(row, row.send_number, row.claimed_at)
        except BillingError as error:
            faulty[row.id] = str(error)
            continue
        questions.append(RefundQuestion(claim, row.inquiries))
    return RefundQuestions(tuple(questions), faulty)


async def park_faulty(
    connection: AsyncConnection, refund_ids: Sequence[int], in_doubt_before: datetime
) -> list[int]:
    """Park refunds that cannot be asked about and have been in doubt for too long."""
    rows = await connection.execute(
        text(
            f"""
            UPDATE refunds SET status = 'parked', inquire_at = NULL
            WHERE id = ANY(CAST(:ids AS bigint[])) AND {one_of("status", REFUND_INQUIRABLE)}
              AND coalesce(unknown_since, claimed_at) <= :before
            RETURNING id
            """  # noqa: S608 - made of constants only
        ),
        {"ids": list(refund_ids), "before": in_doubt_before},
    )
    return [row.id for row in rows]


async def ask_about_parked(connection: AsyncConnection, refund_id: int, now: datetime) -> bool:
    """Have a parked refund read again at once, with a new deadline; say whether there was one.

    What it was refused with is forgotten, so that it is sent again, under its own checksum, if the
    payment stands as before.
    """
    row = await connection.execute(
        text(
            """
            UPDATE refunds
            SET status = 'unknown', inquire_at = :now, unknown_since = :now, dispatched_at = NULL,
                inquiries = 0, refusal = NULL
            WHERE id = :id AND status = 'parked'
            RETURNING id
            """
        ),
        {"id": refund_id, "now": now},
    )
    return row.first() is not None
