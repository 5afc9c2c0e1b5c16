"""The book's records in the shapes the documents give them (PaymentAnnotation and its like).

Amounts are whole KRW inside; `float_amounts` writes them as 1004.0, which real answers may do.
"""

from collections.abc import Sequence
from typing import Any, Final

from deploy.sandbox.book import BillingKey, Payment, Status
from deploy.sandbox.clock import korean_day
from deploy.sandbox.replies import to_json

PG_PROVIDER: Final = "naverpay"
PG_ID: Final = "sandbox-naverpay"

# Fields that a billing-key charge through Naver Pay never fills.
_EMPTY: Final[dict[str, Any]] = {
    "bank_code": None,
    "bank_name": None,
    "cancel_history": (),
    "cancel_reason": None,
    "cancel_receipt_urls": (),
    "cancelled_at": 0,
    "card_issuer_code": None,
    "card_issuer_name": None,
    "card_publisher_code": None,
    "card_publisher_name": None,
    "cash_receipt_issued": False,
    "channel": "api",
    "deposit_history": (),
    "emb_pg_provider": None,
    "escrow": False,
    "pay_method": "naverpay",
    "pg_id": PG_ID,
    "pg_provider": PG_PROVIDER,
    "promotion": None,
    "receipt_url": None,
    "user_agent": None,
    "vbank_code": None,
    "vbank_date": 0,
    "vbank_holder": None,
    "vbank_issued_at": 0,
    "vbank_name": None,
    "vbank_num": None,
    "customer_uid_usage": "payment",
}


# Half of every answer is always the same; writing it once is worth a tenth of the whole request.
_EMPTY_TEXT: Final = to_json(_EMPTY).removesuffix("}")


def payment_json(payment: Payment, *, float_amounts: bool = False) -> str:
    """Write one payment with every documented field."""
    order = payment.order
    key = payment.key
    amount = float(order.amount) if float_amounts else order.amount
    filled = {
        "amount": amount,
        "apply_num": _apply_num(payment),
        "buyer_addr": order.buyer_addr,
        "buyer_email": order.buyer_email,
        "buyer_name": order.buyer_name,
        "buyer_postcode": order.buyer_postcode,
        "buyer_tel": order.buyer_tel,
        "cancel_amount": amount * 0,
        "card_code": key.card_code,
        "card_name": key.card_name,
        "card_number": key.card_number,
        "card_quota": order.card_quota,
        "card_type": key.card_type,
        "currency": order.currency,
        "custom_data": order.custom_data,
        "customer_uid": order.customer_uid,
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
    }
    return f"{_EMPTY_TEXT},{to_json(filled)[1:]}"


def page_json(payments: Sequence[Payment], *, page: int, limit: int, float_amounts: bool) -> str:
    """Write one page of a list; a page number of 0 means there is no such page."""
    total = len(payments)
    begin = (page - 1) * limit
    following = page + 1 if begin + limit < total else 0
    shown = ",".join(
        payment_json(payment, float_amounts=float_amounts)
        for payment in payments[begin : begin + limit]
    )
    return f'{{"total":{total},"previous":{page - 1},"next":{following},"list":[{shown}]}}'


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


def _pg_tid(payment: Payment) -> str | None:
    # Naver's own number begins with the Korean day; a charge it never approved has none here.
    if payment.status is not Status.PAID:
        return None
    return f"{korean_day(payment.paid_at)}NP{payment.number}"


def _apply_num(payment: Payment) -> str | None:
    return f"{payment.number % 10**8:08d}" if payment.status is Status.PAID else None
