"""Payment attempts as they stand, for people to read and for limits to be kept."""

from collections.abc import Collection
from datetime import datetime

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


async def hold_keys(connection: AsyncConnection, key_ids: Collection[int]) -> None:
    """Lock billing keys, which comes before the lock of any subscription."""
    await connection.execute(
        text(
            """
            SELECT FROM billing_keys WHERE id = ANY(CAST(:ids AS bigint[]))
            ORDER BY id FOR NO KEY UPDATE
            """
        ),
        {"ids": sorted(key_ids)},
    )


async def lately(
    connection: AsyncConnection, key_ids: Collection[int], since: datetime
) -> dict[int, list[datetime]]:
    """Return when attempts of ours were made and not paid with the methods behind billing keys.

    The keys stay locked until the transaction ends, so that two that count at once see each other.
    What waits to be sent again is not counted: it has not been made.
    """
    await hold_keys(connection, key_ids)
    rows = await connection.execute(_LATELY, {"ids": sorted(key_ids), "since": since})
    made: dict[int, list[datetime]] = {}
    for row in rows:
        made.setdefault(row.billing_key_id, []).append(row.claimed_at)
    return made


_LATELY = text(
    """
    SELECT a.billing_key_id, a.claimed_at
    FROM billing_keys k
    JOIN subscriptions s ON s.billing_key_id = k.id
    JOIN invoices i ON i.subscription_id = s.id
    JOIN payment_attempts a ON a.invoice_id = i.id
    WHERE k.id = ANY(CAST(:ids AS bigint[])) AND a.billing_key_id = k.id
      AND a.key_generation = k.generation AND a.origin = 'schedule' AND a.claimed_at > :since
      AND a.status NOT IN ('paid', 'void', 'waiting')
    ORDER BY a.claimed_at
    """
)


async def buyers_tries(connection: AsyncConnection, invoice_id: int, since: datetime) -> int:
    """Return how often the buyer of an invoice has tried it since an instant."""
    tries: int = await connection.scalar(
        text(
            """
            SELECT count(*) FROM payment_attempts
            WHERE invoice_id = :id AND origin = 'buyer' AND claimed_at > :since
            """
        ),
        {"id": invoice_id, "since": since},
    )
    return tries


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
