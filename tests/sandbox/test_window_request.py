"""What a merchant may hand to the window, and the words for what it may not."""

from typing import Any

import pytest

from tests.sandbox.buyer import Buyer, product
from tests.sandbox.client import Gateway


@pytest.fixture
def buyer(gateway: Gateway) -> Buyer:
    """A buyer with an account that has nothing registered."""
    return Buyer(gateway)


def _refusal(buyer: Buyer, params: dict[str, Any], *, mode: str = "redirect") -> str:
    """Insist that no window opens and nothing is booked; give the words."""
    view = buyer.view(buyer.open(params, mode=mode))
    result = view["result"]
    assert (view["state"], result["success"], result["imp_uid"]) == ("ended", False, None)
    assert buyer.gateway.booked() == []
    text: str = result["error_msg"]
    assert text.startswith("sandbox: ")
    return text.removeprefix("sandbox: ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"buyer_tel": None}, "missing buyer_tel"),
        ({"buyer_tel": ""}, "missing buyer_tel"),
        ({"merchant_uid": None, "name": None}, "missing merchant_uid, name"),
        ({"amount": None}, "missing amount"),
        ({"amount": "1004"}, "amount must be a whole number, not a string"),
        ({"amount": True}, "amount must be a whole number, not a string"),
        ({"amount": 1004.5}, "amount must be a whole number, not a string"),
        ({"amount": -1}, "amount must be between 0 and"),
        ({"amount": 10**13}, "amount must be between 0 and"),
        ({"tax_free": 1005}, "tax_free above amount"),
        ({"merchant_uid": "m" * 41}, "merchant_uid longer than 40"),
        ({"customer_uid": "c" * 81}, "customer_uid longer than 80"),
        ({"customer_uid": 5}, "customer_uid must be a string"),
        ({"customer_uid": {}}, "customer_uid must be a string"),
        ({"name": "n" * 41}, "name longer than 40"),
        ({"name": "\ud800"}, "name holds half a character"),
        ({"pg": "kakaopay"}, "pg must be naverpay or naverpay.{partner id}"),
        ({"currency": "USD"}, "currency must be KRW"),
        ({"naverActionType": "change"}, "naverActionType must be NEW or CHANGE"),
        ({"naverActionType": ["NEW"]}, "naverActionType must be a string"),
        ({"naverProductCode": 1}, "naverProductCode must be a string"),
        ({"naverProductCount": 0}, "naverProductCount must be between 1 and"),
        ({"naverProductCount": "5"}, "naverProductCount must be a whole number"),
        ({"naverPopupMode": "true"}, "naverPopupMode must be true or false"),
        ({"naverUseCfm": "2026-12-01"}, "naverUseCfm must be a day as yyyyMMdd"),
        ({"naverUseCfm": "20261301"}, "naverUseCfm must be a day as yyyyMMdd"),
        ({"naverUseCfm": "20200101"}, "naverUseCfm is before today in Korea"),
        ({"naverPurchaserBirthday": "151201"}, "naverPurchaserBirthday must be a day"),
        ({"custom_data": {"a": "\ud800"}}, None),
    ],
)
def test_a_wrong_registration_is_refused_in_words(
    buyer: Buyer, changes: dict[str, Any], words: str | None
) -> None:
    params = buyer.registration()
    params |= changes
    params = {name: value for name, value in params.items() if value is not None}

    assert _refusal(buyer, params).startswith(words or "custom_data")


@pytest.mark.parametrize(
    ("products", "words"),
    [
        (None, "missing naverProducts"),
        ([], "missing naverProducts"),
        ({}, "naverProducts must be an array"),
        (["book"], "naverProducts[0] must be an object"),
        ([product(), product(uid=None, name=None)], "missing naverProducts[1].uid, naverProducts"),
        ([product(count=0)], "naverProducts[0].count must be between 1 and"),
        ([product(count="1")], "naverProducts[0].count must be a whole number"),
        ([product(name=5)], "naverProducts[0].name must be a string"),
        ([product(sellerId="seller-a")], "naverProducts[0].sellerId must be letters and digits"),
        ([product(sellerId=7)], "naverProducts[0].sellerId must be a string"),
    ],
)
def test_a_payment_needs_whole_products(buyer: Buyer, products: object, words: str) -> None:
    assert _refusal(buyer, buyer.payment(naverProducts=products)).startswith(words)


