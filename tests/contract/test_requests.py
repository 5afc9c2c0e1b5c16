"""Whatever the client is asked to send is fit for PortOne, in JSON and as a form, or is not sent.

Each test also counts what was sent: were everything unfit, nothing would be shown.
"""

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.sandbox.bodies import read_parameters
from deploy.sandbox.cancel import read_cancel
from deploy.sandbox.orders import read_order
from shared.billing.money import Price
from shared.billing.refund import RefundClaim, RefundOrder, Requester
from tests.contract.validation import FORM_TYPE, JSON_TYPE, Request, faults_of_request
from worker.gateway.forms import form_of
from worker.gateway.requests import (
    ChargeRequest,
    ScheduleRequest,
    UnfitRequest,
    body_of,
    prepare_body,
    refund_body_of,
    schedule_body_of,
    unschedule_body,
)

NOW = datetime(2026, 8, 15, 3, tzinfo=UTC)
EXAMPLES = 100
SENT_MIN = 20
LOOK = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    # The same examples on every CI run, new ones at a desk.
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)

CHARACTERS = st.characters(codec="utf-8")


def _text(longest: int) -> st.SearchStrategy[str]:
    """Texts of any character, now and then a little too long."""
    sizes = st.sampled_from((*range(1, 9), longest - 1, longest, longest + 1))
    return sizes.flatmap(lambda size: st.text(CHARACTERS, min_size=size, max_size=size))


merchant_uids = st.from_regex(r"[a-z0-9]{1,41}", fullmatch=True)
customer_uids = _text(80)
amounts = st.integers(5, 10**7)
# A part of the price, or more than it.
tax_free = st.sampled_from((0, 1, 4)) | amounts


def _price(amount: int, part: int) -> Price:
    return Price(amount, tax_free=min(part, amount))


prices = st.builds(_price, amounts, tax_free)
charges = st.builds(
    ChargeRequest,
    merchant_uid=merchant_uids,
    customer_uid=customer_uids,
    price=prices,
    order_name=_text(40),
    buyer_name=st.none() | _text(16),
    buyer_email=st.none() | _text(64),
    buyer_tel=st.none() | _text(16),
    naver_use_cfm=st.none() | st.dates(date(2026, 8, 14), date(2027, 8, 10)),
)


def _sent(strategy: st.SearchStrategy[Any], send: Callable[[Any], None]) -> int:
    """Send examples and count those that were fit."""
    sent = 0

    @settings(LOOK)
    @given(strategy)
    def look(example: Any) -> None:
        nonlocal sent
        try:
            send(example)
        except UnfitRequest:
            return
        sent += 1

    look()
    return sent


def _check(path: str, body: bytes) -> None:
    """Insist that a body is what is documented, as JSON and as a form."""
    for content_type, sent in ((JSON_TYPE, body), (FORM_TYPE, form_of(body))):
        assert faults_of_request(Request("POST", path, "", content_type, sent)) == []


def test_a_charge_is_fit_or_not_sent() -> None:
    def send(charge: ChargeRequest) -> None:
        body = body_of(charge, minimum_amount=10, today=date(2026, 8, 15))
        _check("/subscribe/payments/again", body)
        at = NOW.timestamp()
        typed = read_order(read_parameters(body, JSON_TYPE), at=at)
        assert typed == read_order(read_parameters(form_of(body), FORM_TYPE), at=at)
        assert (typed.amount, typed.tax_free) == (charge.price.amount, charge.price.tax_free)
        assert (typed.name, typed.buyer_tel) == (charge.order_name, charge.buyer_tel)

    assert _sent(charges, send) > SENT_MIN


def test_a_reservation_is_fit_or_not_sent() -> None:
    def send(example: tuple[ChargeRequest, int]) -> None:
        charge, ahead_s = example
        request = ScheduleRequest(charge, NOW + timedelta(seconds=ahead_s))
        _check(
            "/subscribe/payments/schedule",
            schedule_body_of(request, minimum_amount=10, now=NOW),
        )

    assert _sent(st.tuples(charges, st.integers(-5, 10**6)), send) > SENT_MIN


def test_a_refund_is_fit_or_not_sent() -> None:
    def send(claim: RefundClaim) -> None:
        body = refund_body_of(claim)
        _check("/payments/cancel", body)
        typed = read_cancel(read_parameters(body, JSON_TYPE))
        assert typed == read_cancel(read_parameters(form_of(body), FORM_TYPE))
        order = claim.order
        assert (typed.amount, typed.tax_free) == (order.price.amount, order.price.tax_free)
        assert (typed.checksum, typed.reason) == (claim.checksum, order.reason)

    def claim(price: Price, more: int, reason: str, requester: Requester) -> RefundClaim:
        return RefundClaim(
            refund_id=1,
            payment_id=1,
            subscription_id=None,
            imp_uid="imp_1",
            merchant_uid="m1",
            paid_amount=price.amount + max(more, 0),
            order=RefundOrder(price, reason, requester),
            checksum=price.amount + more,
            send_number=1,
            claimed_at=NOW,
        )

    words = st.characters(codec="utf-8", exclude_categories=("C", "Z"))
    reasons = st.text(words, min_size=1, max_size=30)
    claims = st.builds(claim, prices, st.integers(-2, 10**6), reasons, st.sampled_from(Requester))
    assert _sent(claims, send) > SENT_MIN


def test_a_revocation_is_fit_or_not_sent() -> None:
    def send(example: tuple[str, list[str] | None]) -> None:
        _check("/subscribe/payments/unschedule", unschedule_body(*example))

    listed = st.none() | st.lists(merchant_uids, max_size=3)
    assert _sent(st.tuples(customer_uids, listed), send) > SENT_MIN


def test_a_binding_is_fit_or_not_sent() -> None:
    def send(example: tuple[str, int]) -> None:
        _check("/payments/prepare", prepare_body(*example))

    assert _sent(st.tuples(merchant_uids, st.integers(-2, 10**7)), send) > SENT_MIN
