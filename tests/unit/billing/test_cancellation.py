"""When an end comes, which wishes contradict themselves, and which days count as unused."""

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit, Period
from shared.billing.cancellation import (
    Cancellation,
    CancelWhen,
    RefundChoice,
    look_again_at,
    refund_of,
    running_period_end,
    unused_days,
)
from shared.billing.errors import (
    InvalidCancellationError,
    InvalidCycleError,
    InvalidRefundError,
)
from shared.billing.money import Price
from shared.billing.refund import Requester
from shared.billing.rules import InquiryPolicy

SEOUL: Final = "Asia/Seoul"
# Midnight in Korea.
START_AT: Final = datetime(2026, 1, 30, 15, tzinfo=UTC)
FEBRUARY: Final = Period(0, START_AT, datetime(2026, 2, 27, 15, tzinfo=UTC))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
INSTANT: Final = timedelta(microseconds=1)
PAID: Final = Price(28_000, 2_800)


def cycle(
    unit: IntervalUnit = IntervalUnit.MONTH, count: int = 1, zone: str = SEOUL
) -> BillingCycle:
    return BillingCycle(START_AT, Interval(unit, count), zone)


class TestTheWish:
    def test_a_period_that_is_used_to_its_end_is_not_refunded(self) -> None:
        for refund in (RefundChoice.FULL, RefundChoice.PRO_RATA):
            with pytest.raises(InvalidCancellationError, match="cancel now, or refund none"):
                Cancellation(CancelWhen.PERIOD_END, "이사", Requester.CUSTOMER, refund)

    @pytest.mark.parametrize("reason", ["", "  ", "\u3000", "tab\there", "가" * 257])
    def test_the_reason_is_one_that_the_gateway_takes(self, reason: str) -> None:
        with pytest.raises(InvalidRefundError, match="reason"):
            Cancellation(CancelWhen.NOW, reason, Requester.ADMIN)

    def test_a_late_payment_goes_back_unless_the_period_was_used_to_its_end(self) -> None:
        at_once = Cancellation(CancelWhen.NOW, "이사", Requester.CUSTOMER)
        assert (at_once.refund, at_once.late) == (RefundChoice.NONE, RefundChoice.FULL)
        at_the_end = Cancellation(CancelWhen.PERIOD_END, "이사", Requester.CUSTOMER)
        assert at_the_end.late is RefundChoice.NONE

    @pytest.mark.parametrize("when", CancelWhen)
    @pytest.mark.parametrize("choice", RefundChoice)
    def test_what_is_said_of_a_late_payment_counts(
        self, when: CancelWhen, choice: RefundChoice
    ) -> None:
        asked = Cancellation(when, "이사", Requester.CUSTOMER, late_payment=choice)
        assert asked.late is choice


class TestTheEndOfTheRunningPeriod:
    @pytest.mark.parametrize(
        ("now", "end"),
        [
            (START_AT, FEBRUARY.end_at),
            (FEBRUARY.end_at - INSTANT, FEBRUARY.end_at),
            # The instant of a boundary belongs to the period that begins.
            (FEBRUARY.end_at, datetime(2026, 3, 30, 15, tzinfo=UTC)),
            (START_AT + 400 * DAY, datetime(2027, 3, 30, 15, tzinfo=UTC)),
        ],
        ids=["at the start", "just before the end", "at the boundary", "after an outage"],
    )
    def test_it_is_the_start_of_the_first_period_that_has_not_begun(
        self, now: datetime, end: datetime
    ) -> None:
        assert running_period_end(cycle(), now) == end

    def test_before_the_first_period_it_is_its_start(self) -> None:
        for before in (INSTANT, DAY, 900 * DAY):
            assert running_period_end(cycle(), START_AT - before) == START_AT

    def test_beyond_the_calendar_it_is_refused(self) -> None:
        with pytest.raises(InvalidCycleError, match="beyond the calendar"):
            running_period_end(cycle(IntervalUnit.YEAR, 1_200), START_AT + 365_000 * 7 * DAY)


