"""A replay tells what history proves, and calls the rest possible."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.attempt import AttemptStatus
from shared.billing.charge_hours import ChargeHours, DailyHours
from shared.billing.dunning import DunningPolicy, TryAgain, after_decline
from shared.billing.dunning_replay import Declined, Replayed, Tried, compare, replay
from tests.unit.billing import made

START: Final = datetime(2026, 3, 1, 3, tzinfo=UTC)
NOW: Final = START + timedelta(days=200)
ALWAYS: Final = ChargeHours()
D, P, M = AttemptStatus.DECLINED, AttemptStatus.PAID, AttemptStatus.METHOD_DEAD


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def history(*tries: tuple[float, AttemptStatus], buyers: bool = False) -> Declined:
    """Return an invoice of these tries; with ``buyers`` the last one was the buyer's own."""
    last = len(tries) - 1
    return Declined(
        1,
        9_900,
        tuple(
            Tried(day(at), status, "잔액 부족", is_buyers=buyers and position == last)
            for position, (at, status) in enumerate(tries)
        ),
    )


def waits(*days: float) -> DunningPolicy:
    return DunningPolicy(tuple(timedelta(days=each) for each in days), class_delays={})


@pytest.mark.parametrize(
    ("lived", "policy", "ending", "attempts", "paid_on"),
    [
        pytest.param(
            history((0, D), (2, D), (7, P)), waits(7), Replayed.RECOVERED, 2, 7, id="on that day"
        ),
        pytest.param(
            history((0, D), (2, D), (7, P)),
            waits(1, 9),
            Replayed.RECOVERED,
            3,
            10,
            id="later is as good",
        ),
        pytest.param(
            history((0, D), (2, D), (7, P)), waits(1, 1), Replayed.LOST, 3, None, id="given up"
        ),
        pytest.param(
            history((0, D), (2, D), (7, P)), waits(5), Replayed.POSSIBLE, 2, None, id="in between"
        ),
        pytest.param(
            history((0, D), (2, D), (7, P)),
            waits(5, 5),
            Replayed.RECOVERED,
            3,
            10,
            id="in between, and later",
        ),
        pytest.param(
            history((0, D), (2, D)), waits(1, 1), Replayed.UNPAID, 3, None, id="never paid"
        ),
        pytest.param(
            history((0, D), (2, D)),
            waits(9),
            Replayed.POSSIBLE,
            2,
            None,
            id="tried later than ever",
        ),
        pytest.param(
            history((0, D), (2, D)), waits(1, 300), Replayed.OPEN, 2, None, id="not over yet"
        ),
        pytest.param(
            history((0, D), (3, P), buyers=True),
            waits(5),
            Replayed.BY_BUYER,
            1,
            3,
            id="the buyer paid",
        ),
        pytest.param(
            history((0, D), (3, P), buyers=True),
            waits(),
            Replayed.LOST,
            1,
            None,
            id="the buyer came too late",
        ),
        pytest.param(
            history((0, D), (2, M), (9, P), buyers=True),
            waits(1, 3),
            Replayed.BY_BUYER,
            3,
            9,
            id="a dead method waits for the buyer",
        ),
        pytest.param(
            history((0, D), (2, M)), waits(3, 3, 3), Replayed.UNPAID, 2, None, id="dead for good"
        ),
    ],
)
def test_an_invoice_ends_as_its_history_allows(
    lived: Declined,
    policy: DunningPolicy,
    ending: Replayed,
    attempts: int,
    paid_on: float | None,
) -> None:
    fate = replay(lived, policy, ALWAYS, NOW)
    assert (fate.ending, fate.attempts) == (ending, attempts)
    assert fate.paid_at == (None if paid_on is None else day(paid_on))


def test_a_buyer_who_pays_within_the_grace_period_is_not_lost() -> None:
    lived = history((0, D), (9, P), buyers=True)
    policy = DunningPolicy((timedelta(days=1),), grace=timedelta(days=10))
    assert replay(lived, policy, ALWAYS, NOW).ending is Replayed.BY_BUYER


def test_attempts_are_planned_within_the_hours() -> None:
    lived = history((0, D), (2.4, P))
    # The first decline is at noon in Korea, and so is the step two days later.
    morning = ChargeHours(DailyHours.parse("09:00-10:00"))
    fate = replay(lived, waits(2), morning, NOW)
    assert (fate.ending, fate.paid_at) == (Replayed.RECOVERED, day(2) + timedelta(hours=21))


def test_sums_are_those_of_the_invoices() -> None:
    lived = [
        history((0, D), (2, D), (7, P)),
        history((0, D), (2, D)),
        history((0, D), (3, P), buyers=True),
    ]
    found = compare(lived, waits(7), ALWAYS, NOW)
    assert (found.invoices, found.amount) == (3, 29_700)
    assert (found.paid, found.paid_amount, found.attempts) == (2, 19_800, 6)
    assert found.endings == {Replayed.RECOVERED: 1, Replayed.POSSIBLE: 1, Replayed.BY_BUYER: 1}
    assert found.replayed_attempts == 5
    assert found.waits == [timedelta(days=7), timedelta(days=3)]


@st.composite
def lived_under(draw: st.DrawFn) -> tuple[Declined, DunningPolicy]:
    """A policy, and an invoice as it would be collected by it."""
    policy = draw(made.DUNNING_POLICIES)
    pays_at_try = draw(st.integers(2, 9))
    tries, at = [Tried(START, D, "한도초과")], START
    while isinstance(
        step := after_decline(policy, len(tries), at, policy.class_of("한도초과"), START), TryAgain
    ):
        at = step.at
        if len(tries) + 1 == pays_at_try:
            tries.append(Tried(at, P))
            break
        tries.append(Tried(at, D, "한도초과"))
    return Declined(1, 9_900, tuple(tries)), policy


@given(lived_under())
def test_the_policy_that_was_in_force_is_replayed_as_it_was(
    drawn: tuple[Declined, DunningPolicy],
) -> None:
    lived, policy = drawn
    fate = replay(lived, policy, ALWAYS, START + timedelta(days=4_000))
    assert fate.attempts == len(lived.tries)
    assert fate.ending is (Replayed.UNPAID if lived.paid is None else Replayed.RECOVERED)
    assert fate.paid_at == (None if lived.paid is None else lived.paid.at)
