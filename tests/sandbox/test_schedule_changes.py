"""Schedules that are listed for everybody, moved, booked anew, and changed in the console."""

from typing import Any

import pytest

from tests.sandbox.client import Answer, Gateway

SCHEDULE = "/subscribe/payments/schedule"
APART = "must be in order and at most three months apart"
SOON_S = 600
DAY_S = 86_400


def _now(gateway: Gateway) -> int:
    return int(gateway.control("GET", "clock")["now"])


def _schedule(gateway: Gateway, *merchant_uids: str, after_s: int = SOON_S, **more: Any) -> int:
    """Schedule a charge for each; give the instant."""
    at = _now(gateway) + after_s
    entries = [
        {"merchant_uid": uid, "schedule_at": at, "amount": 1004, **more} for uid in merchant_uids
    ]
    answer = gateway.post(SCHEDULE, customer_uid="buyer", schedules=entries)
    assert answer.code == 0, answer.body
    return at


def _one(gateway: Gateway, merchant_uid: str = "s1") -> dict[str, Any]:
    found: dict[str, Any] = gateway.get(f"{SCHEDULE}/{merchant_uid}").response
    return found


def _go_to(gateway: Gateway, instant: int) -> None:
    """Move the clock further than a token lives."""
    gateway.control("PUT", "clock", {"now": instant})
    gateway._token = None


def _execute(gateway: Gateway, at: int) -> None:
    gateway.control("PUT", "clock", {"now": at})
    gateway.control("POST", "run-schedules")


def _fail(gateway: Gateway, merchant_uid: str = "s1") -> int:
    """Have a schedule fail; give the instant."""
    gateway.behave("declined")
    at = _schedule(gateway, merchant_uid)
    _execute(gateway, at)
    assert _one(gateway, merchant_uid)["payment_status"] == "failed"
    return at


def _put(gateway: Gateway, merchant_uid: str = "s1", **body: object) -> Answer:
    path = f"{SCHEDULE}/{merchant_uid}"
    return gateway.call("PUT", path, json_body=body, headers=gateway.bearer)


def _reschedule(gateway: Gateway, merchant_uid: str = "s1", **body: Any) -> Answer:
    return gateway.post(f"{SCHEDULE}/{merchant_uid}/reschedule", **body)


def _listed(gateway: Gateway, **query: object) -> list[str]:
    text = "&".join(f"{name}={value}" for name, value in query.items())
    answer = gateway.get(f"{SCHEDULE}?{text}")
    assert (answer.status, answer.code) == (200, 0), answer.body
    return [each["merchant_uid"] for each in answer.response]


def test_everybodys_schedules_are_listed_by_their_instant(gateway: Gateway) -> None:
    gateway.register("other")
    now = _now(gateway)
    for n in range(25):
        customer_uid = "other" if n % 2 else "buyer"
        entry = {"merchant_uid": f"s{n}", "schedule_at": now + 100 + n, "amount": 1004}
        gateway.post(SCHEDULE, customer_uid=customer_uid, schedules=[entry])
    gateway.post("/subscribe/payments/unschedule", merchant_uid="s3")
    window = {"schedule_from": now, "schedule_to": now + SOON_S}

    assert _listed(gateway, **window) == [f"s{n}" for n in range(24, 4, -1)]
    assert _listed(gateway, **window, page=2) == ["s4", "s3", "s2", "s1", "s0"]
    assert _listed(gateway, **window, page=3) == []
    assert _listed(gateway, **window, sorting="scheduled", limit=3) == ["s0", "s1", "s2"]
    assert _listed(gateway, **window, limit=1000, schedule_status="revoked") == ["s3"]
    assert len(_listed(gateway, **window, limit=1000, schedule_status="scheduled")) == 24
    assert _listed(gateway, schedule_from=now + 102, schedule_to=now + 104) == ["s3", "s2"]
    # A moved schedule is found where it is, and no more where it was.
    _put(gateway, "s2", schedule_at=now + 300)
    assert _listed(gateway, schedule_from=now + 102, schedule_to=now + 104) == ["s3"]
    assert _listed(gateway, schedule_from=now + 300, schedule_to=now + 301) == ["s2"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "파라미터 누락:schedule_from, schedule_to"),
        ("schedule_from=1&to=2", "파라미터 누락:schedule_to"),
        (
            "schedule_from=2&schedule_to=1",
            f"sandbox: schedule_from and schedule_to {APART}",
        ),
        (
            "schedule_from=0&schedule_to=8000000",
            f"sandbox: schedule_from and schedule_to {APART}",
        ),
        ("schedule_from=a&schedule_to=1", "sandbox: schedule_from must be a whole number"),
        (
            "schedule_from=0&schedule_to=1&limit=1001",
            "sandbox: limit must be between 1 and 1000",
        ),
        ("schedule_from=0&schedule_to=1&schedule_status=paid", "지원되지 않는 상태값입니다."),
    ],
)
def test_a_list_that_cannot_be_is_refused(gateway: Gateway, query: str, message: str) -> None:
    assert gateway.get(f"{SCHEDULE}?{query}").refusal == (400, -1, message)


