"""The buyer's own try at an invoice, and the switch that lets declined ones rest.

Where dunning is switched off for a subscription, an invoice that would be tried again keeps the
instant at which it had been planned, and nothing else of ours makes it due.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import UNSETTLED, AttemptStatus
from shared.billing.invoice import InvoiceStatus
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.money import Price
from shared.billing.subscription import BillingKeyStatus
from shared.db.tables import one_of


@dataclass(frozen=True, slots=True)
class Owed:
    """An invoice that a buyer wants to pay at once, locked by the caller's transaction.

    Attributes:
        retry_asked_at: When the buyer asked for it already and has not been charged yet, or None.
        collection_stopped: Whether the buyer's money is known to be with us.
        unsettled: Where an attempt at it stands that has not ended, or None.
    """

    invoice_id: int
    subscription_id: UUID
    period_index: int
    price: Price
    status: InvoiceStatus
    retry_asked_at: datetime | None
    collection_stopped: bool
    unsettled: AttemptStatus | None
    subscription_status: SubscriptionStatus
    cancel_at: datetime | None
    billing_key_status: BillingKeyStatus


async def lock(connection: AsyncConnection, invoice_id: int) -> Owed | None:
    """Lock an invoice and return how it stands, or None if there is no such one.

    The look comes in a statement of its own: it sees what whoever held the invoice has written.
    """
    await connection.execute(
        text("SELECT FROM invoices WHERE id = :id FOR NO KEY UPDATE"), {"id": invoice_id}
    )
    row = (await connection.execute(_OWED, {"id": invoice_id})).first()
    return None if row is None else _owed(row)


_OWED = text(
    f"""
    SELECT i.id, i.subscription_id, i.period_index, i.amount, i.tax_free, i.status,
        i.retry_asked_at, i.collection_stopped, s.status AS subscription_status, s.cancel_at,
        k.status AS billing_key_status, a.status AS attempt_status
    FROM invoices i
    JOIN subscriptions s ON s.id = i.subscription_id
    JOIN billing_keys k ON k.id = s.billing_key_id
    LEFT JOIN payment_attempts a ON a.invoice_id = i.id AND a.{one_of("status", UNSETTLED)}
    WHERE i.id = :id
    """  # noqa: S608 - made of constants only
)


async def ask(connection: AsyncConnection, invoice_id: int, at: datetime, now: datetime) -> None:
    """Have a locked invoice charged on its buyer's wish; what was planned is kept for later."""
    await connection.execute(
        text(
            """
            UPDATE invoices
            SET next_attempt_at = :at, dispatched_at = NULL, retry_asked_at = :now,
                planned_attempt_at = coalesce(planned_attempt_at, next_attempt_at), message = NULL
            WHERE id = :id
            """
        ),
        {"id": invoice_id, "at": at, "now": now},
    )


async def lock_open(connection: AsyncConnection, subscription_id: UUID) -> None:
    """Lock the open invoices of a subscription, once nobody else works on them."""
    await connection.execute(
        text(
            """
            SELECT FROM invoices WHERE subscription_id = :id AND status = 'open'
            ORDER BY id FOR NO KEY UPDATE
            """
        ),
        {"id": subscription_id},
    )


async def switch_dunning(
    connection: AsyncConnection, subscription_id: UUID, *, enabled: bool
) -> bool:
    """Write the switch of a subscription; return whether it stood otherwise."""
    changed = await connection.execute(
        text(
            """
            UPDATE subscriptions SET dunning_enabled = :enabled
            WHERE id = :id AND dunning_enabled <> :enabled RETURNING id
            """
        ),
        {"id": subscription_id, "enabled": enabled},
    )
    return changed.first() is not None


async def make_due(connection: AsyncConnection, subscription_id: UUID, at: datetime) -> int:
    """Have the locked invoices tried that rested while dunning was off; return how many rested.

    One that the buyer is trying goes on as soon as that try has ended.
    """
    due = await connection.execute(
        text(
            f"""
            UPDATE invoices i
            SET next_attempt_at = :at, dispatched_at = NULL, planned_attempt_at = NULL,
                message = NULL
            WHERE i.subscription_id = :id AND i.status = 'open' AND NOT i.collection_stopped
              AND i.planned_attempt_at IS NOT NULL AND i.retry_asked_at IS NULL
              AND NOT EXISTS (
                  SELECT FROM payment_attempts a
                  WHERE a.invoice_id = i.id AND a.{one_of("status", UNSETTLED)}
              )
            RETURNING i.id
            """  # noqa: S608 - made of constants only
        ),
        {"id": subscription_id, "at": at},
    )
    return len(due.all())


def _owed(row: Row[Any]) -> Owed:
    return Owed(
        invoice_id=row.id,
        subscription_id=row.subscription_id,
        period_index=row.period_index,
        price=Price(row.amount, row.tax_free),
        status=InvoiceStatus(row.status),
        retry_asked_at=row.retry_asked_at,
        collection_stopped=row.collection_stopped,
        unsettled=row.attempt_status and AttemptStatus(row.attempt_status),
        subscription_status=SubscriptionStatus(row.subscription_status),
        cancel_at=row.cancel_at,
        billing_key_status=BillingKeyStatus(row.billing_key_status),
    )
