"""What PortOne is going to charge by itself, held against what we have asked it to."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import UNSETTLED
from shared.billing.reservation import ScheduledPayment
from shared.billing.reserving import LIVE
from shared.db.columns import one_of
from shared.db.text import to_json


async def strangers(
    connection: AsyncConnection, held: Sequence[ScheduledPayment]
) -> list[ScheduledPayment]:
    """Return what is pending at PortOne with a billing key of ours and is none of our reservations.

    One of ours that has ended here, and is pending there all the same, is none any more: somebody
    has it tried again.
    """
    rows = [
        {"position": position, "merchant_uid": each.merchant_uid, "customer_uid": each.customer_uid}
        for position, each in enumerate(held)
    ]
    found = await connection.execute(_STRANGERS, {"rows": to_json(rows)})
    return [held[row.position] for row in found]


async def is_reserved(connection: AsyncConnection, merchant_uid: str) -> bool:
    """Say whether we have asked PortOne to charge under a ``merchant_uid`` by itself."""
    found = await connection.scalar(_IS_RESERVED, {"merchant_uid": merchant_uid})
    return bool(found)


_IS_RESERVED = text(
    f"""
    SELECT EXISTS (
        SELECT FROM reservations r
        WHERE r.merchant_uid = :merchant_uid AND r.{one_of("status", LIVE)} AND r.send_number > 0
    )
    """  # noqa: S608 - made of constants only
)


_STRANGERS = text(
    f"""
    SELECT h.position
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS h (
        position int, merchant_uid text, customer_uid text
    )
    JOIN billing_keys k ON k.customer_uid = h.customer_uid
    WHERE NOT EXISTS (
        SELECT FROM reservations r LEFT JOIN payment_attempts a ON a.id = r.attempt_id
        WHERE r.billing_key_id = k.id AND r.merchant_uid = h.merchant_uid
          AND (r.{one_of("status", LIVE)} OR a.{one_of("status", UNSETTLED)})
    )
    ORDER BY h.position
    """  # noqa: S608 - made of constants only
)
