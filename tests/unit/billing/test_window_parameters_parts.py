from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

import pytest

from shared.billing.errors import BillingError, InvalidWindowError
from shared.billing.naver_products import (
    NaverProduct,
    product_code_of_key,
    product_code_of_subscription,
)
from shared.billing.subscription import Buyer
from shared.billing.window_channel import Channel, WindowReturn
from shared.billing.window_people import Purchaser, WindowBuyer
from shared.billing.window_text import day_of
from tests.unit.billing import made, windows

BLANK: Final = ["", " ", "\t\n", "\u3000"]
SHOP: Final = "https://shop.example.test"


@pytest.mark.parametrize(
    "pg", ["naverpay", "naverpay.np_partner01", "naverpay.파트너", "naverpay.a.b"]
)
def test_a_channel_by_pg_is_naver_pay_with_or_without_a_partner_id(pg: str) -> None:
    assert Channel(pg=pg).parameters() == {"pg": pg}


@pytest.mark.parametrize(
    "pg",
    [
        *(*BLANK, "kakaopay", "naverco", "naverpay.", "naverpay. a", "Naverpay", "naverpayx"),
        *(".naverpay", "naverpay." + "a" * 81, 7),
    ],
    ids=repr,
)
def test_a_channel_by_any_other_pg_is_refused(pg: Any) -> None:
    with pytest.raises(InvalidWindowError, match=r"^(pg|partner id) must"):
        Channel(pg=pg)


def test_a_channel_key_is_one_word_of_55_characters_at_most() -> None:
    key = "channel-key-9987cb87-6458-4888-b94e-68d9a2da896d"
    assert Channel(channel_key=key).parameters() == {"channelKey": key}
    assert Channel(channel_key="a" * 55).parameters() == {"channelKey": "a" * 55}
    for wrong in ("a" * 56, "", "a b"):
        with pytest.raises(InvalidWindowError, match=r"^channelKey must"):
            Channel(channel_key=wrong)


@pytest.mark.parametrize("parts", [{}, {"pg": "naverpay", "channel_key": "key"}], ids=str)
def test_a_channel_is_named_in_exactly_one_way(parts: dict[str, str]) -> None:
    with pytest.raises(InvalidWindowError, match="either pg or channelKey: exactly one"):
        Channel(**parts)


def test_a_buyer_may_be_left_without_a_popup_only_with_an_address_to_come_back_to() -> None:
    assert WindowReturn(popup=False, redirect_url=SHOP).parameters() == {
        "naverPopupMode": False,
        "m_redirect_url": SHOP,
    }
    with pytest.raises(InvalidWindowError, match="m_redirect_url must be given where naverPopup"):
        WindowReturn(popup=False)


def test_a_popup_needs_no_address_but_may_have_one_for_telephones() -> None:
    assert WindowReturn().parameters() == {"naverPopupMode": True}
    assert WindowReturn(popup=True, redirect_url=SHOP).parameters()["m_redirect_url"] == SHOP


@pytest.mark.parametrize("popup", ["true", "false", 0, 1, None], ids=repr)
def test_popup_mode_is_true_or_false(popup: Any) -> None:
    with pytest.raises(InvalidWindowError, match="naverPopupMode must be true or false"):
        WindowReturn(popup=popup, redirect_url=SHOP)


@pytest.mark.parametrize(
    "url",
    [
        *("http://yourservice.com/payments/complete", "https://shop.example.test:8443/a?b=c#d"),
        *("http://127.0.0.1:8787/", "https://[::1]/x", "https://가게.example.test/결제"),
    ],
)
def test_an_absolute_http_address_is_taken(url: str) -> None:
    back = WindowReturn(redirect_url=url, notice_url=url)
    assert (back.parameters()["m_redirect_url"], back.parameters()["notice_url"]) == (url, url)


@pytest.mark.parametrize(
    "url",
    [
        *(*BLANK, "/payments/complete", "shop.example.test/x", "//shop.example.test/x"),
        *("ftp://shop.example.test/", "javascript:alert(1)", "https://", "https:///path"),
        *("https://shop.example.test/a b", "https://shop.example.test/\n", "https://[::1/x"),
        *("https://shop.example.test:port/", "https://planted:secret@shop.example.test/"),
        *("https://planted@shop.example.test/", "myapp://callback", 7),
    ],
    ids=repr,
)
def test_any_other_address_is_refused_and_not_repeated(url: Any) -> None:
    for label in ("redirect_url", "notice_url"):
        with pytest.raises(InvalidWindowError, match=f"^(m_)?{label} must") as refused:
            WindowReturn(**{label: url})
        assert "planted" not in str(refused.value)


@pytest.mark.parametrize(
    ("parts", "label"),
    [
        ({"address": "planted" * 19}, "buyer_addr"),
        ({"address": ""}, "buyer_addr"),
        ({"address": "planted\n"}, "buyer_addr"),
        ({"postcode": "planted-1"}, "buyer_postcode"),
        ({"postcode": " "}, "buyer_postcode"),
    ],
    ids=repr,
)
def test_a_part_of_a_buyer_that_is_refused_is_not_repeated(
    parts: dict[str, Any], label: str
) -> None:
    with pytest.raises(InvalidWindowError, match=f"^{label} must") as refused:
        WindowBuyer(**parts)
    assert "planted" not in str(refused.value)


