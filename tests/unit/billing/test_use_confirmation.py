from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit, Period
from shared.billing.use_confirmation import UseConfirmation, korean_date, use_confirmation_on
from tests.unit.billing import made

SECOND: Final = timedelta(seconds=1)
MICROSECOND: Final = timedelta(microseconds=1)


def utc(*parts: int) -> datetime:
    year, month, day, hour = parts
    return datetime(year, month, day, hour, tzinfo=UTC)


MARCH: Final = Period(1, utc(2026, 2, 28, 15), utc(2026, 3, 31, 15))


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        (utc(2026, 3, 14, 15) - MICROSECOND, date(2026, 3, 14)),
        (utc(2026, 3, 14, 15), date(2026, 3, 15)),
        (utc(2026, 3, 15, 15) - MICROSECOND, date(2026, 3, 15)),
        (utc(2025, 12, 31, 15), date(2026, 1, 1)),
        (utc(2028, 2, 28, 15), date(2028, 2, 29)),
    ],
    ids=str,
)
def test_a_korean_day_begins_at_15_hours_utc_of_the_day_before(
    instant: datetime, expected: date
) -> None:
    assert korean_date(instant) == expected


@given(made.INSTANTS)
def test_a_korean_day_is_nine_hours_ahead_of_utc(instant: datetime) -> None:
    assert korean_date(instant) == (instant + timedelta(hours=9)).date()


@given(made.INSTANTS)
def test_a_contract_without_it_sends_none(now: datetime) -> None:
    assert use_confirmation_on(UseConfirmation.NONE, MARCH, now) is None


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (utc(2026, 3, 1, 0), date(2026, 3, 1)),
        (utc(2026, 3, 1, 15) - SECOND, date(2026, 3, 1)),
        (utc(2026, 3, 1, 15), date(2026, 3, 2)),
        (utc(2026, 7, 1, 0), date(2026, 7, 1)),
    ],
    ids=str,
)
def test_the_day_of_the_charge_is_today_in_korea(now: datetime, expected: date) -> None:
    assert use_confirmation_on(UseConfirmation.CHARGE_DAY, MARCH, now) == expected


@pytest.mark.parametrize(
    ("end_at", "last_on"),
    [
        pytest.param(utc(2026, 3, 31, 15), date(2026, 3, 31), id="ends at midnight in Korea"),
        pytest.param(utc(2026, 3, 31, 15) + MICROSECOND, date(2026, 4, 1), id="just after"),
        pytest.param(utc(2026, 3, 31, 15) - MICROSECOND, date(2026, 3, 31), id="just before"),
        pytest.param(utc(2026, 4, 1, 0), date(2026, 4, 1), id="ends in mid-morning"),
    ],
)
def test_the_end_of_a_half_open_period_is_the_day_of_its_last_instant(
    end_at: datetime, last_on: date
) -> None:
    period = Period(1, utc(2026, 2, 28, 15), end_at)
    now = utc(2026, 2, 28, 16)
    assert use_confirmation_on(UseConfirmation.PERIOD_END, period, now) == last_on


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(utc(2026, 3, 31, 15) - MICROSECOND, date(2026, 3, 31), id="its last day"),
        pytest.param(utc(2026, 3, 31, 15), date(2026, 4, 1), id="over"),
        pytest.param(utc(2026, 4, 20, 3), date(2026, 4, 20), id="collected late in dunning"),
    ],
)
def test_a_period_that_is_over_is_confirmed_today(now: datetime, expected: date) -> None:
    assert use_confirmation_on(UseConfirmation.PERIOD_END, MARCH, now) == expected


@given(
    st.sampled_from([UseConfirmation.CHARGE_DAY, UseConfirmation.PERIOD_END]),
    made.INSTANTS,
    st.integers(0, 60),
    st.timedeltas(timedelta(days=-40), timedelta(days=400)),
    st.sampled_from(["Asia/Seoul", "America/New_York", "Pacific/Kiritimati"]),
)
def test_it_is_never_earlier_than_today_in_korea(
    choice: UseConfirmation, anchor_at: datetime, index: int, late: timedelta, time_zone: str
) -> None:
    """Naver refuses a day that is past, whatever zone the period is counted in."""
    period = BillingCycle(anchor_at, Interval(IntervalUnit.MONTH), time_zone).period(index)
    now = period.start_at + late
    day = use_confirmation_on(choice, period, now)
    assert day is not None
    assert day >= korean_date(now)
    if choice is UseConfirmation.PERIOD_END:
        assert day == korean_date(now) or day == korean_date(period.end_at - MICROSECOND)


def test_it_is_computed_anew_for_a_later_attempt_at_the_same_period() -> None:
    first, second = utc(2026, 3, 1, 0), utc(2026, 4, 3, 0)
    days = [use_confirmation_on(UseConfirmation.PERIOD_END, MARCH, now) for now in (first, second)]
    assert days == [date(2026, 3, 31), date(2026, 4, 3)]


def test_a_choice_nobody_knows_sends_nothing() -> None:
    """Only code without types could ask; merchants without the contract must not send a day."""
    assert use_confirmation_on(cast("Any", "tomorrow"), MARCH, utc(2026, 3, 1, 0)) is None
