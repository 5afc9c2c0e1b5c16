"""What a browser sees: what the merchant and the buyer said, and nothing they could inject."""

import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.sandbox import window_pages
from deploy.sandbox.window_desk import KEPT_MAX, Result, Window, WindowDesk, refusal
from deploy.sandbox.window_request import Mode
from tests.sandbox.buyer import Buyer, Page, product
from tests.sandbox.client import Gateway

ATTACKS: Final = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' onmouseover='alert(1)",
    "</dd></dl></body>",
    "$amount ${account} $$",
    "&lt;b&gt; &amp; &#13;",
    "a\r\nb\tc",
    "😀 100% 'x' \"y\" \\",
)

# What a form cannot carry is half a character; everything else can be typed.
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200) | (
    st.lists(
        st.sampled_from(
            ["잔액 부족", "😀", '"', "'", "%", "%20", "&", "=", "#", "+", "\n", "\r", "<"]
        ),
        min_size=1,
    ).map("".join)
)


@pytest.fixture
def buyer(gateway: Gateway) -> Buyer:
    """A buyer with an account that has nothing registered."""
    return Buyer(gateway)


def _query(address: str) -> list[tuple[str, str]]:
    """Read a query as JavaScript's decodeURIComponent would: a plus is a plus."""
    pairs = (pair.partition("=") for pair in urlsplit(address).query.split("&"))
    return [(unquote(name), unquote(value)) for name, _, value in pairs]


class TestOpenWindow:
    def test_it_shows_what_the_merchant_asks_for(self, buyer: Buyer) -> None:
        params = buyer.registration(
            amount=1234567, naverActionType="CHANGE", naverProductCount=5, buyer_name="홍길동"
        )
        page = buyer.page(buyer.open(params))

        assert page.texts["title"] == "정기결제 수단 변경"
        assert page.texts["ask-amount"] == "1,234,567"
        assert page.attributes["ask-amount"]["data-amount"] == "1234567"
        assert {name: page.texts[f"ask-{name}"] for name in ("name", "action", "product_code")} == {
            "name": "Slim 요금제",
            "action": "CHANGE",
            "product_code": "slim-monthly",
        }
        assert page.texts["ask-merchant_uid"] == params["merchant_uid"]
        assert page.texts["ask-customer_uid"] == "gildong_0001"
        assert page.texts["ask-product_count"] == "5"
        assert page.texts["ask-buyer_name"] == "홍길동"
        assert {"approve", "cancel", "fail", "fail-reason", "card-shinhan"} <= set(page.attributes)

    def test_it_lists_the_products_of_a_payment(self, buyer: Buyer) -> None:
        products = [product(), product(name="러블리즈", count=3)]
        page = buyer.page(buyer.open(buyer.payment(naverProducts=products)))

        assert page.texts["title"] == "결제"
        assert "러블리즈" in page.texts["products"]
        assert "ask-customer_uid" not in page.texts

    def test_it_lists_what_the_account_has_registered(self, buyer: Buyer) -> None:
        buyer.approved(buyer.registration())
        path = buyer.open(buyer.registration(naverActionType="CHANGE"))

        (row,) = buyer.page(path).rows
        assert (row["data-live"], row["data-product-code"]) == ("true", "slim-monthly")
        assert row["data-customer-uid"] == "gildong_0001"
        assert buyer.page(f"{path}?account=kim").rows == []

    def test_a_browser_stays_logged_in(self, buyer: Buyer) -> None:
        path = buyer.open(buyer.registration())
        shown = buyer.gateway.call("GET", f"{path}?account=kim")
        cookie = shown.headers["set-cookie"].partition(";")[0]

        for sent in (cookie, f'odd="<a b>; {cookie}; x=y'):
            assert buyer.page(path, cookie=sent).attributes["account"]["value"] == "kim"
        assert buyer.page(path, cookie="x=1").attributes["account"]["value"] == "naver-buyer"
        for odd in ("sandbox_naver_account=a b", "sandbox_naver_account=<b>", "=;;", '"'):
            assert buyer.page(path, cookie=odd).attributes["account"]["value"] == "naver-buyer"
        decided = buyer.gateway.call(
            "POST", path, form={"decision": "approve"}, headers={"Cookie": cookie}
        )
        assert cookie in decided.headers["set-cookie"]
        assert buyer.view(path)["naver"]["account"] == "kim"

    @pytest.mark.parametrize("attack", ATTACKS)
    def test_nothing_that_was_said_becomes_markup(self, buyer: Buyer, attack: str) -> None:
        said = {
            "name": attack,
            "buyer_name": attack[:16],
            "buyer_email": attack,
            "buyer_addr": attack,
            "buyer_postcode": attack[:8],
            "buyer_tel": attack[:16],
            "naverProductCode": attack,
            "customer_uid": attack,
            "custom_data": attack,
        }
        plain = buyer.registration(**dict.fromkeys(said, "plain"))
        usual = buyer.page(buyer.open(plain))
        path = buyer.open(buyer.registration(**said, merchant_uid=attack))
        page = buyer.page(path)

        assert page.elements == usual.elements
        for name in ("name", "merchant_uid", "customer_uid", "custom_data", "buyer_addr"):
            assert page.texts[f"ask-{name}"] == attack
        assert page.texts["ask-buyer_tel"] == attack[:16]
        self._check_after(buyer, path, plain, attack)

    def _check_after(self, buyer: Buyer, path: str, plain: dict[str, Any], attack: str) -> None:
        """The page after the window and the account's page show the same values."""
        other = Buyer(buyer.gateway, account="kim")
        usual_path = other.open({**plain, "merchant_uid": "usual"})
        other.decide(usual_path, "approve")
        buyer.decide(path, "approve")

        ended = buyer.page(path)
        assert ended.elements == other.page(usual_path).elements
        assert ended.rows[0]["data-customer-uid"] == attack
        account = buyer.page("/_sandbox/naver/hong")
        assert account.elements == other.page("/_sandbox/naver/kim").elements
        assert account.rows[0]["data-product-code"] == attack
        assert json.loads(ended.attributes["window"]["data-result"])["merchant_uid"] == attack

    @pytest.mark.parametrize("attack", ATTACKS)
    def test_nothing_in_a_product_becomes_markup(self, buyer: Buyer, attack: str) -> None:
        usual = buyer.page(buyer.open(buyer.payment()))
        attacking = product(name=attack, uid=attack, categoryType=attack, categoryId=attack)
        page = buyer.page(buyer.open(buyer.payment(naverProducts=[attacking])))

        assert page.elements == usual.elements
        assert page.texts["products"].count(attack) == 4

    def test_it_needs_nothing_from_anywhere_else(self, buyer: Buyer) -> None:
        path = buyer.open(buyer.registration())
        for address in (path, "/_sandbox/shop", "/_sandbox/naver/hong"):
            answer = buyer.gateway.call("GET", address)
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
            assert "unsafe" not in policy
            page = answer.body.decode()
            assert "http://" not in page
            assert "https://" not in page
            for name in ("style=", "onclick", "<style"):
                assert name not in page