def test_a_buyer_is_taken_up_to_portones_limits() -> None:
    buyer = WindowBuyer(Buyer("가" * 16, "e" * 64, "1" * 16), "가" * 128, "1" * 8)
    assert [len(str(part)) for part in buyer.parameters().values()] == [16, 64, 16, 128, 8]
    for parts in ({"name": "가" * 17}, {"email": "e" * 65}, {"tel": "1" * 17}):
        with pytest.raises(BillingError, match="characters at most"):
            WindowBuyer(Buyer(**parts))


def test_nobody_is_sent_as_nothing() -> None:
    assert WindowBuyer().parameters() == {}


@pytest.mark.parametrize("value", [windows.BUYER, windows.PURCHASER], ids=str)
def test_a_person_is_hidden_from_every_repr(value: object) -> None:
    shown = f"{value!r} {value} {[value]}"
    assert [secret for secret in windows.PLANTED if secret in shown] == []
    assert shown.startswith(f"{type(value).__name__}(…)")


@pytest.mark.parametrize("name", [*BLANK, "planted\x00", None], ids=repr)
def test_a_purchaser_has_a_name(name: Any) -> None:
    with pytest.raises(InvalidWindowError, match="naverPurchaserName must") as refused:
        Purchaser(name, date(2015, 12, 1))
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize(
    "birthday", ["20151201", datetime(2015, 12, 1, tzinfo=UTC), None, 20151201], ids=repr
)
def test_a_purchasers_birthday_is_a_day_and_not_repeated(birthday: Any) -> None:
    with pytest.raises(InvalidWindowError, match="Birthday must be a day, not") as refused:
        Purchaser("심은이름", birthday)
    assert "2015" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "day"), [("20151201", date(2015, 12, 1)), ("20280229", date(2028, 2, 29))]
)
def test_a_day_is_read_as_it_is_written(text: str, day: date) -> None:
    assert day_of("naverPurchaserBirthday", text) == day


@pytest.mark.parametrize(
    "text",
    [
        *("2015-12-01", "2015121", "201512011", "２０１５１２０１", " 20151201", "20151201\n", ""),
        *("20150230", "20150001", "20151301", "00000101", "20270229", 20151201, None),
    ],
    ids=repr,
)
def test_a_day_that_no_calendar_has_is_refused_and_not_repeated(text: Any) -> None:
    with pytest.raises(InvalidWindowError, match=r"^naverPurchaserBirthday must be") as refused:
        day_of("naverPurchaserBirthday", text)
    assert "2015" not in str(refused.value)


PRODUCT: Final[dict[str, Any]] = {
    "category_type": "BOOK",
    "category_id": "GENERAL",
    "uid": "107922211",
    "name": "한국사",
    "count": 1,
}


def test_a_product_needs_five_properties_and_may_have_two_more() -> None:
    assert set(NaverProduct(**PRODUCT).parameters()) == {
        *("categoryType", "categoryId", "uid", "name", "count"),
    }
    whole = NaverProduct(**PRODUCT, seller_id="sellerA", pay_referrer="NAVER_BOOK").parameters()
    assert (whole["sellerId"], whole["payReferrer"]) == ("sellerA", "NAVER_BOOK")


@pytest.mark.parametrize("missing", sorted(PRODUCT))
def test_a_product_without_a_required_property_does_not_exist(missing: str) -> None:
    rest = {name: value for name, value in PRODUCT.items() if name != missing}
    with pytest.raises(TypeError, match=missing):
        NaverProduct(**rest)


@pytest.mark.parametrize(
    ("part", "value", "label"),
    [
        *(("category_type", value, "categoryType") for value in ("", " ", "BO OK", None)),
        *(("category_id", value, "categoryId") for value in ("", "GENE\tRAL", 7)),
        *(("uid", value, "uid") for value in ("", "a\nb", 107922211)),
        *(("name", value, "name") for value in ("", "\u3000", "a\x00")),
        *(("count", value, "count") for value in (0, -1, True, 1.0, "1", None)),
        *(
            ("seller_id", value, "sellerId")
            for value in ("", "seller A", "seller-A", "판매자", "a\n")
        ),
        *(("pay_referrer", value, "payReferrer") for value in ("", "NAVER BOOK", 7)),
    ],
)
def test_a_property_that_naver_pay_would_refuse_is_refused(
    part: str, value: object, label: str
) -> None:
    with pytest.raises(InvalidWindowError, match=rf"^naverProducts\[\]\.{label} must"):
        NaverProduct(**(PRODUCT | {part: value}))


def test_the_code_of_a_subscription_is_the_same_at_every_registration() -> None:
    """Were it to move, a buyer could register the same product twice."""
    code = product_code_of_subscription(made.SUBSCRIPTION_ID)
    assert code == "s039srkj01e44uynszf2f2njh3"
    assert (code[0], UUID(int=int(code[1:], 36))) == ("s", made.SUBSCRIPTION_ID)
    assert product_code_of_subscription(UUID(int=0)) == "s" + "0" * 25
    assert len(product_code_of_subscription(UUID(int=2**128 - 1))) == 26


def test_the_code_of_a_key_is_its_number_and_nothing_secret() -> None:
    assert product_code_of_key(31) == "k31"
    for wrong in (0, -1, True, "31"):
        with pytest.raises(InvalidWindowError, match="billing_key_id must"):
            product_code_of_key(wrong)  # type: ignore[arg-type]