def test_lists_of_schedules_may_come_in_an_object(gateway: Gateway) -> None:
    at = _schedule(gateway, "s1")
    paths = (
        f"{SCHEDULE}?schedule_from={at}&schedule_to={at + 1}",
        f"/subscribe/customers/buyer/schedules?from={at}&to={at + 1}",
    )
    plain = [gateway.get(path).response for path in paths]
    gateway.faults(schedules_in_an_object=True)
    gateway.is_documented = False

    assert [gateway.get(path).response for path in paths] == [{"list": each} for each in plain]
    assert _one(gateway)["merchant_uid"] == "s1"


def test_a_pending_schedule_is_moved_and_executed_then(gateway: Gateway) -> None:
    at = _schedule(gateway, "s1")
    later = at + SOON_S
    moved = _put(gateway, schedule_at=later).response

    assert (moved["schedule_at"], moved["schedule_status"]) == (later, "scheduled")
    _execute(gateway, at)
    assert gateway.booked() == []
    # There and back again: it is charged once.
    assert _put(gateway, schedule_at=later + 60).code == 0
    form = {"schedule_at": str(later)}
    assert gateway.post_form(f"{SCHEDULE}/s1", form, method="PUT").code == 0
    _execute(gateway, later + 60)
    assert [row["merchant_uid"] for row in gateway.booked()] == ["s1"]


def test_a_schedule_moved_to_an_earlier_instant_is_executed_once(gateway: Gateway) -> None:
    at = _schedule(gateway, "s1", after_s=2 * SOON_S)
    _put(gateway, schedule_at=at - SOON_S)
    _execute(gateway, at - SOON_S)
    _execute(gateway, at)

    assert [row["merchant_uid"] for row in gateway.booked()] == ["s1"]


def test_what_is_executed_or_revoked_cannot_be_moved(gateway: Gateway) -> None:
    at = _schedule(gateway, "s1", "s2")
    gateway.post("/subscribe/payments/unschedule", merchant_uid="s2")
    _execute(gateway, at)

    for merchant_uid in ("s1", "s2"):
        refusal = (400, -1, "sandbox: the schedule was executed or revoked")
        assert _put(gateway, merchant_uid, schedule_at=at + SOON_S).refusal == refusal


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "파라미터 누락:schedule_at"),
        ({"schedule_at": 1}, "sandbox: schedule_at is in the past"),
        ({"schedule_at": "4102444800"}, "sandbox: schedule_at must be a JSON number"),
    ],
)
def test_an_instant_that_cannot_be_is_refused(
    gateway: Gateway, body: dict[str, Any], message: str
) -> None:
    _schedule(gateway, "s1")

    for change in (_put, _reschedule):
        assert change(gateway, **body).refusal == (400, -1, message)


def test_an_unknown_schedule_cannot_be_changed(gateway: Gateway) -> None:
    refusal = (404, -1, "sandbox: no schedule of this merchant_uid")
    for change in (_put, _reschedule):
        assert change(gateway, schedule_at=4_102_444_800).refusal == refusal
    assert gateway.post(f"{SCHEDULE}/s1/retry").refusal == refusal


@pytest.mark.parametrize("policy", ["never_reusable", "refused_if_paid", "none"])
def test_a_failed_schedule_is_booked_anew_and_paid_under_every_policy(
    gateway: Gateway, policy: str
) -> None:
    gateway.faults(duplicate_policy=policy)
    at = _fail(gateway) + SOON_S
    anew = _reschedule(gateway, schedule_at=at).response

    assert (anew["schedule_status"], anew["schedule_at"]) == ("scheduled", at)
    assert (anew["imp_uid"], anew["payment_status"], anew["executed_at"]) == (None, None, 0)
    assert _reschedule(gateway, schedule_at=at).status == 400
    _execute(gateway, at)
    assert [row["status"] for row in gateway.booked("s1")] == ["failed", "paid"]
    assert _reschedule(gateway, schedule_at=at + SOON_S).refusal == (
        400,
        -1,
        "sandbox: the schedule is pending, under way or paid",
    )