class TestEnding:
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(text=texts, code=texts)
    def test_the_reason_is_the_same_everywhere(
        self, shared_gateway: Gateway, text: str, code: str
    ) -> None:
        buyer = Buyer(shared_gateway, account=uuid4().hex)
        params = buyer.payment(merchant_uid=uuid4().hex)
        path = buyer.open(params)
        view = buyer.decide(path, "fail", error_msg=text, error_code=code)
        page = buyer.page(path)
        (row,) = shared_gateway.booked(params["merchant_uid"])

        assert view["result"]["error_msg"] == text
        assert view["result"]["error_code"] == code
        assert json.loads(page.attributes["window"]["data-result"]) == view["result"]
        assert page.texts["error_msg"] == text
        assert row["fail_reason"] == text
        assert view["return_url"].isascii()
        assert page.attributes["return"]["href"] == view["return_url"]
        assert _query(view["return_url"]) == [
            ("imp_uid", row["imp_uid"]),
            ("merchant_uid", params["merchant_uid"]),
            ("imp_success", "false"),
            ("error_code", code),
            ("error_msg", text),
        ]

    @settings(max_examples=300)
    @given(text=texts, query=texts, fragment=texts)
    def test_an_address_keeps_its_own_query(self, text: str, query: str, fragment: str) -> None:
        safe = "".join(c for c in query if c.isalnum() and c.isascii())
        mark = "".join(c for c in fragment if c.isalnum() and c.isascii())
        result = refusal("m1", error_code="Fail", error_msg=text, imp_uid="imp_1")
        address = result.address(f"https://shop.example/done?a=%20{safe}&b=1+2#/{mark}")
        parts = urlsplit(address)

        assert parts.query.startswith(f"a=%20{safe}&b=1+2&imp_uid=imp_1&merchant_uid=m1&")
        assert parts.fragment == f"/{mark}"
        assert _query(address)[-1] == ("error_msg", text)

    @pytest.mark.parametrize(
        ("address", "expected"),
        [
            ("https://s.kr/d", "https://s.kr/d?imp_uid=i&merchant_uid=m&imp_success=true"),
            ("https://s.kr", "https://s.kr?imp_uid=i&merchant_uid=m&imp_success=true"),
            ("https://s.kr/d?", "https://s.kr/d?imp_uid=i&merchant_uid=m&imp_success=true"),
            ("https://s.kr/d?a=1", "https://s.kr/d?a=1&imp_uid=i&merchant_uid=m&imp_success=true"),
            ("https://s.kr/d?a&", "https://s.kr/d?a&imp_uid=i&merchant_uid=m&imp_success=true"),
            ("https://s.kr/#a?b", "https://s.kr/?imp_uid=i&merchant_uid=m&imp_success=true#a?b"),
            (
                "https://s.kr/책?책=1",
                "https://s.kr/%EC%B1%85?%EC%B1%85=1&imp_uid=i&merchant_uid=m&imp_success=true",
            ),
            (
                "https://s.kr/d?next=%2Fa%26b",
                "https://s.kr/d?next=%2Fa%26b&imp_uid=i&merchant_uid=m&imp_success=true",
            ),
        ],
    )
    def test_a_success_is_told_in_the_query(self, address: str, expected: str) -> None:
        assert Result(True, "m", "i", {}).address(address) == expected

    def test_a_popup_returns_by_a_message(self, buyer: Buyer) -> None:
        path = buyer.open(buyer.payment(), mode="popup", origin="https://shop.example")
        view = buyer.decide(path, "approve")
        page = buyer.page(path)

        assert view["return_url"] is None
        assert page.attributes["window"]["data-origin"] == "https://shop.example"
        assert page.attributes["window"]["data-mode"] == "popup"
        assert "href" not in page.attributes["return"]

    def test_any_page_may_read_what_became_of_a_window(self, buyer: Buyer) -> None:
        path = buyer.open(buyer.payment(), mode="popup", origin="https://shop.example")
        closed = buyer.gateway.call("POST", f"{path}.json", form={"decision": "close"})

        assert closed.headers["access-control-allow-origin"] == "*"
        assert closed.json["result"]["success"] is False
        assert closed.json == buyer.view(path)

    def test_a_page_without_an_account_shows_none(self, buyer: Buyer) -> None:
        page = buyer.page(buyer.open(buyer.payment(amount="1004")))

        assert page.texts["title"] == "처리되지 않았습니다"
        assert "registered" not in page.texts


