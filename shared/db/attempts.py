"""Payment attempts as they stand, for people to read."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import UNSETTLED, Attempt, AttemptStatus
from shared.db.tables import one_of


async def of_invoice(connection: AsyncConnection, invoice_id: int) -> list[Attempt]:
    """Return the attempts at one invoice, oldest first."""
    rows = await connection.execute(
        text(
            """
            SELECT id, invoice_id, number, send_number, merchant_uid, status, imp_uid, message,
                claimed_at, settled_at
            FROM payment_attempts WHERE invoice_id = :id ORDER BY number
            """
        ),
        {"id": invoice_id},
    )
    return [
        Attempt(
            id=row.id,
            invoice_id=row.invoice_id,
            number=row.number,
            send_number=row.send_number,
            merchant_uid=row.merchant_uid,
            status=AttemptStatus(row.status),
            imp_uid=row.imp_uid,
            message=row.message,
            claimed_at=row.claimed_at,
            settled_at=row.settled_at,
        )
        for row in rows
    ]


async def unresolved_counts(connection: AsyncConnection) -> dict[AttemptStatus, int]:
    """Return how many attempts stand in each state that somebody must move."""
    rows = await connection.execute(
        text(
            f"""
            SELECT status, count(*) AS attempts FROM payment_attempts
            WHERE {one_of("status", UNSETTLED)} GROUP BY status
            """  # noqa: S608 - made of constants only
        )
    )
    return {AttemptStatus(row.status): row.attempts for row in rows}
