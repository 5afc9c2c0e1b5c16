"""What the end of a pause makes of a subscription, whatever the calendar and the instants."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.errors import InvalidCycleError
from shared.billing.pause import PauseKeeps, resumed, time_left
from tests.unit.billing.test_cancellation_properties import INSTANTS, ZONES

START_AT: Final = datetime(2026, 1, 31, tzinfo=UTC)
MONTHLY: Final = BillingCycle(START_AT, Interval(IntervalUnit.MONTH))
DAY, INSTANT = timedelta(days=1), timedelta(microseconds=1)


@st.composite
def pauses(draw: st.DrawFn) -> tuple[BillingCycle, int, datetime, datetime]:
    """Return a cycle, its next period, when a pause began in the one before it, and its end.

    Where the pause began every period before it had been decided.
    """
    unit, count = draw(st.sampled_from(IntervalUnit)), draw(st.integers(1, 3))
    cycle = BillingCycle(
        draw(INSTANTS), Interval(unit, count), draw(st.sampled_from(ZONES)), draw(st.integers(0, 9))
    )
    running = cycle.period(cycle.anchor_index + draw(st.integers(0, 20)))
    share = draw(st.fractions(0, 1, max_denominator=1000))
    length = (running.end_at - running.start_at) // INSTANT
    pause_at = running.start_at + timedelta(microseconds=int(length * share))
    return (
        cycle,
        running.index + 1,
        pause_at,
        pause_at + draw(st.timedeltas(timedelta(0), 900 * DAY)),
    )


@given(pauses())
def test_with_the_calendar_kept_every_period_is_decided_once(
    of: tuple[BillingCycle, int, datetime, datetime],
) -> None:
    cycle, next_index, pause_at, at = of
    back = resumed(cycle, next_index, PauseKeeps.CALENDAR, pause_at, at, is_billed=True)
    assert back.cycle == cycle
    assert [period.index for period in back.skipped] == list(range(next_index, back.next_index))
    assert all(pause_at <= period.start_at < at for period in back.skipped)
    assert back.next_renewal_at == cycle.period(back.next_index).start_at >= min(at, pause_at)
    # At most the one that runs is used, and it is one that was skipped.
    assert len(back.used) <= 1
    assert set(back.used) <= set(back.skipped)
    for period in back.used:
        assert period.start_at < at < period.end_at


@given(pauses(), st.data())
def test_what_a_scan_has_skipped_before_makes_no_difference_to_what_is_owed(
    of: tuple[BillingCycle, int, datetime, datetime], data: st.DataObject
) -> None:
    cycle, next_index, pause_at, at = of
    whole = resumed(cycle, next_index, PauseKeeps.CALENDAR, pause_at, at, is_billed=True)
    seen = data.draw(st.integers(next_index, whole.next_index))
    is_billed = seen == next_index
    rest = resumed(cycle, seen, PauseKeeps.CALENDAR, pause_at, at, is_billed=is_billed)
    assert (rest.used, rest.next_index) == (whole.used, whole.next_index)


@given(pauses())
def test_with_the_time_kept_the_period_has_the_time_that_it_had(
    of: tuple[BillingCycle, int, datetime, datetime],
) -> None:
    cycle, next_index, pause_at, at = of
    back = resumed(cycle, next_index, PauseKeeps.TIME, pause_at, at, is_billed=True)
    before = cycle.period(next_index - 1)
    assert back.next_renewal_at - before.start_at - back.stood_still == (
        before.end_at - before.start_at
    )
    assert back.next_renewal_at >= at
    assert (back.next_index, back.skipped, back.used) == (next_index, (), ())
    assert back.cycle.period(next_index).start_at == back.next_renewal_at
    assert back.cycle.interval == cycle.interval


def test_periods_that_a_late_scan_has_skipped_after_the_pause_are_owed() -> None:
    """It was over on 10 March, and nobody looked before 15 April."""
    pause_at, at = START_AT + 10 * DAY, datetime(2026, 3, 10, tzinfo=UTC)
    back = resumed(MONTHLY, 3, PauseKeeps.CALENDAR, pause_at, at, is_billed=False)
    assert [period.index for period in back.used] == [1, 2]
    assert back.skipped == ()
    assert back.next_renewal_at == MONTHLY.period(3).start_at


def test_a_period_that_was_billed_before_is_not_owed_again() -> None:
    """Not even where the pause began in the same instant."""
    pause_at = MONTHLY.period(0).start_at
    back = resumed(MONTHLY, 1, PauseKeeps.CALENDAR, pause_at, pause_at + DAY, is_billed=True)
    assert (back.used, back.skipped, back.next_index) == ((), (), 1)


def test_a_clock_that_went_back_ends_no_pause_before_it_began() -> None:
    pause_at = START_AT + 10 * DAY
    back = resumed(MONTHLY, 1, PauseKeeps.TIME, pause_at, pause_at - DAY, is_billed=True)
    assert (back.stood_still, back.next_renewal_at) == (
        timedelta(0),
        MONTHLY.period(1).start_at,
    )


def test_no_time_is_left_of_a_period_that_is_over() -> None:
    assert time_left(MONTHLY, 1, MONTHLY.period(1).start_at + DAY) == timedelta(0)


def test_a_pause_has_no_end_beyond_the_calendar() -> None:
    cycle = BillingCycle(START_AT, Interval(IntervalUnit.YEAR, 1200))
    with pytest.raises(InvalidCycleError, match="beyond the calendar"):
        resumed(
            cycle, 1, PauseKeeps.TIME, START_AT, datetime(9900, 1, 1, tzinfo=UTC), is_billed=True
        )
