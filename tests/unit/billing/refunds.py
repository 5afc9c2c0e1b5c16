"""Refund claims and endings for tests: whole ones by hand, arbitrary ones by hypothesis."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from hypothesis import strategies as st

from shared.billing.inquiry import (
    CancelRecord,
    Conflict,
    PaymentRecord,
    RecordStatus,
    StillUnresolved,
)
from shared.billing.money import Price
from shared.billing.outcome import Unknown
from shared.billing.refund import (
    CancelledElsewhere,
    NotDone,
    RefundClaim,
    Refunded,
    RefundFinding,
    RefundOrder,
    RefundOutcome,
    RefundQuestion,
    Refused,
    Requester,
)
from tests.unit.billing import made

REASON: Final = "고객 변심"
ORDER: Final = RefundOrder(Price(3_000, 200), REASON, Requester.CUSTOMER)
# The second part of a payment of 13,900 won, of which 4,000 went back before.
CLAIM: Final = RefundClaim(
    refund_id=801,
    payment_id=601,
    subscription_id=made.SUBSCRIPTION_ID,
    imp_uid="imp_1",
    merchant_uid=made.CLAIM.merchant_uid,
    paid_amount=13_900,
    order=ORDER,
    checksum=9_900,
    send_number=1,
    claimed_at=made.CLAIMED_AT,
)


def claim(**changes: Any) -> RefundClaim:
    """Return a claim that differs from ``CLAIM`` in some fields."""
    return replace(CLAIM, **changes)


def cancelled(
    amount: int, reason: str | None = REASON, *, seconds: int = 0, id_: str | None = None
) -> CancelRecord:
    """Return a cancellation, some seconds after the claim."""
    at = made.CLAIMED_AT + timedelta(seconds=seconds)
    return CancelRecord(amount, reason, id_ or f"cancellation_{amount}", at)


def record(*cancels: CancelRecord, **changes: Any) -> PaymentRecord:
    """Return the gateway's record of the payment of ``CLAIM``, with what was cancelled of it."""
    values = {
        "imp_uid": CLAIM.imp_uid,
        "merchant_uid": CLAIM.merchant_uid,
        "status": RecordStatus.CANCELLED if cancels else RecordStatus.PAID,
        "amount": CLAIM.paid_amount,
        "cancel_amount": sum(cancel.amount for cancel in cancels),
        "customer_uid": None,
        "cancels": cancels,
        **changes,
    }
    return PaymentRecord(**values)


@st.composite
def claims(draw: st.DrawFn) -> RefundClaim:
    """Any claim."""
    paid = draw(st.integers(1, 10**12))
    checksum = draw(st.integers(1, paid))
    amount = draw(st.integers(1, checksum))
    price = Price(amount, draw(st.integers(0, amount)))
    claimed_at = draw(made.INSTANTS)
    doubt = draw(st.none() | st.timedeltas(timedelta(0), timedelta(days=2)))
    return RefundClaim(
        refund_id=draw(st.integers(1, 2**63 - 1)),
        payment_id=1,
        subscription_id=draw(st.none() | made.UUIDS),
        imp_uid="imp_1",
        merchant_uid="uid",
        paid_amount=paid,
        order=RefundOrder(price, REASON, draw(st.sampled_from(Requester))),
        checksum=checksum,
        send_number=draw(st.integers(1, 12) | st.integers(1, 10_000)),
        claimed_at=claimed_at,
        refusal=None,
        unknown_since=None if doubt is None else claimed_at - doubt,
    )


_TEXTS: Final = st.text(max_size=40)
_TOTALS: Final = st.none() | st.integers(1, 10**12)
REFUNDED: Final = st.builds(Refunded, st.none() | _TEXTS, st.none() | made.INSTANTS, _TOTALS)
REFUSED: Final = st.builds(Refused, _TEXTS)
UNKNOWN: Final = st.builds(Unknown, _TEXTS)
OUTCOMES: Final[st.SearchStrategy[RefundOutcome]] = st.one_of(
    REFUNDED, REFUSED, UNKNOWN, made.UNMOVED
)
FINDINGS: Final[st.SearchStrategy[RefundFinding]] = st.one_of(
    REFUNDED,
    st.just(NotDone()),
    st.builds(CancelledElsewhere, st.integers(1, 10**12)),
    st.builds(StillUnresolved, _TEXTS),
    st.builds(Conflict, _TEXTS),
)


@st.composite
def questions(draw: st.DrawFn) -> RefundQuestion:
    """Any question, refused or not."""
    asked = replace(draw(claims()), refusal=draw(st.none() | _TEXTS))
    return RefundQuestion(asked, draw(st.integers(0, 40)))
