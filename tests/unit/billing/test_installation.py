"""What a database is, by the mark it shows and the marks that were seen."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.installation import (
    MARK_LEAP,
    NEVER_MARKED,
    PROOF_VALID,
    UNPROVEN,
    Mark,
    Proof,
    Standing,
    later,
    proof_of,
    standing,
)

NOW: Final = datetime(2026, 1, 31, tzinfo=UTC)
OURS: Final = UUID(int=7)
MARK: Final = Mark(OURS, 100, NOW - timedelta(seconds=5))
OTHERS: Final = replace(MARK, installation_id=UUID(int=8))
OLD: Final = replace(MARK, at=NOW - PROOF_VALID - timedelta(seconds=1))


def numbered(number: int, mark: Mark = MARK) -> Mark:
    return replace(mark, number=number)


@pytest.mark.parametrize(
    ("shown", "seen", "expected"),
    [
        pytest.param(MARK, MARK, Standing.PROVEN, id="as it was seen"),
        pytest.param(numbered(101), MARK, Standing.PROVEN, id="raised since"),
        pytest.param(numbered(99), MARK, Standing.RESTORED, id="behind"),
        pytest.param(numbered(99, OLD), OLD, Standing.RESTORED, id="behind, seen long ago"),
        pytest.param(MARK, OLD, Standing.DOUBTFUL, id="seen long ago"),
        pytest.param(MARK, None, Standing.DOUBTFUL, id="never seen"),
        pytest.param(MARK, OTHERS, Standing.DOUBTFUL, id="another was seen"),
        pytest.param(numbered(100 + MARK_LEAP), MARK, Standing.PROVEN, id="recovered"),
    ],
)
def test_a_marked_database_stands_by_what_was_seen(
    shown: Mark, seen: Mark | None, expected: Standing
) -> None:
    for has_charged in (False, True):
        assert standing(shown, seen, NOW, has_charged=has_charged) is expected


@pytest.mark.parametrize(
    ("seen", "has_charged", "expected"),
    [
        (None, False, Standing.PROVEN),
        (None, True, Standing.PROVEN),
        (MARK, False, Standing.PROVEN),
        (MARK, True, Standing.RESTORED),
        (OLD, True, Standing.RESTORED),
    ],
)
def test_a_database_without_a_mark_is_new_unless_it_has_charged_and_a_mark_was_seen(
    seen: Mark | None, has_charged: bool, expected: Standing
) -> None:
    assert standing(None, seen, NOW, has_charged=has_charged) is expected


def test_what_was_seen_lately_must_be_shown_and_what_is_old_proves_nothing() -> None:
    assert proof_of(None, NOW) == NEVER_MARKED == Proof(None, 0)
    assert proof_of(MARK, NOW) == Proof(OURS, 100)
    assert proof_of(OLD, NOW) == UNPROVEN
    assert UNPROVEN.installation_id not in {None, OURS}


MARKS: Final = st.builds(
    Mark,
    st.sampled_from([OURS, OTHERS.installation_id]),
    st.integers(0, 5),
    st.integers(0, 5).map(lambda seconds: NOW - timedelta(seconds=seconds)),
)


@given(MARKS, MARKS, MARKS)
def test_two_memories_of_one_installation_know_the_highest_in_any_order(
    one: Mark, other: Mark, third: Mark
) -> None:
    both = later(one, other)
    assert both is not None
    if one.installation_id != other.installation_id:
        assert both == other
        return
    assert both == later(other, one)
    assert both.number == max(one.number, other.number)
    assert both.at == max(one.at, other.at)
    if third.installation_id == one.installation_id:
        assert later(both, third) == later(one, later(other, third))
    assert later(None, one) == later(one, None) == one


@given(MARKS, st.lists(st.integers(1, 3), max_size=5), st.integers(0, 20))
def test_a_mark_that_was_seen_is_never_above_one_that_is_read_later(
    seen: Mark, raised: list[int], back: int
) -> None:
    """A database that only goes on is never taken for a restored one; one set back always is."""
    shown = replace(seen, number=seen.number + sum(raised))
    assert standing(shown, seen, NOW, has_charged=True) is Standing.PROVEN
    fallen = replace(seen, number=seen.number - 1 - back)
    assert standing(fallen, seen, NOW, has_charged=True) is Standing.RESTORED
