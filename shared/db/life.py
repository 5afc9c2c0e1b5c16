"""The life of a subscription: locked with the period that runs, and moved on.

Locks are taken in one order everywhere: the invoice, then the billing key, then the subscription. A
renewal that opens an invoice in between is noticed, and its invoice is locked instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import AttemptStatus
from shared.billing.calendar import Period
from shared.billing.invoice import InvoiceStatus
from shared.billing.lines import Line
from shared.billing.pause import PauseKeeps
from shared.billing.refund import REFUND_UNSETTLED
from shared.billing.subscription import Agreement, Subscription
from shared.db.invoices import PAST_DUE, line_of
from shared.db.subscriptions import COLUMNS, subscription_of
from shared.db.tables import one_of

# Each try that fails has seen a renewal come in between.
_TRIES = 10
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Running:
    """The invoice of the last period that has begun, which the caller holds locked.

    Attributes:
        period: As its days are counted: not from its start where a pause has lengthened it.
    """

    invoice_id: int
    period: Period
    status: InvoiceStatus
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Life:
    """A subscription that the caller's transaction holds locked.

    Attributes:
        running: The invoice of the last period that has begun; None where that was not billed.
        closed_at: When nothing was left to do after its end, or None.
    """

    subscription: Subscription
    running: Running | None
    canceled_at: datetime | None
    closed_at: datetime | None


async def lock(connection: AsyncConnection, subscription_id: UUID) -> Life | None:
    """Lock a subscription and its running invoice, or return None if there is no such one.

    Raises:
        BillingError: The row makes no sense.
    """
    held = await _lock(connection, subscription_id)
    return None if held is None else _life(*held)


async def hold(connection: AsyncConnection, subscription_id: UUID) -> None:
    """Lock a subscription and its running invoice, whatever its row says."""
    await _lock(connection, subscription_id)


async def _lock(
    connection: AsyncConnection, subscription_id: UUID
) -> tuple[Row[Any], Row[Any] | None] | None:
    for _ in range(_TRIES):
        # What is locked in vain is let go of again.
        async with connection.begin_nested() as savepoint:
            index = await _next_index(connection, subscription_id)
            if index is None:
                return None
            values = {"id": subscription_id, "index": index - 1}
            invoice = (await connection.execute(_LOCK_INVOICE, values)).first()
            row = (await connection.execute(_LOCK, values)).one()
            if row.next_period_index == index:
                return row, invoice
            await savepoint.rollback()
    message = f"subscription {subscription_id} is renewed again and again"
    raise RuntimeError(message)


async def lock_free(connection: AsyncConnection, subscription_id: UUID) -> Life | None:
    """Lock a subscription and its running invoice, unless somebody else holds one of them."""
    index = await _next_index(connection, subscription_id)
    if index is None:
        return None
    values = {"id": subscription_id, "index": index - 1}
    is_billed = await connection.scalar(_IS_BILLED, values)
    invoice = (await connection.execute(_LOCK_FREE_INVOICE, values)).first()
    if is_billed and invoice is None:
        return None
    row = (await connection.execute(_LOCK_FREE, values)).first()
    if row is None or row.next_period_index != index:
        return None
    return _life(row, invoice)


async def _next_index(connection: AsyncConnection, subscription_id: UUID) -> int | None:
    index: int | None = await connection.scalar(
        text("SELECT next_period_index FROM subscriptions WHERE id = :id"), {"id": subscription_id}
    )
    return index


_INVOICE = """
    SELECT id, period_index, coalesce(counted_from, period_start_at) AS period_start_at,
        period_end_at, status, lines
    FROM invoices WHERE subscription_id = :id AND period_index = :index FOR NO KEY UPDATE
"""
_SUBSCRIPTION = f"""
    SELECT {COLUMNS}, canceled_at, closed_at FROM subscriptions WHERE id = :id
    FOR NO KEY UPDATE
