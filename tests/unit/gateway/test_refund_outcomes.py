"""Every row of the table by which a reply to a cancel becomes an outcome."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.outcome import FaultScope, Misconfigured, Throttled, Unknown
from shared.billing.refund import Refunded, RefundOutcome, Refused
from tests.unit.gateway.refunds import REASON, claim
from worker.gateway import texts
from worker.gateway.refund_outcomes import outcome_of_refund

ALREADY = "이미 전액취소된 주문입니다."
NOTHING = "취소할 결제건이 존재하지 않습니다."
TOO_MUCH = "결제취소에 실패하였습니다.(requested cancel amount is bigger than cancelable amount)"
DONE_AT_THE_PG = "결제취소에 실패하였습니다. 해당거래 취소실패(기취소성공)"
GATEWAY, REQUEST = FaultScope.GATEWAY, FaultScope.REQUEST
FIELDS = ["code", "message", "response", "amount", "cancel_amount", "imp_uid", "cancel_history"]
AT = 1_780_000_000


def cancel(amount: object, reason: object, number: int, **changes: Any) -> dict[str, Any]:
    usual = {
        "pg_tid": f"pg-{number}",
        "amount": amount,
        "cancelled_at": AT + number,
        "reason": reason,
        "cancellation_id": f"cancellation_{number}",
    }
    return {**usual, **changes}


BEFORE = cancel(900, "먼저", 1)
OURS = cancel(3_000, REASON, 2)
DONE = Refunded("cancellation_2", datetime.fromtimestamp(AT + 2, UTC), 3_900)


def payment(**changes: Any) -> dict[str, Any]:
    usual = {
        "imp_uid": "imps_1",
        "merchant_uid": "sub1p1n1",
        "customer_uid": "customer-1",
        "customer_uid_usage": "payment",
        "status": "cancelled",
        "amount": 9900,
        "cancel_amount": 3900,
        "currency": "KRW",
        "paid_at": AT,
        "cancel_history": [BEFORE, OURS],
    }
    return {"code": 0, "message": None, "response": {**usual, **changes}}


def refused(message: str | None, code: int = 1) -> dict[str, Any]:
    return {"code": code, "message": message, "response": None}


def outcome(body: bytes | dict[str, Any], status: int = 200, /, **headers: str) -> RefundOutcome:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return outcome_of_refund(status, named, raw, claim())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"status": "paid"},
        {"status": "in_review"},
        {"amount": 9900.0, "cancel_amount": 3900.0},
        {"cancel_history": [OURS, BEFORE]},
        {"customer_uid": None, "customer_uid_usage": None, "currency": None},
        {"unheard_of": {"nested": True}, "pay_method": 7},
    ],
    ids=["a part", "still paid", "new status", "points", "newest first", "a window's", "odd"],
)
def test_a_payment_that_shows_exactly_this_refund_is_refunded(changes: dict[str, Any]) -> None:
    assert outcome(payment(**changes)) == DONE


@pytest.mark.parametrize("history", [[], "?", [{"amount": "3000"}], None])
def test_without_a_history_that_can_be_read_the_sums_are_enough(history: object) -> None:
    told = payment(cancel_history=history)

    assert outcome(told) == Refunded(None, None, 3_900)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"imp_uid": "imps_2"}, "code 0, and the gateway shows another payment"),
        ({"merchant_uid": "sub1p1n2"}, "code 0, and the gateway shows another payment"),
        ({"amount": 9901}, "code 0, and the payment is of 9901 won, 9900 were paid"),
        ({"cancel_amount": 900}, "code 0, and the payment stands as before"),
        ({"cancel_amount": 0}, "code 0, and the gateway shows 0 won as cancelled"),
        ({"cancel_amount": 9900, "cancel_history": []}, "code 0, and 9900 won are cancelled"),
        ({"customer_uid_usage": "issue"}, "code 0, and the record is a registration"),
        ({"currency": "USD"}, "the reply is in USD"),
        (
            {"cancel_history": [BEFORE, cancel(3_000, "다른 사유", 2)]},
            "code 0, and a cancellation at the gateway may be this refund",
        ),
        (
            {"cancel_amount": 4900, "cancel_history": [BEFORE, cancel(4_000, REASON, 2)]},
            "code 0, and 4900 won are cancelled in another way",
        ),
    ],
    ids=str,
)
def test_a_processed_cancel_that_shows_anything_else_is_unknown(
    changes: dict[str, Any], cause: str
) -> None:
    result = outcome(payment(**changes))

    assert isinstance(result, Unknown)
    assert result.cause.startswith(cause)


@pytest.mark.parametrize(
    "changes",
    [{"amount": "9900"}, {"cancel_amount": 0.5}, {"merchant_uid": 1}, {"imp_uid": ""}],
    ids=str,
)
def test_a_payment_whose_deciding_fields_cannot_be_read_is_unknown(
    changes: dict[str, Any],
) -> None:
    result = outcome(payment(**changes))

    assert isinstance(result, Unknown)
    assert result.cause.startswith("HTTP 200, unreadable: ")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"code": 0}',
        b'{"code": 0, "response": null}',
        b'{"code": "0", "response": null}',
        b"[]",
        b"<html>ok</html>",
        json.dumps(payment()).encode()[:-20],
    ],
)
def test_a_reply_that_cannot_be_read_is_unknown(body: bytes) -> None:
    assert isinstance(outcome(body), Unknown)


@pytest.mark.parametrize("code", [1, -1, 42])
@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (ALREADY, Refused(ALREADY)),
        (NOTHING, Refused(NOTHING)),
        (TOO_MUCH, Refused(TOO_MUCH)),
        (DONE_AT_THE_PG, Refused(DONE_AT_THE_PG)),
        (" 잔액이\t다릅니다\n", Refused(" 잔액이\t다릅니다\n")),
        ("등록되지 않은 구매자입니다.", Refused("등록되지 않은 구매자입니다.")),
        ("AlreadyOnGoing", Unknown("AlreadyOnGoing")),
        (
            "결제취소에 실패하였습니다. [AlreadyComplete]",
            Unknown("결제취소에 실패하였습니다. [AlreadyComplete]"),
        ),
        (
            "결제취소에 실패하였습니다. MaintenanceOngoing",
            Throttled("결제취소에 실패하였습니다. MaintenanceOngoing"),
        ),
        ("API 호출 권한이 없습니다.", Misconfigured("API 호출 권한이 없습니다.", GATEWAY)),
        ("InvalidMerchant", Misconfigured("InvalidMerchant", GATEWAY)),
        ("파라미터 누락:reason", Misconfigured("파라미터 누락:reason", REQUEST)),
    ],
)
def test_a_refusal_is_known_by_its_text_and_kept_byte_for_byte(
    code: int, message: str, expected: RefundOutcome
) -> None:
    assert outcome(refused(message, code)) == expected


def test_a_refusal_without_words_is_one() -> None:
    assert outcome(refused(None, 1)) == Refused("")


def test_the_response_of_a_refusal_does_not_matter() -> None:
    assert outcome({**payment(), "code": 1, "message": ALREADY}) == Refused(ALREADY)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, refused("파라미터 누락:amount"), Misconfigured("파라미터 누락:amount", REQUEST)),
        (400, refused(" 이상한 값 "), Misconfigured(" 이상한 값 ", REQUEST)),
        (400, refused(ALREADY), Refused(ALREADY)),
        (400, b"<html>", Misconfigured("HTTP 400", REQUEST)),
        (401, refused("Unauthorized"), Misconfigured("Unauthorized", GATEWAY)),
        (401, refused(ALREADY), Misconfigured(ALREADY, GATEWAY)),
        (401, b"", Misconfigured("HTTP 401", GATEWAY)),
        (403, b"", Misconfigured("HTTP 403", GATEWAY)),
        (403, refused("IP"), Misconfigured("IP", GATEWAY)),
        (404, refused(NOTHING), Refused(NOTHING)),
        (404, refused("없음"), Unknown("HTTP 404, code 1: 없음")),
        (409, refused(TOO_MUCH), Refused(TOO_MUCH)),
        (409, refused("AlreadyOnGoing"), Unknown("AlreadyOnGoing")),
        (418, payment(), Unknown("HTTP 418 with code 0")),
        (400, payment(), Unknown("HTTP 400 with code 0")),
    ],
)
def test_a_4xx_is_known_by_its_text_first_and_then_by_its_number(
    status: int, body: bytes | dict[str, Any], expected: RefundOutcome
) -> None:
    assert outcome(body, status) == expected


@pytest.mark.parametrize("status", [404, 405, 408, 409, 413, 415, 422, 499])
def test_any_other_4xx_is_unknown(status: int) -> None:
    assert isinstance(outcome(b"", status), Unknown)


@pytest.mark.parametrize("status", [100, 201, 202, 204, 207, 301, 302, 307, 500, 502, 504, 600])
@pytest.mark.parametrize("body", [payment(), refused(ALREADY), b""], ids=["done", "no", "-"])
def test_every_other_status_is_unknown_whatever_its_body_says(
    status: int, body: bytes | dict[str, Any]
) -> None:
    assert outcome(body, status) == Unknown(f"HTTP {status}")


def test_the_gateway_may_tell_us_to_wait() -> None:
    assert outcome(payment(), 429) == Throttled("HTTP 429", None)
    assert outcome(b"", 429, Retry_After="5") == Throttled("HTTP 429", 5.0)
    assert outcome(refused(ALREADY), 503, Retry_After="5") == Throttled("HTTP 503", 5.0)
    assert outcome(refused("MaintenanceOngoing"), 503) == Unknown("HTTP 503")


def test_every_text_of_a_refused_cancel_is_in_the_table() -> None:
    for known in texts.NOT_CANCELLED:
        assert outcome(refused(f"앞 {known.text} 뒤")) == Refused(f"앞 {known.text} 뒤")


@given(
    status=st.integers(100, 999),
    retry_after=st.text(max_size=40),
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
def test_no_reply_whatsoever_breaks_the_table_or_is_taken_for_a_refund(
    status: int, retry_after: str, body: bytes
) -> None:
    told = outcome_of_refund(status, {"retry-after": retry_after}, body, claim())

    assert not isinstance(told, Refunded)


@given(
    imp_uid=st.sampled_from(["imps_1", "imps_2"]),
    merchant_uid=st.sampled_from(["sub1p1n1", "other"]),
    amount=st.sampled_from([9_900, 9_000, 3_900]),
    cancel_amount=st.sampled_from([0, 900, 3_000, 3_900, 9_900]),
    usage=st.sampled_from(["payment", "issue", None]),
    currency=st.sampled_from(["KRW", "USD", None]),
    status=st.sampled_from([200, 200, 200, 201, 404, 500]),
)
def test_a_refund_is_found_only_where_the_payment_matches_in_every_respect(
    imp_uid: str,
    merchant_uid: str,
    amount: int,
    cancel_amount: int,
    usage: str | None,
    currency: str | None,
    status: int,
) -> None:
    told = payment(
        imp_uid=imp_uid,
        merchant_uid=merchant_uid,
        amount=amount,
        cancel_amount=cancel_amount,
        customer_uid_usage=usage,
        currency=currency,
        cancel_history=[],
    )
    is_ours = (
        (imp_uid, merchant_uid, amount, cancel_amount, status)
        == ("imps_1", "sub1p1n1", 9_900, 3_900, 200)
        and usage != "issue"
        and currency != "USD"
    )

    assert isinstance(outcome(told, status), Refunded) == is_ours
