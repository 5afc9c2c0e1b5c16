from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, takewhile
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit, Period
from shared.billing.catch_up import SKIPPED_MAX, CatchUp, CatchUpPolicy
from shared.billing.errors import InvalidCycleError, InvalidPolicyError
from shared.billing.renewal import Renewal, RenewalPolicies, SkipReason
from shared.billing.renewal import renew as renew_subscription
from tests.unit.billing import oracle
from tests.unit.billing.renewals import subscription

SEOUL_MIDNIGHT: Final = datetime(2026, 1, 30, 15, tzinfo=UTC)
MONTHLY: Final = BillingCycle(SEOUL_MIDNIGHT, Interval(IntervalUnit.MONTH))
DAILY: Final = BillingCycle(SEOUL_MIDNIGHT, Interval(IntervalUnit.DAY))
APIA: Final = BillingCycle(
    datetime(2011, 12, 24, 20, tzinfo=UTC), Interval(IntervalUnit.DAY), "Pacific/Apia"
)
EVERY_POLICY: Final = st.builds(
    CatchUpPolicy, st.sampled_from(CatchUp), st.integers(1, 5) | st.just(1000)
)


@st.composite
def backlogs(draw: st.DrawFn) -> tuple[BillingCycle, int, datetime]:
    """A cycle, the first undecided period, and an instant around it or long after."""
    unit = draw(st.sampled_from(IntervalUnit))
    zone = draw(st.sampled_from(["Asia/Seoul", "America/New_York", "Pacific/Apia", "UTC"]))
    anchor_at = draw(
        st.datetimes(datetime(1999, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
    )
    cycle = BillingCycle(anchor_at, Interval(unit), zone)
    next_index = draw(st.integers(0, 30))
    begins_at = cycle.period(next_index).start_at
    late = draw(
        st.timedeltas(timedelta(days=-40), timedelta(days=200))
        | st.timedeltas(timedelta(0), timedelta(days=1500))
    )
    return cycle, next_index, begins_at + late


def begun(cycle: BillingCycle, next_index: int, now: datetime) -> list[Period]:
    """Return the periods from ``next_index`` on that have begun, found one by one."""
    return list(
        takewhile(
            lambda period: period.start_at <= now,
            (cycle.period(index) for index in count(next_index)),
        )
    )


def due(cycle: BillingCycle, next_index: int, now: datetime, policy: CatchUpPolicy) -> Renewal:
    standing = subscription(cycle=cycle, next_index=next_index)
    return renew_subscription(standing, now, RenewalPolicies(policy))


def billed_of(renewal: Renewal) -> list[int]:
    return [invoice.period.index for invoice in renewal.invoices]


def skipped_of(renewal: Renewal) -> list[int]:
    return [skipped.period.index for skipped in renewal.skipped]


def renew(
    cycle: BillingCycle, next_index: int, now: datetime, choice: CatchUp, periods_max: int = 3
) -> tuple[list[int], list[int], int]:
    renewal = due(cycle, next_index, now, CatchUpPolicy(choice, periods_max))
    return billed_of(renewal), skipped_of(renewal), renewal.after.next_period_index


@given(backlogs(), EVERY_POLICY)
def test_every_begun_period_is_billed_or_skipped_or_left_for_later_and_only_once(
    backlog: tuple[BillingCycle, int, datetime], policy: CatchUpPolicy
) -> None:
    cycle, next_index, now = backlog
    renewal = due(cycle, next_index, now, policy)
    waiting = begun(cycle, next_index, now)
    decided = sorted(billed_of(renewal) + skipped_of(renewal))
    later = list(range(renewal.after.next_period_index, next_index + len(waiting)))
    assert decided + later == [period.index for period in waiting]
    assert renewal.after.next_period_index == next_index + len(decided)
    next_period = cycle.period(renewal.after.next_period_index)
    assert renewal.after.next_renewal_at == next_period.start_at


@given(backlogs(), EVERY_POLICY)
def test_periods_come_oldest_first_and_as_the_cycle_has_them(
    backlog: tuple[BillingCycle, int, datetime], policy: CatchUpPolicy
) -> None:
    cycle, next_index, now = backlog
    renewal = due(cycle, next_index, now, policy)
    for periods in (
        [invoice.period for invoice in renewal.invoices],
        [skipped.period for skipped in renewal.skipped],
    ):
        assert periods == sorted(periods, key=lambda period: period.index)
        assert all(period == cycle.period(period.index) for period in periods)


@given(backlogs(), EVERY_POLICY)
def test_nothing_empty_and_nothing_future_is_billed_and_the_work_is_bounded(
    backlog: tuple[BillingCycle, int, datetime], policy: CatchUpPolicy
) -> None:
    cycle, next_index, now = backlog
    renewal = due(cycle, next_index, now, policy)
    for invoice in renewal.invoices:
        assert invoice.period.start_at <= now
        assert not invoice.period.is_empty
    assert all(skipped.period.start_at <= now for skipped in renewal.skipped)
    assert len(renewal.invoices) + len(renewal.skipped) <= SKIPPED_MAX + 1


@given(backlogs(), EVERY_POLICY)
def test_what_was_missed_is_collected_oldest_first_and_some_a_day(
    backlog: tuple[BillingCycle, int, datetime], policy: CatchUpPolicy
) -> None:
    cycle, next_index, now = backlog
    invoices = due(cycle, next_index, now, policy).invoices
    due_at = [invoice.next_attempt_at or now for invoice in invoices]
    assert due_at == sorted(due_at)
    assert due_at[: policy.periods_max] == [now] * min(len(due_at), policy.periods_max)
    a_day = Counter((at - now) // timedelta(days=1) for at in due_at)
    assert all(count <= policy.periods_max for count in a_day.values())
    assert sorted(a_day) == list(range(len(a_day)))


@given(backlogs(), EVERY_POLICY)
def test_repeated_passes_reach_the_present_and_decide_everything_once(
    backlog: tuple[BillingCycle, int, datetime], policy: CatchUpPolicy
) -> None:
    cycle, next_index, now = backlog
    waiting = begun(cycle, next_index, now)
    owed = [period.index for period in waiting if not period.is_empty]
    billed, skipped, passes = [], [], 0
    index = next_index
    while index < next_index + len(waiting):
        renewal = due(cycle, index, now, policy)
        assert renewal.after.next_period_index > index
        billed += billed_of(renewal)
        skipped += skipped_of(renewal)
        index, passes = renewal.after.next_period_index, passes + 1
    again = due(cycle, index, now, policy)
    assert (again.invoices, again.skipped, again.after.next_period_index) == ((), (), index)
    assert passes <= len(waiting) // SKIPPED_MAX + 1
    assert sorted(billed + skipped) == [period.index for period in waiting]
    match policy.choice:
        case CatchUp.BILL_ALL:
            assert billed == owed
        case CatchUp.BILL_LATEST:
            assert billed == owed[-1:]
        case CatchUp.FORGIVE:
            assert billed == (owed if len(owed) == 1 else [])


@pytest.mark.parametrize("choice", CatchUp)
@pytest.mark.parametrize(
    "outage",
    [timedelta(0), timedelta(hours=1), timedelta(days=3), timedelta(days=28)],
    ids=str,
)
def test_an_outage_within_one_period_costs_nobody_anything(
    choice: CatchUp, outage: timedelta
) -> None:
    now = MONTHLY.period(4).start_at + outage
    assert renew(MONTHLY, 4, now, choice) == ([4], [], 5)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (CatchUp.BILL_LATEST, ([5], [4], 6)),
        (CatchUp.BILL_ALL, ([4, 5], [], 6)),
        (CatchUp.FORGIVE, ([], [4, 5], 6)),
    ],
)
def test_an_outage_of_45_days_over_a_monthly_renewal(
    choice: CatchUp, expected: tuple[list[int], list[int], int]
) -> None:
    now = MONTHLY.period(4).start_at + timedelta(days=45)
    assert renew(MONTHLY, 4, now, choice) == expected


@pytest.mark.parametrize(
    ("choice", "periods_max", "expected"),
    [
        (CatchUp.BILL_LATEST, 3, ([3], [0, 1, 2], 4)),
        (CatchUp.BILL_LATEST, 1, ([3], [0, 1, 2], 4)),
        (CatchUp.BILL_ALL, 3, ([0, 1, 2, 3], [], 4)),
        (CatchUp.BILL_ALL, 1, ([0, 1, 2, 3], [], 4)),
        (CatchUp.BILL_ALL, 9, ([0, 1, 2, 3], [], 4)),
        (CatchUp.FORGIVE, 3, ([], [0, 1, 2, 3], 4)),
    ],
)
@pytest.mark.parametrize("cycle", [MONTHLY, DAILY], ids=["monthly", "daily"])
def test_three_elapsed_periods_and_a_running_one(
    cycle: BillingCycle,
    choice: CatchUp,
    periods_max: int,
    expected: tuple[list[int], list[int], int],
) -> None:
    now = cycle.period(3).start_at + timedelta(hours=5)
    assert renew(cycle, 0, now, choice, periods_max) == expected


@pytest.mark.parametrize("choice", CatchUp)
def test_nothing_is_due_before_the_next_period_begins(choice: CatchUp) -> None:
    begins_at = MONTHLY.period(4).start_at
    before = begins_at - timedelta(microseconds=1)
    assert renew(MONTHLY, 4, before, choice) == ([], [], 4)
    assert renew(MONTHLY, 4, begins_at, choice) == ([4], [], 5)
    assert renew(MONTHLY, 0, SEOUL_MIDNIGHT - timedelta(days=9), choice) == ([], [], 0)


@pytest.mark.parametrize("choice", CatchUp)
@pytest.mark.parametrize("elapsed", [SKIPPED_MAX - 1, SKIPPED_MAX, SKIPPED_MAX + 1, 1000])
def test_a_huge_backlog_is_decided_in_bounded_lots(choice: CatchUp, elapsed: int) -> None:
    now = DAILY.period(elapsed).start_at
    billed, skipped, index, lots = [], [], 0, []
    while index <= elapsed:
        renewal = due(DAILY, index, now, CatchUpPolicy(choice))
        billed += billed_of(renewal)
        skipped += skipped_of(renewal)
        lots.append(renewal.after.next_period_index - index)
        index = renewal.after.next_period_index
    everything = list(range(elapsed + 1))
    match choice:
        case CatchUp.BILL_LATEST:
            assert (billed, skipped) == ([elapsed], everything[:-1])
        case CatchUp.BILL_ALL:
            assert (billed, skipped) == (everything, [])
        case CatchUp.FORGIVE:
            assert (billed, skipped) == ([], everything)
    assert max(lots) <= SKIPPED_MAX + 1


def test_several_periods_at_once_are_an_alert_and_one_is_none() -> None:
    now = MONTHLY.period(4).start_at
    assert due(MONTHLY, 4, now, CatchUpPolicy()).caught_up is None
    caught_up = due(MONTHLY, 2, now, CatchUpPolicy()).caught_up
    assert caught_up is not None
    assert (caught_up.billed, caught_up.skipped, caught_up.oldest.index) == (1, 2, 2)
    assert caught_up.choice is CatchUp.BILL_LATEST


@pytest.mark.parametrize(
    ("choice", "billed"),
    [
        (CatchUp.BILL_LATEST, [7]),
        (CatchUp.BILL_ALL, [7]),
        pytest.param(CatchUp.FORGIVE, [7], id="forgive: nothing was missed"),
    ],
)
def test_a_day_that_never_was_is_skipped_and_costs_no_other_day(
    choice: CatchUp, billed: list[int]
) -> None:
    """No outage: the empty 30 December and the 31st begin at the same instant."""
    assert APIA.period(6).is_empty
    assert oracle.local(APIA.period(7).start_at, ZoneInfo("Pacific/Apia")).day == 31
    assert renew(APIA, 6, APIA.period(7).start_at, choice) == (billed, [6], 8)
    renewal = due(APIA, 6, APIA.period(7).start_at, CatchUpPolicy(choice))
    assert [skipped.reason for skipped in renewal.skipped] == [SkipReason.EMPTY]
    assert renewal.caught_up is None


@pytest.mark.parametrize("periods_max", [0, -1])
def test_a_cap_that_would_never_bill_is_refused(periods_max: int) -> None:
    with pytest.raises(InvalidPolicyError, match="periods_max"):
        CatchUpPolicy(CatchUp.BILL_ALL, periods_max)


def test_the_latest_period_is_billed_unless_somebody_chose_otherwise() -> None:
    assert CatchUpPolicy() == CatchUpPolicy(CatchUp.BILL_LATEST, 3)


@pytest.mark.parametrize("choice", CatchUp)
def test_a_negative_period_is_refused(choice: CatchUp) -> None:
    standing = replace(subscription(cycle=MONTHLY), next_period_index=-1)
    with pytest.raises(InvalidCycleError):
        renew_subscription(standing, SEOUL_MIDNIGHT, RenewalPolicies(CatchUpPolicy(choice)))
