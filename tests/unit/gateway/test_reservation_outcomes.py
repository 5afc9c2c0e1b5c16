"""Every row of the table by which a reply becomes the ending of a reservation, or of its retry."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.inquiry import Expectation, RecordStatus
from shared.billing.outcome import (
    Declined,
    Duplicate,
    FaultScope,
    MethodDead,
    Misconfigured,
    Outcome,
    Paid,
    Throttled,
    Unknown,
)
from shared.billing.reservation import (
    Reserved,
    ScheduledPayment,
    ScheduleOutcome,
    ScheduleRefused,
    ScheduleStatus,
)
from tests.unit.gateway.test_outcomes import DUPLICATE, EXPECTED, failed, payment, refused
from worker.gateway.reservation_outcomes import outcome_of_retry, outcome_of_schedule
from worker.gateway.wire_schedules import Schedule

AT_S = 1_790_000_000
GATEWAY, REQUEST = FaultScope.GATEWAY, FaultScope.REQUEST
NOBODY = "등록된 고객정보가 없습니다"
SCHEDULE: dict[str, Any] = {
    "customer_uid": "customer-1",
    "merchant_uid": "sub1p1n1",
    "imp_uid": None,
    "schedule_at": AT_S,
    "executed_at": 0,
    "revoked_at": 0,
    "amount": 9900,
    "currency": "KRW",
    "name": "정기구독",
    "buyer_tel": "010-1234-5678",
    "schedule_status": "scheduled",
    "payment_status": None,
    "fail_reason": None,
}


def answered(response: object, code: int = 0) -> dict[str, Any]:
    return {"code": code, "message": None, "response": response}


def schedule(**changes: Any) -> dict[str, Any]:
    return answered([{**SCHEDULE, **changes}])


def outcome(
    body: bytes | dict[str, Any], status: int = 200, *, was_there: bool = False, **headers: str
) -> ScheduleOutcome:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return outcome_of_schedule(status, named, raw, EXPECTED, AT_S, was_there=was_there)


def retried(body: bytes | dict[str, Any], status: int = 200) -> Outcome:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return outcome_of_retry(status, httpx.Headers(), raw, EXPECTED)


HELD = ScheduledPayment(
    merchant_uid="sub1p1n1",
    customer_uid="customer-1",
    amount=9_900,
    schedule_at=datetime.fromtimestamp(AT_S, UTC),
    status=ScheduleStatus.SCHEDULED,
)


@pytest.mark.parametrize(
    "body",
    [
        schedule(),
        schedule(amount=9900.0, currency=None, unheard_of=[1]),
        answered(SCHEDULE),
        answered({"list": [SCHEDULE], "total": 1, "previous": 0, "next": 0}),
    ],
    ids=["array", "what decides nothing", "object", "object with a list"],
)
def test_exactly_the_reservation_that_was_asked_for_is_reserved(body: dict[str, Any]) -> None:
    assert outcome(body) == Reserved(HELD)


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (schedule(merchant_uid="sub1p1n2"), "another merchant_uid, sub1p1n2"),
        (schedule(amount=9_901), "of 9901 KRW, 9900 won were sent"),
        (schedule(currency="USD"), "of 9900 USD, 9900 won were sent"),
        (schedule(customer_uid="customer-2"), "of another buyer"),
        (schedule(schedule_at=AT_S + 1), f"the instant {AT_S + 1}, {AT_S} was sent"),
        (schedule(schedule_status="executed"), "schedule_status executed"),
        (schedule(schedule_status="revoked"), "schedule_status revoked"),
        (schedule(schedule_status="brand_new"), "schedule_status brand_new"),
        (answered([]), "of 0 reservations"),
        (answered([SCHEDULE, SCHEDULE]), "of 2 reservations"),
        (answered(None), "code 0 without a response"),
        (schedule(amount="9900"), "amount"),
        (schedule(schedule_at=0), "schedule_at"),
        (schedule(customer_uid=None), "customer_uid"),
        (b"<html>", "unreadable"),
        (b"", "unreadable"),
    ],
    ids=str,
)
def test_whatever_else_was_processed_is_unknown(body: bytes | dict[str, Any], cause: str) -> None:
    ending = outcome(body)

    assert isinstance(ending, Unknown)
    assert cause in ending.cause


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (refused(NOBODY, 1), 200, ScheduleRefused(NOBODY, unknown_customer=True)),
        (refused(NOBODY), 404, ScheduleRefused(NOBODY, unknown_customer=True)),
        (refused(DUPLICATE, 1), 200, ScheduleRefused(DUPLICATE, is_taken=True)),
        (refused("파라미터 누락:name"), 400, Misconfigured("파라미터 누락:name", REQUEST)),
        (refused("schedule_at"), 400, Misconfigured("schedule_at", REQUEST)),
        (refused("Unauthorized"), 401, Misconfigured("Unauthorized", GATEWAY)),
        (refused("IP"), 403, Misconfigured("IP", GATEWAY)),
        (
            refused("API 호출 권한이 없습니다."),
            200,
            Misconfigured("API 호출 권한이 없습니다.", GATEWAY),
        ),
        (refused("MaintenanceOngoing"), 200, Throttled("MaintenanceOngoing")),
        (refused("AlreadyOnGoing"), 200, Unknown("AlreadyOnGoing")),
        (refused("처음 보는 말", 1), 200, Unknown("HTTP 200, code 1: 처음 보는 말")),
        (refused("처음 보는 말"), 404, Unknown("HTTP 404, code -1: 처음 보는 말")),
        (refused(NOBODY, 1), 500, Unknown("HTTP 500")),
        (schedule(), 201, Unknown("HTTP 201")),
        (schedule(), 302, Unknown("HTTP 302")),
        (schedule(), 404, Unknown("HTTP 404 with code 0")),
        (schedule(), 502, Unknown("HTTP 502")),
        (b"", 429, Throttled("HTTP 429")),
        (b"", 503, Unknown("HTTP 503")),
    ],
    ids=str,
)
def test_a_refusal_is_believed_by_its_words_and_no_others(
    body: bytes | dict[str, Any], status: int, expected: ScheduleOutcome
) -> None:
    assert outcome(body, status) == expected


def test_who_is_told_to_wait_is_told_for_how_long() -> None:
    assert outcome(b"", 503, retry_after="7") == Throttled("HTTP 503", 7.0)


def test_a_400_to_what_was_reserved_before_may_say_that_it_is_under_way() -> None:
    """The specification names it also for what is executed, running or approved."""
    assert outcome(refused("?"), 400, was_there=True) == Unknown("HTTP 400, code -1: ?")
    assert outcome(refused("파라미터 누락:schedule_at"), 400, was_there=True) == Misconfigured(
        "파라미터 누락:schedule_at", REQUEST
    )
    assert outcome(refused("IP"), 403, was_there=True) == Misconfigured("IP", GATEWAY)
    assert outcome(schedule(), was_there=True) == Reserved(HELD)


@pytest.mark.parametrize("usage", ["payment.scheduled", "payment", None])
def test_a_retry_that_was_paid_is_paid_whatever_its_usage(usage: str | None) -> None:
    ending = retried(payment(customer_uid_usage=usage))

    assert isinstance(ending, Paid)
    assert ending.imp_uid == "imps_1"


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (failed("잔액 부족"), 200, Declined("잔액 부족", "imps_1")),
        (failed("만료된 수단"), 200, MethodDead("만료된 수단", "imps_1")),
        (payment(customer_uid_usage="issue"), 200, Unknown),
        (payment(status="ready"), 200, Unknown),
        (payment(amount=1), 200, Unknown),
        (refused(DUPLICATE, 1), 200, Duplicate(DUPLICATE)),
        (refused("등록되지 않은 구매자입니다.", 1), 200, MethodDead("등록되지 않은 구매자입니다.")),
        # Not executed yet, under way, or approved: only the records tell.
        (refused("처음 보는 말"), 400, Unknown("HTTP 400, code -1: 처음 보는 말")),
        (refused("처음 보는 말"), 404, Unknown("HTTP 404, code -1: 처음 보는 말")),
        (refused("처음 보는 말"), 500, Unknown("HTTP 500")),
        (refused("Unauthorized"), 401, Misconfigured("Unauthorized", GATEWAY)),
        (b"", 400, Misconfigured("HTTP 400", REQUEST)),
    ],
    ids=str,
)
def test_a_retry_ends_as_a_charge_does(
    body: bytes | dict[str, Any], status: int, expected: Outcome | type[Outcome]
) -> None:
    ending = retried(body, status)

    assert type(ending) is expected if isinstance(expected, type) else ending == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*SCHEDULE, "list", "code", "response"]), inner, max_size=5
        )
    ),
    max_leaves=12,
)


@given(response=JSON, code=st.sampled_from([0, 1, -1]), status=st.integers(100, 599))
def test_no_reply_is_taken_for_a_reservation_but_a_whole_one(
    response: object, code: int, status: int
) -> None:
    body = json.dumps({"code": code, "message": "?", "response": response}).encode()

    for ending in (
        outcome_of_schedule(status, httpx.Headers(), body, EXPECTED, AT_S),
        outcome_of_retry(status, httpx.Headers(), body, EXPECTED),
    ):
        assert isinstance(ending, Unknown | Throttled | Misconfigured)
        assert not isinstance(ending, Misconfigured) or status in {400, 401, 403}


@pytest.mark.parametrize(
    ("changes", "status", "payment_status"),
    [
        ({}, ScheduleStatus.SCHEDULED, None),
        (
            {"schedule_status": "executed", "payment_status": "paid"},
            ScheduleStatus.EXECUTED,
            RecordStatus.PAID,
        ),
        (
            {"schedule_status": "executed", "payment_status": "failed"},
            ScheduleStatus.EXECUTED,
            RecordStatus.FAILED,
        ),
        ({"schedule_status": "revoked"}, ScheduleStatus.REVOKED, None),
        (
            {"schedule_status": "brand_new", "payment_status": "brand_new"},
            ScheduleStatus.SCHEDULED,
            RecordStatus.READY,
        ),
        (
            {"schedule_status": "executed", "payment_status": "paid", "currency": "USD"},
            ScheduleStatus.EXECUTED,
            RecordStatus.READY,
        ),
    ],
    ids=str,
)
def test_what_cannot_be_read_of_a_reservation_settles_nothing(
    changes: dict[str, Any], status: ScheduleStatus, payment_status: RecordStatus | None
) -> None:
    read = Schedule.model_validate({**SCHEDULE, **changes}).record()

    assert (read.status, read.payment_status) == (status, payment_status)


def test_the_repr_of_a_reservation_names_no_billing_key() -> None:
    held = Reserved(HELD)

    assert "customer-1" not in f"{held!r} {HELD!r} {Expectation('m', 1, 'customer-1')!r}"
    assert "sub1p1n1" in repr(held)
