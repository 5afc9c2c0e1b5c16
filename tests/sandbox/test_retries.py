"""`…/retry`: a failed or revoked schedule charged at once, with every way that can end."""

import json
from http.client import RemoteDisconnected

import pytest

from deploy.sandbox import retries
from deploy.sandbox.calls import Call
from deploy.sandbox.endings import Ending, Script, Step
from deploy.sandbox.records import BillingKey, Order, Verdict
from deploy.sandbox.records import Status as PaymentStatus
from deploy.sandbox.replies import Reply, Wire
from deploy.sandbox.state import Sandbox
from deploy.sandbox.tokens import TokenDesk
from tests.sandbox.client import Answer, Gateway, WaitUntil

SCHEDULE = "/subscribe/payments/schedule"
SOON_S = 600
NOT_FAILED = (400, -1, "sandbox: the schedule is pending, under way or paid")


def _revoked(gateway: Gateway, **more: object) -> None:
    at = int(gateway.control("GET", "clock")["now"]) + SOON_S
    entry = {"merchant_uid": "s1", "schedule_at": at, "amount": 1004, **more}
    assert gateway.post(SCHEDULE, customer_uid="buyer", schedules=[entry]).code == 0
    gateway.post("/subscribe/payments/unschedule", merchant_uid="s1")


def _retry(gateway: Gateway) -> Answer:
    return gateway.post(f"{SCHEDULE}/s1/retry")


def _status(gateway: Gateway) -> tuple[str, str | None]:
    found = gateway.get(f"{SCHEDULE}/s1").response
    return found["schedule_status"], found["payment_status"]


def test_a_retry_is_a_payment_of_the_schedule(gateway: Gateway) -> None:
    _revoked(gateway, name="구독")
    gateway.behave("declined", "paid")
    declined, paid = _retry(gateway), _retry(gateway)

    assert (declined.code, declined.response["status"]) == (0, "failed")
    assert declined.response["fail_reason"] == "잔액 부족"
    assert (paid.status, paid.code, paid.response["status"]) == (200, 0, "paid")
    assert paid.response["customer_uid_usage"] == "payment.scheduled"
    assert (paid.response["merchant_uid"], paid.response["name"]) == ("s1", "구독")
    assert gateway.get(f"{SCHEDULE}/s1").response["imp_uid"] == paid.response["imp_uid"]
    assert _retry(gateway).refusal == NOT_FAILED
    assert [row["result"] for row in gateway.seen("s1")] == ["booked_failed", "booked_paid"]
    assert {row["endpoint"] for row in gateway.seen("s1")} == {"retry"}


@pytest.mark.parametrize("policy", ["never_reusable", "refused_if_paid", "none"])
def test_what_failed_before_refuses_no_retry_and_what_was_paid_does(
    gateway: Gateway, policy: str
) -> None:
    gateway.faults(duplicate_policy=policy)
    _revoked(gateway)
    gateway.behave("declined")
    _retry(gateway)
    assert _retry(gateway).response["status"] == "paid"
    gateway.reset()
    gateway.faults(duplicate_policy=policy)
    _revoked(gateway)
    gateway.again(merchant_uid="s1")
    answer = _retry(gateway)

    if policy == "none":
        assert answer.response["status"] == "paid"
        return
    assert (answer.status, answer.code) == (200, 1)
    assert str(answer.message).startswith("이미 주문이 이루어진 건입니다.")
    assert len(gateway.booked("s1")) == 1
    # Nothing is left pending by a refusal.
    gateway.control("PUT", "clock", {"offset_s": 2 * SOON_S})
    assert gateway.control("POST", "run-schedules")["executed"] == []


def test_a_schedule_without_its_key_cannot_be_retried(gateway: Gateway) -> None:
    _revoked(gateway)
    gateway.delete("/subscribe/customers/buyer")

    assert _retry(gateway).refusal == (404, -1, "sandbox: the billing key of this schedule is gone")
    assert gateway.booked() == []