def test_a_change_without_a_customer_uid_is_refused(buyer: Buyer) -> None:
    words = _refusal(buyer, buyer.payment(naverActionType="CHANGE"))
    assert words == "naverActionType CHANGE needs the customer_uid that is to change"


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "/done",
        "shop.example/done",
        "http://",
        "https://shop.example/\r\nSet-Cookie: a=b",
        "https://shop.example/ a",
        "http://[",
        "https://shop.example/\ud800",
    ],
)
def test_an_address_that_a_browser_may_not_be_sent_to_is_refused(
    buyer: Buyer, address: str
) -> None:
    params = buyer.payment(m_redirect_url=address)
    path = buyer.open(params)

    assert "m_redirect_url" in _refusal(buyer, params)
    assert buyer.view(path)["return_url"] is None
    assert "return" not in buyer.page(path).attributes


def test_a_page_that_is_left_needs_an_address_to_return_to(buyer: Buyer) -> None:
    words = "missing m_redirect_url, since naverPopupMode is not true"
    leaving = buyer.payment(m_redirect_url=None, naverPopupMode=False)

    assert _refusal(buyer, leaving) == words
    assert _refusal(buyer, {**leaving, "naverPopupMode": None}, mode="popup") == words
    popup = buyer.payment(m_redirect_url=None)
    assert buyer.view(buyer.open(popup, mode="popup"))["state"] == "open"


def test_a_refusal_also_finds_its_way_back(buyer: Buyer) -> None:
    """The parameters cannot be read, the address can."""
    view = buyer.view(buyer.open(buyer.payment(amount="1004", merchant_uid="m9")))

    assert view["return_url"].startswith("https://shop.example/done?merchant_uid=m9&")
    assert "imp_uid" not in view["return_url"]


@pytest.mark.parametrize(
    "changes",
    [
        {"pg": None, "channelKey": "channel-key-1"},
        {"pg": "naverpay"},
        {"amount": 1004.0},
        {"currency": "KRW"},
        {"naverUseCfm": "20991231"},
        {"naverPurchaserName": "홍길동", "naverPurchaserBirthday": "20151201"},
        {"naverCultureBenefit": True, "naverChainId": "c", "naverMerchantUserKey": "k"},
        {"naverProducts": [product(sellerId="sellerA", payReferrer="NAVER_BOOK"), product()]},
        {"unknown": {"of": "no consequence"}},
        {"custom_data": "text"},
    ],
)
def test_what_the_guide_allows_opens_a_window(buyer: Buyer, changes: dict[str, Any]) -> None:
    view = buyer.view(buyer.open(buyer.payment(**changes)))

    assert (view["state"], view["amount"], view["result"]) == ("open", 1004, None)


def test_today_in_korea_is_not_past(buyer: Buyer) -> None:
    buyer.gateway.control("PUT", "clock", {"now": 1_767_193_200})  # 2026-01-01 00:00 in Korea
    assert buyer.view(buyer.open(buyer.payment(naverUseCfm="20260101")))["state"] == "open"
    assert "before today" in _refusal(buyer, buyer.payment(naverUseCfm="20251231"))


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ({}, "params"),
        ({"params": "[1]"}, "JSON object"),
        ({"params": "{"}, "JSON"),
        ({"params": "{}", "mode": "tab"}, "popup, redirect"),
        ({"params": "{}", "mode": "popup", "origin": "null"}, "origin"),
        ({"params": "{}", "mode": "popup", "origin": "javascript:1"}, "origin"),
    ],
)
def test_a_form_that_is_none_of_the_sdk_is_refused(
    gateway: Gateway, form: dict[str, str], names: str
) -> None:
    answer = gateway.call("POST", "/_sandbox/windows", form=form)

    assert answer.status == 400
    assert names in answer.json["error"]


def test_parameters_may_be_posted_as_json(buyer: Buyer) -> None:
    body = {"params": buyer.registration(), "mode": "popup"}
    answer = buyer.gateway.call("POST", "/_sandbox/windows", json_body=body)
    view = buyer.view(answer.headers["location"])

    assert (view["mode"], view["action"]) == ("popup", "NEW")
    assert (view["customer_uid"], view["product_code"]) == ("gildong_0001", "slim-monthly")
