"""Schedules: kept, revoked, looked at, and executed once when their instant has come."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.client import Gateway, WaitUntil
from tests.sandbox.receiver import Receiver

SCHEDULE = "/subscribe/payments/schedule"
UNSCHEDULE = "/subscribe/payments/unschedule"
DAY_S = 86_400
SOON_S = 600  # well within the life of a token


def _now(gateway: Gateway) -> int:
    return int(gateway.control("GET", "clock")["now"])


def _entry(gateway: Gateway, merchant_uid: str = "s1", **changes: Any) -> dict[str, Any]:
    entry = {"merchant_uid": merchant_uid, "schedule_at": _now(gateway) + SOON_S, "amount": 1004}
    return {**entry, **changes}


def _schedule(gateway: Gateway, *entries: dict[str, Any], customer_uid: str = "buyer") -> Any:
    return gateway.post(SCHEDULE, customer_uid=customer_uid, schedules=list(entries))


def _one(gateway: Gateway, merchant_uid: str = "s1") -> dict[str, Any]:
    found: dict[str, Any] = gateway.get(f"{SCHEDULE}/{merchant_uid}").response
    return found


def _execute(gateway: Gateway) -> list[dict[str, Any]]:
    """Move the clock beyond what is scheduled and give what was charged, by call or by itself."""
    gateway.control("PUT", "clock", {"offset_s": 2 * SOON_S})
    gateway.control("POST", "run-schedules")
    return [row for row in gateway.booked() if row["customer_uid_usage"] == "payment.scheduled"]


def test_a_schedule_needs_neither_name_nor_currency(gateway: Gateway) -> None:
    entry = _entry(gateway)
    answer = _schedule(gateway, entry)
    (shown,) = answer.response

    assert (answer.status, answer.code) == (200, 0)
    assert shown == {
        "customer_uid": "buyer",
        "merchant_uid": "s1",
        "imp_uid": None,
        "pg_provider": "naverpay",
        "pg_id": "sandbox-naverpay",
        "customer_id": None,
        "schedule_at": entry["schedule_at"],
        "executed_at": 0,
        "revoked_at": 0,
        "amount": 1004,
        "currency": "KRW",
        "name": "",
        "buyer_name": None,
        "buyer_email": None,
        "buyer_tel": None,
        "buyer_addr": None,
        "buyer_postcode": None,
        "custom_data": None,
        "schedule_status": "scheduled",
        "payment_status": None,
        "fail_reason": None,
        "promotion_id": None,
    }
    assert _one(gateway) == shown


def test_a_form_with_brackets_does_the_same(gateway: Gateway) -> None:
    at = _now(gateway) + SOON_S
    form = {
        "customer_uid": "buyer",
        "schedules[0][merchant_uid]": "s1",
        "schedules[0][schedule_at]": str(at),
        "schedules[0][amount]": "1004",
        "schedules[0][extra][naverUseCfm]": "20990101",
        "schedules[1][merchant_uid]": "s2",
        "schedules[1][schedule_at]": str(at),
        "schedules[1][amount]": "2008",
        "schedules[1][name]": "구독",
    }
    shown = gateway.post_form(SCHEDULE, form).response

    assert [(each["merchant_uid"], each["amount"]) for each in shown] == [
        ("s1", 1004),
        ("s2", 2008),
    ]
    revoked = gateway.post_form(
        UNSCHEDULE, {"customer_uid": "buyer", "merchant_uid[0]": "s1", "merchant_uid[1]": "s9"}
    )
    assert [each["merchant_uid"] for each in revoked.response] == ["s1"]


def test_what_is_missing_about_the_buyer_is_filled_from_the_billing_key(gateway: Gateway) -> None:
    named = {"customer_uid": "named", "customer_name": "김구매", "customer_tel": "010-0000-0000"}
    gateway.control("POST", "billing-keys", named)
    entry = _entry(gateway, buyer_name="이선물")
    (shown,) = _schedule(gateway, entry, customer_uid="named").response

    assert (shown["buyer_name"], shown["buyer_tel"]) == ("이선물", "010-0000-0000")


def test_an_unknown_buyer_is_refused(gateway: Gateway) -> None:
    answer = _schedule(gateway, _entry(gateway), customer_uid="nobody")

    assert answer.refusal == (200, 1, "등록된 고객정보가 없습니다")


def test_a_merchant_uid_has_one_schedule_at_a_time(gateway: Gateway) -> None:
    _schedule(gateway, _entry(gateway))
    again = _schedule(gateway, _entry(gateway, "s2"), _entry(gateway))
    twins = _schedule(gateway, _entry(gateway, "s3"), _entry(gateway, "s3"))

    for answer in (again, twins):
        assert (answer.status, answer.code) == (200, 1)
        assert str(answer.message).startswith("sandbox: ")
    assert gateway.get(f"{SCHEDULE}/s2").status == 404
    gateway.post(UNSCHEDULE, merchant_uid="s1")
    assert _schedule(gateway, _entry(gateway, amount=2008)).code == 0
    assert [payment["amount"] for payment in _execute(gateway)] == [2008]
    assert _schedule(gateway, _entry(gateway)).code == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "파라미터 누락:customer_uid, schedules"),
        ({"customer_uid": "buyer"}, "파라미터 누락:schedules"),
        ({"customer_uid": "buyer", "schedules": []}, "sandbox: schedules must be an array"),
        ({"customer_uid": "buyer", "schedules": {}}, "sandbox: schedules must be an array"),
        ({"customer_uid": "buyer", "schedules": ["s1"]}, "sandbox: schedules must be an array"),
        (
            {"customer_uid": "buyer", "schedules": [{"amount": 10}]},
            "파라미터 누락:merchant_uid, schedule_at",
        ),
        ({"customer_uid": "c" * 81, "schedules": [{}]}, "sandbox: customer_uid longer than 80"),
    ],
)
def test_what_cannot_be_read_is_refused(
    gateway: Gateway, body: dict[str, Any], message: str
) -> None:
    answer = gateway.post(SCHEDULE, **body)

    assert (answer.status, answer.code) == (400, -1)
    assert str(answer.message).startswith(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule_at": 1}, "schedule_at is in the past"),
        ({"schedule_at": "4102444800"}, "schedule_at must be a JSON number"),
        ({"amount": 9}, "amount below 10"),
        ({"tax_free": 1005}, "tax_free above amount"),
        (
            {"schedule_at": 4102444800, "extra": {"naverUseCfm": "20991231"}},
            "extra.naverUseCfm is before the day of the charge in Korea",
        ),
    ],
)
def test_a_bad_entry_keeps_all_of_them_out(
    gateway: Gateway, changes: dict[str, Any], message: str
) -> None:
    answer = _schedule(gateway, _entry(gateway), _entry(gateway, "s2", **changes))

    assert answer.refusal == (400, -1, f"sandbox: {message}")
    assert gateway.control("GET", "schedules")["schedules"] == []


def test_a_due_schedule_is_charged_once(gateway: Gateway) -> None:
    _schedule(gateway, _entry(gateway, name="구독", tax_free=4, custom_data="{}"))
    assert gateway.control("POST", "run-schedules")["executed"] == []
    (payment,) = _execute(gateway)

    assert gateway.control("POST", "run-schedules")["executed"] == []
    assert (payment["status"], payment["amount"], payment["tax_free"]) == ("paid", 1004, 4)
    shown = _one(gateway)
    assert shown["schedule_status"] == "executed"
    assert shown["executed_at"] >= shown["schedule_at"]
    assert (shown["payment_status"], shown["imp_uid"]) == ("paid", payment["imp_uid"])
    record = gateway.get(f"/payments/{payment['imp_uid']}").response
    assert record["customer_uid_usage"] == "payment.scheduled"
    assert (record["channel"], record["name"]) == ("api", "구독")
    assert gateway.get("/payments/findAll/s1").response["total"] == 1


def test_a_running_sandbox_executes_what_is_due_by_itself(
    gateway: Gateway, wait_until: WaitUntil
) -> None:
    _schedule(gateway, _entry(gateway, "s1"), _entry(gateway, "s2"))
    gateway.control("PUT", "clock", {"offset_s": 2 * SOON_S})

    wait_until(lambda: len(gateway.booked()) == 2)
    assert [row["merchant_uid"] for row in gateway.booked()] == ["s1", "s2"]


@pytest.mark.parametrize(
    ("ending", "status", "fail_reason"),
    [
        ("declined", "failed", "잔액 부족"),
        ({"ending": "limit_exceeded", "fail_reason": "한도 (E-1) "}, "failed", "한도 (E-1) "),
        ("refused", "failed", "sandbox: refused by the payment gateway"),
        ("key_ended", "failed", "등록되지 않은 구매자입니다."),
        ("ready", "ready", None),
        # Nobody waits for a reply, so none can be lost.
        ("lost_reply", "paid", None),
        ("error_500", "paid", None),
    ],
)
def test_a_schedule_ends_as_the_buyers_script_says(
    gateway: Gateway, ending: object, status: str, fail_reason: str | None
) -> None:
    _schedule(gateway, _entry(gateway))
    gateway.behave(ending)
    (payment,) = _execute(gateway)

    assert (payment["status"], payment["fail_reason"]) == (status, fail_reason)
    shown = _one(gateway)
    told = None if status == "ready" else status
    assert (shown["schedule_status"], shown["payment_status"]) == ("executed", told)
    assert shown["fail_reason"] == fail_reason


def test_a_failed_schedule_is_not_tried_again_but_may_be_made_anew(gateway: Gateway) -> None:
    _schedule(gateway, _entry(gateway))
    gateway.behave("declined")
    _execute(gateway)
    assert gateway.control("POST", "run-schedules")["executed"] == []

    later = _entry(gateway)
    assert _schedule(gateway, later).code == 0
    gateway.control("PUT", "clock", {"now": later["schedule_at"]})
    gateway.control("POST", "run-schedules")
    assert [row["status"] for row in gateway.booked("s1")] == ["failed", "paid"]


def test_a_schedule_whose_key_was_deleted_is_still_there_and_fails(gateway: Gateway) -> None:
    _schedule(gateway, _entry(gateway))
    assert gateway.delete("/subscribe/customers/buyer").code == 0
    assert _one(gateway)["schedule_status"] == "scheduled"
    (payment,) = _execute(gateway)

    assert (payment["status"], payment["customer_uid"]) == ("failed", "buyer")
    assert _one(gateway)["fail_reason"] == "등록되지 않은 구매자입니다."
    assert gateway.get(f"/payments/{payment['imp_uid']}").response["card_name"] is None


def test_a_schedule_whose_merchant_uid_was_charged_meanwhile_fails(gateway: Gateway) -> None:
    _schedule(gateway, _entry(gateway))
    gateway.again(merchant_uid="s1")
    (payment,) = _execute(gateway)

    assert payment["status"] == "failed"
    assert payment["fail_reason"].startswith("이미 주문이 이루어진 건입니다.")
    assert [row["status"] for row in gateway.booked("s1")] == ["paid", "failed"]


def test_a_schedule_executed_after_the_service_is_over_fails(gateway: Gateway) -> None:
    gateway.control("PUT", "clock", {"now": 1_767_279_600})  # as 2026-01-02 begins in Korea
    _schedule(gateway, _entry(gateway, extra={"naverUseCfm": "20260102"}))
    gateway.behave("paid")
    gateway.control("PUT", "clock", {"now": 1_767_279_600 + DAY_S})
    gateway.control("POST", "run-schedules")

    (row,) = gateway.booked("s1")
    assert row["status"] == "failed"
    assert row["fail_reason"].startswith("sandbox: extra.naverUseCfm")


def test_rates_hold_for_schedules_and_repeat_by_their_seed(gateway: Gateway) -> None:
    def run(seed: int) -> list[str]:
        gateway.reset()
        gateway.faults(seed=seed, rates={"declined": 0.5})
        _schedule(gateway, *(_entry(gateway, f"s{n}") for n in range(40)))
        return [payment["status"] for payment in _execute(gateway)]

    first = run(1)
    assert 5 < first.count("failed") < 35
    assert run(1) == first
    assert run(2) != first


@pytest.mark.parametrize(
    ("wanted", "revoked"),
    [
        ({"customer_uid": "buyer"}, ["s1", "s2"]),
        ({"merchant_uid": ["s1", "s3"]}, ["s1", "s3"]),
        ({"merchant_uid": "s2"}, ["s2"]),
        ({"customer_uid": "buyer", "merchant_uid": ["s2", "s3"]}, ["s2"]),
        ({"customer_uid": "buyer", "merchant_uid": []}, ["s1", "s2"]),
        ({"customer_uid": "buyer", "merchant_uid": None}, ["s1", "s2"]),
    ],
)
def test_schedules_are_revoked_by_customer_and_by_merchant_uid(
    gateway: Gateway, wanted: dict[str, Any], revoked: list[str]
) -> None:
    gateway.register("other")
    _schedule(gateway, _entry(gateway, "s1"), _entry(gateway, "s2"))
    _schedule(gateway, _entry(gateway, "s3"), customer_uid="other")
    answer = gateway.post(UNSCHEDULE, **wanted)

    assert [each["merchant_uid"] for each in answer.response] == revoked
    assert {each["schedule_status"] for each in answer.response} == {"revoked"}
    assert all(each["revoked_at"] > 0 for each in answer.response)
    kept = {"s1", "s2", "s3"}.difference(revoked)
    _execute(gateway)
    assert {row["merchant_uid"] for row in gateway.booked()} == kept
    assert all(_one(gateway, uid)["payment_status"] is None for uid in revoked)


def test_nothing_to_revoke_is_said_so(gateway: Gateway) -> None:
    refusal = (200, 1, "취소할 예약결제 기록이 존재하지 않습니다.")
    assert gateway.post(UNSCHEDULE, customer_uid="buyer").refusal == refusal
    _schedule(gateway, _entry(gateway))
    assert gateway.post(UNSCHEDULE, merchant_uid=["s2"]).refusal == refusal
    assert gateway.post(UNSCHEDULE, customer_uid="other", merchant_uid="s1").refusal == refusal
    _execute(gateway)
    assert gateway.post(UNSCHEDULE, customer_uid="buyer").refusal == refusal


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "파라미터 누락:customer_uid, merchant_uid"),
        ({"customer_uid": "", "merchant_uid": ""}, "파라미터 누락:customer_uid, merchant_uid"),
        ({"merchant_uid": 1}, "sandbox: merchant_uid must be a string or an array of strings"),
        ({"merchant_uid": [1]}, "sandbox: merchant_uid must be a string or an array of strings"),
        ({"customer_uid": 1}, "sandbox: customer_uid must be a string"),
    ],
)
def test_a_revocation_of_everything_for_everybody_cannot_be(
    gateway: Gateway, body: dict[str, Any], message: str
) -> None:
    _schedule(gateway, _entry(gateway))

    assert gateway.post(UNSCHEDULE, **body).refusal == (400, -1, message)
    assert _one(gateway)["schedule_status"] == "scheduled"


def test_an_unknown_schedule_is_404(gateway: Gateway) -> None:
    answer = gateway.get(f"{SCHEDULE}/s1")

    assert (answer.status, answer.code) == (404, -1)
    assert str(answer.message).startswith("sandbox: ")


def _listed(gateway: Gateway, **query: object) -> list[str]:
    text = "&".join(f"{name.replace('_', '-')}={value}" for name, value in query.items())
    paths = (
        f"/subscribe/customers/buyer/schedules?{text}",
        f"/subscribe/payments/schedule/customers/buyer?{text}",
    )
    answers = [gateway.get(path) for path in paths]
    assert answers[0].body == answers[1].body
    assert answers[0].code == 0
    return [each["merchant_uid"] for each in answers[0].response]


def test_a_customers_schedules_are_listed_by_their_instant(gateway: Gateway) -> None:
    now = _now(gateway)
    gateway.register("other")
    _schedule(gateway, *(_entry(gateway, f"s{n}", schedule_at=now + 100 + n) for n in range(25)))
    _schedule(gateway, _entry(gateway, "o1"), customer_uid="other")
    gateway.post(UNSCHEDULE, merchant_uid="s3")
    everything = {"from": now, "to": now + SOON_S}

    assert _listed(gateway, **everything) == [f"s{n}" for n in range(24, 4, -1)]
    assert _listed(gateway, **everything, page=2) == ["s4", "s3", "s2", "s1", "s0"]
    assert _listed(gateway, **everything, page=3) == []
    assert _listed(gateway, **{"from": now + 102, "to": now + 105}) == ["s4", "s3", "s2"]
    assert _listed(gateway, **everything, schedule_status="revoked") == ["s3"]
    assert _listed(gateway, **everything, schedule_status="executed") == []
    assert len(_listed(gateway, **everything, schedule_status="scheduled")) == 20


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "파라미터 누락:from, to"),
        ("from=1", "파라미터 누락:to"),
        ("from=2&to=1", "sandbox: from and to must be in order and at most three months apart"),
        (
            "from=0&to=8000000",
            "sandbox: from and to must be in order and at most three months apart",
        ),
        ("from=a&to=1", "sandbox: from must be a whole number"),
        ("from=0&to=1&page=0", "sandbox: page must be between 1 and 1000000000"),
        ("from=0&to=1&schedule-status=paid", "지원되지 않는 상태값입니다."),
    ],
)
def test_a_list_that_cannot_be_is_refused(gateway: Gateway, query: str, message: str) -> None:
    answer = gateway.get(f"/subscribe/customers/buyer/schedules?{query}")

    assert answer.refusal == (400, -1, message)


def test_the_control_api_shows_schedules(gateway: Gateway) -> None:
    _schedule(gateway, _entry(gateway))
    (row,) = gateway.control("GET", "schedules?customer_uid=buyer")["schedules"]

    assert (row["merchant_uid"], row["status"], row["imp_uid"]) == ("s1", "scheduled", None)
    assert gateway.control("GET", "schedules?customer_uid=other")["schedules"] == []
    gateway.control("GET", "schedules?status=scheduled", status=400)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A merchant's endpoint."""
    receiver = Receiver()
    yield receiver
    receiver.close()


def test_both_outcomes_of_a_schedule_are_told(
    gateway: Gateway, receiver: Receiver, wait_until: WaitUntil
) -> None:
    gateway.faults(webhook_url=receiver.url)
    own = receiver.url.replace("/webhook", "/own")
    _schedule(gateway, _entry(gateway, "s1"), _entry(gateway, "s2", notice_url=own))
    gateway.behave("declined", "paid")
    _execute(gateway)
    wait_until(lambda: len(receiver.arrivals) == 2)

    assert sorted(receiver.statuses()) == [("s1", "failed"), ("s2", "paid")]
    assert sorted(arrival.path for arrival in receiver.arrivals) == ["/own", "/webhook"]
