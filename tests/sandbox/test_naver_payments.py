"""What a merchant does with a payment at Naver: points, confirmation, cash receipts."""

from typing import Any

import pytest

from tests.sandbox.client import Gateway

UNKNOWN_PAYMENT = (404, -1, "존재하지 않는 결제정보입니다.")


def _paid(gateway: Gateway, **changes: Any) -> str:
    return str(gateway.again(**changes).response["imp_uid"])


def _at_naver(gateway: Gateway, imp_uid: str) -> tuple[bool, str | None]:
    found = gateway.control("GET", f"payments/{imp_uid}/naver")
    return found["points"], found["confirmed_by"]


def test_points_are_given_once(gateway: Gateway) -> None:
    imp_uid = _paid(gateway)
    first = gateway.post(f"/payments/{imp_uid}/naver/point")

    assert (first.status, first.json) == (200, {"code": 0, "message": None})
    assert _at_naver(gateway, imp_uid) == (True, None)
    second = gateway.post(f"/payments/{imp_uid}/naver/point")
    assert (second.status, second.code) == (500, -1)
    assert str(second.message).startswith("sandbox: ")


@pytest.mark.parametrize(
    ("body", "by"),
    [({}, "admin"), ({"requester": "admin"}, "admin"), ({"requester": "customer"}, "customer")],
)
def test_a_purchase_is_confirmed_once_by_whom_it_says(
    gateway: Gateway, body: dict[str, Any], by: str
) -> None:
    imp_uid = _paid(gateway)
    path = f"/payments/{imp_uid}/naver/confirm"

    assert gateway.post_form(path, body).json == {"code": 0, "message": None}
    assert _at_naver(gateway, imp_uid) == (False, by)
    assert gateway.post(path, **body).status == 500


def test_a_confirmation_by_somebody_else_cannot_be(gateway: Gateway) -> None:
    imp_uid = _paid(gateway)
    answer = gateway.post(f"/payments/{imp_uid}/naver/confirm", requester="buyer")

    assert answer.refusal == (400, -1, "sandbox: requester must be one of customer, admin")
    assert _at_naver(gateway, imp_uid) == (False, None)


def test_what_was_not_paid_has_neither_points_nor_confirmation(gateway: Gateway) -> None:
    gateway.behave("declined")
    imp_uid = _paid(gateway)
    for what in ("point", "confirm"):
        assert gateway.post(f"/payments/{imp_uid}/naver/{what}").status == 500
    assert gateway.get(f"/payments/{imp_uid}/naver/cash-amount").status == 500
    assert _at_naver(gateway, imp_uid) == (False, None)


def test_an_unknown_payment_is_404(gateway: Gateway) -> None:
    for what in ("point", "confirm"):
        assert gateway.post(f"/payments/imp_1/naver/{what}").refusal == UNKNOWN_PAYMENT
    assert gateway.get("/payments/imp_1/naver/cash-amount").refusal == UNKNOWN_PAYMENT
    gateway.control("GET", "payments/imp_1/naver", status=404)


def test_a_cash_receipt_is_of_what_is_left_with_its_vat(gateway: Gateway) -> None:
    imp_uid = _paid(gateway, amount=11_500, tax_free=500)
    path = f"/payments/{imp_uid}/naver/cash-amount"

    assert gateway.get(path).response == {
        "amount_total": 11_500,
        "amount_by_npoint": 0,
        "amount_by_primary": 11_500,
        "amount_supply": 10_500,
        "amount_vat": 1_000,
    }
    gateway.cancel(imp_uid=imp_uid, amount=5_500)
    left = gateway.get(path).response
    assert (left["amount_total"], left["amount_supply"], left["amount_vat"]) == (6_000, 5_500, 500)
    gateway.cancel(imp_uid=imp_uid)
    assert gateway.get(path).response["amount_total"] == 0
