"""What is refused before the gateway is asked, and in which words."""

import json
from datetime import date
from typing import Any

import pytest

from shared.billing.inquiry import Expectation
from shared.billing.money import Price
from worker.gateway.requests import ChargeRequest, UnfitRequest, body_of
from worker.gateway.wire import AgainBody

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
