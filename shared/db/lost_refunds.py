"""Refunds that the gateway shows as done and a restored database does not."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.money import Price
from shared.billing.recovery import FoundRefund, OpenRefund
from shared.billing.refund import REFUND_UNSETTLED, RefundClaim
from shared.db.refunds import REFUND_COLUMNS, REFUND_TABLES, claim_of
from shared.db.tables import one_of


async def payments_with_open(connection: AsyncConnection) -> list[str]:
    """Return the ``imp_uid`` of every payment of which a refund has not ended."""
    rows = await connection.execute(
        text(
            f"""
            SELECT DISTINCT p.imp_uid FROM payments p JOIN refunds r ON r.payment_id = p.id
            WHERE r.{one_of("status", REFUND_UNSETTLED)} ORDER BY p.imp_uid
            """  # noqa: S608 - made of constants only
        )
    )
    return [row.imp_uid for row in rows]


async def open_of(connection: AsyncConnection, payment_id: int) -> list[OpenRefund]:
    """Return the refunds of a payment that have not ended, oldest first."""
    rows = await connection.execute(
        text(
            f"""
            SELECT id, amount, tax_free, reason, checksum IS NOT NULL AS is_sent FROM refunds r
            WHERE payment_id = :payment_id AND r.{one_of("status", REFUND_UNSETTLED)} ORDER BY id
            """  # noqa: S608 - made of constants only
        ),
        {"payment_id": payment_id},
    )
    return [
        OpenRefund(row.id, Price(row.amount, row.tax_free), row.reason, row.is_sent) for row in rows
    ]


async def done_of(connection: AsyncConnection, payment_id: int) -> list[OpenRefund]:
    """Return the refunds of a payment that are done, oldest first."""
    rows = await connection.execute(
        text(
            """
            SELECT id, amount, tax_free, reason FROM refunds
            WHERE payment_id = :payment_id AND status = 'done' ORDER BY id
            """
        ),
        {"payment_id": payment_id},
    )
    return [
        OpenRefund(row.id, Price(row.amount, row.tax_free), row.reason, is_sent=True)
        for row in rows
    ]


async def finish(
    connection: AsyncConnection, refund_id: int, found: FoundRefund, paid: int, now: datetime
) -> RefundClaim | None:
    """Write a refund as done, as the gateway shows it; None if it has ended already.

    The caller holds its payment locked, which gets what was given back.
    """
    values = {
        "id": refund_id,
        "checksum": paid - found.before,
        "cancellation_id": found.cancel.cancellation_id,
        "now": now,
    }
    if (await connection.execute(_FINISH, values)).first() is None:
        return None
    return await _claim(connection, refund_id, now)


async def _claim(connection: AsyncConnection, refund_id: int, now: datetime) -> RefundClaim:
    statement = f"SELECT {REFUND_COLUMNS} FROM {REFUND_TABLES} WHERE r.id = :id"  # noqa: S608 - made of constants only
    row = (await connection.execute(text(statement), {"id": refund_id})).one()
    return claim_of(row, row.send_number, row.claimed_at or now)


_FINISH = text(
    f"""
    WITH done AS (
        UPDATE refunds r
        SET status = 'done', checksum = coalesce(checksum, :checksum), next_send_at = NULL,
            inquire_at = NULL, dispatched_at = NULL, cancellation_id = :cancellation_id,
            settled_at = :now
        WHERE id = :id AND r.{one_of("status", REFUND_UNSETTLED)}
        RETURNING id, payment_id, amount, tax_free
    ), given_back AS (
        UPDATE payments p
        SET cancelled_amount = p.cancelled_amount + d.amount,
            cancelled_tax_free = p.cancelled_tax_free + d.tax_free
        FROM done d WHERE p.id = d.payment_id
    )
    SELECT id FROM done
    """  # noqa: S608 - made of constants only
)


async def put_under_way(
    connection: AsyncConnection, refund_id: int, checksum: int, now: datetime
) -> RefundClaim:
    """Treat a refund that waits as one whose worker died after the claim: it may have been sent.

    The caller holds its payment locked. Nothing happens to one that is under way already. Returns
    the claim under which its fate is to be written.
    """
    await connection.execute(
        text(
            """
            UPDATE refunds
            SET status = 'claimed', checksum = coalesce(checksum, :checksum),
                send_number = send_number + 1, next_send_at = NULL, claimed_at = :now,
                lease_until = :now, inquire_at = :now, dispatched_at = NULL, inquiries = 0,
                refusal = NULL, message = NULL
            WHERE id = :id AND status = 'waiting'
            """
        ),
        {"id": refund_id, "checksum": checksum, "now": now},
    )
    return await _claim(connection, refund_id, now)


async def another_under_way(connection: AsyncConnection, payment_id: int, refund_id: int) -> bool:
    """Say whether another refund of a payment may have been sent and has not ended."""
    found = await connection.scalar(
        text(
            f"""
            SELECT EXISTS (
                SELECT FROM refunds r
                WHERE payment_id = :payment_id AND id <> :id
                  AND r.{one_of("status", REFUND_UNSETTLED)}
                  AND checksum IS NOT NULL
            )
            """  # noqa: S608 - made of constants only
        ),
        {"payment_id": payment_id, "id": refund_id},
    )
    return bool(found)


async def end_reason(connection: AsyncConnection, payment_id: int) -> str | None:
    """Return why the subscription of a payment ends, where nothing was given back for it yet."""
    reason: str | None = await connection.scalar(
        text(
            """
            SELECT s.cancel_reason
            FROM payments p
            JOIN payment_attempts a ON a.id = p.attempt_id
            JOIN invoices i ON i.id = a.invoice_id
            JOIN subscriptions s ON s.id = i.subscription_id
            WHERE p.id = :id AND NOT EXISTS (
                SELECT FROM refunds r WHERE r.payment_id = p.id AND r.cause <> 'command'
            )
            """
        ),
        {"id": payment_id},
    )
    return reason


async def is_kept(connection: AsyncConnection, imp_uid: str) -> bool:
    """Say whether a payment is kept here."""
    found = await connection.scalar(
        text("SELECT EXISTS (SELECT FROM payments WHERE imp_uid = :imp_uid)"), {"imp_uid": imp_uid}
    )
    return bool(found)
