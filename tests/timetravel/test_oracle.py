"""The audit's own way of counting agrees with the product's, wherever both can count."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.timetravel.oracle import start_of
from shared.billing.calendar import BillingCycle, Interval, IntervalUnit

_SINCE = datetime(2024, 1, 1, tzinfo=UTC)


@settings(max_examples=300)
@given(
    minutes=st.integers(0, 3 * 365 * 1_440),
    unit=st.sampled_from(IntervalUnit),
    count=st.integers(1, 14),
    index=st.integers(0, 40),
    zone=st.sampled_from(["Asia/Seoul", "Asia/Tokyo", "UTC"]),
)
def test_two_ways_of_counting_agree(
    minutes: int, unit: IntervalUnit, count: int, index: int, zone: str
) -> None:
    anchor_at = _SINCE + timedelta(minutes=minutes)
    cycle = BillingCycle(anchor_at, Interval(unit, count), zone)
    assert start_of(anchor_at, unit, index * count, zone) == cycle.period(index).start_at
