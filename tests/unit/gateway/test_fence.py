"""The fence, and the record of a departure."""

import time

import pytest

from worker.gateway.fence import Departure, Fence, FenceExpired


@pytest.mark.parametrize("now_s", [100.0, 100.001, 129.999])
def test_a_fence_is_open_from_the_claim_to_the_end_of_its_window(now_s: float) -> None:
    Fence(100.0, 30.0, lambda: now_s).check()


@pytest.mark.parametrize("now_s", [130.0, 131.0, 99.999, 0.0, float("nan"), float("inf")])
def test_a_fence_is_closed_at_any_other_time(now_s: float) -> None:
    with pytest.raises(FenceExpired):
        Fence(100.0, 30.0, lambda: now_s).check()


def test_a_fence_of_no_length_is_never_open() -> None:
    with pytest.raises(FenceExpired):
        Fence(100.0, 0.0, lambda: 100.0).check()


def test_a_fence_counts_by_the_clock_that_counts_sleep() -> None:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    claimed_at_s = time.clock_gettime(clock)

    Fence(claimed_at_s, 30.0).check()
    with pytest.raises(FenceExpired):
        Fence(claimed_at_s - 31.0, 30.0).check()


def test_a_request_may_have_left_once_it_has_its_connection() -> None:
    departure = Departure()
    assert not departure.bytes_may_have_left

    departure.boards(lambda: None)
    assert departure.bytes_may_have_left

    departure.leaves()
    assert departure.bytes_may_have_left


def test_a_request_the_fence_turns_back_may_stay() -> None:
    departure = Departure(Fence(0.0, 30.0, lambda: 31.0))
    departure.boards(lambda: None)

    with pytest.raises(FenceExpired):
        departure.leaves()
    # Only who writes knows whether nothing was written.
    assert departure.bytes_may_have_left

    departure.stays()
    assert not departure.bytes_may_have_left


def test_a_request_the_fence_lets_pass_may_have_left() -> None:
    departure = Departure(Fence(0.0, 30.0, lambda: 1.0))
    departure.boards(lambda: None)
    departure.leaves()

    assert departure.bytes_may_have_left


def test_a_departure_is_aborted_once() -> None:
    aborted: list[int] = []
    departure = Departure()
    departure.abort()
    departure.boards(lambda: aborted.append(1))
    departure.abort()
    departure.abort()

    assert aborted == [1]
