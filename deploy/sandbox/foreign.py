"""What stands in the gateway's book though nobody of ours asked for it, as control API.

Records that somebody else made, by the thousand if need be; records that say something else than
they said; and records that are lost.
"""

from dataclasses import replace
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deploy.sandbox.calls import Call
from deploy.sandbox.console import Amount, payment_view
from deploy.sandbox.guards import Answer, read_input
from deploy.sandbox.queries import INSTANT_MAX
from deploy.sandbox.records import Channel, Order, Payment, Status, Usage, Verdict
from deploy.sandbox.refunds import CancelOrder, CancelRefusal
from deploy.sandbox.replies import Reply, control
from deploy.sandbox.settings import InvalidInputError
from deploy.sandbox.state import Sandbox

Instant = Annotated[float, Field(ge=0, le=INSTANT_MAX, allow_inf_nan=False)]


class CancelInput(BaseModel):
    """A part that was given back; the amount 0 is all that is left."""

    model_config = ConfigDict(extra="forbid")

    amount: Amount = 0
    tax_free: Amount = 0
    reason: str | None = None
    at: Instant | None = None


class PaymentInput(BaseModel):
    """A record; `at` is when it was paid, or failed, and is now where it is not given."""

    model_config = ConfigDict(extra="forbid")

    merchant_uid: Annotated[str, Field(min_length=1, max_length=40)]
    amount: Amount
    customer_uid: Annotated[str, Field(min_length=1, max_length=80)] | None = None
    tax_free: Amount = 0
    name: Annotated[str, Field(max_length=40)] = ""
    custom_data: str | None = None
    status: Status = Status.PAID
    fail_reason: str | None = None
    usage: Usage | None = None
    channel: Channel = Channel.API
    started_at: Instant | None = None
    at: Instant | None = None
    cancels: list[CancelInput] = []

    @model_validator(mode="after")
    def _cancelled_only_if_paid(self) -> Self:
        if (self.status is Status.CANCELLED) != bool(self.cancels):
            raise ValueError("cancels belong to the status cancelled, which needs one")
        return self

    def enter(self, sandbox: Sandbox) -> Payment:
        """Put the record into the book, whatever stands there already."""
        now = sandbox.clock.now() if self.at is None else self.at
        order = Order(
            customer_uid=self.customer_uid,
            merchant_uid=self.merchant_uid,
            amount=self.amount,
            name=self.name,
            tax_free=self.tax_free,
            custom_data=self.custom_data,
        )
        was_paid = self.status is Status.CANCELLED
        usage = self.usage or (None if self.customer_uid is None else Usage.PAYMENT)
        payment = sandbox.book.enter_foreign(
            order,
            Verdict(Status.PAID if was_paid else self.status, self.fail_reason),
            usage=usage,
            channel=self.channel,
            started_at=now if self.started_at is None else self.started_at,
            at=now,
            sandbox=sandbox.settings.test_channel,
        )
        for cancel in self.cancels:
            payment = _cancelled(sandbox, payment, cancel, default_at=now)
        return payment


def _cancelled(
    sandbox: Sandbox, payment: Payment, cancel: CancelInput, *, default_at: float
) -> Payment:
    wanted = CancelOrder(
        imp_uid=payment.imp_uid,
        amount=cancel.amount,
        tax_free=cancel.tax_free,
        reason=cancel.reason,
    )
    at = default_at if cancel.at is None else cancel.at
    booked = sandbox.book.cancel(wanted, at=at)
    if isinstance(booked, CancelRefusal):
        sandbox.book.forget(payment.imp_uid)
        uid = payment.order.merchant_uid
        raise InvalidInputError(f"{uid}: a cancel of {cancel.amount} cannot be: {booked}")
    return booked


class PaymentsInput(BaseModel):
    """Records to enter, in order.

    Attributes:
        tell: Whether the merchant is told of each by webhook, as of a payment.
    """

    model_config = ConfigDict(extra="forbid")

    payments: list[PaymentInput]
    tell: bool = False


class RestatementInput(BaseModel):
    """What a record says from now on; what is not named stays."""

    model_config = ConfigDict(extra="forbid")

    amount: Amount | None = None
    tax_free: Amount | None = None
    customer_uid: Annotated[str, Field(min_length=1, max_length=80)] | None = None
    status: Status | None = None
    fail_reason: str | None = None
    at: Instant | None = None

    @model_validator(mode="after")
    def _cancelled_by_cancels(self) -> Self:
        if self.status is Status.CANCELLED:
            raise ValueError("a record is cancelled by POST /_sandbox/console/cancel")
        return self


def _enter(sandbox: Sandbox, call: Call) -> Reply:
    given = read_input(PaymentsInput, call.body)
    entered = [each.enter(sandbox) for each in given.payments]
    if given.tell:
        for payment in entered:
            sandbox.webhooks.payment(payment)
    return control({"imp_uids": [payment.imp_uid for payment in entered]})


def _restate(sandbox: Sandbox, call: Call) -> Reply:
    given = read_input(RestatementInput, call.body)
    payment = sandbox.book.payment(call.parameters["imp_uid"])
    if payment is None:
        return _unknown(call)
    named = given.model_dump(include={"amount", "tax_free", "customer_uid"}, exclude_none=True)
    at = sandbox.clock.now() if given.at is None else given.at
    changes: dict[str, Any] = {"order": replace(payment.order, **named), "updated_at": at}
    if given.status is not None:
        changes |= {
            "status": given.status,
            "paid_at": at if given.status is Status.PAID else 0.0,
            "failed_at": at if given.status is Status.FAILED else 0.0,
            "fail_reason": given.fail_reason,
            "cancels": (),
        }
    return control(payment_view(sandbox.book.restate(replace(payment, **changes))))


def _forget(sandbox: Sandbox, call: Call) -> Reply:
    payment = sandbox.book.forget(call.parameters["imp_uid"])
    return _unknown(call) if payment is None else control({"forgotten": payment.imp_uid})


def _unknown(call: Call) -> Reply:
    return control({"error": f"no payment {call.parameters['imp_uid']!r}"}, status=404)


ANSWERS: Final[tuple[tuple[str, str, Answer], ...]] = (
    ("POST", "/_sandbox/payments", _enter),
    ("PUT", "/_sandbox/payments/{imp_uid}", _restate),
    ("DELETE", "/_sandbox/payments/{imp_uid}", _forget),
)
