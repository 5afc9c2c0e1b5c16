"""When an end comes that waits for what was paid for to be used, wherever a subscription stands."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.cancellation import end_of_use
from shared.billing.errors import InvalidCancellationError
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.money import Price
from shared.billing.pause import PauseKeeps
from shared.billing.subscription import Agreement, Subscription

START_AT: Final = datetime(2026, 1, 31, tzinfo=UTC)
DAY, INSTANT = timedelta(days=1), timedelta(microseconds=1)
MONTHLY: Final = BillingCycle(START_AT, Interval(IntervalUnit.MONTH))
FIRST, SECOND = MONTHLY.period(0), MONTHLY.period(1)
TRIALING, PAUSED = SubscriptionStatus.TRIALING, SubscriptionStatus.PAUSED


def standing(
    status: SubscriptionStatus = SubscriptionStatus.ACTIVE,
    cycle: BillingCycle = MONTHLY,
    trial_end_at: datetime | None = None,
    **values: Any,
) -> Subscription:
    agreement = Agreement(Price(30_000), "슬림", cycle, trial_end_at=trial_end_at)
    said = {"next_period_index": 1, "next_renewal_at": SECOND.start_at, **values}
    return Subscription(uuid.UUID(int=1), 1, agreement, status, created_at=START_AT, **said)


@pytest.mark.parametrize("later", [timedelta(0), 5 * DAY])
def test_a_trial_is_over_when_it_ends(later: timedelta) -> None:
    cycle = BillingCycle(START_AT + later, MONTHLY.interval)
    trial = standing(TRIALING, cycle, START_AT, next_period_index=0)
    assert end_of_use(trial, START_AT - DAY) == START_AT
    # Once it is over, it is the calendar's.
    assert end_of_use(trial, START_AT) == (cycle.period(0).end_at if not later else cycle.anchor_at)


def test_a_cycle_that_follows_another_has_the_others_last_period_before_it() -> None:
    cycle = BillingCycle(START_AT + 20 * DAY, MONTHLY.interval, anchor_index=7)
    moved = standing(cycle=cycle, next_period_index=7)
    assert end_of_use(moved, START_AT) == START_AT + 20 * DAY
    assert end_of_use(moved, START_AT + 20 * DAY) == cycle.period(8).start_at


@pytest.mark.parametrize(
    ("pause_at", "now", "end"),
    [
        (START_AT + DAY, START_AT + 2 * DAY, SECOND.start_at),
        (START_AT + DAY, SECOND.start_at - INSTANT, SECOND.start_at),
        (START_AT + DAY, SECOND.start_at, SECOND.start_at),
        (START_AT + DAY, SECOND.start_at + DAY, SECOND.start_at + DAY),
        (SECOND.start_at, SECOND.start_at + DAY, SECOND.start_at + DAY),
    ],
)
def test_what_a_pause_has_skipped_is_not_waited_for(
    pause_at: datetime, now: datetime, end: datetime
) -> None:
    paused = standing(PAUSED, pause_at=pause_at, pause_keeps=PauseKeeps.CALENDAR)
    assert end_of_use(paused, now) == end


def test_a_pause_that_keeps_time_has_no_end_of_a_period_but_where_none_is_left() -> None:
    now = SECOND.start_at + 100 * DAY
    still: dict[str, Any] = {"next_renewal_at": None, "pause_keeps": PauseKeeps.TIME}
    with pytest.raises(InvalidCancellationError, match="resume it first, or cancel now"):
        end_of_use(standing(PAUSED, pause_at=SECOND.start_at - INSTANT, **still), now)
    assert end_of_use(standing(PAUSED, pause_at=SECOND.start_at, **still), now) == now
