"""The checks find what is wrong: each of these requests and replies has one planted fault."""

import json
from typing import Any

import pytest

from tests.contract.validation import (
    FORM_TYPE,
    JSON_TYPE,
    Request,
    faults_of_reply,
    faults_of_request,
    operation_of,
)

AGAIN = "/subscribe/payments/again"
SCHEDULE = "/subscribe/payments/schedule"
CHARGE = {"customer_uid": "c1", "merchant_uid": "m1", "amount": 1004, "name": "구독"}
ENTRY = {
    "merchant_uid": "m1",
    "schedule_at": 1_800_000_000,
    "currency": "KRW",
    "amount": 1004,
    "name": "구독",
}
CANCEL = {
    "imp_uid": "imp_1",
    "amount": 10,
    "reason": "단순 변심",
    "extra": {"requester": "customer"},
}


def _json(method: str, path: str, body: object) -> Request:
    return Request(method, path, "", JSON_TYPE, json.dumps(body).encode())


@pytest.mark.parametrize(
    "request_",
    [
        _json("POST", AGAIN, CHARGE),
        _json("POST", AGAIN, {**CHARGE, "amount": 1004.0, "buyer_name": None}),
        _json("POST", AGAIN, {**CHARGE, "extra": {"naverUseCfm": "20990101"}}),
        _json("POST", SCHEDULE, {"customer_uid": "c1", "schedules": [ENTRY]}),
        _json("POST", "/payments/cancel", CANCEL),
        Request(
            "POST",
            "/payments/cancel",
            "",
            f"{FORM_TYPE}; charset=utf-8",
            b"imp_uid=imp_1&reason=%EB%B3%80%EC%8B%AC&extra[requester]=admin",
        ),
        Request(
            "POST",
            SCHEDULE,
            "",
            FORM_TYPE,
            (
                b"customer_uid=c1&schedules[0][merchant_uid]=m1&schedules[0][schedule_at]=1"
                b"&schedules[0][currency]=KRW&schedules[0][amount]=10&schedules[0][name]=n"
                b"&schedules[0][extra][naverUseCfm]=20990101"
            ),
        ),
        Request("GET", "/payments", "imp_uid[]=a&imp_uid[]=b"),
        Request("GET", "/payments/status/all", "from=1&to=2&limit=1000&sorting=-paid"),
        Request("GET", "/payments/find/m1/"),
        Request("GET", "/payments/find/m1/paid"),
        Request("GET", "/payments/imp_1", "include_sandbox=true"),
        Request("DELETE", "/subscribe/customers/c1", "reason=r&extra[requester]=customer"),
    ],
    ids=lambda request_: f"{request_.method} {request_.path}",
)
def test_what_is_documented_has_no_fault(request_: Request) -> None:
    assert faults_of_request(request_) == []


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        (_json("POST", AGAIN, {**CHARGE, "pg": "naverpay"}), "body: no pg; known are customer_uid"),
        (_json("POST", AGAIN, {**CHARGE, "amount": "1004"}), "body.amount: '1004' is no number"),
        (_json("POST", AGAIN, {**CHARGE, "amount": True}), "body.amount: True is no number"),
        (_json("POST", AGAIN, {**CHARGE, "name": None}), "body.name: None is no string"),
        (_json("POST", AGAIN, {"customer_uid": "c1"}), "body: merchant_uid is missing"),
        (
            _json("POST", AGAIN, {**CHARGE, "name": "이" * 41}),
            "body.name: 41 characters, and 40 are the most",
        ),
        (_json("POST", AGAIN, {**CHARGE, "vat_amount": 91}), "vat_amount is not for Naver Pay"),
        (_json("POST", AGAIN, {**CHARGE, "card_quota": 1.5}), "body.card_quota: 1.5 is no integer"),
        (
            _json("POST", AGAIN, {**CHARGE, "extra": {"naverusecfm": "20990101"}}),
            "body.extra: no naverusecfm; known are naverUseCfm",
        ),
        (
            _json("POST", SCHEDULE, {"customer_uid": "c1", "schedules": ENTRY}),
            "is no array",
        ),
        (
            _json("POST", SCHEDULE, {"customer_uid": "c1", "schedules": [{**ENTRY, "naem": "x"}]}),
            "body.schedules[0]: no naem",
        ),
        (
            _json(
                "POST",
                SCHEDULE,
                {"customer_uid": "c1", "schedules": [{**ENTRY, "schedule_at": "1800000000"}]},
            ),
            "body.schedules[0].schedule_at: '1800000000' is no integer",
        ),
        (
            _json("POST", "/payments/cancel", {**CANCEL, "extra": {"requester": "buyer"}}),
            "body.extra.requester: 'buyer' is none of customer, admin",
        ),
        (
            _json("POST", "/payments/cancel", {"imp_uid": "imp_1", "extra": CANCEL["extra"]}),
            "body: reason is missing",
        ),
        (_json("POST", "/payments/cancel", [CANCEL]), "is no object"),
        (
            Request(
                "POST", AGAIN, "", FORM_TYPE, b"amount=many&customer_uid=c&merchant_uid=m&name=n"
            ),
            "body.amount: 'many' is no number",
        ),
        (Request("POST", AGAIN, "", "text/plain", b"x"), "'text/plain' is neither"),
        (Request("GET", "/payments/status/settled"), "path.payment_status: 'settled' is none of"),
        (Request("GET", "/payments/status/all", "limit=1001"), "1001 is not between 1 and 1000"),
        (Request("GET", "/payments/status/all", "limit=0"), "0 is not between 1 and 1000"),
        (Request("GET", "/payments/status/all", "from=now"), "query.from: 'now' is no integer"),
        (Request("GET", "/payments/status/all", "until=1"), "query: no until"),
        (
            Request("GET", "/payments", "&".join(f"imp_uid[]={n}" for n in range(101))),
            "query.imp_uid[]: 101 of them, and 1 to 100 are allowed",
        ),
        (
            Request(
                "GET", "/subscribe/customers/c1/schedules", "from=1&to=2&schedule_status=revoked"
            ),
            "query: no schedule_status",
        ),
        (Request("DELETE", "/subscribe/customers/c1", "reason=r"), "extra[requester] is missing"),
        (Request("GET", "/payments/imp_1", "include_sandbox=yes"), "'yes' is no boolean"),
        (Request("POST", "/subscribe/payments/onetime"), "no operation for Naver Pay"),
        (Request("GET", "/payments/imp_1/balance"), "no operation for Naver Pay"),
    ],
)
def test_what_is_not_documented_is_found(request_: Request, fault: str) -> None:
    (found, *others) = faults_of_request(request_)

    assert fault in found
    assert not others or "is missing" in others[0]


