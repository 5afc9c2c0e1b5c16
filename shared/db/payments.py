"""Payments: one row a record of the gateway's book, and what of its money went back."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Event, EventName, Json
from shared.billing.inquiry import CancelRecord
from shared.billing.money import Price
from shared.billing.refund import REFUND_UNSETTLED, Balance, part_of
from shared.billing.window import WindowKind
from shared.db import outbox
from shared.db.holds import RESTORED
from shared.db.tables import one_of
from shared.db.text import to_json


@dataclass(frozen=True, slots=True)
class NewPayment:
    """A payment of an attempt, or of a window."""

    imp_uid: str
    merchant_uid: str
    price: Price
    paid_at: datetime
    attempt_id: int | None = None
    window_id: UUID | None = None


async def add(connection: AsyncConnection, new: Sequence[NewPayment]) -> frozenset[str]:
    """Keep payments; return the ``imp_uid`` of those that were not kept yet, whosever they are."""
    rows = [
        {
            "imp_uid": payment.imp_uid,
            "merchant_uid": payment.merchant_uid,
            "attempt_id": payment.attempt_id,
            "window_id": payment.window_id and str(payment.window_id),
            "amount": payment.price.amount,
            "tax_free": payment.price.tax_free,
            "paid_at": payment.paid_at.isoformat(),
        }
        for payment in new
    ]
    added = await connection.execute(
        text(
            """
            INSERT INTO payments (
                imp_uid, merchant_uid, attempt_id, window_id, amount, tax_free, paid_at
            )
            SELECT imp_uid, merchant_uid, attempt_id, window_id, amount, tax_free, paid_at
            FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS p (
                imp_uid text, merchant_uid text, attempt_id bigint, window_id uuid,
                amount bigint, tax_free bigint, paid_at timestamptz
            )
            ON CONFLICT (imp_uid) DO NOTHING
            RETURNING imp_uid
            """
        ),
        {"rows": to_json(rows)},
    )
    return frozenset(row.imp_uid for row in added)


async def of_imp_uid(connection: AsyncConnection, imp_uid: str) -> int | None:
    """Return the id of a payment by the gateway's id."""
    found: int | None = await connection.scalar(
        text("SELECT id FROM payments WHERE imp_uid = :imp_uid"), {"imp_uid": imp_uid}
    )
    return found


async def of_invoice(connection: AsyncConnection, invoice_id: int) -> dict[str, int]:
    """Return the payments of an invoice by ``imp_uid``, oldest first; two are one too many."""
    rows = await connection.execute(
        text(
            """
            SELECT p.imp_uid, p.id FROM payments p JOIN payment_attempts a ON a.id = p.attempt_id
            WHERE a.invoice_id = :invoice_id ORDER BY p.id
            """
        ),
        {"invoice_id": invoice_id},
    )
    return {row.imp_uid: row.id for row in rows}


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment that the caller's transaction holds locked.

    Attributes:
        asked: What refunds that have not ended will give back.
        under_way: Whether one of them has been sent, or may have been.
    """

    id: int
    imp_uid: str
    merchant_uid: str
    invoice_id: int | None
    subscription_id: UUID | None
    balance: Balance
    asked: Price
    under_way: bool
    paid_at: datetime

    @property
    def left(self) -> Price:
        """What may still be asked for: neither given back nor asked for yet."""
        left, asked = self.balance.left, self.asked
        tax_free = max(0, left.tax_free - asked.tax_free)
        taxed = max(0, left.amount - left.tax_free - asked.amount + asked.tax_free)
        return Price(taxed + tax_free, tax_free)


async def lock(connection: AsyncConnection, payment_id: int) -> Payment | None:
    """Lock a payment, so that nothing is asked of it or sent for it meanwhile, and return it."""
    # What is asked is read by a statement of its own: its snapshot begins when the lock is held.
    locked = await connection.scalar(
        text("SELECT id FROM payments WHERE id = :id FOR NO KEY UPDATE"), {"id": payment_id}
    )
    if locked is None:
        return None
    return _payment((await connection.execute(_READ, {"id": payment_id})).one())


async def lock_beside(connection: AsyncConnection, payment_id: int) -> list[Payment]:
    """Lock all payments of a payment's invoice, in the order of their ids; return the others."""
    rows = await connection.execute(_BESIDE, {"id": payment_id})
    beside = [row.id for row in rows if row.id != payment_id]
    return [_payment((await connection.execute(_READ, {"id": each})).one()) for each in beside]


