"""The book's records in the shapes the documents give them (PaymentAnnotation and its like).

Amounts are whole KRW inside; `float_amounts` writes them as 1004.0, which real answers may do.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from deploy.sandbox.clock import korean_day
from deploy.sandbox.records import BillingKey, Payment, Status
from deploy.sandbox.replies import to_json
from deploy.sandbox.schedules import Schedule

PG_PROVIDER: Final = "naverpay"
PG_ID: Final = "sandbox-naverpay"

# Fields that a billing-key charge through Naver Pay never fills.
_EMPTY: Final[dict[str, Any]] = {
    "bank_code": None,
    "bank_name": None,
    "cancel_receipt_urls": (),
    "card_issuer_code": None,
    "card_issuer_name": None,
    "card_publisher_code": None,
    "card_publisher_name": None,
    "cash_receipt_issued": False,
    "deposit_history": (),
    "emb_pg_provider": None,
    "escrow": False,
    "pay_method": "naverpay",
    "pg_id": PG_ID,
    "pg_provider": PG_PROVIDER,
    "promotion": None,
    "receipt_url": None,
    "vbank_code": None,
    "vbank_date": 0,
    "vbank_holder": None,
    "vbank_issued_at": 0,
    "vbank_name": None,
    "vbank_num": None,
}

_NOT_CANCELLED: Final[dict[str, Any]] = {
    "cancel_history": (),
    "cancel_reason": None,
    "cancelled_at": 0,
}

# Half of every answer is always the same; writing it once is worth a tenth of the whole request.
_EMPTY_TEXT: Final = to_json(_EMPTY).removesuffix("}")
_EMPTY_AND_NOT_CANCELLED_TEXT: Final = to_json({**_EMPTY, **_NOT_CANCELLED}).removesuffix("}")


def payment_json(payment: Payment, *, float_amounts: bool = False) -> str:
    """Write one payment with every documented field."""
    order = payment.order
    key = payment.key
    amount = float(order.amount) if float_amounts else order.amount
    filled: dict[str, Any] = {
        "amount": amount,
        "apply_num": _apply_num(payment),
        "buyer_addr": order.buyer_addr,
        "buyer_email": order.buyer_email,
        "buyer_name": order.buyer_name,
        "buyer_postcode": order.buyer_postcode,
        "buyer_tel": order.buyer_tel,
        "cancel_amount": amount * 0,
        "card_code": None if key is None else key.card_code,
        "card_name": None if key is None else key.card_name,
        "card_number": None if key is None else key.card_number,
        "card_quota": order.card_quota,
        "card_type": None if key is None else key.card_type,
        "channel": payment.channel,
        "currency": order.currency,
        "custom_data": order.custom_data,
        "customer_uid": order.customer_uid,
        "customer_uid_usage": payment.usage,
        "fail_reason": payment.fail_reason,
        "failed_at": int(payment.failed_at),
        "imp_uid": payment.imp_uid,
        "merchant_uid": order.merchant_uid,
        "name": order.name,
        "paid_at": int(payment.paid_at),
        "pg_tid": _pg_tid(payment),
        "sandbox": payment.sandbox,
        "started_at": int(payment.started_at),
        "status": payment.status,
        "user_agent": payment.user_agent,
    }
    if not payment.cancels:
        return f"{_EMPTY_AND_NOT_CANCELLED_TEXT},{to_json(filled)[1:]}"
    filled |= _cancelled(payment, float_amounts=float_amounts)
    return f"{_EMPTY_TEXT},{to_json(filled)[1:]}"


def _cancelled(payment: Payment, *, float_amounts: bool) -> dict[str, Any]:
    def amount(whole: int) -> float:
        return float(whole) if float_amounts else whole

    last = payment.cancels[-1]
    return {
        "cancel_amount": amount(payment.cancel_amount),
        "cancel_history": [
            {
                "pg_tid": f"{korean_day(cancel.cancelled_at)}NC{cancel.number}",
                "amount": amount(cancel.amount),
                "cancelled_at": int(cancel.cancelled_at),
                "reason": cancel.reason or "",
                "cancellation_id": cancel.cancellation_id,
                "receipt_url": None,
            }
            for cancel in payment.cancels
        ],
        "cancel_reason": last.reason,
        "cancelled_at": int(last.cancelled_at),
    }


def page_json(
    shown: Sequence[Payment], *, total: int, page: int, limit: int, float_amounts: bool
) -> str:
    """Write one page of a list; a page number of 0 means there is no such page."""
    following = page + 1 if page * limit < total else 0
    listed = payments_json(shown, float_amounts=float_amounts)
    return f'{{"total":{total},"previous":{page - 1},"next":{following},"list":{listed}}}'


def payments_json(payments: Iterable[Payment], *, float_amounts: bool) -> str:
    """Write payments, one after the other."""
    shown = ",".join(payment_json(payment, float_amounts=float_amounts) for payment in payments)
    return f"[{shown}]"


def customer_json(key: BillingKey) -> str:
    """Write one billing key."""
    annotation = {
        "customer_uid": key.customer_uid,
        "pg_provider": PG_PROVIDER,
        "pg_id": PG_ID,
        "sandbox": key.sandbox,
        "customer_id": key.customer_id,
        "card_name": key.card_name,
        "card_code": key.card_code,
        "card_issuer_code": None,
        "card_issuer_name": None,
        "card_publisher_code": None,
        "card_publisher_name": None,
        "card_number": key.card_number,
        "card_type": key.card_type,
        "customer_name": key.customer_name,
        "customer_tel": key.customer_tel,
        "customer_email": key.customer_email,
        "customer_addr": key.customer_addr,
        "customer_postcode": key.customer_postcode,
        "inserted": int(key.inserted_at),
        "updated": int(key.updated_at),
    }
    return to_json(annotation)


def schedule_json(schedule: Schedule, paid: Payment | None, *, float_amounts: bool) -> str:
    """Write one schedule, and what became of its charge."""
    order = schedule.order
    annotation = {
        "customer_uid": order.customer_uid,
        "merchant_uid": order.merchant_uid,
        "imp_uid": schedule.imp_uid,
        "pg_provider": PG_PROVIDER,
        "pg_id": PG_ID,
        "customer_id": None,
        "schedule_at": schedule.schedule_at,
        "executed_at": int(schedule.executed_at),
        "revoked_at": int(schedule.revoked_at),
        "amount": float(order.amount) if float_amounts else order.amount,
        "currency": order.currency,
        "name": order.name,
        "buyer_name": order.buyer_name,
        "buyer_email": order.buyer_email,
        "buyer_tel": order.buyer_tel,
        "buyer_addr": order.buyer_addr,
        "buyer_postcode": order.buyer_postcode,
        "custom_data": order.custom_data,
        "schedule_status": schedule.status,
        "payment_status": _payment_status(paid),
        "fail_reason": None if paid is None else paid.fail_reason,
        "promotion_id": None,
    }
    return to_json(annotation)


def _payment_status(paid: Payment | None) -> Status | None:
    # `ready` is no documented value here; what is neither approved nor declined has none.
    return None if paid is None or paid.status is Status.READY else paid.status


def _pg_tid(payment: Payment) -> str | None:
    # Naver's own number begins with the Korean day; a charge it never approved has none here.
    if not payment.paid_at:
        return None
    return f"{korean_day(payment.paid_at)}NP{payment.number}"


def _apply_num(payment: Payment) -> str | None:
    return f"{payment.number % 10**8:08d}" if payment.paid_at else None
