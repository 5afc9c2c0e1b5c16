"""What an invoice is made of: lines that add up, whatever is set against what."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.errors import InvalidLinesError
from shared.billing.lines import (
    Adjustment,
    AdjustmentKind,
    Bill,
    Line,
    LineKind,
    bill,
    sum_of,
    used_by,
)
from shared.billing.money import Price
from tests.unit.billing import renewals

ADJUSTMENTS: Final = st.lists(renewals.CREDITS | renewals.DISCOUNTS, max_size=5)


def billed(price: Price, *adjustments: Adjustment) -> Bill:
    return bill(price, "달마다 한 달", 1, adjustments)


@given(renewals.PRICES, ADJUSTMENTS)
def test_the_lines_add_up_to_the_total_and_no_part_is_above_its_whole(
    price: Price, adjustments: list[Adjustment]
) -> None:
    owed = billed(price, *adjustments)
    assert sum_of(owed.lines) == owed.total
    assert owed.lines[0].amount == price.amount
    for line in owed.lines:
        assert abs(line.tax_free) <= abs(line.amount)
        assert line.amount * line.tax_free >= 0


@given(renewals.PRICES, ADJUSTMENTS)
def test_the_order_in_which_adjustments_are_named_does_not_matter(
    price: Price, adjustments: list[Adjustment]
) -> None:
    assert billed(price, *adjustments) == billed(price, *reversed(adjustments))


@given(renewals.PRICES, renewals.CREDITS)
def test_what_is_taken_and_what_is_left_are_what_was_given(
    price: Price, given_once: Adjustment
) -> None:
    owed = billed(price, given_once)
    (after,) = owed.left
    taken = abs(owed.total.amount - price.amount)
    assert taken + after.left.amount == given_once.left.amount
    assert after.is_open == (after.left.amount > 0)


@pytest.mark.parametrize(
    ("price", "credit", "left"),
    [
        pytest.param(Price(1, 1), Price(1), Price(0), id="all of it"),
        pytest.param(Price(10, 10), Price(15, 5), Price(5), id="a part of it"),
        pytest.param(Price(10), Price(15, 15), Price(5, 5), id="the other way round"),
    ],
)
def test_a_credit_can_be_set_against_what_is_taxed_otherwise(
    price: Price, credit: Price, left: Price
) -> None:
    """Its tax-free part once fell below nothing, and the subscription was renewed no more."""
    given_once = Adjustment(1, AdjustmentKind.CREDIT, "사과의 뜻", credit)
    owed = billed(price, given_once)
    assert owed.total == Price(0)
    assert [adjustment.left for adjustment in owed.left] == [left]


def test_a_discount_comes_before_a_charge_and_a_credit_last() -> None:
    owed = billed(
        Price(10_000),
        renewals.credit(1_000),
        Adjustment(2, AdjustmentKind.PRORATION_CHARGE, "정산", Price(2_000)),
        renewals.discount(50, 1),
    )
    assert [line.amount for line in owed.lines] == [10_000, -5_000, 2_000, -1_000]


def test_what_is_used_up_is_on_no_line() -> None:
    over = Adjustment(1, AdjustmentKind.DISCOUNT, "할인", Price(1_000), periods_left=0)
    owed = billed(Price(10_000), over)
    assert (len(owed.lines), owed.left) == (1, ())


@pytest.mark.parametrize(("amount", "tax_free"), [(-1, 0), (5, 6), (5, -1)])
def test_lines_that_cannot_be_owed_are_refused(amount: int, tax_free: int) -> None:
    line = Line(LineKind.CREDIT, "사과의 뜻", amount, tax_free)
    with pytest.raises(InvalidLinesError, match="must add up to 0 won or more"):
        sum_of([line])


class TestTheLeastThatIsCharged:
    """Naver Pay takes 10 won or more: nothing may be left to be paid that nobody can pay."""

    def test_a_credit_leaves_it_to_be_paid_and_waits_with_the_rest(self) -> None:
        credit = Adjustment(1, AdjustmentKind.CREDIT, "쿠폰", Price(9_895))
        owed = bill(Price(9_900), "달마다", 1, [credit], minimum=10)
        assert owed.total == Price(10)
        assert owed.left[0].left == Price(5)

    def test_a_credit_that_covers_all_leaves_nothing(self) -> None:
        credit = Adjustment(1, AdjustmentKind.CREDIT, "쿠폰", Price(12_000))
        owed = bill(Price(9_900), "달마다", 1, [credit], minimum=10)
        assert (owed.total, owed.left[0].left) == (Price(0), Price(2_100))

    def test_a_discount_that_leaves_less_leaves_nothing(self) -> None:
        discount = Adjustment(1, AdjustmentKind.DISCOUNT, "할인", Price(9_895), periods_left=2)
        owed = bill(Price(9_900, 900), "달마다", 1, [discount], minimum=10)
        assert owed.total == Price(0)
        assert owed.lines[1].amount == -9_900

    def test_what_is_free_by_its_terms_costs_nothing_all_the_same(self) -> None:
        credit = Adjustment(1, AdjustmentKind.CREDIT, "쿠폰", Price(1_000))
        assert bill(Price(0), "무료", 1, [credit], minimum=10).total == Price(0)


def test_lines_made_before_use_up_what_they_were_set_against() -> None:
    """What PortOne has executed is billed as it was reserved, whatever has been agreed since."""
    credit = Adjustment(1, AdjustmentKind.CREDIT, "쿠폰", Price(3_000))
    discount = Adjustment(2, AdjustmentKind.DISCOUNT, "할인", Price(1_000), None, 2)
    later = Adjustment(3, AdjustmentKind.CREDIT, "보상", Price(500))
    made = bill(Price(9_900, 900), "요금제", 1, (credit, discount))
    used = used_by(made.lines, (credit, discount, later))
    assert {each.id: each for each in used} == {each.id: each for each in made.left}
