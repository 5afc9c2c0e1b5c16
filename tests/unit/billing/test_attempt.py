from datetime import timedelta

import pytest

from shared.billing.attempt import INQUIRABLE, UNSETTLED, AttemptStatus, Leases
from shared.billing.errors import InvalidPolicyError
from shared.billing.inquiry import Expectation
from tests.unit.billing import made


def leases(send_window: float, total_timeout: float, lease: float, settle_delay: float) -> Leases:
    return Leases(
        *(timedelta(seconds=each) for each in (send_window, total_timeout, lease, settle_delay))
    )


def test_a_lease_that_outlasts_every_send_is_taken() -> None:
    assert leases(30, 75, 105.000001, 180).lease == timedelta(seconds=105, microseconds=1)


@pytest.mark.parametrize("lease", [105, 104.999999, 75, 0, -1])
def test_a_lease_that_a_living_request_could_outlast_is_refused(lease: float) -> None:
    with pytest.raises(InvalidPolicyError, match=r"the lease .* must be longer"):
        leases(30, 75, lease, 180)


@pytest.mark.parametrize(
    ("send_window", "total_timeout", "settle_delay"),
    [(0, 75, 180), (-1, 75, 180), (30, 0, 180), (30, -1, 180), (30, 75, 0), (30, 75, -1)],
)
def test_a_time_of_nothing_is_refused(
    send_window: float, total_timeout: float, settle_delay: float
) -> None:
    with pytest.raises(InvalidPolicyError, match="longer than nothing"):
        leases(send_window, total_timeout, 120, settle_delay)


def test_every_state_is_an_end_or_has_an_owner() -> None:
    ends = {
        AttemptStatus.PAID,
        AttemptStatus.DECLINED,
        AttemptStatus.METHOD_DEAD,
        AttemptStatus.VOID,
    }
    assert set(AttemptStatus) == UNSETTLED | ends
    assert not UNSETTLED & ends


def test_only_what_may_have_moved_money_unseen_is_asked_about() -> None:
    assert {AttemptStatus.CLAIMED, AttemptStatus.UNKNOWN} == INQUIRABLE
    assert INQUIRABLE < UNSETTLED


def test_a_claim_expects_the_record_it_would_make() -> None:
    claim = made.CLAIM
    assert claim.expectation == Expectation(claim.merchant_uid, 13_900, made.CUSTOMER_UID)
