"""Attempts whose outcome only the gateway can tell: which to ask about, and when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import INQUIRABLE, Question
from shared.billing.errors import BillingError
from shared.db.claims import CLAIM_COLUMNS, claim_of
from shared.db.dispatch import dispatch, dispatching
from shared.db.tables import one_of


async def dispatch_due(
    connection: AsyncConnection, limit: int, now: datetime, resend_after: timedelta
) -> list[int]:
    """Return attempts whose inquiry is due and has no message under way, and note that one will be.

    A message that was lost is sent again after ``resend_after``.
    """
    rows = await dispatch(connection, _DISPATCH, limit, now, resend_after)
    return [row.id for row in rows]


_DISPATCH = dispatching(
    "payment_attempts",
    f"d.{one_of('status', INQUIRABLE)} AND d.inquire_at <= :now",
    "d.inquire_at",
)


@dataclass(frozen=True, slots=True)
class Questions:
    """Attempts to be asked about, and those whose rows make no sense, with the reason."""

    askable: tuple[Question, ...]
    faulty: Mapping[int, str]


async def open_questions(
    connection: AsyncConnection, attempt_ids: Sequence[int], now: datetime
) -> Questions:
    """Return those of the attempts that may be asked about now.

    An attempt whose send may still be under way, here or at the gateway, is left out, whatever the
    message says, and so is one that was asked about a moment ago: ``inquire_at`` is the earliest
    instant at which silence proves anything. A row that makes no sense holds up nobody else.
    """
    rows = await connection.execute(
        text(
            f"""
            SELECT {CLAIM_COLUMNS}
            FROM payment_attempts a
            JOIN invoices i ON i.id = a.invoice_id
            JOIN subscriptions s ON s.id = i.subscription_id
            JOIN billing_keys k ON k.id = a.billing_key_id
            WHERE a.id = ANY(CAST(:ids AS bigint[])) AND a.{one_of("status", INQUIRABLE)}
              AND a.inquire_at <= :now
            ORDER BY a.id
            """  # noqa: S608 - made of constants only
        ),
        {"ids": list(attempt_ids), "now": now},
    )
    questions: list[Question] = []
    faulty: dict[int, str] = {}
    for row in rows:
        try:
            claim = claim_of(row, row.number, row.send_number, row.merchant_uid, row.claimed_at)
        except BillingError as error:
            faulty[row.attempt_id] = str(error)
            continue
        questions.append(Question(claim, row.inquiries, row.no_records, row.held_by_gateway))
    return Questions(tuple(questions), faulty)


async def park_faulty(
    connection: AsyncConnection, attempt_ids: Sequence[int], in_doubt_before: datetime
) -> list[int]:
    """Park attempts that cannot be asked about and have been in doubt for too long."""
    rows = await connection.execute(
        text(
            f"""
            UPDATE payment_attempts SET status = 'parked', inquire_at = NULL
            WHERE id = ANY(CAST(:ids AS bigint[])) AND {one_of("status", INQUIRABLE)}
              AND coalesce(unknown_since, claimed_at) <= :before
            RETURNING id
            """  # noqa: S608 - made of constants only
        ),
        {"ids": list(attempt_ids), "before": in_doubt_before},
    )
    return [row.id for row in rows]
