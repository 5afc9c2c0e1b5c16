"""Charge hours move attempts into open time, by no more than they must, and move nothing else."""

import uuid
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.billing.attempt import AttemptOrigin, AttemptStatus, Claim
from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.catch_up import CatchUp, CatchUpPolicy
from shared.billing.charge_hours import KST, ChargeHours, DailyHours
from shared.billing.collection import Move, after_send, within
from shared.billing.errors import InvalidPolicyError
from shared.billing.outcome import Declined, NotSent, Throttled
from shared.billing.renewal import RenewalPolicies, first_attempt_at, renew
from shared.billing.rules import CollectionRules
from shared.holidays import is_bank_holiday
from tests.unit.billing import made, renewals

MINUTE: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)
DAYTIME: Final = DailyHours.parse("09:00-22:00")
NIGHT_WORK: Final = DailyHours.parse("23:30-00:30")
OFFICE: Final = ChargeHours(DAYTIME, (NIGHT_WORK, DailyHours.parse("12:00-12:20")))
SEND_WINDOW: Final = timedelta(seconds=30)
ID: Final = uuid.UUID(int=7)


def korean(day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, second, tzinfo=KST)


@pytest.mark.parametrize(
    ("at", "next_at"),
    [
        pytest.param(korean(3, 8, 59, 59), korean(3, 9), id="before it opens"),
        pytest.param(korean(3, 9), korean(3, 9), id="as it opens"),
        pytest.param(korean(3, 21, 59, 59), korean(3, 21, 59, 59), id="at last"),
        pytest.param(korean(3, 22), korean(4, 9), id="as it closes"),
        pytest.param(korean(3, 23, 45), korean(4, 9), id="closed twice over"),
        pytest.param(korean(4, 0, 10), korean(4, 9), id="after midnight"),
        pytest.param(korean(3, 12, 7), korean(3, 12, 20), id="maintenance at noon"),
    ],
)
def test_an_attempt_waits_until_it_may_be_made(at: datetime, next_at: datetime) -> None:
    assert OFFICE.next(at) == next_at
    assert OFFICE.allows(at) == (at == next_at)


def test_maintenance_over_midnight_closes_both_sides_of_it() -> None:
    hours = ChargeHours(maintenance=(NIGHT_WORK,))
    assert [hours.allows(korean(3, 23, m)) for m in (29, 30, 59)] == [True, False, False]
    assert hours.next(korean(3, 23, 30)) == korean(4, 0, 30)
    assert hours.next(korean(4, 0, 29, 59)) == korean(4, 0, 30)


def test_hours_may_lie_over_midnight() -> None:
    hours = ChargeHours(DailyHours.parse("22:00-06:00"))
    assert hours.allows(korean(3, 23))
    assert hours.allows(korean(3, 5, 59))
    assert hours.next(korean(3, 6)) == korean(3, 22)


def test_week_ends_and_bank_holidays_are_passed_over() -> None:
    hours = ChargeHours(DAYTIME, is_day_off=is_bank_holiday)
    # Saturday, Sunday (the 1st of March), and the Monday that stands for it.
    friday_night = datetime(2026, 2, 27, 22, 30, tzinfo=KST)
    assert hours.next(friday_night) == korean(3, 9)
    # Lunar New Year: Monday to Wednesday after a week-end.
    assert hours.next(datetime(2026, 2, 14, tzinfo=KST)) == datetime(2026, 2, 19, 9, tzinfo=KST)


def test_no_run_of_bank_holidays_is_ever_too_long_to_be_waited_out() -> None:
    hours = ChargeHours(DAYTIME, is_day_off=is_bank_holiday)
    day = date(2020, 1, 1)
    longest = timedelta(0)
    while day.year < 2060:
        at = datetime.combine(day, time(9), KST)
        longest = max(longest, hours.next(at) - at)
        day += DAY
    assert timedelta(days=6) <= longest <= timedelta(days=12)


def test_days_that_are_all_avoided_are_refused_and_not_waited_for() -> None:
    hours = ChargeHours(is_day_off=lambda _: True)
    with pytest.raises(InvalidPolicyError, match="within 31 days"):
        hours.next(korean(3, 9))


class TestTheBuyersWish:
    def test_waits_for_maintenance_only(self) -> None:
        hours = ChargeHours(DAYTIME, (NIGHT_WORK,), is_day_off=lambda _: True)
        own = hours.of(AttemptOrigin.BUYER)
        assert own.next(korean(3, 23)) == korean(3, 23)
        assert own.next(korean(3, 23, 40)) == korean(4, 0, 30)

    def test_is_bound_by_nothing_where_there_is_no_maintenance(self) -> None:
        assert not ChargeHours(DAYTIME).of(AttemptOrigin.BUYER).binds

    @pytest.mark.parametrize(
        ("origin", "at"),
        [(AttemptOrigin.BUYER, korean(3, 23)), (AttemptOrigin.SCHEDULE, korean(4, 9))],
    )
    def test_is_kept_when_its_attempt_has_to_be_sent_again(
        self, origin: AttemptOrigin, at: datetime
    ) -> None:
        claim = replace(made.CLAIM, origin=origin)
        move = Move(claim, AttemptStatus.WAITING, next_attempt_at=korean(3, 23))
        assert within(move, OFFICE).next_attempt_at == at

    def test_is_over_with_its_decline(self) -> None:
        claim = replace(made.CLAIM, origin=AttemptOrigin.BUYER)
        move = Move(claim, AttemptStatus.DECLINED, next_attempt_at=korean(3, 23))
        assert within(move, OFFICE).next_attempt_at == korean(4, 9)


