"""What a person does in the gateway's console, and what only the gateway knows of, as control API.

A cancellation made here reaches the merchant by webhook alone.
"""

from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deploy.sandbox.calls import Call
from deploy.sandbox.cancel import refusal_text
from deploy.sandbox.due import run_due
from deploy.sandbox.guards import Answer, read_count, read_input, refuse_other
from deploy.sandbox.parameters import AMOUNT_MAX
from deploy.sandbox.records import Payment
from deploy.sandbox.refunds import CancelOrder, CancelRefusal, Requester
from deploy.sandbox.replies import Reply, control
from deploy.sandbox.schedules import Schedule
from deploy.sandbox.state import Sandbox

Amount = Annotated[int, Field(ge=0, le=AMOUNT_MAX)]


class ConsoleCancelInput(BaseModel):
    """A cancellation as the console offers it; without an amount it is of all that is left."""

    model_config = ConfigDict(extra="forbid")

    imp_uid: str | None = None
    merchant_uid: str | None = None
    amount: Amount = 0
    tax_free: Amount = 0
    reason: str | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.imp_uid is None) == (self.merchant_uid is None):
            raise ValueError("give either imp_uid or merchant_uid")
        return self


def _cancel(sandbox: Sandbox, call: Call) -> Reply:
    given = read_input(ConsoleCancelInput, call.body)
    wanted = CancelOrder(**given.model_dump(), requester=Requester.ADMIN)
    booked = sandbox.book.cancel(wanted, at=sandbox.clock.now())
    if isinstance(booked, CancelRefusal):
        return control({"error": booked, "message": refusal_text(booked)}, status=400)
    cancellation_id = booked.cancels[-1].cancellation_id
    sandbox.webhooks.payment(booked, cancellation_id=cancellation_id)
    return control({"cancellation_id": cancellation_id, "payment": payment_view(booked)})


def _run_schedules(sandbox: Sandbox, _call: Call) -> Reply:
    payments = run_due(sandbox)
    return control({"executed": [payment_view(payment) for payment in payments]})


def _schedules(sandbox: Sandbox, call: Call) -> Reply:
    query = call.query_values()
    customer_uid = query.pop("customer_uid", None)
    refuse_other(query, "customer_uid")
    rows = [
        schedule_view(schedule)
        for schedule in sandbox.timetable.schedules()
        if customer_uid is None or schedule.order.customer_uid == customer_uid
    ]
    return control({"schedules": rows})


def _deletions(sandbox: Sandbox, call: Call) -> Reply:
    customer_uid = call.parameters["customer_uid"]
    rows = [
        {"at": ended.at, "reason": ended.reason, "requester": ended.requester}
        for ended in sandbox.book.deletions(customer_uid)
    ]
    return control({"customer_uid": customer_uid, "deletions": rows})


def _webhooks(sandbox: Sandbox, call: Call) -> Reply:
    query = call.query_values()
    notices = sandbox.webhooks.notices
    merchant_uid = query.pop("merchant_uid", None)
    offset = read_count(query.pop("offset", "0"), "offset")
    limit = read_count(query.pop("limit", str(len(notices))), "limit")
    refuse_other(query, "merchant_uid, offset, limit")
    rows = [
        {
            "at": notice.at,
            "url": notice.url,
            "body": notice.body,
            "copies": notice.copies,
            "outcome": notice.outcome,
            "answers": notice.answers,
        }
        for notice in notices
        if merchant_uid is None or notice.body["merchant_uid"] == merchant_uid
    ]
    shown = rows[offset : offset + limit]
    return control({**sandbox.webhooks.summary(), "webhooks": shown})


def _at_naver(sandbox: Sandbox, call: Call) -> Reply:
    imp_uid = call.parameters["imp_uid"]
    if sandbox.book.payment(imp_uid) is None:
        return control({"error": f"no payment {imp_uid!r}"}, status=404)
    naver = sandbox.naver
    return control(
        {
            "imp_uid": imp_uid,
            "points": naver.has_points(imp_uid),
            "confirmed_by": naver.confirmed_by(imp_uid),
        }
    )


def schedule_view(schedule: Schedule) -> dict[str, Any]:
    """Show what a test compares."""
    return {
        "merchant_uid": schedule.order.merchant_uid,
        "customer_uid": schedule.order.customer_uid,
        "amount": schedule.order.amount,
        "schedule_at": schedule.schedule_at,
        "status": schedule.status,
        "imp_uid": schedule.imp_uid,
        "executed_at": schedule.executed_at,
        "revoked_at": schedule.revoked_at,
    }


def payment_view(payment: Payment) -> dict[str, Any]:
    """Show what a test compares; instants keep their fractions here."""
    order = payment.order
    return {
        "imp_uid": payment.imp_uid,
        "merchant_uid": order.merchant_uid,
        "customer_uid": order.customer_uid,
        "customer_uid_usage": payment.usage,
        "channel": payment.channel,
        "status": payment.status,
        "amount": order.amount,
        "tax_free": order.tax_free,
        "cancel_amount": payment.cancel_amount,
        "cancel_tax_free": payment.cancel_tax_free,
        "cancels": [
            {
                "cancellation_id": cancel.cancellation_id,
                "amount": cancel.amount,
                "tax_free": cancel.tax_free,
                "reason": cancel.reason,
                "requester": cancel.requester,
                "cancelled_at": cancel.cancelled_at,
            }
            for cancel in payment.cancels
        ],
        "name": order.name,
        "naver_use_cfm": order.naver_use_cfm,
        "custom_data": order.custom_data,
        "fail_reason": payment.fail_reason,
        "sandbox": payment.sandbox,
        "started_at": payment.started_at,
        "paid_at": payment.paid_at,
        "failed_at": payment.failed_at,
    }


ANSWERS: Final[tuple[tuple[str, str, Answer], ...]] = (
    ("POST", "/_sandbox/console/cancel", _cancel),
    ("POST", "/_sandbox/run-schedules", _run_schedules),
    ("GET", "/_sandbox/schedules", _schedules),
    ("GET", "/_sandbox/deletions/{customer_uid}", _deletions),
    ("GET", "/_sandbox/webhooks", _webhooks),
    ("GET", "/_sandbox/payments/{imp_uid}/naver", _at_naver),
)
