"""Every ending: what the client gets, and what the book holds afterwards."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import IncompleteRead, RemoteDisconnected
from typing import Any

import pytest

from tests.sandbox.client import Gateway, WaitUntil


def _statuses(gateway: Gateway) -> list[str]:
    return [row["status"] for row in gateway.booked("m1")]


@pytest.mark.parametrize(
    ("ending", "fail_reason"),
    [
        ("declined", "잔액 부족"),
        ("limit_exceeded", "한도 초과"),
        ({"ending": "declined", "fail_reason": "[E01] 거래정지카드 "}, "[E01] 거래정지카드 "),
        ({"ending": "slow_declined", "delay_s": 0.2}, "잔액 부족"),
        ({"ending": "slow_declined", "delay_s": 0, "fail_reason": "x"}, "x"),
    ],
)
def test_a_decline_is_code_0_with_status_failed(
    gateway: Gateway, ending: object, fail_reason: str
) -> None:
    gateway.behave(ending)
    answer = gateway.again()

    assert (answer.status, answer.code) == (200, 0)
    assert answer.response["status"] == "failed"
    assert answer.response["fail_reason"] == fail_reason
    assert [row["fail_reason"] for row in gateway.booked("m1")] == [fail_reason]


def test_an_ended_key_is_gone_for_good(gateway: Gateway) -> None:
    gateway.behave("key_ended")

    for merchant_uid in ("m1", "m2"):
        answer = gateway.again(merchant_uid=merchant_uid)
        assert answer.refusal == (200, 1, "등록되지 않은 구매자입니다.")
    assert gateway.booked() == []
    assert gateway.get("/subscribe/customers/buyer").code == 1


@pytest.mark.parametrize(("ending", "booked"), [("lost_request", []), ("lost_reply", ["paid"])])
def test_a_lost_message_is_a_closed_connection(
    gateway: Gateway, ending: str, booked: list[str]
) -> None:
    gateway.behave(ending)

    assert gateway.raw(gateway.again_bytes()) == b""
    assert _statuses(gateway) == booked
    gateway.behave("lost_request")
    with pytest.raises(RemoteDisconnected):
        gateway.again(merchant_uid="m2")


def test_a_reset_is_a_reset_and_books_nothing(gateway: Gateway) -> None:
    gateway.behave("reset")

    with pytest.raises(ConnectionResetError) as raised:
        gateway.raw(gateway.again_bytes())
    assert not isinstance(raised.value, RemoteDisconnected)
    assert gateway.booked() == []


@pytest.mark.parametrize("hang", [False, True])
def test_a_late_success_is_booked_after_the_client_gave_up(
    gateway: Gateway, wait_until: WaitUntil, hang: bool
) -> None:
    gateway.behave({"ending": "late_success", "delay_s": 1.0, "hang": hang})
    begin = gateway.control("GET", "clock")["now"]

    if hang:
        with pytest.raises(TimeoutError):
            gateway.raw(gateway.again_bytes(), timeout_s=0.2)
    else:
        assert gateway.raw(gateway.again_bytes()) == b""
    assert gateway.seen()[0]["result"] == "pending"
    assert gateway.get("/payments/findAll/m1").status == 404
    wait_until(lambda: _statuses(gateway) == ["paid"])
    assert gateway.booked("m1")[0]["paid_at"] >= begin + 1.0
    assert gateway.seen()[0]["result"] == "booked_paid"


def test_a_late_success_is_refused_when_the_repeat_was_faster(
    gateway: Gateway, wait_until: WaitUntil
) -> None:
    gateway.behave({"ending": "late_success", "delay_s": 0.3})
    gateway.raw(gateway.again_bytes())

    assert gateway.again().code == 0
    wait_until(lambda: gateway.seen()[0]["result"] == "refused_duplicate_order")
    assert _statuses(gateway) == ["paid"]


def test_a_reset_of_the_sandbox_forgets_what_is_still_to_be_booked(
    gateway: Gateway, wait_until: WaitUntil
) -> None:
    gateway.behave({"ending": "late_success", "delay_s": 0.2})
    gateway.raw(gateway.again_bytes())
    gateway.reset()
    gateway.behave({"ending": "late_success", "delay_s": 0.4})
    gateway.raw(gateway.again_bytes(merchant_uid="m2"))

    wait_until(lambda: len(gateway.booked()) > 0)
    assert [row["merchant_uid"] for row in gateway.booked()] == ["m2"]


@pytest.mark.parametrize(("ending", "booked"), [("error_500", []), ("error_500_paid", ["paid"])])
def test_an_internal_error_does_not_tell_what_was_booked(
    gateway: Gateway, ending: str, booked: list[str]
) -> None:
    gateway.behave(ending)

    assert gateway.again().status == 500
    assert _statuses(gateway) == booked


@pytest.mark.parametrize(
    ("ending", "booked"), [("bad_gateway", []), ("bad_gateway_paid", ["paid"])]
)
def test_a_bad_gateway_is_a_page_of_html(gateway: Gateway, ending: str, booked: list[str]) -> None:
    gateway.behave(ending)
    answer = gateway.again()

    assert (answer.status, answer.headers["content-type"]) == (502, "text/html")
    assert answer.body.startswith(b"<html>")
    assert _statuses(gateway) == booked


@pytest.mark.parametrize(
    ("ending", "status", "retry_after"),
    [
        ("throttled", 429, "1"),
        ({"ending": "throttled", "retry_after_s": 7}, 429, "7"),
        ("maintenance", 503, "1"),
        ({"ending": "maintenance", "retry_after_s": 0}, 503, "0"),
    ],
)
def test_an_answer_that_sends_the_client_away_says_for_how_long(
    gateway: Gateway, ending: object, status: int, retry_after: str
) -> None:
    gateway.behave(ending)
    answer = gateway.again()

    assert (answer.status, answer.headers["retry-after"]) == (status, retry_after)
    if status == 503:
        assert answer.message == "MaintenanceOngoing"
    assert gateway.booked() == []


def test_a_truncated_reply_ends_in_the_middle_of_its_body(gateway: Gateway) -> None:
    gateway.behave("truncated")

    with pytest.raises(IncompleteRead):
        gateway.again()
    assert _statuses(gateway) == ["paid"]


def test_garbage_is_status_200_and_no_json(gateway: Gateway) -> None:
    gateway.behave("garbage")
    answer = gateway.again()

    assert answer.status == 200
    assert len(answer.body) == int(answer.headers["content-length"])
    with pytest.raises(UnicodeDecodeError):
        json.loads(answer.body)
    assert _statuses(gateway) == ["paid"]


def test_a_hanging_request_ends_only_when_the_client_leaves(
    gateway: Gateway, wait_until: WaitUntil
) -> None:
    gateway.behave("hang")
    with socket.create_connection((gateway.host, gateway.port)) as connection:
        connection.sendall(gateway.again_bytes())
        wait_until(lambda: gateway.counts()["endings"] == {"hang": 1})
        assert gateway.counts()["in_flight"] == 1
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    wait_until(lambda: gateway.counts()["in_flight"] == 0)

    assert gateway.booked() == []


@pytest.mark.parametrize("ending", ["slow", "error_500", "lost_reply"])
def test_any_ending_can_be_delayed(gateway: Gateway, ending: str) -> None:
    gateway.behave({"ending": ending, "delay_s": 0.3})
    begin = time.monotonic()
    gateway.raw(gateway.again_bytes().replace(b"Host:", b"Connection: close\r\nHost:"))

    assert time.monotonic() - begin >= 0.3


def test_a_slow_charge_is_booked_even_when_the_client_has_left(
    gateway: Gateway, wait_until: WaitUntil
) -> None:
    gateway.behave({"ending": "slow", "delay_s": 0.5})
    with socket.create_connection((gateway.host, gateway.port)) as connection:
        connection.sendall(gateway.again_bytes())
        wait_until(lambda: gateway.counts()["in_flight"] == 1)

    assert gateway.booked() == []
    wait_until(lambda: _statuses(gateway) == ["paid"])


def test_a_wrong_amount_is_wrong_in_the_reply_only(gateway: Gateway) -> None:
    gateway.behave("wrong_amount")

    assert gateway.again().response["amount"] == 1005
    assert gateway.booked("m1")[0]["amount"] == 1004
    assert gateway.get("/payments/find/m1").response["amount"] == 1004


def test_a_wrong_customer_is_wrong_in_the_reply_only(gateway: Gateway) -> None:
    gateway.behave("wrong_customer")

    assert gateway.again().response["customer_uid"] != "buyer"
    assert gateway.booked("m1")[0]["customer_uid"] == "buyer"


def test_ready_is_neither_paid_nor_failed(gateway: Gateway) -> None:
    gateway.behave("ready")
    payment = gateway.again().response

    assert payment["status"] == "ready"
    assert (payment["paid_at"], payment["failed_at"]) == (0, 0)
    assert _statuses(gateway) == ["ready"]


@pytest.mark.parametrize(
    ("ending", "refusal"),
    [
        ({"ending": "refused", "fail_reason": "PG 원문 (E-9)"}, (200, -1, "PG 원문 (E-9)")),
        ("refused", (200, -1, "sandbox: refused by the payment gateway")),
        ("unauthorized", (401, -1, "Unauthorized")),
        ({"ending": "bad_request", "fail_reason": "파라미터 누락"}, (400, -1, "파라미터 누락")),
        ("bad_request", (400, -1, "sandbox: bad request as told by a behaviour")),
    ],
)
def test_a_refusal_books_nothing(
    gateway: Gateway, ending: object, refusal: tuple[int, int, str]
) -> None:
    gateway.behave(ending)

    assert gateway.again().refusal == refusal
    assert gateway.booked() == []


def test_a_script_is_used_up_in_order_and_then_goes_on_as_told(gateway: Gateway) -> None:
    gateway.behave("declined", "error_500", "limit_exceeded", then="refused")
    gateway.faults(duplicate_policy="none")
    for _ in range(5):
        gateway.again()

    assert [seen["ending"] for seen in gateway.seen()] == [
        "declined",
        "error_500",
        "limit_exceeded",
        "refused",
        "refused",
    ]
    assert _statuses(gateway) == ["failed", "failed"]


def test_a_request_that_is_not_understood_uses_up_no_step(gateway: Gateway) -> None:
    gateway.behave("declined")
    assert gateway.again(amount=None).status == 400
    assert gateway.again(amount=9).status == 400
    path = "/subscribe/payments/again"
    assert gateway.call("POST", path, json_body=gateway.order()).status == 401

    assert gateway.again().response["status"] == "failed"
    assert [seen["result"] for seen in gateway.seen()] == [
        "bad_parameters",
        "bad_parameters",
        "booked_failed",
    ]


@pytest.mark.parametrize(
    "ending", ["lost_reply", "error_500_paid", "bad_gateway_paid", "truncated"]
)
def test_a_repeat_of_a_paid_charge_is_not_booked_again_under_any_fault(
    gateway: Gateway, ending: str
) -> None:
    gateway.behave("paid", ending)
    gateway.again()
    gateway.raw(gateway.again_bytes().replace(b"Host:", b"Connection: close\r\nHost:"))

    assert _statuses(gateway) == ["paid"]
    assert gateway.seen()[1]["result"] == "refused_duplicate_order"


def test_fail_all_wins_over_scripts_and_leaves_them_as_they_are(gateway: Gateway) -> None:
    gateway.behave("declined")
    gateway.faults(fail_all="error_500")
    assert [gateway.again().status for _ in range(3)] == [500, 500, 500]
    gateway.faults(fail_all=None)

    assert gateway.again().response["fail_reason"] == "잔액 부족"


def test_requests_in_flight_are_counted_with_their_peak(gateway: Gateway) -> None:
    gateway.behave(then={"ending": "slow", "delay_s": 0.4})
    assert gateway.token

    def charge(n: int) -> Any:
        return gateway.again(merchant_uid=f"m{n}").code

    with ThreadPoolExecutor(6) as threads:
        assert set(threads.map(charge, range(6))) == {0}
    counts = gateway.counts()
    assert counts["in_flight"] == 0
    assert counts["in_flight_peak"] == 6
    assert counts["endpoints"] == {"getToken": 1, "again": 6}
    assert counts["get_token"] == 1
    assert counts["endings"] == {"slow": 6}
    assert counts["results"] == {"booked_paid": 6}
    assert counts["statuses"] == {"200": 7}
