from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.charge_hours import KST
from shared.billing.decline import DeclineClass
from shared.billing.dunning import (
    CLASS_DELAYS,
    DELAYS,
    AwaitGrace,
    DunningPolicy,
    GiveUp,
    TerminalAction,
    TryAgain,
    after_decline,
)
from shared.billing.errors import InvalidPolicyError
from tests.unit.billing import made

NOW: Final = datetime(2026, 3, 15, 3, 0, tzinfo=UTC)
DAY: Final = timedelta(days=1)
CLASSES: Final = st.sampled_from(DeclineClass)
BALANCE: Final = DeclineClass.INSUFFICIENT_BALANCE


@pytest.mark.parametrize(("declines", "days"), [(1, 2), (2, 5), (3, 7)])
def test_a_decline_is_followed_by_the_delay_of_its_place(declines: int, days: int) -> None:
    assert after_decline(DunningPolicy(), declines, NOW) == TryAgain(NOW + timedelta(days=days))


@pytest.mark.parametrize("declines", [4, 5, 1000])
@pytest.mark.parametrize("action", TerminalAction)
def test_after_the_last_delay_the_terminal_action_follows(
    declines: int, action: TerminalAction
) -> None:
    assert after_decline(DunningPolicy(terminal_action=action), declines, NOW) == GiveUp(action)


def test_without_delays_the_first_decline_is_the_last() -> None:
    policy = DunningPolicy(delays=(), class_delays={})
    for decline_class in DeclineClass:
        step = after_decline(policy, 1, NOW, decline_class)
        assert step == GiveUp(TerminalAction.LEAVE_PAST_DUE)


@given(made.DUNNING_POLICIES, made.INSTANTS, st.lists(CLASSES, min_size=9, max_size=9))
def test_every_policy_ends_and_makes_no_more_attempts_than_it_may(
    policy: DunningPolicy, now: datetime, classes: list[DeclineClass]
) -> None:
    at, declines = now, 1
    while isinstance(step := after_decline(policy, declines, at, classes[declines], now), TryAgain):
        assert step.at > at
        assert policy.grace is None or step.at < now + policy.grace
        at, declines = step.at, declines + 1
    assert declines <= policy.attempts_max
    longest = max(len(d) for d in (policy.delays, *policy.class_delays.values()))
    assert declines <= longest + 1
    if isinstance(step, AwaitGrace):
        assert policy.grace is not None
        assert step.until == now + policy.grace > at
        step = after_decline(policy, declines, step.until, classes[declines], now)
    assert step == GiveUp(policy.terminal_action)


@given(made.DUNNING_POLICIES, st.integers(1, 10), CLASSES)
def test_once_given_up_no_further_decline_brings_an_attempt_back(
    policy: DunningPolicy, first: int, decline_class: DeclineClass
) -> None:
    # After a wait for the end of a grace period nothing is tried that could be declined.
    policy = replace(policy, grace=None)
    steps = [
        after_decline(policy, declines, NOW, decline_class) for declines in range(first, first + 8)
    ]
    for earlier, later in pairwise(steps):
        assert isinstance(later, GiveUp) or isinstance(earlier, TryAgain)


class TestClasses:
    @pytest.mark.parametrize("decline_class", DeclineClass)
    def test_each_has_its_own_schedule_or_the_general_one(
        self, decline_class: DeclineClass
    ) -> None:
        delays = CLASS_DELAYS.get(decline_class, DELAYS)
        for declines, delay in enumerate(delays, start=1):
            step = after_decline(DunningPolicy(), declines, NOW, decline_class)
            assert step == TryAgain(NOW + delay)
        over = after_decline(DunningPolicy(), len(delays) + 1, NOW, decline_class)
        assert isinstance(over, GiveUp)

    def test_another_class_begins_no_schedule_anew(self) -> None:
        """Declined for three reasons in turn, an invoice has been declined three times."""
        policy = DunningPolicy(class_delays={DeclineClass.METHOD: (DAY, DAY)})
        step = after_decline(policy, 3, NOW, DeclineClass.METHOD)
        assert step == GiveUp(TerminalAction.LEAVE_PAST_DUE)

    def test_what_nobody_knows_waits_days_and_ends(self) -> None:
        """An unknown text may mean anything: it is neither hurried nor buried."""
        unknown = DunningPolicy().delays_of(DeclineClass.UNKNOWN)
        assert min(unknown) >= 2 * DAY
        assert len(unknown) <= 3

    def test_nothing_is_tried_less_often_or_later_than_what_nobody_knows(self) -> None:
        policy = DunningPolicy()
        unknown = policy.delays_of(DeclineClass.UNKNOWN)
        for decline_class in DeclineClass:
            delays = policy.delays_of(decline_class)
            assert len(delays) >= len(unknown)
            assert all(delay <= most for delay, most in zip(delays, unknown, strict=False))

    def test_trouble_of_the_gateway_leaves_a_day_for_it_to_turn_paid(self) -> None:
        assert min(CLASS_DELAYS[DeclineClass.GATEWAY_TROUBLE]) >= DAY


def korean(month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=KST)