def test_a_revoked_schedule_is_booked_anew(gateway: Gateway) -> None:
    at = _schedule(gateway, "s1")
    gateway.post("/subscribe/payments/unschedule", merchant_uid="s1")

    assert _reschedule(gateway, schedule_at=at).code == 0
    _execute(gateway, at)
    assert [row["status"] for row in gateway.booked("s1")] == ["paid"]


def test_what_was_paid_meanwhile_is_not_paid_again_by_a_schedule_booked_anew(
    gateway: Gateway,
) -> None:
    at = _fail(gateway) + SOON_S
    gateway.again(merchant_uid="s1")
    _reschedule(gateway, schedule_at=at)
    _execute(gateway, at)

    assert [row["status"] for row in gateway.booked("s1")] == ["failed", "paid", "failed"]


def test_a_person_moves_revokes_and_retries_in_the_console(gateway: Gateway) -> None:
    at = _schedule(gateway, "s1", "s2")
    one = "console/schedules/s1"
    moved = gateway.control("PUT", one, {"schedule_at": at + 60})
    assert (moved["schedule_at"], moved["status"]) == (at + 60, "scheduled")
    assert gateway.control("DELETE", one)["status"] == "revoked"
    assert _one(gateway)["schedule_status"] == "revoked"
    gateway.behave("declined", "paid")

    assert gateway.control("POST", f"{one}/retry")["status"] == "failed"
    paid = gateway.control("POST", f"{one}/retry")
    assert (paid["status"], paid["customer_uid_usage"]) == ("paid", "payment.scheduled")
    assert _one(gateway)["imp_uid"] == paid["imp_uid"]
    for method, path, body in (
        ("POST", f"{one}/retry", None),
        ("PUT", one, {"schedule_at": at}),
        ("DELETE", one, None),
        ("POST", "console/schedules/s9/retry", None),
        ("DELETE", "console/schedules/s9", None),
        ("PUT", "console/schedules/s2", {"schedule_at": "soon"}),
    ):
        assert "error" in gateway.control(method, path, body, status=400)
    _execute(gateway, at + SOON_S)
    assert [row["merchant_uid"] for row in gateway.booked()] == ["s1", "s1", "s2"]


def test_a_failed_schedule_can_be_booked_anew_in_the_console(gateway: Gateway) -> None:
    at = _fail(gateway) + SOON_S
    anew = gateway.control("PUT", "console/schedules/s1", {"schedule_at": at})

    assert (anew["status"], anew["imp_uid"]) == ("scheduled", None)
    _execute(gateway, at)
    assert [row["status"] for row in gateway.booked("s1")] == ["failed", "paid"]


def test_somebody_elses_schedule_is_made_without_a_token(gateway: Gateway) -> None:
    at = _now(gateway) + SOON_S
    entry = {"merchant_uid": "foreign", "schedule_at": at, "amount": 5000}
    made = gateway.control(
        "POST", "console/schedules", {"customer_uid": "buyer", "schedules": [entry]}
    )

    assert made["schedules"][0]["status"] == "scheduled"
    for wrong in ({"customer_uid": "nobody", "schedules": [entry]}, {"customer_uid": "buyer"}):
        assert "error" in gateway.control("POST", "console/schedules", wrong, status=400)
    _execute(gateway, at)
    assert [row["amount"] for row in gateway.booked("foreign")] == [5000]


def test_recovery_tries_once_more_what_failed_the_day_before(gateway: Gateway) -> None:
    noon = 1_767_322_800  # of 2026-01-02 in Korea
    _go_to(gateway, noon)
    _fail(gateway, "old")
    _go_to(gateway, noon + DAY_S)
    _fail(gateway, "s1")
    _schedule(gateway, "s2")
    _go_to(gateway, noon + 2 * DAY_S)
    gateway.control("POST", "run-schedules")
    tried = gateway.control("POST", "console/recovery")["tried"]

    assert [(row["merchant_uid"], row["status"]) for row in tried] == [("s1", "paid")]
    assert gateway.control("POST", "console/recovery")["tried"] == []
    assert [row["status"] for row in gateway.booked("old")] == ["failed"]
