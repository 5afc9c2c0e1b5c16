"""Payments and what went back of them, as people read them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import Period
from shared.billing.money import Price
from shared.billing.refund import (
    REFUND_UNSETTLED,
    Balance,
    RefundCause,
    RefundStatus,
    Requester,
)
from shared.db.payments import Payment
from shared.db.readings import BillingKey
from shared.db.tables import one_of


@dataclass(frozen=True, slots=True)
class PaymentCard:
    """A payment as it stood when it was read; nothing is locked.

    Attributes:
        time_zone: In which its subscription is counted, if it has one.
    """

    payment: Payment
    time_zone: str | None


@dataclass(frozen=True, slots=True)
class RefundCard:
    """A refund as it stands.

    Attributes:
        checksum: What could still be cancelled before it, by which the gateway knows it again.
        refusal: What the gateway answered when it refused it, byte for byte.
        message: Why it stands where it does, in our words.
    """

    id: int
    price: Price
    status: RefundStatus
    reason: str
    requester: Requester
    cause: RefundCause
    checksum: int | None
    sends: int
    refusal: str | None
    message: str | None
    cancellation_id: str | None
    created_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class PaidPeriod:
    """A period that is paid for, with what of its price can still be given back."""

    period: Period
    paid: Price
    left: Price


async def newest(
    connection: AsyncConnection, *, limit: int, subscription_id: UUID | None = None
) -> list[PaymentCard]:
    """Return the newest payments, newest first."""
    rows = await connection.execute(
        text(
            f"{_PAYMENTS} WHERE CAST(:subscription AS uuid) IS NULL OR s.id = :subscription"
            " ORDER BY p.id DESC LIMIT :limit"
        ),
        {"limit": limit, "subscription": subscription_id},
    )
    return [_payment(row) for row in rows]


async def of_imp_uid(connection: AsyncConnection, imp_uid: str) -> PaymentCard | None:
    """Return a payment by the gateway's id."""
    row = (
        await connection.execute(
            text(f"{_PAYMENTS} WHERE p.imp_uid = :imp_uid"), {"imp_uid": imp_uid}
        )
    ).first()
    return _payment(row) if row else None


async def of_invoice(connection: AsyncConnection, invoice_id: int) -> list[PaymentCard]:
    """Return the payments of an invoice, oldest first; two are one too many."""
    rows = await connection.execute(
        text(f"{_PAYMENTS} WHERE i.id = :invoice ORDER BY p.id"), {"invoice": invoice_id}
    )
    return [_payment(row) for row in rows]


async def refunds_of(connection: AsyncConnection, payment_id: int) -> list[RefundCard]:
    """Return the refunds of a payment, oldest first."""
    rows = await connection.execute(
        text(
            """
            SELECT id, amount, tax_free, status, reason, requester, cause, checksum, send_number,
                refusal, message, cancellation_id, created_at, settled_at
            FROM refunds WHERE payment_id = :payment ORDER BY id
            """
        ),
        {"payment": payment_id},
    )
    return [
        RefundCard(
            row.id,
            Price(row.amount, row.tax_free),
            RefundStatus(row.status),
            row.reason,
            Requester(row.requester),
            RefundCause(row.cause),
            row.checksum,
            row.send_number,
            row.refusal,
            row.message,
            row.cancellation_id,
            row.created_at,
            row.settled_at,
        )
        for row in rows
    ]


async def refund_counts(connection: AsyncConnection) -> dict[RefundStatus, int]:
    """Return how many refunds stand in each state that somebody must move."""
    rows = await connection.execute(
        text(
            f"""
            SELECT status, count(*) AS refunds FROM refunds
            WHERE {one_of("status", REFUND_UNSETTLED)} GROUP BY status
            """  # noqa: S608 - made of constants only
        )
    )
    return {RefundStatus(row.status): row.refunds for row in rows}


async def buyer_of(connection: AsyncConnection, payment_id: int) -> BillingKey | None:
    """Return the billing key that a payment was made with; None if it was made in a window."""
    row = (
        await connection.execute(
            text(
                """
                SELECT k.customer_uid, k.status, k.buyer_name, k.buyer_email, k.buyer_tel
                FROM payments p JOIN payment_attempts a ON a.id = p.attempt_id
                JOIN billing_keys k ON k.id = a.billing_key_id
                WHERE p.id = :payment
                """
            ),
            {"payment": payment_id},
        )
    ).first()
    return BillingKey.of(row) if row else None


async def paid_period(
    connection: AsyncConnection, subscription_id: UUID, at: datetime
) -> PaidPeriod | None:
    """Return the period that runs at an instant, if it is paid for."""
    row = (
        await connection.execute(
            text(
                f"""
                {_PAYMENTS} WHERE s.id = :subscription AND a.status = 'paid'
                  AND a.imp_uid = p.imp_uid
                  AND i.period_start_at <= :at AND i.period_end_at > :at
                """
            ),
            {"subscription": subscription_id, "at": at},
        )
    ).first()
    if row is None:
        return None
    payment = _payment(row).payment
    period = Period(row.period_index, row.period_start_at, row.period_end_at)
    return PaidPeriod(period, payment.balance.paid, payment.left)


_PAYMENTS = f"""
    SELECT p.id, p.imp_uid, p.merchant_uid, p.amount, p.tax_free, p.cancelled_amount,
        p.cancelled_tax_free, p.paid_at, i.id AS invoice_id, i.subscription_id, s.time_zone,
        i.period_index, i.period_start_at, i.period_end_at,
        r.amount AS asked_amount, r.tax_free AS asked_tax_free, r.under_way
    FROM payments p
    LEFT JOIN payment_attempts a ON a.id = p.attempt_id
    LEFT JOIN invoices i ON i.id = a.invoice_id
    LEFT JOIN subscriptions s ON s.id = i.subscription_id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount), 0)::bigint AS amount,
            coalesce(sum(tax_free), 0)::bigint AS tax_free, count(checksum) > 0 AS under_way
        FROM refunds WHERE payment_id = p.id AND {one_of("status", REFUND_UNSETTLED)}
    ) r
"""  # noqa: S608 - made of constants only


def _payment(row: Row[Any]) -> PaymentCard:
    payment = Payment(
        id=row.id,
        imp_uid=row.imp_uid,
        merchant_uid=row.merchant_uid,
        invoice_id=row.invoice_id,
        subscription_id=row.subscription_id,
        balance=Balance(
            Price(row.amount, row.tax_free), Price(row.cancelled_amount, row.cancelled_tax_free)
        ),
        asked=Price(row.asked_amount, row.asked_tax_free),
        under_way=row.under_way,
        paid_at=row.paid_at,
    )
    return PaymentCard(payment, row.time_zone)