class TestPayDays:
    POLICY: Final = DunningPolicy(pay_day_within=3)

    @pytest.mark.parametrize(
        ("declined", "planned"),
        [
            pytest.param(korean(3, 20, 9), korean(3, 25, 12), id="three days later is the 25th"),
            pytest.param(korean(3, 19, 9), korean(3, 21, 9), id="four days are too far"),
            pytest.param(korean(3, 23, 0, 5), korean(3, 25, 12), id="not at midnight of the day"),
            pytest.param(korean(3, 23, 15), korean(3, 25, 15), id="the day itself, in the evening"),
            pytest.param(korean(3, 24, 9), korean(3, 26, 9), id="just past it"),
            pytest.param(korean(3, 6, 9), korean(3, 10, 12), id="the 10th"),
        ],
    )
    def test_the_next_attempt_meets_one_that_is_near(
        self, declined: datetime, planned: datetime
    ) -> None:
        assert after_decline(self.POLICY, 1, declined, BALANCE) == TryAgain(planned)

    @pytest.mark.parametrize("decline_class", sorted(set(DeclineClass) - {BALANCE}))
    def test_they_say_nothing_of_other_declines(self, decline_class: DeclineClass) -> None:
        declined = korean(3, 20, 9)
        step = after_decline(self.POLICY, 1, declined, decline_class)
        assert step == TryAgain(declined + self.POLICY.delays_of(decline_class)[0])

    def test_none_is_waited_for_by_default_of_the_domain(self) -> None:
        declined = korean(3, 20, 9)
        assert after_decline(DunningPolicy(), 1, declined, BALANCE) == TryAgain(declined + 2 * DAY)

    def test_the_last_of_a_short_month_stands_for_the_31st(self) -> None:
        policy = DunningPolicy(pay_days=(31,), pay_day_within=3)
        step = after_decline(policy, 1, korean(2, 24, 9), BALANCE)
        assert step == TryAgain(korean(2, 28, 12))

    def test_a_delay_of_less_than_a_day_is_not_moved(self) -> None:
        """Whoever tries again within the hour does not wait for a salary."""
        policy = DunningPolicy((timedelta(hours=23),), pay_day_within=3)
        declined = korean(3, 23, 9)
        step = after_decline(policy, 1, declined, BALANCE)
        assert step == TryAgain(declined + timedelta(hours=23))

    @given(
        st.datetimes(datetime(2025, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        st.integers(0, 31),
    )
    def test_an_attempt_is_only_put_off_and_never_further_than_said(
        self, declined: datetime, within: int
    ) -> None:
        policy = DunningPolicy(pay_day_within=within)
        step = after_decline(policy, 1, declined, BALANCE)
        assert isinstance(step, TryAgain)
        later = step.at - (declined + 2 * DAY)
        assert timedelta(0) <= later < (within + 1) * DAY
        assert not later or step.at.astimezone(KST).day in {10, 25}


class TestGrace:
    POLICY: Final = DunningPolicy(grace=timedelta(days=10), terminal_action=TerminalAction.PAUSE)

    def test_an_attempt_that_would_come_after_it_is_not_made(self) -> None:
        step = after_decline(self.POLICY, 2, NOW + 6 * DAY, past_due_at=NOW)
        assert step == AwaitGrace(NOW + 10 * DAY)

    def test_it_is_waited_for_when_the_schedule_is_over_earlier(self) -> None:
        """Until then the buyer may still pay, and what was bought goes on."""
        step = after_decline(self.POLICY, 4, NOW + DAY, past_due_at=NOW)
        assert step == AwaitGrace(NOW + 10 * DAY)

    def test_a_decline_after_its_end_is_the_last(self) -> None:
        step = after_decline(self.POLICY, 1, NOW + 10 * DAY, past_due_at=NOW)
        assert step == GiveUp(TerminalAction.PAUSE)

    def test_it_counts_from_the_first_decline(self) -> None:
        assert after_decline(self.POLICY, 1, NOW) == TryAgain(NOW + 2 * DAY)
        assert self.POLICY.grace_ends_at(NOW) == NOW + 10 * DAY
        assert not self.POLICY.is_over(NOW, NOW + 10 * DAY - timedelta(seconds=1))
        assert self.POLICY.is_over(NOW, NOW + 10 * DAY)

    def test_without_one_nothing_is_over(self) -> None:
        assert not DunningPolicy().is_over(NOW, NOW + 9_999 * DAY)
        assert not self.POLICY.is_over(None, NOW)


@pytest.mark.parametrize("declines", [0, -1])
def test_a_step_before_any_decline_is_refused(declines: int) -> None:
    with pytest.raises(InvalidPolicyError, match="1 or more"):
        after_decline(DunningPolicy(), declines, NOW)


@pytest.mark.parametrize("delay", [timedelta(0), timedelta(seconds=-1)], ids=str)
def test_a_delay_that_would_charge_again_at_once_is_refused(delay: timedelta) -> None:
    with pytest.raises(InvalidPolicyError, match="longer than nothing"):
        DunningPolicy((timedelta(days=1), delay))
    with pytest.raises(InvalidPolicyError, match="longer than nothing"):
        DunningPolicy(class_delays={DeclineClass.LIMIT: (delay,)})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"delays": (DAY,) * 4, "attempts_max": 4}, "4 delays makes 5 attempts"),
        ({"attempts_max": 0, "delays": (), "class_delays": {}}, "makes 1 attempts"),
        ({"key_attempts_max": 0}, "tried once at least"),
        ({"retries_max": 0}, "tried once at least"),
        ({"grace": timedelta(0)}, "grace period must be longer"),
        ({"pay_days": (0,)}, "days of a month"),
        ({"pay_days": (10, 32)}, "days of a month"),
        ({"pay_day_within": -1}, "0 or more days"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidPolicyError, match=told):
        DunningPolicy(**given)
