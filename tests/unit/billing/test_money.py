import json
from dataclasses import FrozenInstanceError
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.errors import InvalidAmountError
from shared.billing.money import Collectability, Price, collectability, minimum_amount_text

NO_WHOLE_WON = [True, False, 10.0, 10.5, float("nan"), "10", None, Decimal(10), -1, -10_000]


@pytest.mark.parametrize("value", NO_WHOLE_WON, ids=repr)
def test_an_amount_that_is_not_whole_won_is_refused(value: object) -> None:
    with pytest.raises(InvalidAmountError, match="amount must be a whole number of won"):
        Price(cast("Any", value))


@pytest.mark.parametrize("value", NO_WHOLE_WON, ids=repr)
def test_a_tax_free_part_that_is_not_whole_won_is_refused(value: object) -> None:
    with pytest.raises(InvalidAmountError, match="tax_free must be a whole number of won"):
        Price(10_000, cast("Any", value))


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_a_tax_free_part_is_taken_up_to_the_amount_and_refused_above(
    amount: int, tax_free: int
) -> None:
    if tax_free <= amount:
        price = Price(amount, tax_free)
        assert (price.amount, price.tax_free) == (amount, tax_free)
    else:
        with pytest.raises(InvalidAmountError, match="must not exceed"):
            Price(amount, tax_free)


def test_a_missing_tax_free_part_is_nothing() -> None:
    assert Price(1004) == Price(1004, 0)


def test_a_price_stays_as_it_is_and_is_equal_by_value() -> None:
    price = Price(1004, 4)
    with pytest.raises(FrozenInstanceError):
        price.amount = 1  # type: ignore[misc]
    assert {price: "same"}[Price(1004, 4)] == "same"
    assert json.dumps([price.amount, price.tax_free]) == "[1004, 4]"


@pytest.mark.parametrize(
    ("amount", "minimum", "expected"),
    [
        (0, 10, Collectability.SETTLE_WITHOUT_CALL),
        (0, 0, Collectability.SETTLE_WITHOUT_CALL),
        (1, 10, Collectability.BELOW_MINIMUM),
        (9, 10, Collectability.BELOW_MINIMUM),
        (10, 10, Collectability.CHARGE),
        (11, 10, Collectability.CHARGE),
        (99, 100, Collectability.BELOW_MINIMUM),
        (100, 100, Collectability.CHARGE),
        (1, 1, Collectability.CHARGE),
    ],
)
def test_what_may_be_done_with_an_amount(
    amount: int, minimum: int, expected: Collectability
) -> None:
    assert collectability(Price(amount), minimum) is expected


@given(st.integers(0, 2000), st.integers(1, 1000))
def test_only_what_the_gateway_takes_is_charged(amount: int, minimum: int) -> None:
    is_charged = collectability(Price(amount), minimum) is Collectability.CHARGE
    assert is_charged == (amount >= minimum)


@pytest.mark.parametrize(
    ("minimum", "text"),
    [
        (10, "최소 결제 금액은 10원입니다."),
        (100, "최소 결제 금액은 100원입니다."),
        (1_000, "최소 결제 금액은 1,000원입니다."),
        (1_234_567, "최소 결제 금액은 1,234,567원입니다."),
    ],
)
def test_the_buyer_reads_the_minimum_in_won_with_separators(minimum: int, text: str) -> None:
    assert minimum_amount_text(minimum) == text
