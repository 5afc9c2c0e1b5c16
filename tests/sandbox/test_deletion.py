"""`DELETE /subscribe/customers/{customer_uid}`, and the faults that all such commands can meet."""

import time
from http.client import IncompleteRead, RemoteDisconnected
from typing import Any
from urllib.parse import quote

import pytest

from tests.sandbox.client import Gateway, WaitUntil

BUYER = "/subscribe/customers/buyer"
REASON = quote("해지 요청", safe="")
UNKNOWN = "요청하신 customer_uid(buyer)로 등록된 정보를 찾을 수 없습니다."


def _deletions(gateway: Gateway) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = gateway.control("GET", "deletions/buyer")["deletions"]
    return rows


def _is_registered(gateway: Gateway) -> bool:
    return gateway.get(BUYER).code == 0


def test_a_deleted_key_is_shown_once_more_and_gone(gateway: Gateway) -> None:
    before = gateway.get(BUYER).response
    now = gateway.control("GET", "clock")["now"]
    answer = gateway.delete(f"{BUYER}?reason={REASON}&extra%5Brequester%5D=customer")

    assert (answer.status, answer.code, answer.response) == (200, 0, before)
    (deletion,) = _deletions(gateway)
    assert (deletion["reason"], deletion["requester"]) == ("해지 요청", "customer")
    assert now <= deletion["at"] <= now + 10
    assert gateway.get(BUYER).refusal == (200, 1, UNKNOWN)
    assert gateway.again().refusal == (200, 1, "등록되지 않은 구매자입니다.")


def test_brackets_need_no_escape_and_an_administrator_is_the_default(gateway: Gateway) -> None:
    gateway.delete(f"{BUYER}?reason={REASON}&extra[requester]=customer")
    gateway.register("buyer")
    gateway.delete(BUYER)

    told = [(each["reason"], each["requester"]) for each in _deletions(gateway)]
    assert told == [("해지 요청", "customer"), (None, "admin")]


@pytest.mark.parametrize("status", [200, 404])
def test_an_unknown_key_is_answered_as_by_the_lookup(gateway: Gateway, status: int) -> None:
    gateway.faults(unknown_customer_status=status)
    gateway.delete(BUYER)
    answer = gateway.delete(BUYER)

    assert answer.refusal == (status, 1 if status == 200 else -1, UNKNOWN)
    assert len(_deletions(gateway)) == 1


def test_another_requester_is_refused_and_the_key_stays(gateway: Gateway) -> None:
    answer = gateway.delete(f"{BUYER}?extra[requester]=seller")

    message = "sandbox: extra.requester must be one of customer, admin"
    assert answer.refusal == (400, -1, message)
    assert _is_registered(gateway)


def test_a_token_is_needed(gateway: Gateway) -> None:
    assert gateway.call("DELETE", BUYER).refusal == (401, -1, "Unauthorized")
    assert _is_registered(gateway)


@pytest.mark.parametrize(
    ("ending", "status", "stays"),
    [
        ("done", 200, False),
        ("error_500", 500, True),
        ("error_500_done", 500, False),
        ("bad_gateway", 502, True),
        ("bad_gateway_done", 502, False),
        ("throttled", 429, True),
        ("maintenance", 503, True),
        ("unauthorized", 401, True),
        ("bad_request", 400, True),
        ("refused", 200, True),
        ("garbage", 200, False),
    ],
)
def test_a_command_can_end_in_any_way(
    gateway: Gateway, ending: str, status: int, stays: bool
) -> None:
    assert gateway.token
    gateway.faults(command_rates={ending: 1})

    assert gateway.delete(BUYER).status == status
    assert _is_registered(gateway) is stays
    assert gateway.counts()["command_endings"] == {ending: 1}


@pytest.mark.parametrize(
    ("ending", "raised", "stays"),
    [
        ("lost_request", RemoteDisconnected, True),
        ("lost_reply", RemoteDisconnected, False),
        ("reset", ConnectionResetError, True),
        ("truncated", IncompleteRead, False),
    ],
)
def test_a_command_can_be_lost(
    gateway: Gateway, ending: str, raised: type[Exception], stays: bool
) -> None:
    assert gateway.token
    gateway.faults(command_rates={ending: 1})

    with pytest.raises(raised):
        gateway.delete(BUYER)
    assert _is_registered(gateway) is stays


def test_a_command_can_be_done_late(gateway: Gateway, wait_until: WaitUntil) -> None:
    assert gateway.token
    gateway.faults(command_rates={"late_success": 1}, delay_s=1)

    with pytest.raises(RemoteDisconnected):
        gateway.delete(BUYER)
    assert _is_registered(gateway)
    wait_until(lambda: not _is_registered(gateway))


def test_a_reset_of_the_sandbox_forgets_a_command_that_is_still_to_be_done(
    gateway: Gateway, wait_until: WaitUntil
) -> None:
    assert gateway.token
    gateway.faults(command_rates={"late_success": 1}, delay_s=0.1)
    with pytest.raises(RemoteDisconnected):
        gateway.delete(BUYER)
    gateway.reset()
    gateway.register("other")
    gateway.faults(command_rates={"late_success": 1}, delay_s=0.3)
    with pytest.raises(RemoteDisconnected):
        gateway.delete("/subscribe/customers/other")

    wait_until(lambda: gateway.get("/subscribe/customers/other").code == 1)
    assert _is_registered(gateway)


def test_commands_have_latencies_of_their_own(gateway: Gateway) -> None:
    assert gateway.token
    gateway.faults(endpoint_latency_ms={"deleteCustomer": 300})
    begin = time.monotonic()
    gateway.delete(BUYER)

    assert time.monotonic() - begin >= 0.3


def test_command_rates_are_shares_and_leave_lookups_and_charges_alone(gateway: Gateway) -> None:
    gateway.faults(command_rates={"error_500": 0.5})
    statuses = [
        gateway.post("/payments/prepare", merchant_uid=f"w{n}", amount=10).status
        for n in range(200)
    ]

    assert 60 < statuses.count(500) < 140
    assert gateway.again().code == 0
    assert gateway.get(BUYER).code == 0