class TestUnusedDays:
    @pytest.mark.parametrize(
        ("ended_at", "unused"),
        [
            (START_AT - DAY, 28),
            (START_AT, 28),
            (START_AT + INSTANT, 27),
            (START_AT + DAY - INSTANT, 27),
            (START_AT + DAY, 26),
            (FEBRUARY.end_at - DAY - INSTANT, 1),
            (FEBRUARY.end_at - DAY, 0),
            (FEBRUARY.end_at - INSTANT, 0),
            (FEBRUARY.end_at, 0),
            (FEBRUARY.end_at + 400 * DAY, 0),
        ],
    )
    def test_the_date_of_the_end_counts_as_used(self, ended_at: datetime, unused: int) -> None:
        assert unused_days(FEBRUARY, SEOUL, ended_at) == (unused, 28)

    def test_dates_are_those_of_the_subscriptions_zone(self) -> None:
        """In UTC the same instants lie on the dates before, and are as many."""
        ended_at = datetime(2026, 2, 1, 14, 59, tzinfo=UTC)
        assert unused_days(FEBRUARY, SEOUL, ended_at) == (26, 28)
        assert unused_days(FEBRUARY, "UTC", ended_at) == (25, 28)
        assert unused_days(FEBRUARY, SEOUL, ended_at + timedelta(minutes=1)) == (25, 28)

    def test_the_zone_in_which_an_instant_is_written_changes_nothing(self) -> None:
        ended_at = datetime(2026, 2, 1, 14, 59, tzinfo=UTC)
        for zone in (SEOUL, "America/New_York"):
            written = ended_at.astimezone(ZoneInfo(zone))
            assert unused_days(FEBRUARY, SEOUL, written) == (26, 28)

    def test_a_period_from_noon_to_noon_has_as_many_days_as_one_from_midnight(self) -> None:
        """The date on which it ends belongs to the next period: no date is paid for twice."""
        noon = Period(0, START_AT + 12 * HOUR, FEBRUARY.end_at + 12 * HOUR)
        assert unused_days(noon, SEOUL, noon.start_at + HOUR) == (27, 28)
        assert unused_days(noon, SEOUL, noon.end_at - INSTANT) == (0, 28)

    @pytest.mark.parametrize("hours", [0, 9, 23])
    def test_of_one_day_nothing_is_unused_once_it_has_begun(self, hours: int) -> None:
        start = START_AT + hours * HOUR
        period = Period(3, start, start + DAY)
        assert unused_days(period, SEOUL, start) == (1, 1)
        for ended_at in (start + INSTANT, start + 12 * HOUR, period.end_at - INSTANT):
            assert unused_days(period, SEOUL, ended_at) == (0, 1)

    @pytest.mark.parametrize(
        ("zone", "first_month"), [("America/New_York", 3), ("America/New_York", 11)]
    )
    def test_a_day_of_23_or_25_hours_is_a_day(self, zone: str, first_month: int) -> None:
        anchor = datetime(2026, first_month, 1, 5, tzinfo=UTC)
        period = BillingCycle(anchor, Interval(IntervalUnit.WEEK, 2), zone).period(0)
        assert period.end_at - period.start_at != 14 * DAY
        for day in range(14):
            ended_at = period.start_at + day * DAY + 3 * HOUR
            assert unused_days(period, zone, ended_at) == (13 - day, 14)

    def test_a_date_that_never_was_is_no_day(self) -> None:
        """Apia left out 30 December 2011; its week had six dates, the calendar says seven."""
        anchor = datetime(2011, 12, 27, 10, tzinfo=UTC)
        period = BillingCycle(anchor, Interval(IntervalUnit.WEEK), "Pacific/Apia").period(0)
        assert period.end_at - period.start_at == 6 * DAY
        assert unused_days(period, "Pacific/Apia", period.end_at - INSTANT)[0] == 0

    def test_a_zone_that_nobody_knows_is_refused(self) -> None:
        for zone in ("Mars/Olympus_Mons", "", "../etc/passwd"):
            with pytest.raises(InvalidCancellationError, match="days cannot be counted"):
                unused_days(FEBRUARY, zone, START_AT)


class TestWhatGoesBack:
    def test_nothing_full_or_the_unused_days(self) -> None:
        ended_at = START_AT + 7 * DAY - INSTANT
        back = {
            choice: refund_of(choice, PAID, PAID, FEBRUARY, SEOUL, ended_at)
            for choice in RefundChoice
        }
        assert back == {
            RefundChoice.NONE: None,
            RefundChoice.FULL: PAID,
            RefundChoice.PRO_RATA: Price(21_000, 2_100),
        }

    def test_a_day_costs_what_was_paid_for_it_whatever_went_back_before(self) -> None:
        """What the merchant gave back for a reason of its own makes no unused day cheaper."""
        left = Price(25_000, 2_500)
        ended_at = START_AT + 7 * DAY - INSTANT
        back = refund_of(RefundChoice.PRO_RATA, PAID, left, FEBRUARY, SEOUL, ended_at)
        assert back == Price(21_000, 2_100)

    def test_never_more_goes_back_than_is_left(self) -> None:
        left = Price(5_000, 0)
        ended_at = START_AT + INSTANT
        assert refund_of(RefundChoice.PRO_RATA, PAID, left, FEBRUARY, SEOUL, ended_at) == left
        assert refund_of(RefundChoice.FULL, PAID, left, FEBRUARY, SEOUL, ended_at) == left

    @pytest.mark.parametrize("choice", list(RefundChoice))
    def test_of_nothing_left_nothing_goes_back(self, choice: RefundChoice) -> None:
        assert refund_of(choice, PAID, Price(0), FEBRUARY, SEOUL, START_AT) is None

    def test_a_share_of_less_than_a_won_is_nothing(self) -> None:
        """At the gateway an amount of 0 would give everything back."""
        ended_at = FEBRUARY.end_at - DAY - INSTANT
        small = Price(27)
        assert refund_of(RefundChoice.PRO_RATA, small, small, FEBRUARY, SEOUL, ended_at) is None
        small = Price(28)
        back = refund_of(RefundChoice.PRO_RATA, small, small, FEBRUARY, SEOUL, ended_at)
        assert back == Price(1)


class TestLookingAgain:
    def test_the_gaps_grow_up_to_the_longest(self) -> None:
        policy = InquiryPolicy()
        doubted_at = START_AT
        assert look_again_at(doubted_at, doubted_at, policy) == doubted_at + timedelta(seconds=30)
        later = doubted_at + timedelta(minutes=6)
        assert look_again_at(doubted_at, later, policy) == later + timedelta(minutes=6)
        later = doubted_at + 5 * HOUR
        assert look_again_at(doubted_at, later, policy) == later + HOUR

    def test_it_ends_with_room_before_a_person_would_be_called(self) -> None:
        policy, now, looks = InquiryPolicy(), START_AT + timedelta(minutes=6), 0
        while (at := look_again_at(START_AT, now, policy)) is not None:
            looks, now = looks + 1, at
        assert START_AT + policy.deadline - 2 * policy.gaps[-1] <= now
        assert now <= START_AT + policy.deadline - policy.gaps[-1]
        assert looks < 40

    def test_whoever_has_been_silent_for_long_is_not_asked_again(self) -> None:
        assert look_again_at(START_AT, START_AT + 2 * DAY, InquiryPolicy()) is None
