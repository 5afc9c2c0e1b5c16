"""Every ending of a cancel: what the client gets, and what was given back afterwards."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from typing import Any

import pytest

from tests.sandbox.client import Answer, Gateway, WaitUntil


@pytest.fixture
def imp_uid(gateway: Gateway) -> str:
    """A paid charge of 10,000 won."""
    return str(gateway.again(amount=10_000).response["imp_uid"])


def _given_back(gateway: Gateway, merchant_uid: str = "m1") -> list[int]:
    return [cancel["amount"] for cancel in gateway.booked(merchant_uid)[0]["cancels"]]


def _results(gateway: Gateway, imp_uid: str) -> list[str]:
    return [seen["result"] for seen in gateway.seen_cancels(imp_uid)]


@pytest.mark.parametrize(("ending", "done"), [("lost_request", []), ("lost_reply", [1_000])])
def test_a_lost_message_is_a_closed_connection(
    gateway: Gateway, imp_uid: str, ending: str, done: list[int]
) -> None:
    gateway.behave_on_cancel(imp_uid, ending)

    with pytest.raises(RemoteDisconnected):
        gateway.cancel(imp_uid=imp_uid, amount=1_000)
    assert _given_back(gateway) == done


def test_a_reset_does_nothing(gateway: Gateway, imp_uid: str) -> None:
    gateway.behave_on_cancel(imp_uid, "reset")

    with pytest.raises(ConnectionResetError) as raised:
        gateway.cancel(imp_uid=imp_uid)
    assert not isinstance(raised.value, RemoteDisconnected)
    assert _given_back(gateway) == []
    assert _results(gateway, imp_uid) == ["nothing"]


def test_a_hanging_cancel_does_nothing(gateway: Gateway, imp_uid: str) -> None:
    gateway.behave_on_cancel(imp_uid, "hang")

    with pytest.raises(TimeoutError):
        gateway.cancel(imp_uid=imp_uid, timeout_s=0.2)
    assert _given_back(gateway) == []


@pytest.mark.parametrize("hang", [False, True])
def test_a_late_success_is_done_after_the_client_gave_up(
    gateway: Gateway, wait_until: WaitUntil, imp_uid: str, hang: bool
) -> None:
    ending = {"ending": "late_success", "delay_s": 1.0, "hang": hang}
    gateway.behave_on_cancel(imp_uid, ending)

    with pytest.raises(TimeoutError if hang else RemoteDisconnected):
        gateway.cancel(imp_uid=imp_uid, amount=1_000, timeout_s=0.2)
    assert _results(gateway, imp_uid) == ["pending"]
    assert gateway.get(f"/payments/{imp_uid}").response["status"] == "paid"
    wait_until(lambda: _given_back(gateway) == [1_000])
    assert _results(gateway, imp_uid) == ["cancelled"]


def test_a_late_success_is_refused_when_the_repeat_with_its_checksum_was_faster(
    gateway: Gateway, wait_until: WaitUntil, imp_uid: str
) -> None:
    gateway.behave_on_cancel(imp_uid, {"ending": "late_success", "delay_s": 1.0})
    with pytest.raises(RemoteDisconnected):
        gateway.cancel(imp_uid=imp_uid, amount=1_000, checksum=10_000)
    assert gateway.cancel(imp_uid=imp_uid, amount=1_000, checksum=10_000).code == 0

    wait_until(lambda: _results(gateway, imp_uid)[0] == "refused_stale_checksum")
    assert _given_back(gateway) == [1_000]


@pytest.mark.parametrize(
    ("ending", "status", "done"),
    [
        ("error_500", 500, []),
        ("error_500_done", 500, [1_000]),
        ("bad_gateway", 502, []),
        ("bad_gateway_done", 502, [1_000]),
    ],
)
def test_an_error_does_not_tell_what_was_done(
    gateway: Gateway, imp_uid: str, ending: str, status: int, done: list[int]
) -> None:
    gateway.behave_on_cancel(imp_uid, ending)
    answer = gateway.cancel(imp_uid=imp_uid, amount=1_000)

    assert answer.status == status
    assert answer.body.startswith(b"<html>") is (status == 502)
    assert _given_back(gateway) == done


@pytest.mark.parametrize(
    ("ending", "status", "retry_after"),
    [
        ("throttled", 429, "1"),
        ({"ending": "throttled", "retry_after_s": 7}, 429, "7"),
        ({"ending": "maintenance", "retry_after_s": 0}, 503, "0"),
    ],
)
def test_an_answer_that_sends_the_client_away_says_for_how_long(
    gateway: Gateway, imp_uid: str, ending: object, status: int, retry_after: str
) -> None:
    gateway.behave_on_cancel(imp_uid, ending)
    answer = gateway.cancel(imp_uid=imp_uid)

    assert (answer.status, answer.headers["retry-after"]) == (status, retry_after)
    assert _given_back(gateway) == []


def test_a_truncated_or_unreadable_reply_comes_after_it_was_done(
    gateway: Gateway, imp_uid: str
) -> None:
    gateway.behave_on_cancel(imp_uid, "truncated", "garbage")

    with pytest.raises(IncompleteRead):
        gateway.cancel(imp_uid=imp_uid, amount=1_000)
    answer = gateway.cancel(imp_uid=imp_uid, amount=2_000)
    assert answer.status == 200
    with pytest.raises(UnicodeDecodeError):
        json.loads(answer.body)
    assert _given_back(gateway) == [1_000, 2_000]


@pytest.mark.parametrize(
    ("ending", "refusal"),
    [
        (
            "refused",
            (200, -1, "결제취소에 실패하였습니다.(sandbox: refused by the payment gateway)"),
        ),
        (
            {"ending": "refused", "fail_reason": "결제취소에 실패하였습니다. PG 원문 (E-9) "},
            (200, -1, "결제취소에 실패하였습니다. PG 원문 (E-9) "),
        ),
        ("unauthorized", (401, -1, "Unauthorized")),
        ("bad_request", (400, -1, "sandbox: bad request as told by a behaviour")),
    ],
)
def test_a_refusal_gives_nothing_back(
    gateway: Gateway, imp_uid: str, ending: object, refusal: tuple[int, int, str]
) -> None:
    gateway.behave_on_cancel(imp_uid, ending)

    assert gateway.cancel(imp_uid=imp_uid).refusal == refusal
    assert _given_back(gateway) == []


def test_a_slow_cancel_is_done_even_when_the_client_has_left(
    gateway: Gateway, wait_until: WaitUntil, imp_uid: str
) -> None:
    gateway.behave_on_cancel(imp_uid, {"ending": "slow", "delay_s": 1.0})

    with pytest.raises(TimeoutError):
        gateway.cancel(imp_uid=imp_uid, amount=1_000, timeout_s=0.1)
    assert _given_back(gateway) == []
    wait_until(lambda: _given_back(gateway) == [1_000])


def test_of_equal_cancels_with_one_checksum_that_wait_together_one_is_done(
    gateway: Gateway, imp_uid: str
) -> None:
    gateway.behave_on_cancel(imp_uid, then={"ending": "slow", "delay_s": 0.3})

    def cancel(_n: int) -> Answer:
        return gateway.cancel(imp_uid=imp_uid, amount=1_000, checksum=10_000)

    with ThreadPoolExecutor(5) as threads:
        codes = sorted(answer.code for answer in threads.map(cancel, range(5)))
    assert codes == [0, 1, 1, 1, 1]
    assert _given_back(gateway) == [1_000]
    assert sorted(_results(gateway, imp_uid)) == ["cancelled"] + ["refused_stale_checksum"] * 4


def test_a_script_is_used_up_in_order_and_then_goes_on_as_told(
    gateway: Gateway, imp_uid: str
) -> None:
    gateway.behave_on_cancel(imp_uid, "error_500", "done", then="refused")
    assert gateway.control("GET", f"cancel-behaviours/{imp_uid}") == {
        "imp_uid": imp_uid,
        "script": [{"ending": "error_500"}, {"ending": "done"}],
        "then": {"ending": "refused"},
    }
    assert gateway.cancel(imp_uid=imp_uid, amount="x").status == 400
    statuses = [
        (answer.status, answer.code)
        for answer in (gateway.cancel(imp_uid=imp_uid, amount=10) for _ in range(4))
    ]

    assert statuses == [(500, -1), (200, 0), (200, -1), (200, -1)]
    assert [seen["ending"] for seen in gateway.seen_cancels(imp_uid)] == [
        None,
        "error_500",
        "done",
        "refused",
        "refused",
    ]
    gateway.control("DELETE", f"cancel-behaviours/{imp_uid}")
    gateway.control("GET", f"cancel-behaviours/{imp_uid}", status=404)
    gateway.control("DELETE", f"cancel-behaviours/{imp_uid}", status=404)
    assert gateway.cancel(imp_uid=imp_uid, amount=10).code == 0


def test_a_script_holds_for_a_cancel_by_merchant_uid_too(gateway: Gateway, imp_uid: str) -> None:
    gateway.behave_on_cancel(imp_uid, "error_500")

    assert gateway.cancel(merchant_uid="m1").status == 500
    assert len(gateway.seen_cancels(imp_uid)) == 1


@pytest.mark.parametrize(
    ("step", "word"),
    [
        ("declined", "ending"),
        ("error_500_paid", "ending"),
        ({"ending": "done", "fail_reason": "x"}, "fail_reason belongs to bad_request, refused"),
        ({"ending": "done", "retry_after_s": 1}, "retry_after_s belongs to maintenance, throttled"),
        ({"ending": "slow", "hang": True}, "hang belongs to late_success"),
        ({"ending": "done", "imp_uid": "x"}, "no such field"),
    ],
)
def test_a_script_that_cannot_be_is_refused_in_words(
    gateway: Gateway, step: object, word: str
) -> None:
    answer = gateway.control("PUT", "cancel-behaviours/imp_1", {"script": [step]}, status=400)

    assert word in answer["error"]


def test_all_cancels_can_fail_and_charges_go_on(gateway: Gateway, imp_uid: str) -> None:
    gateway.behave_on_cancel(imp_uid, "refused")
    gateway.faults(fail_all_cancels="error_500")
    assert [gateway.cancel(imp_uid=imp_uid).status for _ in range(2)] == [500, 500]
    assert gateway.again(merchant_uid="m2").code == 0
    gateway.faults(fail_all_cancels=None)

    assert gateway.cancel(imp_uid=imp_uid).code == -1


RATES = {"error_500": 0.3, "lost_reply": 0.2, "refused": 0.2, "error_500_done": 0.1}


def _run(gateway: Gateway, order: list[int], *, threads: int, seed: int = 7) -> list[str]:
    gateway.reset()
    gateway.faults(seed=seed, cancel_rates=RATES)
    imp_uids = {n: gateway.again(merchant_uid=f"m{n}").response["imp_uid"] for n in sorted(order)}

    def cancel(n: int) -> None:
        for _ in range(2):
            try:
                gateway.cancel(merchant_uid=f"m{n}", amount=10)
            except (HTTPException, OSError):
                continue

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(cancel, order))
    return [
        ",".join(seen["ending"] for seen in gateway.seen_cancels(imp_uids[n]))
        for n in sorted(order)
    ]


def test_a_run_repeats_by_its_seed_though_its_imp_uids_are_others(gateway: Gateway) -> None:
    forwards = _run(gateway, list(range(30)), threads=1)
    backwards = _run(gateway, list(reversed(range(30))), threads=4)

    assert forwards == backwards
    assert len(set(forwards)) > 5
    assert _run(gateway, list(range(30)), threads=1, seed=8) != forwards


def test_cancels_are_counted(gateway: Gateway, imp_uid: str) -> None:
    gateway.cancel(imp_uid=imp_uid, amount=1_000, reason="하나")
    gateway.cancel(imp_uid=imp_uid, amount=10_000)
    gateway.cancel(imp_uid="imp_0")
    gateway.cancel(imp_uid=imp_uid, amount="x")
    counts = gateway.counts()

    assert counts["endpoints"]["cancel"] == 4
    assert counts["cancel_endings"] == {"done": 3}
    assert counts["cancel_results"] == {
        "cancelled": 1,
        "refused_above_remainder": 1,
        "refused_unknown_payment": 1,
        "bad_parameters": 1,
    }
    first = gateway.seen_cancels(imp_uid)[0]
    assert first["body"] == {"imp_uid": imp_uid, "amount": 1_000, "reason": "하나"}
    assert first["cancellation_id"] == gateway.booked("m1")[0]["cancels"][0]["cancellation_id"]
    assert _results(gateway, "imp_0") == ["refused_unknown_payment"]


def test_cancels_have_a_latency_of_their_own(gateway: Gateway, imp_uid: str) -> None:
    gateway.faults(endpoint_latency_ms={"cancel": 300})
    begin = time.monotonic()
    gateway.cancel(imp_uid=imp_uid)

    assert time.monotonic() - begin >= 0.3


def test_a_reset_of_the_sandbox_forgets_scripts_and_cancels(gateway: Gateway, imp_uid: str) -> None:
    gateway.behave_on_cancel(imp_uid, "refused")
    gateway.reset()

    gateway.control("GET", f"cancel-behaviours/{imp_uid}", status=404)
    counts: dict[str, Any] = gateway.counts()
    assert counts["cancel_results"] == {}
