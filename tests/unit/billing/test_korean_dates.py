"""The reason for counting in the subscription's own zone, measured."""

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.use_confirmation import korean_date
from tests.unit.billing import oracle

SEOUL: Final = ZoneInfo("Asia/Seoul")
MONTHLY: Final = Interval(IntervalUnit.MONTH)
RENEWALS: Final = 24
# A renewal's date depends on the hour of signing up only through the date in UTC at that hour:
# before 09:00 in Korea it is still yesterday's. So one hour stands for nine, the other for fifteen.
WEIGHT_OF_HOUR: Final = {3: 9, 12: 15}


def wrong_renewals(anchor_at: datetime, time_zone: str) -> int:
    """Return how many of the first renewals fall on the wrong date in Korea."""
    signed_up_on = oracle.local(anchor_at, SEOUL).date()
    cycle = BillingCycle(anchor_at, MONTHLY, time_zone)
    return sum(
        oracle.local(cycle.period(index).start_at, SEOUL).date()
        != oracle.date_after(signed_up_on, IntervalUnit.MONTH, index)
        for index in range(1, RENEWALS + 1)
    )


def wrong_percent(time_zone: str) -> tuple[float, float]:
    """Return the share of renewals, and of subscriptions, ever billed on a wrong Korean date.

    Everybody signs up in 2026, at every hour of it.
    """
    renewals = subscriptions = everybody = 0
    on = date(2026, 1, 1)
    while on.year == 2026:
        for hour, weight in WEIGHT_OF_HOUR.items():
            anchor_at = datetime(on.year, on.month, on.day, hour, tzinfo=SEOUL).astimezone(UTC)
            wrong = wrong_renewals(anchor_at, time_zone)
            renewals += weight * wrong
            subscriptions += weight * (wrong > 0)
            everybody += weight
        on += timedelta(days=1)
    return 100 * renewals / (everybody * RENEWALS), 100 * subscriptions / everybody


def test_counting_in_utc_bills_078_percent_of_renewals_on_the_wrong_korean_date() -> None:
    renewals, subscriptions = wrong_percent("UTC")
    assert renewals > 0
    assert renewals == pytest.approx(0.78, abs=0.005)
    assert subscriptions == pytest.approx(3.49, abs=0.005)


def test_counting_in_korea_bills_none_on_the_wrong_korean_date() -> None:
    assert wrong_percent("Asia/Seoul") == (0, 0)


@pytest.mark.parametrize("hour", range(24))
def test_one_hour_stands_for_its_class_of_hours(hour: int) -> None:
    """What the weights of the measurement rest on, at the end of January."""
    stand_in = 3 if hour < 9 else 12
    for day in (28, 29, 30, 31):
        wrong = [
            wrong_renewals(datetime(2026, 1, day, at, tzinfo=SEOUL).astimezone(UTC), "UTC")
            for at in (hour, stand_in)
        ]
        assert wrong[0] == wrong[1]


def test_a_korean_midnight_of_29_january_is_renewed_on_28_february() -> None:
    """Counted in UTC it is the 28th at 15:00, and the renewal falls on 1 March."""
    anchor_at = datetime(2026, 1, 29, tzinfo=SEOUL).astimezone(UTC)
    ours = BillingCycle(anchor_at, MONTHLY).period(1).start_at
    in_utc = BillingCycle(anchor_at, MONTHLY, "UTC").period(1).start_at
    assert korean_date(ours) == date(2026, 2, 28)
    assert korean_date(in_utc) == date(2026, 3, 1)