PAYMENT = {
    "imp_uid": "imps_1",
    "merchant_uid": "m1",
    "amount": 1004,
    "cancel_amount": 0,
    "currency": "KRW",
    "status": "paid",
    "sandbox": False,
}


def _envelope(response: object, **more: Any) -> bytes:
    return json.dumps({"code": 0, "message": None, "response": response, **more}).encode()


def test_a_reply_that_is_documented_has_no_fault() -> None:
    page = {"total": 1, "previous": 0, "next": 0, "list": [PAYMENT]}
    for method, path, status, body in (
        ("POST", AGAIN, 200, _envelope({**PAYMENT, "buyer_tel": None, "amount": 1004.0})),
        ("GET", "/payments/status/paid", 200, _envelope(page)),
        ("GET", "/payments", 207, _envelope([PAYMENT])),
        ("POST", "/payments/imp_1/naver/point", 200, b'{"code": 0, "message": null}'),
        ("POST", AGAIN, 200, b'{"code": 1, "message": "no", "response": null}'),
        ("GET", "/payments/imp_1", 404, b'{"code": -1, "message": "no", "response": null}'),
    ):
        assert faults_of_reply(method, path, status, body) == []


@pytest.mark.parametrize(
    ("method", "path", "status", "body", "fault"),
    [
        ("POST", AGAIN, 200, _envelope({**PAYMENT, "cancelAmount": 0}), "no cancelAmount"),
        ("POST", AGAIN, 200, _envelope({**PAYMENT, "status": "canceled"}), "'canceled' is none of"),
        ("POST", AGAIN, 200, _envelope({**PAYMENT, "paid_at": 1.5}), "1.5 is no integer"),
        ("POST", AGAIN, 200, _envelope({**PAYMENT, "amount": "1004"}), "'1004' is no number"),
        ("POST", AGAIN, 200, _envelope({**PAYMENT, "imp_uid": "i" * 33}), "33 characters"),
        ("POST", AGAIN, 200, _envelope({**PAYMENT, "sandbox": None}), "None is no boolean"),
        (
            "POST",
            AGAIN,
            200,
            _envelope({**PAYMENT, "card_issuer_code": "366"}),
            "not for Naver Pay",
        ),
        (
            "POST",
            AGAIN,
            200,
            _envelope({**PAYMENT, "cancel_history": [{"amount": 1}]}),
            "response.cancel_history[0]: pg_tid is missing",
        ),
        (
            "POST",
            AGAIN,
            200,
            _envelope({name: PAYMENT[name] for name in PAYMENT if name != "sandbox"}),
            "response: sandbox is missing",
        ),
        ("POST", AGAIN, 200, _envelope([PAYMENT]), "is no object"),
        ("POST", AGAIN, 200, _envelope(None), "None is no object"),
        ("POST", AGAIN, 207, _envelope(PAYMENT), "is not among 200, 401"),
        ("POST", AGAIN, 200, _envelope(PAYMENT, trace="x"), "no trace in an envelope"),
        ("POST", AGAIN, 200, _envelope(PAYMENT, code="0"), "'0' is no integer"),
        ("POST", AGAIN, 200, _envelope(PAYMENT, code=1, message="no"), "code 1 and a response"),
        ("POST", AGAIN, 200, _envelope(None, code=1), "code 1 and no message"),
        ("POST", AGAIN, 500, _envelope(PAYMENT), "with code 0"),
        ("POST", AGAIN, 200, b'{"code": 0}', "without code and message"),
        ("POST", AGAIN, 200, b"<html>", "a body that is no JSON"),
        ("GET", "/payments", 200, _envelope(PAYMENT), "is no array"),
        ("POST", "/payments/imp_1/naver/point", 200, _envelope(None), "with a response"),
    ],
)
def test_a_reply_that_is_not_documented_is_found(
    method: str, path: str, status: int, body: bytes, fault: str
) -> None:
    assert any(fault in found for found in faults_of_reply(method, path, status, body))


def test_an_operation_is_found_by_its_path() -> None:
    for method, path, name in (
        ("GET", "/payments/status/paid", "GET /payments/status/{payment_status}"),
        ("GET", "/payments/find/m1", "GET /payments/find/{merchant_uid}/{payment_status}"),
        ("GET", "/payments/find/m1/paid/", "GET /payments/find/{merchant_uid}/{payment_status}"),
        ("GET", "/payments/prepare/m1", "GET /payments/prepare/{merchant_uid}"),
        ("GET", "/payments/imp_1", "GET /payments/{imp_uid}"),
        ("GET", f"{SCHEDULE}/m1", "GET /subscribe/payments/schedule/{merchant_uid}"),
        (
            "GET",
            f"{SCHEDULE}/customers/c1",
            "GET /subscribe/payments/schedule/customers/{customer_uid}",
        ),
    ):
        found = operation_of(method, path)
        assert found is not None
        assert found.name == name
    assert operation_of("POST", "/payments/imp_1") is None
    assert operation_of("GET", "/payments/find/m1//") is not None
    assert operation_of("GET", "/payments//naver/point") is None
