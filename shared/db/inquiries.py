"""Attempts whose outcome only the gateway can tell: which to ask about, and when."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import INQUIRABLE, Leases, Question
from shared.db.claims import CLAIM_COLUMNS, claim_of
from shared.db.tables import one_of


async def due_inquiries(
    connection: AsyncConnection, limit: int, now: datetime, resend_after: timedelta
) -> list[int]:
    """Return attempts whose inquiry is due, and look away from them for ``resend_after``.

    Moving ``inquire_at`` is only about messages: should this one be lost, the next is sent then.
    """
    rows = await connection.execute(
        text(
            f"""
            WITH due AS (
                SELECT id FROM payment_attempts
                WHERE {one_of("status", INQUIRABLE)} AND inquire_at <= :now
                ORDER BY inquire_at LIMIT :limit
                FOR NO KEY UPDATE SKIP LOCKED
            )
            UPDATE payment_attempts a SET inquire_at = :later
            FROM due WHERE a.id = due.id
            RETURNING a.id
            """  # noqa: S608 - made of constants only
        ),
        {"now": now, "limit": limit, "later": now + resend_after},
    )
    return sorted(row.id for row in rows)


async def open_questions(
    connection: AsyncConnection, attempt_ids: Sequence[int], leases: Leases, now: datetime
) -> list[Question]:
    """Return those of the attempts that may be asked about now.

    An attempt whose send may still be under way, here or at the gateway, is left out, whatever the
    message says: silence proves nothing before that. A refused duplicate may be read at once.
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
              AND (a.held_by_gateway OR a.lease_until + CAST(:settle_delay AS interval) <= :now)
            ORDER BY a.id
            """  # noqa: S608 - made of constants only
        ),
        {"ids": list(attempt_ids), "settle_delay": leases.settle_delay, "now": now},
    )
    return [
        Question(
            claim_of(row, row.number, row.send_number, row.merchant_uid, row.claimed_at),
            row.inquiries,
            row.no_records,
            row.held_by_gateway,
        )
        for row in rows
    ]