"""  # noqa: S608 - made of constants only
_LOCK_INVOICE = text(_INVOICE)
_LOCK_FREE_INVOICE = text(f"{_INVOICE} SKIP LOCKED")
_LOCK = text(_SUBSCRIPTION)
_LOCK_FREE = text(f"{_SUBSCRIPTION} SKIP LOCKED")
_IS_BILLED = text(
    """
    SELECT EXISTS (
        SELECT FROM invoices WHERE subscription_id = :id AND period_index = :index
    )
    """
)


def _running(row: Row[Any] | None) -> Running | None:
    if row is None:
        return None
    return Running(
        row.id,
        Period(row.period_index, row.period_start_at, row.period_end_at),
        InvoiceStatus(row.status),
        tuple(line_of(said) for said in row.lines),
    )


async def given_back(connection: AsyncConnection, invoice_id: int) -> int:
    """Return what of the payment of an invoice went back, or will, in won."""
    back = await connection.scalar(_GIVEN_BACK, {"invoice": invoice_id})
    return int(back or 0)


_GIVEN_BACK = text(
    f"""
    SELECT sum(p.cancelled_amount + (
        SELECT coalesce(sum(r.amount), 0) FROM refunds r
        WHERE r.payment_id = p.id AND r.{one_of("status", REFUND_UNSETTLED)}
    ))
    FROM payments p JOIN payment_attempts a ON a.id = p.attempt_id
    WHERE a.invoice_id = :invoice AND a.status = '{AttemptStatus.PAID}' AND a.imp_uid = p.imp_uid
    """  # noqa: S608 - made of constants only
)


async def owes(connection: AsyncConnection, subscription_id: UUID) -> bool:
    """Say whether something is past due of a subscription that the caller holds locked."""
    found = await connection.scalar(
        text(
            f"SELECT EXISTS (SELECT FROM invoices WHERE subscription_id = :id AND {PAST_DUE})"  # noqa: S608 - made of constants only
        ),
        {"id": subscription_id},
    )
    return bool(found)


async def lengthen(
    connection: AsyncConnection, invoice_id: int, end_at: datetime, counted_from: datetime
) -> None:
    """Have the running period of a locked invoice end later, after it has stood still."""
    await connection.execute(
        text(
            """
            UPDATE invoices SET period_end_at = :end_at, counted_from = :counted_from
            WHERE id = :id
            """
        ),
        {"end_at": end_at, "counted_from": counted_from, "id": invoice_id},
    )


async def cut(connection: AsyncConnection, running: Running, at: datetime) -> datetime:
    """Have the running period of a locked invoice be over already, and return when it is.

    It keeps an instant at least, since a period that was billed has begun.
    """
    end_at = max(at, running.period.start_at + _INSTANT)
    await connection.execute(
        text(
            "UPDATE invoices SET period_end_at = :end_at WHERE id = :id AND period_end_at > :end_at"
        ),
        {"end_at": end_at, "id": running.invoice_id},
    )
    return end_at


async def ask_pause(
    connection: AsyncConnection,
    subscription_id: UUID,
    keeps: PauseKeeps,
    pause_at: datetime,
    resume_at: datetime | None,
) -> None:
    """Write the pause that is asked for; the caller holds the subscription locked."""
    await connection.execute(
        text(
            """
            UPDATE subscriptions
            SET pause_at = :pause_at, resume_at = :resume_at, pause_keeps = :keeps WHERE id = :id
            """
        ),
        {"pause_at": pause_at, "resume_at": resume_at, "keeps": keeps, "id": subscription_id},
    )


async def forget_pause(connection: AsyncConnection, subscription_id: UUID) -> None:
    """Take back a pause that has not begun; the caller holds the subscription locked."""
    await connection.execute(
        text(
            """
            UPDATE subscriptions SET pause_at = NULL, resume_at = NULL, pause_keeps = NULL
            WHERE id = :id
            """
        ),
        {"id": subscription_id},
    )


async def move(connection: AsyncConnection, after: Subscription) -> None:
    """Write where a subscription that the caller holds locked stands, and what it is billed by.

    A renewal that moves by it is announced again: what the buyer was told of it is not so any more.
    """
    agreement = after.agreement
    await connection.execute(_MOVE, {**_terms(agreement), **_standing(after)})


def _terms(agreement: Agreement) -> Mapping[str, object]:
    cycle = agreement.cycle
    return {
        "amount": agreement.price.amount,
        "tax_free": agreement.price.tax_free,
        "quantity": agreement.quantity,
        "order_name": agreement.order_name,
        "interval_unit": cycle.interval.unit,
        "interval_count": cycle.interval.count,
        "anchor_at": cycle.anchor_at,
        "anchor_index": cycle.anchor_index,
    }


def _standing(after: Subscription) -> Mapping[str, object]:
    return {
        "id": after.id,
        "status": after.status,
        "consented_amount": after.consented_amount,
        "next_period_index": after.next_period_index,
        "next_renewal_at": after.next_renewal_at,
        "pause_at": after.pause_at,
        "resume_at": after.resume_at,
        "pause_keeps": after.pause_keeps,
    }


_MOVE = text(
    """
    UPDATE subscriptions
    SET amount = :amount, tax_free = :tax_free, quantity = :quantity, order_name = :order_name,
        interval_unit = :interval_unit, interval_count = :interval_count, anchor_at = :anchor_at,
        anchor_index = :anchor_index, status = :status, consented_amount = :consented_amount,
        next_period_index = :next_period_index, next_renewal_at = :next_renewal_at,
        pause_at = :pause_at, resume_at = :resume_at, pause_keeps = :pause_keeps,
        noticed_index = CASE WHEN next_renewal_at IS NOT DISTINCT FROM
            CAST(:next_renewal_at AS timestamptz)
            THEN noticed_index ELSE least(noticed_index, CAST(:next_period_index AS int) - 1) END
    WHERE id = :id
    """
)


async def forget_end(connection: AsyncConnection, subscription_id: UUID) -> None:
    """Take back the end of a subscription that the caller holds locked, whether it came or not."""
    await connection.execute(
        text(
            """
            UPDATE subscriptions
            SET cancel_at = NULL, cancel_reason = NULL, cancel_requester = NULL,
                cancel_refund = NULL, cancel_late_payment = NULL, canceled_at = NULL,
                closed_at = NULL, dispatched_at = NULL
            WHERE id = :id
            """
        ),
        {"id": subscription_id},
    )


def _life(row: Row[Any], invoice: Row[Any] | None) -> Life:
    return Life(subscription_of(row), _running(invoice), row.canceled_at, row.closed_at)