_BESIDE = text(
    """
    SELECT p.id FROM payments p JOIN payment_attempts a ON a.id = p.attempt_id
    WHERE a.invoice_id = (
        SELECT oa.invoice_id FROM payments o JOIN payment_attempts oa ON oa.id = o.attempt_id
        WHERE o.id = :id
    )
    ORDER BY p.id FOR NO KEY UPDATE OF p
    """
)
_READ = text(
    f"""
    SELECT p.id, p.imp_uid, p.merchant_uid, p.amount, p.tax_free, p.cancelled_amount,
        p.cancelled_tax_free, p.paid_at, a.invoice_id, i.subscription_id,
        coalesce(sum(r.amount), 0)::bigint AS asked_amount,
        coalesce(sum(r.tax_free), 0)::bigint AS asked_tax_free,
        count(r.checksum) > 0 AS under_way
    FROM payments p
    LEFT JOIN payment_attempts a ON a.id = p.attempt_id
    LEFT JOIN invoices i ON i.id = a.invoice_id
    LEFT JOIN refunds r ON r.payment_id = p.id AND r.{one_of("status", REFUND_UNSETTLED)}
    WHERE p.id = :id
    GROUP BY p.id, a.id, i.id
    """  # noqa: S608 - made of constants only
)


class Adoption(enum.Enum):
    """What became of the gateway's word on how much was given back in all."""

    KNOWN = "known"
    ADOPTED = "adopted"
    # A refund of ours may explain it: its own inquiry says so, and adopts the rest.
    UNDER_WAY = "under way"


async def adopt_cancelled(
    connection: AsyncConnection,
    payment_id: int,
    cancelled_amount: int,
    now: datetime,
    history: Sequence[CancelRecord] = (),
    *,
    by_recovery: bool = False,
) -> Adoption:
    """Take over what the gateway shows as given back beyond what we know of, and tell of it.

    The gateway does not say how much of it was tax-free; it is taken in proportion. What it says of
    the reasons in its ``history`` is told byte for byte. In a restored database only a recovery may
    say so: it may be a refund of ours that the rows show as waiting.
    """
    payment = await lock(connection, payment_id)
    if payment is None:
        return Adoption.KNOWN
    paid, cancelled = payment.balance.paid, payment.balance.cancelled
    more = min(cancelled_amount, paid.amount) - cancelled.amount
    if more <= 0:
        return Adoption.KNOWN
    if payment.under_way or (not by_recovery and await _is_restored(connection)):
        return Adoption.UNDER_WAY
    part = part_of(payment.balance.left, more)
    await connection.execute(
        text(
            """
            UPDATE payments
            SET cancelled_amount = cancelled_amount + :amount,
                cancelled_tax_free = cancelled_tax_free + :tax_free
            WHERE id = :id
            """
        ),
        {"id": payment_id, "amount": part.amount, "tax_free": part.tax_free},
    )
    data: dict[str, Json] = {
        "imp_uid": payment.imp_uid,
        "merchant_uid": payment.merchant_uid,
        "invoice_id": payment.invoice_id,
        "amount": part.amount,
        "tax_free": part.tax_free,
        "left": payment.balance.left.amount - part.amount,
        "at": now.isoformat(),
        **_cancellations(history, cancelled.amount),
    }
    event = Event(EventName.PAYMENT_CANCELLED_ELSEWHERE, payment.subscription_id, data)
    await outbox.write(connection, [event])
    return Adoption.ADOPTED


async def _is_restored(connection: AsyncConnection) -> bool:
    return bool(await connection.scalar(text(f"SELECT {RESTORED}")))


def _cancellations(history: Sequence[CancelRecord], known: int) -> dict[str, Json]:
    """Return what is told of the cancellations that came after a known sum of them."""
    if not history:
        return {}
    sums = list(accumulate(cancel.amount for cancel in history))
    new = history[sums.index(known) + 1 :] if known in sums else history
    return {
        "reason": history[-1].reason,
        "cancellations": [
            {
                "amount": cancel.amount,
                "reason": cancel.reason,
                "cancellation_id": cancel.cancellation_id,
                "cancelled_at": (
                    None if cancel.cancelled_at is None else cancel.cancelled_at.isoformat()
                ),
            }
            for cancel in new
        ],
    }


async def is_registration(connection: AsyncConnection, imp_uid: str) -> bool:
    """Say whether a record is of a billing key's window, which moved no money."""
    found = await connection.scalar(
        text("SELECT EXISTS (SELECT FROM windows WHERE imp_uid = :imp_uid AND kind <> :payment)"),
        {"imp_uid": imp_uid, "payment": WindowKind.PAYMENT},
    )
    return bool(found)


def _payment(row: Row[Any]) -> Payment:
    return Payment(
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
