"""What holds of every refund at an end, whatever the calendar, the zone and the amounts."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit, Period
from shared.billing.cancellation import (
    RefundChoice,
    look_again_at,
    refund_of,
    running_period_end,
    unused_days,
)
from shared.billing.money import Price
from shared.billing.refund import part_of, require_fits
from shared.billing.rules import InquiryPolicy

# No clock changes; changes by an hour, by half an hour, by two, at midnight; far from Greenwich.
ZONES: Final = (
    "Asia/Seoul",
    "America/New_York",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Pacific/Apia",
    "America/St_Johns",
)
INSTANTS = st.integers(0, 48 * 365 * 86_400 * 10**6).map(
    lambda microseconds: datetime(2012, 2, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)
PRICES = st.integers(0, 10**9).flatmap(
    lambda amount: st.builds(Price, st.just(amount), st.integers(0, amount))
)


@st.composite
def paid_and_left(draw: st.DrawFn) -> tuple[Price, Price]:
    """Return what was paid and what is left of it after some part was given back."""
    paid = draw(PRICES)
    gone = part_of(paid, draw(st.integers(0, paid.amount)))
    return paid, Price(paid.amount - gone.amount, paid.tax_free - gone.tax_free)


@st.composite
def cycles(draw: st.DrawFn) -> BillingCycle:
    """Return any cycle."""
    unit, count = draw(st.sampled_from(IntervalUnit)), draw(st.integers(1, 4))
    return BillingCycle(draw(INSTANTS), Interval(unit, count), draw(st.sampled_from(ZONES)))


@st.composite
def periods(draw: st.DrawFn) -> tuple[Period, str]:
    """Return a period of any cycle, and the cycle's zone."""
    cycle = draw(cycles())
    return cycle.period(draw(st.integers(0, 50))), cycle.time_zone


# From before a period to after it, in parts of its length.
SHARES = st.fractions(-1, 2, max_denominator=10**6)


def at(period: Period, share: Fraction) -> datetime:
    """Return an instant in or around a period."""
    length = (period.end_at - period.start_at) // timedelta(microseconds=1)
    return period.start_at + timedelta(microseconds=int(length * share))


@given(periods(), paid_and_left(), SHARES, st.sampled_from(RefundChoice))
def test_no_refund_exceeds_what_is_left_and_the_tax_free_part_is_kept(
    of: tuple[Period, str], money: tuple[Price, Price], share: Fraction, choice: RefundChoice
) -> None:
    (period, zone), (paid, left) = of, money
    back = refund_of(choice, paid, left, period, zone, at(period, share))
    if back is None:
        return
    assert 1 <= back.amount <= left.amount
    require_fits(left, back)
    rest = Price(left.amount - back.amount, left.tax_free - back.tax_free)
    if rest.amount == 0:
        assert rest.tax_free == 0


@given(periods(), paid_and_left(), SHARES, SHARES)
def test_the_later_the_end_the_less_goes_back(
    of: tuple[Period, str], money: tuple[Price, Price], one: Fraction, other: Fraction
) -> None:
    (period, zone), (paid, left) = of, money
    earlier, later = sorted([at(period, one), at(period, other)])

    def amount(ended_at: datetime) -> int:
        back = refund_of(RefundChoice.PRO_RATA, paid, left, period, zone, ended_at)
        return back.amount if back else 0

    assert amount(earlier) >= amount(later)


@given(periods(), paid_and_left(), st.integers(0, 10**10))
def test_everything_goes_back_of_what_had_not_begun_and_nothing_of_what_was_used(
    of: tuple[Period, str], money: tuple[Price, Price], seconds: int
) -> None:
    (period, zone), (paid, left) = of, money
    away = timedelta(seconds=seconds % 10**8)

    def back(ended_at: datetime) -> Price | None:
        return refund_of(RefundChoice.PRO_RATA, paid, left, period, zone, ended_at)

    if not period.is_empty:
        assert back(period.start_at - away) == (left if left.amount else None)
        assert back(period.end_at + away) is None
        assert back(period.end_at - timedelta(microseconds=1)) is None


@given(periods(), SHARES)
def test_unused_days_are_days_of_the_period(of: tuple[Period, str], share: Fraction) -> None:
    period, zone = of
    unused, days = unused_days(period, zone, at(period, share))
    assert 0 <= unused <= days
    assert days >= 1


@given(cycles(), st.integers(0, 20))
def test_periods_in_a_row_share_no_day(cycle: BillingCycle, count: int) -> None:
    """Otherwise the days of a year of periods would be more than the year has."""
    zone = cycle.time_zone
    days = [unused_days(cycle.period(index), zone, cycle.anchor_at)[1] for index in range(count)]
    whole = Period(0, cycle.anchor_at, cycle.period(count).start_at)
    assert count == 0 or sum(days) == unused_days(whole, zone, cycle.anchor_at)[1]


@given(cycles(), INSTANTS)
def test_the_running_period_ends_later_than_now_and_where_a_period_begins(
    cycle: BillingCycle, now: datetime
) -> None:
    end = running_period_end(cycle, now)
    assert end > now
    index = cycle.index_at(end)
    assert cycle.period(index).start_at == end
    if index > 0:
        assert cycle.period(cycle.index_at(end - timedelta(microseconds=1))).start_at <= now


@given(
    INSTANTS,
    st.timedeltas(timedelta(0), timedelta(days=3)),
    st.lists(st.timedeltas(timedelta(seconds=1), timedelta(hours=2)), min_size=1, max_size=5),
    st.timedeltas(timedelta(minutes=1), timedelta(days=2)),
)
def test_a_doubt_is_looked_at_later_and_before_its_deadline(
    doubted_at: datetime, since: timedelta, gaps: list[timedelta], deadline: timedelta
) -> None:
    policy, now = InquiryPolicy(tuple(gaps), deadline), doubted_at + since
    look_at = look_again_at(doubted_at, now, policy)
    assert look_at is None or now < look_at < doubted_at + deadline