def test_a_pending_schedule_cannot_be_retried(gateway: Gateway) -> None:
    at = int(gateway.control("GET", "clock")["now"]) + SOON_S
    entry = {"merchant_uid": "s1", "schedule_at": at, "amount": 1004}
    gateway.post(SCHEDULE, customer_uid="buyer", schedules=[entry])

    assert _retry(gateway).refusal == NOT_FAILED
    assert _status(gateway) == ("scheduled", None)


def test_a_retry_may_be_lost_either_way(gateway: Gateway) -> None:
    _revoked(gateway)
    gateway.behave("lost_request", "lost_reply")
    for expected in (("revoked", None), ("executed", "paid")):
        with pytest.raises((RemoteDisconnected, ConnectionError)):
            _retry(gateway)
        assert _status(gateway) == expected
    assert [row["result"] for row in gateway.seen("s1")] == ["nothing", "booked_paid"]


def test_a_retry_may_succeed_after_its_client_has_left(
    gateway: Gateway, wait_until: WaitUntil
) -> None:
    _revoked(gateway)
    gateway.behave({"ending": "late_success", "delay_s": 0.2})
    with pytest.raises((RemoteDisconnected, ConnectionError)):
        _retry(gateway)
    assert gateway.booked() == []

    wait_until(lambda: len(gateway.booked()) == 1)
    assert _status(gateway) == ("executed", "paid")


def test_both_outcomes_of_a_retry_are_told(gateway: Gateway) -> None:
    gateway.faults(webhook_url="http://127.0.0.1:9/")
    _revoked(gateway)
    gateway.behave("declined", "paid")
    _retry(gateway)
    _retry(gateway)

    assert [row["body"]["status"] for row in gateway.webhooks()] == ["failed", "paid"]


def _failed_once(sandbox: Sandbox) -> None:
    sandbox.book.register(BillingKey("buyer", inserted_at=0.0, updated_at=0.0))
    order = Order("buyer", "s1", 1004, "구독")
    schedule = sandbox.timetable.add(order, schedule_at=1)
    declined = sandbox.book.enter_scheduled(order, Verdict(PaymentStatus.FAILED), at=1.0)
    sandbox.timetable.executed(schedule, imp_uid=declined.imp_uid, at=1.0)


def test_every_ending_is_answered_and_the_client_is_told_what_was_booked() -> None:
    """No ending may be forgotten in the tables that say what it does."""
    for ending in Ending:
        sandbox = Sandbox(TokenDesk("k", "s"))
        _failed_once(sandbox)
        sandbox.scripts["buyer"] = Script(then=Step(ending))
        retry = retries.arrive(sandbox, Call("/", {"merchant_uid": "s1"}))
        assert not isinstance(retry, Reply)
        reply = retries.conclude(sandbox, retry)
        assert reply.status or reply.wire is not Wire.DELIVER, ending
        if reply.status == 200 and reply.wire is Wire.DELIVER and ending is not Ending.GARBAGE:
            told = json.loads(reply.body)
            last = list(sandbox.book.payments())[-1]
            assert (told["code"] == 0) is (sandbox.book.payment_count == 2), ending
            assert told["code"] or told["response"]["status"] == last.status, ending


def test_of_two_retries_that_wait_together_one_is_charged() -> None:
    sandbox = Sandbox(TokenDesk("k", "s"))
    _failed_once(sandbox)
    call = Call("/", {"merchant_uid": "s1"})
    waiting = [retries.arrive(sandbox, call) for _ in range(2)]
    replies = [retries.conclude(sandbox, each) for each in waiting if not isinstance(each, Reply)]

    assert [reply.status for reply in replies] == [200, 400]
    assert [payment.status for payment in sandbox.book.payments()] == ["failed", "paid"]


def test_a_retry_from_before_a_reset_is_not_booked_after_it() -> None:
    sandbox = Sandbox(TokenDesk("k", "s"))
    _failed_once(sandbox)
    retry = retries.arrive(sandbox, Call("/", {"merchant_uid": "s1"}))
    sandbox.reset()
    _failed_once(sandbox)
    assert not isinstance(retry, Reply)

    assert retries.conclude(sandbox, retry).wire is Wire.CLOSE
    assert sandbox.book.payment_count == 1
