from datetime import UTC, datetime
from typing import Final

import pytest

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.errors import InvalidAgreementError
from shared.billing.lifecycle import BILLABLE, SubscriptionStatus
from shared.billing.money import Price
from shared.billing.subscription import (
    BUYER_EMAIL_LENGTH_MAX,
    BUYER_NAME_LENGTH_MAX,
    BUYER_TEL_LENGTH_MAX,
    CUSTOMER_UID_LENGTH_MAX,
    ORDER_NAME_LENGTH_MAX,
    Agreement,
    Buyer,
    require_customer_uid,
)

CYCLE: Final = BillingCycle(datetime(2026, 1, 30, 15, tzinfo=UTC), Interval(IntervalUnit.MONTH))
UNPRINTABLE: Final = ["a\nb", "a\x00b", "a\x7fb", "a\u200bb", "a\ud800b", "\tab"]
BLANK: Final = ["", " ", "\t\n", "\u3000"]


def agreement(order_name: str = "달마다 한 달", first_period_index: int = 0) -> Agreement:
    return Agreement(Price(13_900), order_name, CYCLE, first_period_index)


def test_the_limits_are_the_gateways() -> None:
    assert ORDER_NAME_LENGTH_MAX == 40
    assert CUSTOMER_UID_LENGTH_MAX == 80
    assert (BUYER_NAME_LENGTH_MAX, BUYER_EMAIL_LENGTH_MAX, BUYER_TEL_LENGTH_MAX) == (16, 64, 16)


def test_no_period_is_billed_that_begins_in_a_pause_or_after_the_end() -> None:
    ended = {SubscriptionStatus.PAUSED, SubscriptionStatus.CANCELED}
    assert set(SubscriptionStatus) - BILLABLE == ended


@pytest.mark.parametrize("order_name", ["가", "가" * 40, "a" * 40, "Tom & Jerry (1개월)"])
def test_an_order_name_the_gateway_takes_is_taken(order_name: str) -> None:
    assert agreement(order_name).order_name == order_name


@pytest.mark.parametrize("order_name", [*BLANK, *UNPRINTABLE, "가" * 41], ids=repr)
def test_an_order_name_the_gateway_would_refuse_is_refused(order_name: str) -> None:
    with pytest.raises(InvalidAgreementError, match="order name"):
        agreement(order_name)


def test_an_over_long_order_name_is_told_with_its_length_and_the_limit() -> None:
    with pytest.raises(InvalidAgreementError, match=r"40 characters at most, not 41: '가{40}'$"):
        agreement("가" * 41)


def test_a_first_period_before_the_anchor_is_refused() -> None:
    assert agreement(first_period_index=0).first_period_index == 0
    with pytest.raises(InvalidAgreementError, match="first_period_index"):
        agreement(first_period_index=-1)


@pytest.mark.parametrize("customer_uid", ["a", "a" * 80, "구매자-1", "naver_pay:0001"])
def test_a_billing_key_the_gateway_takes_is_returned_as_it_is(customer_uid: str) -> None:
    assert require_customer_uid(customer_uid) == customer_uid


@pytest.mark.parametrize(
    "customer_uid", [*BLANK, "secret-key" * 8 + "x", "secret-key\n", "secret-key\x00"], ids=repr
)
def test_a_billing_key_that_is_refused_is_not_repeated(customer_uid: str) -> None:
    with pytest.raises(InvalidAgreementError, match="customer_uid must") as refused:
        require_customer_uid(customer_uid)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "buyer",
    [
        Buyer(),
        Buyer("홍길동", "hong@example.test", "010-1234-5678"),
        Buyer("가" * 16, "e" * 64, "1" * 16),
        Buyer(tel="010-1234-5678"),
    ],
    ids=["nobody", "whole", "at the limits", "telephone only"],
)
def test_what_the_gateway_takes_of_a_buyer_is_taken(buyer: Buyer) -> None:
    assert buyer == Buyer(buyer.name, buyer.email, buyer.tel)


REFUSED_BUYERS: Final = [
    ({"name": "planted홍길동" * 2}, "buyer name"),
    ({"name": "planted\n"}, "buyer name"),
    ({"name": ""}, "buyer name"),
    ({"email": "planted@example.test" * 4}, "buyer e-mail"),
    ({"email": " "}, "buyer e-mail"),
    ({"tel": "planted-010-2345-6789"}, "buyer telephone"),
    ({"tel": "planted\x00"}, "buyer telephone"),
]


@pytest.mark.parametrize(("parts", "label"), REFUSED_BUYERS, ids=repr)
def test_what_the_gateway_would_refuse_of_a_buyer_is_refused(
    parts: dict[str, str], label: str
) -> None:
    with pytest.raises(InvalidAgreementError, match=f"^{label} must"):
        Buyer(**parts)


@pytest.mark.parametrize(("parts", "label"), REFUSED_BUYERS, ids=repr)
def test_a_refused_part_of_a_buyer_is_not_repeated(parts: dict[str, str], label: str) -> None:
    """The text of an error ends up in logs just as a repr does."""
    with pytest.raises(InvalidAgreementError, match=label) as refused:
        Buyer(**parts)
    assert "planted" not in str(refused.value)
