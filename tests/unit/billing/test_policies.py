"""The small rules a settlement is made of: waits, gaps, and the brake."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.errors import InvalidPolicyError
from shared.billing.rules import CollectionRules, DeadMethodBrake, InquiryPolicy, ResendPolicy
from tests.unit.billing import made


def seconds(*values: float) -> tuple[timedelta, ...]:
    return tuple(timedelta(seconds=value) for value in values)


@pytest.mark.parametrize(
    ("send_number", "wait_s"),
    [(1, 10), (2, 20), (3, 40), (7, 640), (8, 900), (9, 900), (21, 900), (10**9, 900)],
)
def test_the_wait_doubles_with_every_send_up_to_the_longest(send_number: int, wait_s: int) -> None:
    assert ResendPolicy().wait(send_number) == timedelta(seconds=wait_s)


@given(made.RULE_SETS)
def test_a_wait_never_shrinks_and_never_exceeds_the_longest(rules: CollectionRules) -> None:
    waits = [rules.resend.wait(send_number) for send_number in range(1, 40)]
    assert all(earlier <= later for earlier, later in pairwise(waits))
    assert max(waits) <= rules.resend.delay_max
    assert min(waits) > timedelta(0)


@pytest.mark.parametrize(
    "faulty",
    [
        {"delay": timedelta(0)},
        {"delay": timedelta(seconds=-1)},
        {"delay_max": timedelta(0)},
        {"hold": timedelta(0)},
        {"hold": timedelta(seconds=-1)},
    ],
    ids=repr,
)
def test_a_resend_policy_that_sends_without_pause_is_refused(faulty: dict[str, timedelta]) -> None:
    with pytest.raises(InvalidPolicyError):
        ResendPolicy(**faulty)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "gaps", [(), seconds(0), seconds(30, 0, 60), seconds(-1)], ids=lambda gaps: str(len(gaps))
)
def test_inquiries_without_pause_are_refused(gaps: tuple[timedelta, ...]) -> None:
    with pytest.raises(InvalidPolicyError, match="gaps"):
        InquiryPolicy(gaps)


@pytest.mark.parametrize("no_records_needed", [0, -1])
def test_concluding_without_asking_is_refused(no_records_needed: int) -> None:
    with pytest.raises(InvalidPolicyError, match="no_records_needed"):
        InquiryPolicy(no_records_needed=no_records_needed)


def test_the_gaps_grow_as_given() -> None:
    policy = InquiryPolicy()
    waits_s = [policy.gap(inquiries).total_seconds() for inquiries in range(1, 8)]
    assert waits_s == [30, 60, 300, 900, 3600, 3600, 3600]


@pytest.mark.parametrize(
    ("settled", "dead", "pulls"),
    [
        (0, 0, False),
        (19, 19, False),
        (20, 20, True),
        (39, 20, True),
        (40, 20, False),
        (41, 20, False),
        (1000, 20, False),
        (1000, 500, False),
        (1000, 501, True),
    ],
)
def test_many_dead_keys_are_not_believed_and_few_are(settled: int, dead: int, pulls: bool) -> None:
    assert DeadMethodBrake().pulls(settled, dead) is pulls


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 100))
def test_one_more_dead_key_never_lets_the_brake_go(settled: int, dead: int, more: int) -> None:
    brake = DeadMethodBrake()
    if brake.pulls(settled, dead):
        assert brake.pulls(settled + more, dead + more)
