from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.dunning import (
    DunningPolicy,
    GiveUp,
    TerminalAction,
    TryAgain,
    after_decline,
)
from shared.billing.errors import InvalidPolicyError
from tests.unit.billing import made

NOW: Final = datetime(2026, 3, 15, 3, 0, tzinfo=UTC)


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
    assert after_decline(DunningPolicy(delays=()), 1, NOW) == GiveUp(TerminalAction.LEAVE_PAST_DUE)


@given(made.DUNNING_POLICIES, made.INSTANTS)
def test_an_invoice_is_tried_once_for_each_delay_and_always_later(
    policy: DunningPolicy, now: datetime
) -> None:
    at, declines = now, 1
    while isinstance(step := after_decline(policy, declines, at), TryAgain):
        assert step.at > at
        at, declines = step.at, declines + 1
    assert step == GiveUp(policy.terminal_action)
    assert declines == len(policy.delays) + 1
    assert at - now == sum(policy.delays, timedelta(0))


@given(made.DUNNING_POLICIES, st.integers(1, 10))
def test_once_given_up_no_further_decline_brings_an_attempt_back(
    policy: DunningPolicy, first: int
) -> None:
    steps = [after_decline(policy, declines, NOW) for declines in range(first, first + 8)]
    for earlier, later in pairwise(steps):
        assert isinstance(later, GiveUp) or isinstance(earlier, TryAgain)


@pytest.mark.parametrize("declines", [0, -1])
def test_a_step_before_any_decline_is_refused(declines: int) -> None:
    with pytest.raises(InvalidPolicyError, match="1 or more"):
        after_decline(DunningPolicy(), declines, NOW)


@pytest.mark.parametrize("delay", [timedelta(0), timedelta(seconds=-1)], ids=str)
def test_a_delay_that_would_charge_again_at_once_is_refused(delay: timedelta) -> None:
    with pytest.raises(InvalidPolicyError, match="longer than nothing"):
        DunningPolicy((timedelta(days=1), delay))
