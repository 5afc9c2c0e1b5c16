"""`/payments/prepare`: amounts registered before a window opens."""

from typing import Any

import pytest

from tests.sandbox.client import Gateway

PREPARE = "/payments/prepare"


def _put(gateway: Gateway, **body: Any) -> Any:
    return gateway.call("PUT", PREPARE, json_body=body, headers=gateway.bearer)


def test_an_amount_is_prepared_read_and_changed(gateway: Gateway) -> None:
    prepared = gateway.post(PREPARE, merchant_uid="w/1", amount=1004)
    read = gateway.get(f"{PREPARE}/w%2F1")
    changed = _put(gateway, merchant_uid="w/1", amount=2000, currency="KRW")

    expected = {"merchant_uid": "w/1", "amount": 1004, "currency": None}
    assert (prepared.status, prepared.code, prepared.response) == (200, 0, expected)
    assert read.response == expected
    assert changed.response == {"merchant_uid": "w/1", "amount": 2000, "currency": "KRW"}
    assert gateway.get(f"{PREPARE}/w%2F1").response == changed.response


def test_a_form_does_the_same(gateway: Gateway) -> None:
    form = {"merchant_uid": "w1", "amount": "1004", "currency": "KRW"}
    assert gateway.post_form(PREPARE, form).response["amount"] == 1004
    assert gateway.post_form(PREPARE, {**form, "amount": "2000"}, method="PUT").code == 0

    assert gateway.get(f"{PREPARE}/w1").response["amount"] == 2000


def test_a_second_preparation_is_refused_and_changes_nothing(gateway: Gateway) -> None:
    gateway.post(PREPARE, merchant_uid="w1", amount=1004)
    answer = gateway.post(PREPARE, merchant_uid="w1", amount=2000)

    assert answer.refusal == (
        200,
        1,
        "결제정보 사전등록에 실패하였습니다(이미 등록된 merchant_uid입니다).",
    )
    assert gateway.get(f"{PREPARE}/w1").response["amount"] == 1004


def test_what_was_never_prepared_is_404(gateway: Gateway) -> None:
    message = "사전등록된 결제정보가 존재하지 않습니다."
    assert gateway.get(f"{PREPARE}/w1").refusal == (404, -1, message)
    assert _put(gateway, merchant_uid="w1", amount=1004).refusal == (404, -1, message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "파라미터 누락:merchant_uid, amount"),
        ({"merchant_uid": "w1"}, "파라미터 누락:amount"),
        ({"merchant_uid": "", "amount": 10}, "파라미터 누락:merchant_uid"),
        ({"merchant_uid": "w1", "amount": "10"}, "sandbox: amount must be a JSON number"),
        ({"merchant_uid": "w" * 41, "amount": 10}, "sandbox: merchant_uid longer than 40"),
        ({"merchant_uid": 1, "amount": 10}, "sandbox: merchant_uid must be a string"),
    ],
)
def test_what_cannot_be_read_is_refused(
    gateway: Gateway, body: dict[str, Any], message: str
) -> None:
    assert gateway.post(PREPARE, **body).refusal == (400, -1, message)
    assert _put(gateway, **body).refusal == (400, -1, message)


def test_charges_by_the_api_are_not_bound(gateway: Gateway) -> None:
    gateway.post(PREPARE, merchant_uid="m1", amount=2000)

    assert gateway.again(amount=1004).response["status"] == "paid"


def test_amounts_may_be_written_as_floats(gateway: Gateway) -> None:
    gateway.faults(float_amounts=True)

    assert b'"amount":1004.0' in gateway.post(PREPARE, merchant_uid="w1", amount=1004).body
