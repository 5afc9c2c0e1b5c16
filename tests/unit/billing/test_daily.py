"""What is done once a day: from when on it is due, and how the time is written."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.daily import DailyTime
from shared.billing.errors import InvalidPolicyError

# From 2000 to 2100.
INSTANTS = st.integers(946_684_800, 4_102_444_800).map(lambda s: datetime.fromtimestamp(s, UTC))
TIMES = st.times().map(lambda at: DailyTime(at.replace(second=0, microsecond=0, tzinfo=None)))


@given(INSTANTS, TIMES)
def test_the_latest_time_is_within_the_day_before_and_reads_so_in_korea(
    now: datetime, at: DailyTime
) -> None:
    latest = at.latest(now)
    assert timedelta(0) <= now - latest < timedelta(days=1)
    assert latest.utcoffset() == timedelta(hours=9)
    assert latest.replace(tzinfo=None).time() == at.at


@pytest.mark.parametrize(
    ("now", "latest"),
    [
        ("2026-01-31T04:29:59+09:00", "2026-01-30T04:30:00+09:00"),
        ("2026-01-31T04:30:00+09:00", "2026-01-31T04:30:00+09:00"),
        ("2026-01-31T23:59:59+09:00", "2026-01-31T04:30:00+09:00"),
        # In London it is still the day before.
        ("2026-01-30T20:00:00+00:00", "2026-01-31T04:30:00+09:00"),
    ],
)
def test_it_is_due_from_its_time_on(now: str, latest: str) -> None:
    found = DailyTime.parse(" 04:30 ").latest(datetime.fromisoformat(now))
    assert found == datetime.fromisoformat(latest)


@given(TIMES)
def test_it_is_read_as_it_is_written(at: DailyTime) -> None:
    assert DailyTime.parse(str(at)) == at


@pytest.mark.parametrize("written", ["", "4:30", "24:00", "04:60", "04:30:00", "04.30", "noon"])
def test_a_time_that_is_written_otherwise_is_refused(written: str) -> None:
    with pytest.raises(InvalidPolicyError, match="written like 04:30"):
        DailyTime.parse(written)
