"""The three readings of "a merchant_uid cannot be used twice"."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.sandbox.client import Gateway

DUPLICATE = (
    200,
    1,
    "이미 주문이 이루어진 건입니다. (동일한 merchant_uid로 결제 또는 취소된 기록이 있습니다)",
)


@pytest.mark.parametrize("policy", ["never_reusable", "refused_if_paid"])
def test_a_paid_merchant_uid_is_refused(gateway: Gateway, policy: str) -> None:
    gateway.faults(duplicate_policy=policy)
    gateway.again()

    assert gateway.again().refusal == DUPLICATE
    assert gateway.again(amount=5000).refusal == DUPLICATE
    assert [row["amount"] for row in gateway.booked("m1")] == [1004]
    assert [seen["result"] for seen in gateway.seen()] == [
        "booked_paid",
        "refused_duplicate_order",
        "refused_duplicate_order",
    ]


def test_without_a_policy_the_buyer_pays_twice(gateway: Gateway) -> None:
    gateway.faults(duplicate_policy="none")
    gateway.again()

    assert gateway.again().code == 0
    assert [row["status"] for row in gateway.booked("m1")] == ["paid", "paid"]


@pytest.mark.parametrize(
    ("policy", "accepted"),
    [("never_reusable", False), ("refused_if_paid", True), ("none", True)],
)
def test_whether_a_failed_merchant_uid_may_be_repeated(
    gateway: Gateway, policy: str, accepted: bool
) -> None:
    gateway.faults(duplicate_policy=policy)
    gateway.behave("declined", "paid")
    gateway.again()
    answer = gateway.again()

    assert (answer.code == 0) is accepted
    assert len(gateway.booked("m1")) == (2 if accepted else 1)
    if not accepted:
        assert answer.refusal == DUPLICATE


def test_the_default_is_refused_if_paid(gateway: Gateway) -> None:
    assert gateway.control("GET", "faults")["duplicate_policy"] == "refused_if_paid"


def test_a_ready_record_does_not_use_up_the_merchant_uid_unless_nothing_is_reusable(
    gateway: Gateway,
) -> None:
    gateway.behave("ready", then="paid")
    gateway.again()
    gateway.faults(duplicate_policy="never_reusable")
    assert gateway.again().refusal == DUPLICATE
    gateway.faults(duplicate_policy="refused_if_paid")
    assert gateway.again().code == 0


def test_two_equal_requests_that_wait_together_are_booked_once(gateway: Gateway) -> None:
    gateway.behave(then={"ending": "slow", "delay_s": 0.3})
    token = gateway.token
    assert token

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: gateway.again(), range(2)))

    assert sorted(answer.code for answer in answers) == [0, 1]
    assert len(gateway.booked("m1")) == 1


def test_every_record_has_its_own_imp_uid(gateway: Gateway) -> None:
    gateway.faults(duplicate_policy="none")
    uids = {gateway.again().response["imp_uid"] for _ in range(20)}

    assert len(uids) == 20
