"""What became of declined invoices, for a policy to be held against."""

from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import AttemptOrigin, AttemptStatus
from shared.billing.dunning_replay import Declined, Tried


async def declined_since(connection: AsyncConnection, since: datetime) -> list[Declined]:
    """Return the histories of invoices of which an attempt was declined since an instant.

    Left out are those whose first attempt ended otherwise than by a decline, and those with an
    attempt whose outcome nobody knows yet.
    """
    rows = list(await connection.execute(_DECLINED, {"since": since}))
    histories = []
    for _, group in groupby(rows, key=lambda row: row.invoice_id):
        attempts = list(group)
        if AttemptStatus(attempts[0].status) is AttemptStatus.DECLINED:
            histories.append(_history(attempts))
    return histories


_DECLINED = text(
    """
    SELECT i.id AS invoice_id, i.amount, a.status, a.settled_at, a.message, a.origin,
        a.billing_key_id, a.key_generation
    FROM invoices i JOIN payment_attempts a ON a.invoice_id = i.id
    WHERE i.id IN (
        SELECT invoice_id FROM payment_attempts
        WHERE settled_at >= :since AND status = 'declined'
    )
    AND NOT EXISTS (
        SELECT FROM payment_attempts u
        WHERE u.invoice_id = i.id AND u.status IN ('claimed', 'unknown', 'parked')
    )
    AND a.settled_at IS NOT NULL AND a.status IN ('declined', 'method_dead', 'paid')
    ORDER BY i.id, a.number
    """
)


def _history(attempts: list[Row[Any]]) -> Declined:
    first = attempts[0]
    method = first.billing_key_id, first.key_generation
    return Declined(
        first.invoice_id,
        first.amount,
        tuple(
            Tried(
                row.settled_at,
                AttemptStatus(row.status),
                row.message,
                is_buyers=row.origin == AttemptOrigin.BUYER
                or (row.billing_key_id, row.key_generation) != method,
            )
            for row in attempts
        ),
    )
