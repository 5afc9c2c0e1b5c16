"""What is refused before the gateway is asked, and in which words."""

import json
from datetime import date
from typing import Any
from urllib.parse import parse_qs

import pytest

from shared.billing.inquiry import Expectation
from shared.billing.money import Price
from shared.billing.refund import Requester
from tests.unit.gateway.refunds import REASON, claim, order
from worker.gateway.bodies import AgainBody, CancelBody
from worker.gateway.requests import (
    ChargeRequest,
    UnfitRequest,
    body_of,
    deletion_query,
    prepare_body,
    refund_body_of,
    unschedule_body,
)

TODAY = date(2026, 8, 15)


def request(**changes: Any) -> ChargeRequest:
    usual: dict[str, Any] = {
        "merchant_uid": "sub1p1n1",
        "customer_uid": "planted-key",
        "price": Price(9_900),
        "order_name": "정기구독",
    }
    return ChargeRequest(**{**usual, **changes})


def body(asked: ChargeRequest, minimum_amount: int = 10) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(body_of(asked, minimum_amount=minimum_amount, today=TODAY))
    return parsed


def test_a_plain_charge_says_only_what_must_be_said() -> None:
    assert body(request()) == {
        "customer_uid": "planted-key",
        "merchant_uid": "sub1p1n1",
        "amount": 9900,
        "tax_free": 0,
        "name": "정기구독",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"price": Price(10)},
        {"price": Price(10, tax_free=10)},
        {"price": Price(2_147_483_648)},
        {"merchant_uid": "a" * 40},
        {"customer_uid": "k" * 80},
        {"customer_uid": "구매자 1/2?"},
        {"order_name": "가" * 40},
        {"order_name": ' "따옴표"\n'},
        {"buyer_name": "가" * 16, "buyer_email": "e" * 64, "buyer_tel": "0" * 16},
        {"buyer_name": ""},
        {"naver_use_cfm": TODAY},
        {"naver_use_cfm": date(2099, 1, 1)},
    ],
    ids=str,
)
def test_what_the_gateway_would_take_is_sent_unchanged(changes: dict[str, Any]) -> None:
    asked = request(**changes)
    sent = body(asked)

    assert sent["merchant_uid"] == asked.merchant_uid
    assert sent["customer_uid"] == asked.customer_uid
    assert sent["name"] == asked.order_name
    assert (sent["amount"], sent["tax_free"]) == (asked.price.amount, asked.price.tax_free)
    assert sent.get("buyer_name") == asked.buyer_name
    if asked.naver_use_cfm:
        assert sent["extra"] == {"naverUseCfm": f"{asked.naver_use_cfm:%Y%m%d}"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"merchant_uid": ""}, "merchant_uid: String should match"),
        ({"merchant_uid": "a" * 41}, "merchant_uid: String should have at most 40"),
        ({"merchant_uid": "sub-1"}, "merchant_uid: String should match"),
        ({"merchant_uid": "SUB1"}, "merchant_uid: String should match"),
        ({"merchant_uid": "sub1\n"}, "merchant_uid: String should match"),
        ({"customer_uid": ""}, "customer_uid: String should have at least 1"),
        ({"customer_uid": "planted" * 12}, "customer_uid: String should have at most 80"),
        ({"order_name": ""}, "name: String should have at least 1"),
        ({"order_name": "가" * 41}, "name: String should have at most 40"),
        ({"order_name": "\udc80planted"}, "name: Input should be a valid string"),
        ({"buyer_name": "planted" * 3}, "buyer_name: String should have at most 16"),
        ({"buyer_email": "planted" * 10}, "buyer_email: String should have at most 64"),
        ({"buyer_tel": "planted" * 3}, "buyer_tel: String should have at most 16"),
        ({"customer_uid": 5}, "customer_uid: Input should be a valid string"),
        (
            {"naver_use_cfm": date(2026, 8, 14)},
            "naverUseCfm 20260814 is before today in Korea, 20260815",
        ),
        ({"price": Price(9)}, "최소 결제 금액은 10원입니다."),
        ({"price": Price(0)}, "최소 결제 금액은 10원입니다."),
    ],
    ids=str,
)
def test_what_the_gateway_would_refuse_is_refused_in_words_without_the_value(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UnfitRequest) as refused:
        body(request(**changes))

    assert str(refused.value).startswith(words)
    assert "planted" not in str(refused.value)
    # Nothing hangs on it that a traceback would print.
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_the_minimum_is_a_setting() -> None:
    body(request(price=Price(100)), minimum_amount=100)
    with pytest.raises(UnfitRequest, match="최소 결제 금액은 1,000원입니다"):
        body(request(price=Price(999)), minimum_amount=1_000)


def test_several_faults_are_told_together() -> None:
    with pytest.raises(UnfitRequest, match=r"customer_uid: .*; name: "):
        body(request(customer_uid="", order_name=""))


def test_the_repr_of_a_charge_names_neither_key_nor_buyer() -> None:
    asked = request(
        buyer_name="planted", buyer_email="planted@example.invalid", buyer_tel="planted"
    )

    assert "planted" not in repr(asked)
    assert "sub1p1n1" in repr(asked)


def test_a_charge_knows_what_its_reply_must_say() -> None:
    assert request().expectation == Expectation("sub1p1n1", 9_900, "planted-key")


