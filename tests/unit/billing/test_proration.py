"""Changes by the day: never a won made or lost, whatever the prices, the days and the discounts."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.calendar import Period
from shared.billing.lines import Adjustment, AdjustmentKind, Line, LineKind, bill
from shared.billing.money import Price
from shared.billing.proration import (
    WHOLE,
    PaidShare,
    days_of,
    days_text,
    paid_share,
    prorated,
)
from tests.unit.billing.test_cancellation_properties import PRICES, SHARES, at, periods

START_AT: Final = datetime(2026, 2, 1, tzinfo=UTC)
PERIOD: Final = Period(0, START_AT, START_AT + timedelta(days=28))
SOME_SHARES = st.integers(1, 10**6).flatmap(
    lambda of: st.builds(PaidShare, st.integers(0, of), st.just(of))
)


@given(PRICES, st.integers(1, 1200), st.data())
def test_some_days_and_the_others_cost_what_all_do_but_for_one_won(
    price: Price, days: int, data: st.DataObject
) -> None:
    some = data.draw(st.integers(0, days))
    one, other = days_of(price, some, days), days_of(price, days - some, days)
    assert price.amount - 1 <= one.amount + other.amount <= price.amount
    assert one.tax_free + other.tax_free <= price.tax_free
    assert days_of(price, days, days) == price
    assert days_of(price, 0, days) == Price(0)


@given(PRICES, PRICES, SOME_SHARES, periods(), SHARES)
def test_a_change_and_its_opposite_cancel_out(
    old: Price, new: Price, share: PaidShare, of: tuple[Period, str], when: object
) -> None:
    period, zone = of
    changed_at = at(period, when)  # type: ignore[arg-type]
    there = prorated(old, new, share, period, zone, changed_at)
    back = prorated(new, old, share, period, zone, changed_at)
    assert there.credit == back.charge
    assert there.charge == back.credit


@given(PRICES, SOME_SHARES, periods(), SHARES)
def test_a_change_to_the_same_price_is_nothing(
    price: Price, share: PaidShare, of: tuple[Period, str], when: object
) -> None:
    period, zone = of
    found = prorated(price, price, share, period, zone, at(period, when))  # type: ignore[arg-type]
    assert found.credit == found.charge


@given(
    st.lists(PRICES, min_size=2, max_size=6), periods(), st.lists(SHARES, min_size=5, max_size=5)
)
def test_over_any_changes_nobody_is_credited_more_than_was_paid_or_charged(
    prices: list[Price], of: tuple[Period, str], whens: list[object]
) -> None:
    """Each change credits what the one before it has charged, for fewer days."""
    period, zone = of
    instants = sorted(at(period, when) for when in whens)  # type: ignore[arg-type]
    paid = prices[0].amount
    balance = paid
    for old, new, instant in zip(prices, prices[1:], instants, strict=False):
        found = prorated(old, new, WHOLE, period, zone, instant)
        assert 0 <= found.unused <= found.days
        balance -= found.credit.amount
        assert balance >= 0
        balance += found.charge.amount


@pytest.mark.parametrize(
    ("adjustment", "given_back", "share"),
    [
        (None, 0, (28_000, 28_000)),
        (Adjustment(1, AdjustmentKind.DISCOUNT, "반값", Price(0), 50, 1), 0, (14_000, 28_000)),
        (Adjustment(1, AdjustmentKind.DISCOUNT, "무료", Price(0), 100, 1), 0, (0, 28_000)),
        # A credit is money that the buyer has, and a setup is no price of the period.
        (Adjustment(1, AdjustmentKind.CREDIT, "사과", Price(28_000)), 0, (28_000, 28_000)),
        (Adjustment(1, AdjustmentKind.SETUP, "설치", Price(5_000)), 0, (28_000, 28_000)),
        (None, 7_000, (21_000, 28_000)),
        (None, 99_000, (0, 28_000)),
    ],
)
def test_what_a_period_really_cost(
    adjustment: Adjustment | None, given_back: int, share: tuple[int, int]
) -> None:
    owed = bill(Price(28_000), "슬림", 1, [adjustment] if adjustment else [])
    found = paid_share(owed.lines, given_back)
    assert (found.amount, found.of) == share


def test_what_costs_nothing_has_no_share() -> None:
    assert paid_share([Line(LineKind.RECURRING, "무료", 0, 0)]) == WHOLE


def test_the_rest_of_a_period_that_begins_anew_is_only_credited() -> None:
    found = prorated(Price(28_000), None, WHOLE, PERIOD, "Asia/Seoul", START_AT)
    assert (found.credit, found.charge) == (Price(28_000), Price(0))


def test_a_line_says_for_how_many_days_it_is() -> None:
    assert days_text("슬림", 17, 28) == "슬림: 17 of 28 days"