class TestClaims:
    def test_are_made_only_if_what_is_claimed_can_still_be_sent(self) -> None:
        """A claim of the last second would be sent half a minute after the hours have closed."""
        last = korean(3, 21, 59, 29)
        assert OFFICE.next_claim(last, SEND_WINDOW) == last
        assert OFFICE.next_claim(korean(3, 21, 59, 30), SEND_WINDOW) == korean(4, 9)
        assert OFFICE.next_claim(korean(3, 11, 59, 45), SEND_WINDOW) == korean(3, 12, 20)

    def test_pass_over_a_piece_that_is_too_short_to_send_in(self) -> None:
        short = (DailyHours.parse("00:00-09:59"), DailyHours.parse("10:00-12:00"))
        hours = ChargeHours(maintenance=short)
        assert hours.next(korean(3, 3)) == korean(3, 9, 59)
        assert hours.next_claim(korean(3, 3), 2 * MINUTE) == korean(3, 12)

    def test_at_all_hours_cost_no_look_at_the_clock(self) -> None:
        at = korean(3, 3)
        assert ChargeHours().next_claim(at, SEND_WINDOW) is at
        assert ChargeHours().next(at) is at

    def test_a_send_window_that_outlasts_the_hours_is_refused(self) -> None:
        leases = made.LEASES.__class__(timedelta(minutes=10), MINUTE, timedelta(hours=1), MINUTE)
        with pytest.raises(InvalidPolicyError, match="send window must be shorter"):
            CollectionRules(leases, hours=OFFICE)
        CollectionRules(leases)


class TestSpread:
    HOURS: Final = ChargeHours(DAYTIME, spread=timedelta(hours=2))

    def test_a_burst_at_midnight_is_spread_over_the_morning(self) -> None:
        midnight = korean(3, 0)
        instants = [self.HOURS.first(uuid.UUID(int=n), midnight, midnight) for n in range(2_000)]
        assert min(instants) >= korean(3, 9)
        assert max(instants) < korean(3, 11)
        quarters = [0] * 8
        for at in instants:
            quarters[int((at - korean(3, 9)) / timedelta(minutes=15))] += 1
        # 250 each, give or take five standard deviations.
        assert all(175 <= count <= 325 for count in quarters)

    def test_a_subscription_has_its_place_for_ever(self) -> None:
        first = self.HOURS.first(ID, korean(3, 0), korean(3, 0))
        again = self.HOURS.first(ID, korean(10, 0), korean(10, 0, 1))
        assert again - first == 7 * DAY

    def test_it_is_counted_in_open_time(self) -> None:
        """What comes due half an hour before the night is not all left for nine o'clock."""
        late = korean(3, 21, 30)
        instants = sorted(self.HOURS.first(uuid.UUID(int=n), late, late) for n in range(400))
        assert sum(at < korean(3, 22) for at in instants) > 60
        morning = [at for at in instants if at >= korean(4, 9)]
        assert max(morning) - min(morning) > timedelta(minutes=70)

    def test_what_is_found_late_is_not_made_later_still(self) -> None:
        found = korean(5, 13)
        assert self.HOURS.first(ID, korean(3, 0), found) == found
        assert self.HOURS.first(ID, korean(3, 0), korean(5, 23)) == korean(6, 9)

    def test_without_hours_it_is_counted_from_the_start(self) -> None:
        hours = ChargeHours(spread=timedelta(hours=1))
        midnight = korean(3, 0)
        assert midnight <= hours.first(ID, midnight, midnight) < midnight + timedelta(hours=1)

    def test_nobody_waits_without_one(self) -> None:
        now = korean(3, 3)
        assert first_attempt_at(ID, korean(3, 0), now, 0, RenewalPolicies()) is None


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "written", ["9:00-22:00", "09:00", "09:00-25:00", "24:00-09:00", "09:60-10:00", "", "a-b"]
    )
    def test_hours_that_are_written_otherwise(self, written: str) -> None:
        with pytest.raises(InvalidPolicyError, match="written like 09:00-22:00"):
            DailyHours.parse(written)

    def test_a_range_that_may_mean_nothing_or_everything(self) -> None:
        with pytest.raises(InvalidPolicyError, match="must differ"):
            DailyHours.parse("09:00-09:00")

    def test_midnight_may_be_written_as_the_end_of_the_day(self) -> None:
        assert DailyHours.parse("09:00-24:00") == DailyHours(time(9), time(0))

    def test_hours_that_maintenance_leaves_nothing_of(self) -> None:
        with pytest.raises(InvalidPolicyError, match=r"leave less than 0:10:00 open"):
            ChargeHours(DailyHours.parse("23:30-00:30"), (NIGHT_WORK,))
        nearly = (DailyHours.parse("00:00-23:51"),)
        with pytest.raises(InvalidPolicyError, match="leave less than"):
            ChargeHours(maintenance=nearly)

    @pytest.mark.parametrize("spread", [timedelta(seconds=-1), timedelta(days=1, seconds=1)])
    def test_a_spread_out_of_range(self, spread: timedelta) -> None:
        with pytest.raises(InvalidPolicyError, match="the spread of charges"):
            ChargeHours(spread=spread)