class TestShop:
    def test_an_order_of_a_test_is_waiting_in_its_page(self, buyer: Buyer) -> None:
        params = buyer.registration(name="</script><b>'\"&")
        url = buyer.gateway.call("POST", "/_sandbox/shop", json_body=params).json["url"]
        page, plain = buyer.page(url), buyer.page("/_sandbox/shop")

        assert json.loads(page.attributes["shop"]["data-params"]) == params
        assert plain.attributes["shop"]["data-params"] == ""
        assert page.elements == plain.elements
        assert {"params", "code", "open", "result", "error_msg", "answer"} <= set(page.attributes)

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
    def test_an_order_is_a_json_object(self, gateway: Gateway, body: bytes) -> None:
        answer = gateway.call("POST", "/_sandbox/shop", body=body)
        if body:
            assert (answer.status, "error" in answer.json) == (400, True)
        else:
            assert Page(gateway.call("GET", answer.json["url"])).attributes["shop"]

    @pytest.mark.parametrize(
        "path",
        [
            "shop/none",
            "windows/none",
            "windows/none.json",
            "assets/none",
            "assets/window.html",
            "assets/..%2Fbook.py",
            "sdk/none.js",
        ],
    )
    def test_what_is_not_there_is_said_to_be(self, gateway: Gateway, path: str) -> None:
        assert "error" in gateway.control("GET", path, status=404)

    def test_an_account_has_a_plain_name(self, gateway: Gateway) -> None:
        assert "account" in gateway.control("GET", "naver/%3Cb%3E", status=400)["error"]

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("sdk/iamport.js", "text/javascript; charset=utf-8"),
            ("assets/window.js", "text/javascript; charset=utf-8"),
            ("assets/shop.js", "text/javascript; charset=utf-8"),
            ("assets/style.css", "text/css; charset=utf-8"),
        ],
    )
    def test_scripts_and_styles_are_served(self, gateway: Gateway, path: str, kind: str) -> None:
        answer = gateway.call("GET", f"/_sandbox/{path}")
        file = Path(window_pages.__file__).parent / "pages" / path.rpartition("/")[2]

        assert (answer.status, answer.headers["content-type"]) == (200, kind)
        assert answer.body == file.read_bytes()


def test_the_oldest_windows_are_forgotten() -> None:
    desk = WindowDesk()
    for number in range(KEPT_MAX + 5):
        desk.add(Window(str(number), Mode.POPUP, opened_at=0.0))
        desk.add_order(str(number), {})

    assert desk.window("4") is None
    assert desk.order("4") is None
    assert desk.window("5") is not None
    assert desk.order(str(KEPT_MAX + 4)) == {}