def test_the_body_can_carry_what_we_do_not_send_yet() -> None:
    carried = AgainBody(
        customer_uid="k",
        merchant_uid="m",
        amount=10,
        name="n",
        custom_data='{"a":1}',
        notice_url="https://example.invalid/hook",
    )

    assert json.loads(carried.encoded())["notice_url"] == "https://example.invalid/hook"
    with pytest.raises(ValueError, match="Extra inputs"):
        AgainBody(customer_uid="k", merchant_uid="m", amount=10, name="n", nick="x")  # type: ignore[call-arg]


def refund_body(**changes: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(refund_body_of(claim(**changes)))
    return parsed


def test_a_refund_says_everything_that_must_be_said() -> None:
    assert refund_body(order=order(3_000, 100)) == {
        "imp_uid": "imps_1",
        "merchant_uid": "sub1p1n1",
        "amount": 3_000,
        "tax_free": 100,
        "checksum": 9_000,
        "reason": REASON,
        "extra": {"requester": "customer"},
    }


def test_a_refund_of_all_that_is_left_and_of_no_tax_free_part_says_so_in_numbers() -> None:
    sent = refund_body(order=order(9_000, requester="admin"))

    assert (sent["amount"], sent["tax_free"], sent["checksum"]) == (9_000, 0, 9_000)
    assert sent["extra"] == {"requester": "admin"}


@pytest.mark.parametrize(
    "reason", ["가" * 256, '"따옴표" & <b>', " 앞뒤 공백 ", "전각　공백", "👨‍👩‍👧"]
)
def test_a_reason_is_sent_as_it_is(reason: str) -> None:
    assert refund_body(order=order(reason=reason))["reason"] == reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"imp_uid": ""}, "imp_uid: String should have at least 1"),
        ({"merchant_uid": ""}, "merchant_uid: String should have at least 1"),
        ({"merchant_uid": "m" * 41}, "merchant_uid: String should have at most 40"),
        ({"checksum": 2_999}, "body: Value error, tax_free must not exceed amount"),
        ({"checksum": 0}, "body: Value error, tax_free must not exceed amount"),
        ({"checksum": -1}, "body: Value error, tax_free must not exceed amount"),
        ({"checksum": None}, "checksum: Input should be a valid integer"),
        ({"checksum": True}, "checksum: Input should be a valid integer"),
        ({"checksum": 9_000.0}, "checksum: Input should be a valid integer"),
    ],
    ids=str,
)
def test_a_refund_that_would_give_back_something_else_is_not_sent(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UnfitRequest) as refused:
        refund_body(**changes)

    assert str(refused.value).startswith(words)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


FULL_CANCEL: dict[str, Any] = {
    "imp_uid": "imps_1",
    "merchant_uid": "sub1p1n1",
    "amount": 3_000,
    "tax_free": 0,
    "checksum": 9_000,
    "reason": REASON,
    "extra": {"requester": "customer"},
}


@pytest.mark.parametrize("name", FULL_CANCEL)
@pytest.mark.parametrize("how", ["left out", "null"])
def test_no_field_of_a_cancel_can_be_left_out(name: str, how: str) -> None:
    fields = {**FULL_CANCEL, name: None}
    if how == "left out":
        del fields[name]

    CancelBody(**FULL_CANCEL)
    with pytest.raises(ValueError, match=rf"\n{name}\n"):
        CancelBody(**fields)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 0},
        {"amount": -1},
        {"amount": "3000"},
        {"amount": 3_000.0},
        {"amount": True},
        {"tax_free": -1},
        {"tax_free": 3_001},
        {"reason": ""},
        {"reason": "　 \t"},
        {"reason": "가" * 257},
        {"extra": {}},
        {"extra": {"requester": "seller"}},
        {"extra": {"requester": None}},
        {"refund_bank": "088"},
    ],
    ids=str,
)
def test_a_cancel_that_the_gateway_could_read_otherwise_cannot_be_written(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(ValueError, match="CancelBody"):
        CancelBody(**{**FULL_CANCEL, **changes})


def test_a_deletion_tells_why_and_on_whose_wish_in_its_query() -> None:
    query = deletion_query("해지 요청 & 100% #1 +=?/", Requester.CUSTOMER)

    assert query.startswith("reason=%ED%95%B4%EC%A7%80%20%EC%9A%94%EC%B2%AD%20%26")
    assert query.endswith("&extra%5Brequester%5D=customer")
    assert parse_qs(query, strict_parsing=True) == {
        "reason": ["해지 요청 & 100% #1 +=?/"],
        "extra[requester]": ["customer"],
    }


@pytest.mark.parametrize("reason", ["", " ", "가" * 257, "\udc80"])
def test_a_deletion_without_a_reason_is_not_sent(reason: str) -> None:
    with pytest.raises(UnfitRequest, match=r"^reason: "):
        deletion_query(reason, Requester.ADMIN)


@pytest.mark.parametrize("customer_uid", ["", "k" * 81])
def test_reservations_of_nobody_are_not_revoked(customer_uid: str) -> None:
    assert json.loads(unschedule_body("k/1")) == {"customer_uid": "k/1"}
    with pytest.raises(UnfitRequest, match=r"^customer_uid: "):
        unschedule_body(customer_uid)


@pytest.mark.parametrize(
    ("merchant_uid", "amount"), [("", 1_000), ("w-1", 1_000), ("w" * 41, 1_000), ("w1", 0)]
)
def test_a_window_of_no_name_or_no_amount_is_not_prepared(merchant_uid: str, amount: int) -> None:
    assert json.loads(prepare_body("w1", 1_000)) == {"merchant_uid": "w1", "amount": 1_000}
    with pytest.raises(UnfitRequest):
        prepare_body(merchant_uid, amount)