TIMES: Final = st.times().map(lambda at: at.replace(second=0, microsecond=0))


@st.composite
def charge_hours(draw: st.DrawFn) -> ChargeHours:
    """Any hours that open for long enough."""
    ranges = st.tuples(TIMES, TIMES).filter(lambda both: both[0] != both[1])
    opened = draw(st.none() | ranges)
    maintenance = draw(st.lists(ranges, max_size=3))
    off = draw(st.none() | st.sets(st.integers(0, 6), max_size=6))
    try:
        return ChargeHours(
            DailyHours(*opened) if opened else None,
            tuple(DailyHours(*both) for both in maintenance),
            draw(st.timedeltas(timedelta(0), DAY)),
            None if off is None else lambda day: day.weekday() in off,
        )
    except InvalidPolicyError:
        assume(False)
        raise


INSTANTS: Final = st.datetimes(
    datetime(2026, 1, 1),  # noqa: DTZ001 - the zone is said beside it
    datetime(2027, 1, 1),  # noqa: DTZ001 - the same
    timezones=st.just(UTC),
)


@given(charge_hours(), INSTANTS)
def test_the_next_instant_is_open_and_none_before_it_is(hours: ChargeHours, at: datetime) -> None:
    begin = hours.next(at)
    assert begin >= at
    assert hours.allows(begin)
    assert hours.next(begin) == begin
    step = max((begin - at) / 97, timedelta(microseconds=1))
    while at < begin:
        assert not hours.allows(at)
        at += step


@given(charge_hours(), INSTANTS)
def test_what_is_claimed_is_sent_within_the_hours(hours: ChargeHours, at: datetime) -> None:
    begin = hours.next_claim(at, SEND_WINDOW)
    assert begin >= at
    for part in range(7):
        assert hours.allows(begin + SEND_WINDOW * part / 6)


@given(charge_hours(), INSTANTS, st.uuids(), st.timedeltas(timedelta(0), 40 * DAY))
def test_a_first_attempt_is_open_and_its_period_stays_as_it_was(
    hours: ChargeHours, start_at: datetime, id_: uuid.UUID, late: timedelta
) -> None:
    now = start_at + late
    at = hours.first(id_, start_at, now)
    assert hours.allows(at)
    assert at >= now
    assert first_attempt_at(id_, start_at, now, 0, RenewalPolicies(hours=hours)) in {at, None}


@given(charge_hours(), INSTANTS, st.integers(0, 100), st.sampled_from(CatchUp))
def test_hours_move_attempts_and_nothing_else_of_a_renewal(
    hours: ChargeHours, anchor_at: datetime, days: int, choice: CatchUp
) -> None:
    standing = renewals.subscription(cycle=BillingCycle(anchor_at, Interval(IntervalUnit.MONTH)))
    catch_up, now = CatchUpPolicy(choice), anchor_at + days * DAY
    plain = renew(standing, now, RenewalPolicies(catch_up))
    moved = renew(standing, now, RenewalPolicies(catch_up, hours=hours))
    for before, after in zip(plain.invoices, moved.invoices, strict=True):
        assert replace(after, next_attempt_at=before.next_attempt_at) == before
        assert hours.allows(after.next_attempt_at or now)
        assert (after.next_attempt_at or now) >= (before.next_attempt_at or now)
    assert replace(moved, invoices=plain.invoices) == plain


@given(
    made.claims(),
    st.sampled_from([Declined("한도초과"), NotSent("refused"), Throttled("429", 9.0)]),
    charge_hours(),
    INSTANTS,
)
def test_no_ending_plans_an_attempt_outside_the_hours(
    claim: Claim, outcome: Declined | NotSent | Throttled, hours: ChargeHours, now: datetime
) -> None:
    rules = CollectionRules(made.LEASES, hours=hours)
    before = after_send(claim, outcome, rules, now)
    move = within(before, hours)
    if before.next_attempt_at is None:
        assert move == before
        return
    assert move.next_attempt_at is not None
    assert move.next_attempt_at >= before.next_attempt_at
    is_buyers = claim.origin is AttemptOrigin.BUYER and move.attempt_status is AttemptStatus.WAITING
    binding = hours.of(AttemptOrigin.BUYER if is_buyers else AttemptOrigin.SCHEDULE)
    assert binding.allows(move.next_attempt_at)
