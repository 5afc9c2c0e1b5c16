"""Every row of the table by which a reply becomes an outcome."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.inquiry import Expectation
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
from worker.gateway import texts
from worker.gateway.outcomes import RETRY_AFTER_MAX_S, outcome_of_reply

EXPECTED = Expectation(merchant_uid="sub1p1n1", amount=9_900, customer_uid="customer-1")
DUPLICATE = (
    "이미 주문이 이루어진 건입니다. (동일한 merchant_uid로 결제 또는 취소된 기록이 있습니다)"
)
FIELDS = ["code", "message", "response", "status", "amount", "imp_uid", "merchant_uid", "paid_at"]
GATEWAY, REQUEST = FaultScope.GATEWAY, FaultScope.REQUEST


def payment(**changes: Any) -> dict[str, Any]:
    usual = {
        "imp_uid": "imps_1",
        "merchant_uid": "sub1p1n1",
        "customer_uid": "customer-1",
        "customer_uid_usage": "payment",
        "status": "paid",
        "amount": 9900,
        "cancel_amount": 0,
        "currency": "KRW",
        "paid_at": 1_780_000_000,
        "fail_reason": None,
        "receipt_url": "https://example.invalid/r",
    }
    return {"code": 0, "message": None, "response": {**usual, **changes}}


def failed(fail_reason: str | None, **changes: Any) -> dict[str, Any]:
    return payment(status="failed", fail_reason=fail_reason, paid_at=0, **changes)


def refused(message: str | None, code: int = -1) -> dict[str, Any]:
    return {"code": code, "message": message, "response": None}


def outcome(body: bytes | dict[str, Any], status: int = 200, /, **headers: str) -> Outcome:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return outcome_of_reply(status, named, raw, EXPECTED)


PAID = Paid("imps_1", datetime.fromtimestamp(1_780_000_000, UTC), "https://example.invalid/r")


@pytest.mark.parametrize(
    "body",
    [
        payment(),
        payment(amount=9900.0),
        payment(customer_uid_usage=None, currency=None),
        payment(unheard_of={"nested": True}, pay_method=7, cancel_history="?"),
    ],
    ids=["plain", "amount with a point", "nothing optional", "unknown and odd fields"],
)
def test_a_paid_payment_that_matches_in_every_respect_is_paid(body: dict[str, Any]) -> None:
    assert outcome(body) == PAID


def test_a_paid_payment_may_lack_what_decides_nothing() -> None:
    odd = payment(paid_at="yesterday", receipt_url=5)

    assert outcome(odd) == Paid("imps_1", None, None)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"amount": 9901}, "the reply is of 9901 won, 9900 were sent"),
        ({"merchant_uid": "sub1p1n2"}, "the reply is of another merchant_uid, sub1p1n2"),
        ({"customer_uid": "customer-2"}, "the reply is of another buyer"),
        ({"customer_uid": None}, "paid, and the reply names no buyer"),
        ({"customer_uid_usage": "issue"}, "the reply is of usage issue in KRW"),
        ({"customer_uid_usage": "payment.scheduled"}, "the reply is of usage payment.scheduled"),
        ({"currency": "USD"}, "the reply is of usage payment in USD"),
        ({"cancel_amount": 100}, "paid, and 100 won of it are cancelled"),
        ({"status": "ready"}, "status ready"),
        ({"status": "cancelled"}, "status cancelled"),
        ({"status": "in_review"}, "status in_review"),
        ({"status": "PAID"}, "status PAID"),
    ],
    ids=str,
)
def test_a_payment_that_is_not_ours_or_not_ended_is_unknown(
    changes: dict[str, Any], cause: str
) -> None:
    result = outcome(payment(**changes))

    assert isinstance(result, Unknown)
    assert result.cause.startswith(cause)
    assert "customer-2" not in result.cause


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "9900"},
        {"amount": 9900.5},
        {"amount": True},
        {"amount": None},
        {"amount": -9900},
        {"amount": 1e300},
        {"cancel_amount": "0"},
        {"merchant_uid": 1},
        {"status": None},
        {"imp_uid": ""},
    ],
    ids=str,
)
def test_a_payment_whose_deciding_fields_cannot_be_read_is_unknown(
    changes: dict[str, Any],
) -> None:
    result = outcome(payment(**changes))

    assert isinstance(result, Unknown)
    assert result.cause.startswith(f"HTTP 200, unreadable: response.{next(iter(changes))}: ")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"code": 0}',
        b'{"code": 0, "response": null}',
        b'{"code": 0, "response": {}}',
        b'{"code": 0, "response": []}',
        b'{"code": "0", "message": null, "response": null}',
        b'{"code": true, "message": null, "response": null}',
        b'{"message": "?", "response": null}',
        b"[]",
        b"null",
        b"<html>ok</html>",
        b"\xff\xfe",
        b'{"code": -1, "message": 5}',
        json.dumps(payment()).encode()[:-20],
    ],
)
def test_a_reply_that_cannot_be_read_is_unknown(body: bytes) -> None:
    assert isinstance(outcome(body), Unknown)


@pytest.mark.parametrize("reason", ["잔액 부족", " 한도초과\n", "[E001] 거래정지카드", "", "만료"])
def test_a_failed_payment_is_a_decline_with_its_reason_byte_for_byte(reason: str) -> None:
    assert outcome(failed(reason)) == Declined(reason, "imps_1")


def test_a_decline_without_a_reason_or_a_buyer_is_a_decline() -> None:
    assert outcome(failed(None, customer_uid=None)) == Declined("", "imps_1")


@pytest.mark.parametrize(
    "changes",
    [{"amount": 1}, {"merchant_uid": "sub1p1n2"}, {"customer_uid": "customer-2"}],
    ids=str,
)
def test_the_decline_of_another_charge_is_not_ours(changes: dict[str, Any]) -> None:
    assert isinstance(outcome(failed("잔액 부족", **changes)), Unknown)


@pytest.mark.parametrize(
    "reason",
    ["정기결제가 해지되었습니다", "[EXPIRED]", "만료된 결제수단", "등록되지 않은 구매자입니다."],
)
def test_a_failed_payment_with_a_dead_method_marker_ends_the_method(reason: str) -> None:
    assert outcome(failed(reason)) == MethodDead(reason, "imps_1")


def test_which_markers_end_a_method_is_a_setting() -> None:
    body = json.dumps(failed("해지 / gone")).encode()

    def under(*markers: str) -> Outcome:
        return outcome_of_reply(200, {}, body, EXPECTED, markers)

    assert under() == Declined("해지 / gone", "imps_1")
    assert under("gone") == MethodDead("해지 / gone", "imps_1")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("AlreadyOnGoing", Unknown("AlreadyOnGoing")),
        ("[AlreadyComplete] 완료", Unknown("[AlreadyComplete] 완료")),
        ("MaintenanceOngoing", Throttled("MaintenanceOngoing")),
        (DUPLICATE, Duplicate(DUPLICATE)),
        ("InvalidMerchantAuth", Misconfigured("InvalidMerchantAuth", GATEWAY)),
        ("API 호출 권한이 없습니다.", Misconfigured("API 호출 권한이 없습니다.", GATEWAY)),
        ("파라미터 누락: name", Misconfigured("파라미터 누락: name", REQUEST)),
    ],
)
def test_a_failed_payment_whose_reason_is_no_fault_of_the_buyers_is_no_decline(
    reason: str, expected: Outcome
) -> None:
    assert outcome(failed(reason)) == expected


@pytest.mark.parametrize("code", [1, -1, 42])
@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (DUPLICATE, Duplicate(DUPLICATE)),
        ("이미 결제가 이루어진 거래건입니다.", Duplicate("이미 결제가 이루어진 거래건입니다.")),
        (" 등록되지 않은 구매자입니다.\n", MethodDead(" 등록되지 않은 구매자입니다.\n")),
        ("등록된 고객정보가 없습니다.", MethodDead("등록된 고객정보가 없습니다.")),
        (
            "요청하신 customer_uid(x)로 등록된 정보를 찾을 수 없습니다.",
            MethodDead("요청하신 customer_uid(x)로 등록된 정보를 찾을 수 없습니다."),
        ),
        ("API 호출 권한이 없습니다", Misconfigured("API 호출 권한이 없습니다", GATEWAY)),
        ("InvalidMerchant", Misconfigured("InvalidMerchant", GATEWAY)),
        (
            "인증 헤더 값을 잘못 입력했거나 해당 인증 값이 유효하지 않습니다.",
            Misconfigured(
                "인증 헤더 값을 잘못 입력했거나 해당 인증 값이 유효하지 않습니다.", GATEWAY
            ),
        ),
        ("파라미터 누락: amount", Misconfigured("파라미터 누락: amount", REQUEST)),
        ("MaintenanceOngoing", Throttled("MaintenanceOngoing")),
        ("AlreadyOnGoing", Unknown("AlreadyOnGoing")),
    ],
)
def test_a_refusal_is_known_by_its_text_and_not_by_its_number(
    code: int, message: str, expected: Outcome
) -> None:
    assert outcome(refused(message, code)) == expected


def test_a_refusal_whose_text_nobody_has_seen_is_unknown() -> None:
    assert outcome(refused("카드사 점검", -1)) == Unknown("HTTP 200, code -1: 카드사 점검")
    assert outcome(refused(None, 1)) == Unknown("HTTP 200, code 1: ")


def test_the_response_of_a_refusal_does_not_matter() -> None:
    body = {"code": 1, "message": "등록되지 않은 구매자입니다.", "response": [{"amount": "?"}]}

    assert outcome(body) == MethodDead("등록되지 않은 구매자입니다.")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, refused("파라미터 누락:amount"), Misconfigured("파라미터 누락:amount", REQUEST)),
        (400, refused(" 이상한 값 "), Misconfigured(" 이상한 값 ", REQUEST)),
        (400, refused(DUPLICATE), Duplicate(DUPLICATE)),
        (400, b"<html>", Misconfigured("HTTP 400", REQUEST)),
        (401, refused("Unauthorized"), Misconfigured("Unauthorized", GATEWAY)),
        (401, refused(DUPLICATE), Misconfigured(DUPLICATE, GATEWAY)),
        (401, b"", Misconfigured("HTTP 401", GATEWAY)),
        (403, b"", Misconfigured("HTTP 403", GATEWAY)),
        (403, refused("IP"), Misconfigured("IP", GATEWAY)),
        (404, refused("등록되지 않은 구매자입니다"), MethodDead("등록되지 않은 구매자입니다")),
        (404, refused("없음"), Unknown("HTTP 404, code -1: 없음")),
        (408, refused("느림"), Unknown("HTTP 408, code -1: 느림")),
        (409, refused(DUPLICATE), Duplicate(DUPLICATE)),
        (418, payment(), Unknown("HTTP 418 with code 0")),
        (400, payment(), Unknown("HTTP 400 with code 0")),
    ],
)
def test_a_4xx_is_known_by_its_text_first_and_then_by_its_number(
    status: int, body: bytes | dict[str, Any], expected: Outcome
) -> None:
    assert outcome(body, status) == expected


@pytest.mark.parametrize("status", [404, 405, 408, 409, 413, 415, 422, 425, 451, 499])
def test_any_other_4xx_is_unknown(status: int) -> None:
    assert isinstance(outcome(b"", status), Unknown)


@pytest.mark.parametrize(
    "status", [100, 101, 201, 202, 204, 206, 207, 300, 301, 304, 307, 308, 500, 502, 504, 599, 600]
)
@pytest.mark.parametrize("body", [payment(), refused(DUPLICATE), b""], ids=["paid", "no", "-"])
def test_every_other_status_is_unknown_whatever_its_body_says(
    status: int, body: bytes | dict[str, Any]
) -> None:
    assert outcome(body, status) == Unknown(f"HTTP {status}")


@pytest.mark.parametrize(
    ("value", "retry_after_s"),
    [
        ("0", 0.0),
        ("12", 12.0),
        (" 1.5 ", 1.5),
        ("999999", RETRY_AFTER_MAX_S),
        ("Mon, 24 Aug 2026 00:00:30 GMT", 30.0),
        ("Mon, 24 Aug 2026 09:00:30 +0900", 30.0),
        ("Mon, 24 Aug 2026 00:00:30 -0000", 30.0),
        ("Sun, 23 Aug 2026 00:00:00 GMT", 0.0),
        ("Tue, 25 Aug 2026 00:00:00 GMT", RETRY_AFTER_MAX_S),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_is_read_from_seconds_or_from_a_date_by_the_gateways_own_clock(
    status: int, value: str, retry_after_s: float
) -> None:
    said = outcome(b"", status, Retry_After=value, Date="Mon, 24 Aug 2026 00:00:00 GMT")

    assert said == Throttled(f"HTTP {status}", retry_after_s)


@pytest.mark.parametrize("date", [None, "soon", "Mon,24 Aug 2026 00:00:3300709300"])
def test_a_date_that_cannot_be_measured_is_a_wait_of_unknown_length(date: str | None) -> None:
    headers = {"Retry_After": "Mon, 24 Aug 2026 00:00:30 GMT"}
    if date is not None:
        headers["Date"] = date

    assert outcome(b"", 503, **headers) == Throttled("HTTP 503", None)


@pytest.mark.parametrize("value", ["", "soon", "-5", "1e9", "٣", "5 minutes"])
def test_a_wait_that_cannot_be_read_makes_no_503_a_refusal(value: str) -> None:
    headers = {"retry-after": value}

    assert outcome_of_reply(503, headers, b"", EXPECTED) == Unknown("HTTP 503")
    assert outcome_of_reply(429, headers, b"", EXPECTED) == Throttled("HTTP 429", None)


def test_a_503_alone_may_have_charged() -> None:
    assert outcome(refused("MaintenanceOngoing"), 503) == Unknown("HTTP 503")


def test_a_429_needs_no_more_words() -> None:
    assert outcome(payment(), 429) == Throttled("HTTP 429", None)


def test_every_known_text_is_whole_and_tells_where_it_was_seen() -> None:
    tables = (
        texts.IN_PROGRESS,
        texts.TOLD_TO_WAIT,
        texts.DUPLICATE,
        texts.UNREGISTERED,
        texts.NOT_PERMITTED,
        texts.BAD_PARAMETER,
        texts.NO_SUCH_PAYMENT,
        texts.NOT_CANCELLED,
        texts.NOTHING_SCHEDULED,
        texts.PREPARED_ALREADY,
        texts.NOT_PREPARED,
    )
    known = [entry for table in tables for entry in table]

    assert len({entry.text for entry in known}) == len(known)
    assert all(entry.text.strip() == entry.text and entry.text for entry in known)
    assert all(entry.seen for entry in known)


@given(
    status=st.integers(100, 999),
    retry_after=st.text(max_size=40),
    date=st.text(max_size=40),
    body=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6)
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
)
def test_no_reply_whatsoever_breaks_the_table_or_is_taken_for_a_payment(
    status: int, retry_after: str, date: str, body: bytes
) -> None:
    headers = {"retry-after": retry_after, "date": date}

    assert not isinstance(outcome_of_reply(status, headers, body, EXPECTED), Paid)
