"""Refunds as these tests use them."""

from datetime import UTC, datetime
from typing import Any

from shared.billing.money import Price
from shared.billing.refund import RefundClaim, RefundOrder, Requester

CLAIMED_AT = datetime(2026, 8, 15, tzinfo=UTC)
REASON = "상품 불량: 구매자 요청"


def order(
    amount: int = 3_000, tax_free: int = 0, reason: str = REASON, requester: str = "customer"
) -> RefundOrder:
    """Return what goes back."""
    return RefundOrder(Price(amount, tax_free), reason, Requester(requester))


def claim(**changes: Any) -> RefundClaim:
    """Return the refund of 3,000 won of 9,900, of which 900 went back before."""
    usual: dict[str, Any] = {
        "refund_id": 1,
        "payment_id": 1,
        "subscription_id": None,
        "imp_uid": "imps_1",
        "merchant_uid": "sub1p1n1",
        "paid_amount": 9_900,
        "order": order(),
        "checksum": 9_000,
        "send_number": 1,
        "claimed_at": CLAIMED_AT,
    }
    return RefundClaim(**{**usual, **changes})
