"""Ask for a refund: rows only, written or refused in words under the payment's lock."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.errors import BillingError
from shared.billing.events import Event, EventName, Json
from shared.billing.money import Price
from shared.billing.refund import RefundCause, RefundOrder, Requester, part_of, require_fits
from shared.db import outbox, payments, refunds
from shared.db.payments import Payment
from shared.jobs.commands import RefundPayment
from worker.services.commanding import CommandRefusedError


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """What is asked for.

    Attributes:
        amount: In won, or None for all that is left; never 0.
        tax_free: The tax-free part of it, or None for its share of what is left.
        command_id: The command that asks, if one does; it is answered the same when it comes again.
    """

    payment_id: int
    amount: int | None
    tax_free: int | None
    reason: str
    requester: Requester
    cause: RefundCause
    command_id: str | None = None


@dataclass(frozen=True, slots=True)
class RequestedRefund:
    """A refund that waits to be sent."""

    id: int
    payment: Payment
    price: Price


async def refund_payment(
    connection: AsyncConnection, command: RefundPayment, now: datetime
) -> dict[str, Json]:
    """Ask for the refund that a merchant's command names."""
    request = RefundRequest(
        payment_id=await _named(connection, command),
        amount=None if command.amount == "all" else command.amount,
        tax_free=command.tax_free,
        reason=command.reason,
        requester=command.requester,
        cause=RefundCause.COMMAND,
        command_id=command.command_id,
    )
    asked = await request_refund(connection, request, now)
    return {
        "refund_id": asked.id,
        "imp_uid": asked.payment.imp_uid,
        "merchant_uid": asked.payment.merchant_uid,
        "amount": asked.price.amount,
        "tax_free": asked.price.tax_free,
    }


async def request_refund(
    connection: AsyncConnection, request: RefundRequest, now: datetime
) -> RequestedRefund:
    """Write a refund that is sent as soon as its turn comes, and tell of it.

    A command that comes again, and a second wish to give back by itself what an end or a late
    payment gives back once, get what the first one got.

    Raises:
        CommandRefusedError: Saying why it cannot be, and what could.
    """
    payment = await payments.lock(connection, request.payment_id)
    if payment is None:
        raise CommandRefusedError(f"there is no payment {request.payment_id}")
    before = await refunds.asked_before(connection, payment.id, request.cause, request.command_id)
    if before is not None:
        return RequestedRefund(before.id, payment, before.price)
    order = _order(payment, request)
    refund_id = await refunds.add(
        connection, payment.id, order, request.cause, request.command_id, now
    )
    await outbox.write(connection, [_requested(refund_id, payment, order, request, now)])
    return RequestedRefund(refund_id, payment, order.price)


async def _named(connection: AsyncConnection, command: RefundPayment) -> int:
    """Return the payment that a command names, or refuse it in words."""
    if command.imp_uid is not None:
        found = await payments.of_imp_uid(connection, command.imp_uid)
        if found is not None:
            return found
        if await payments.is_registration(connection, command.imp_uid):
            message = (
                f"{command.imp_uid} is the registration of a billing key: it moved no money and is"
                " never refunded"
            )
            raise CommandRefusedError(message)
        raise CommandRefusedError(f"there is no payment {command.imp_uid}")
    paid = await payments.of_invoice(connection, command.invoice_id or 0)
    if not paid:
        raise CommandRefusedError(f"nothing was paid for invoice {command.invoice_id}")
    if len(paid) > 1:
        message = (
            f"invoice {command.invoice_id} was paid {len(paid)} times: name the payment by"
            f" imp_uid, one of {', '.join(paid)}"
        )
        raise CommandRefusedError(message)
    (found,) = paid.values()
    return found


def _order(payment: Payment, request: RefundRequest) -> RefundOrder:
    """Return what goes back, or refuse it in words."""
    left = payment.left
    if left.amount == 0:
        message = (
            f"nothing is left of payment {payment.imp_uid}:"
            f" {payment.balance.cancelled.amount} of {payment.balance.paid.amount} won were given"
            f" back and {payment.asked.amount} won are asked for already"
        )
        raise CommandRefusedError(message)
    try:
        amount = left.amount if request.amount is None else request.amount
        if request.tax_free is None:
            price = part_of(left, amount)
        else:
            price = Price(amount, request.tax_free)
            require_fits(left, price)
        return RefundOrder(price, request.reason, request.requester)
    except BillingError as error:
        raise CommandRefusedError(str(error)) from error


def _requested(
    refund_id: int, payment: Payment, order: RefundOrder, request: RefundRequest, now: datetime
) -> Event:
    return Event(
        EventName.PAYMENT_REFUND_REQUESTED,
        payment.subscription_id,
        {
            "refund_id": refund_id,
            "imp_uid": payment.imp_uid,
            "merchant_uid": payment.merchant_uid,
            "invoice_id": payment.invoice_id,
            "amount": order.price.amount,
            "tax_free": order.price.tax_free,
            "reason": order.reason,
            "requester": order.requester,
            "cause": request.cause,
            "at": now.isoformat(),
        },
    )
