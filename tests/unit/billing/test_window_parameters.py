import json
from dataclasses import FrozenInstanceError, fields
from datetime import date, datetime
from typing import Any, Final

import pytest

from shared.billing.errors import InvalidWindowError
from shared.billing.money import Price, minimum_amount_text
from shared.billing.naver_products import NaverProduct, product_code_of_subscription
from shared.billing.subscription import BillingKeyStatus, Buyer
from shared.billing.window_channel import Channel, WindowReturn
from shared.billing.window_keys import ActionType, require_change_allowed, require_new_allowed
from shared.billing.window_parameters import TOLD, OneOffWindow, RegistrationWindow
from shared.billing.window_people import Purchaser, WindowBuyer
from tests.unit.billing import made, windows

# What the guide pages list, parameter by parameter: K the Korean page, E the English one, S only
# PortOne's JavaScript SDK (결제요청 파라미터). Capitals: the page marks it as required.
DOCUMENTED: Final = """
one-off       pg channelKey merchant_uid name amount tax_free notice_url custom_data
one-off       buyer_name buyer_email buyer_tel buyer_addr buyer_postcode
one-off       naverUseCfm naverPopupMode m_redirect_url naverPurchaserName naverPurchaserBirthday
one-off       naverProducts naverChainId naverCultureBenefit naverMerchantUserKey
registration  pg channelKey customer_uid merchant_uid name amount notice_url custom_data
registration  buyer_name buyer_email buyer_tel buyer_addr buyer_postcode
registration  naverProductCode naverProductCount naverPopupMode m_redirect_url naverActionType
product       categoryType categoryId uid name count sellerId payReferrer
"""
NO_WHOLE_NUMBERS: Final = [True, 1004.0, "1004", None]
BLANK: Final = ["", " ", "\t"]


def documented(kind: str) -> set[str]:
    rows = [line.split() for line in DOCUMENTED.splitlines() if line.startswith(kind)]
    return {name for row in rows for name in row[1:]}


def changed(**parts: Any) -> RegistrationWindow:
    """Return the change of the planted billing key; ``parts`` say otherwise."""
    return windows.registration(
        **(
            {
                "action": ActionType.CHANGE,
                "existing_key": BillingKeyStatus.ACTIVE,
                "changed_customer_uid": made.CUSTOMER_UID,
                "change_supported": True,
            }
            | parts
        )
    )


def test_a_whole_one_off_window_is_written_as_the_korean_page_shows_it() -> None:
    assert windows.whole_one_off().parameters() == {
        "pg": "naverpay.np_partner01",
        "merchant_uid": "0order1",
        "name": "한국사",
        "amount": 1004,
        "tax_free": 4,
        "buyer_name": "홍길동",
        "buyer_email": "planted@example.test",
        "buyer_tel": "010-2345-6789",
        "buyer_addr": "서울특별시 심은구 심은동",
        "buyer_postcode": "987-654",
        "naverPopupMode": False,
        "m_redirect_url": "https://shop.example.test/payments/complete",
        "notice_url": "https://shop.example.test/hooks/portone",
        "naverProducts": [
            {
                "categoryType": "BOOK",
                "categoryId": "GENERAL",
                "uid": "107922211",
                "name": "한국사",
                "count": 10,
                "payReferrer": "NAVER_BOOK",
                "sellerId": "sellerA",
            },
            {
                "categoryType": "MUSIC",
                "categoryId": "CD",
                "uid": "299911002",
                "name": "러블리즈",
                "count": 1,
            },
        ],
        "naverPurchaserName": "심은이름",
        "naverPurchaserBirthday": "20151201",
        "naverUseCfm": "20260331",
        "naverMerchantUserKey": windows.USER_KEY,
        "naverChainId": "sAMplEChAINid",
        "naverCultureBenefit": True,
        "custom_data": {"note": "planted-note", "parts": [1, 2.5, None, True]},
    }


def test_a_one_off_window_sends_nothing_that_was_not_given() -> None:
    assert set(windows.one_off(products=(windows.MUSIC,)).parameters()) == {
        *("pg", "merchant_uid", "name", "amount", "tax_free", "naverPopupMode", "naverProducts"),
    }


def test_a_registration_is_written_as_the_korean_page_shows_it() -> None:
    window = windows.registration(
        back=WindowReturn(popup=True, redirect_url="https://shop.example.test/registered"),
        product_count=5,
    )
    assert window.parameters() == {
        "pg": "naverpay.np_partner01",
        "customer_uid": made.CUSTOMER_UID,
        "merchant_uid": "0register1",
        "name": "Slim 요금제(1개월 단위)",
        "amount": 1004,
        "buyer_name": "홍길동",
        "buyer_email": "planted@example.test",
        "buyer_tel": "010-2345-6789",
        "buyer_addr": "서울특별시 심은구 심은동",
        "buyer_postcode": "987-654",
        "naverPopupMode": True,
        "m_redirect_url": "https://shop.example.test/registered",
        "naverProductCode": product_code_of_subscription(made.SUBSCRIPTION_ID),
        "naverProductCount": 5,
    }


def test_every_name_that_is_emitted_is_documented_and_every_documented_one_is_emitted() -> None:
    by_key = Channel(channel_key="channel-key-0001")
    one_off = windows.whole_one_off().parameters()
    registration = changed(back=windows.BACK, custom_data="{}").parameters()
    products = one_off["naverProducts"]
    assert isinstance(products, list)
    assert {*one_off, *windows.one_off(channel=by_key).parameters()} == documented("one-off")
    assert {
        *registration,
        *windows.registration(channel=by_key).parameters(),
    } == documented("registration")
    assert {name for product in products for name in product} == documented("product")


def test_what_may_be_told_is_documented_and_neither_secret_nor_personal() -> None:
    personal = {name for name in documented("one-off") if name.startswith(("buyer_", "naverPurc"))}
    untold = (documented("one-off") | documented("registration")) - TOLD
    assert TOLD.issubset(documented("one-off") | documented("registration"))
    assert untold == personal | {"customer_uid", "naverMerchantUserKey", "custom_data"}


@pytest.mark.parametrize(
    "window", [windows.whole_one_off(), windows.registration(), changed()], ids=repr
)
def test_neither_the_repr_nor_what_is_told_shows_a_billing_key_or_a_person(
    window: OneOffWindow | RegistrationWindow,
) -> None:
    told = window.told()
    shown = f"{window!r} {window} {[window]} {json.dumps(told, ensure_ascii=False)}"
    assert [secret for secret in windows.PLANTED if secret in shown] == []
    assert told.items() <= window.parameters().items()
    assert told["merchant_uid"] == window.merchant_uid


def test_a_window_stays_as_it_is_and_is_equal_by_value() -> None:
    window = windows.whole_one_off()
    with pytest.raises(FrozenInstanceError):
        window.merchant_uid = "other"  # type: ignore[misc]
    assert window == windows.whole_one_off()
    assert hash(window) == hash(windows.whole_one_off())
    assert not {"today", "minimum_amount"} & {field.name for field in fields(window)}


# --- both windows -------------------------------------------------------------------------------


@pytest.mark.parametrize("merchant_uid", ["0", "a" * 40, "0A9z", "6gq3m2v9d0p14n2"])
def test_a_merchant_uid_of_letters_and_digits_is_taken(merchant_uid: str) -> None:
    for window in (
        windows.one_off(merchant_uid=merchant_uid),
        windows.registration(merchant_uid=merchant_uid),
    ):
        assert window.parameters()["merchant_uid"] == merchant_uid


@pytest.mark.parametrize(
    "merchant_uid",
    [*BLANK, "a" * 41, "order_1", "order-1", "주문1", "a b", "a\n", None, 7],
    ids=repr,
)
def test_any_other_merchant_uid_is_refused(merchant_uid: object) -> None:
    for make in (windows.one_off, windows.registration):
        with pytest.raises(InvalidWindowError, match="merchant_uid must"):
            make(merchant_uid=merchant_uid)


@pytest.mark.parametrize("name", ["가", "가" * 40, "과외 2개", "Tom & Jerry (1개월)", "외 2개월"])
def test_an_order_name_is_sent_as_given(name: str) -> None:
    assert windows.one_off(name=name).parameters()["name"] == name
    assert windows.registration(name=name).parameters()["name"] == name


@pytest.mark.parametrize("name", [*BLANK, "가" * 41, "a\nb"], ids=repr)
def test_an_order_name_that_portone_would_refuse_is_refused(name: str) -> None:
    for make in (windows.one_off, windows.registration):
        with pytest.raises(InvalidWindowError, match=r"^name must"):
            make(name=name)


@pytest.mark.parametrize(
    "name", ["한국사 외 2개", "한국사 외2개", "한국사 외 13 건", "History of Korea and 2 others"]
)
def test_an_order_name_that_counts_the_others_itself_is_refused(name: str) -> None:
    for make in (windows.one_off, windows.registration):
        with pytest.raises(InvalidWindowError, match="first product's name alone"):
            make(name=name)


def test_the_first_product_names_the_order_unless_a_name_is_given() -> None:
    assert windows.one_off().parameters()["name"] == "한국사"
    assert windows.one_off(name="역사책 묶음").parameters()["name"] == "역사책 묶음"


def test_the_first_products_name_is_held_to_the_rules_of_an_order_name() -> None:
    """Nothing is cut off for the buyer: the merchant says what the buyer shall read."""
    with pytest.raises(InvalidWindowError, match=r"^name must have 40 characters at most, not 41"):
        windows.one_off(products=(NaverProduct("BOOK", "GENERAL", "1", "가" * 41, 1),))


@pytest.mark.parametrize("amount", NO_WHOLE_NUMBERS, ids=repr)
def test_an_amount_that_is_no_integer_is_refused(amount: Any) -> None:
    with pytest.raises(InvalidWindowError, match="amount must be a whole number of won"):
        windows.registration(amount=amount)
    with pytest.raises(ValueError, match="amount must be a whole number of won"):
        windows.one_off(price=Price(amount))


@pytest.mark.parametrize(("amount", "minimum"), [(10, 10), (100, 100), (99, 10), (1, 1)])
def test_an_amount_from_the_minimum_on_is_an_integer_in_the_window(
    amount: int, minimum: int
) -> None:
    one_off = windows.one_off(price=Price(amount), minimum_amount=minimum)
    registration = windows.registration(amount=amount, minimum_amount=minimum)
    assert (one_off.parameters()["amount"], one_off.parameters()["tax_free"]) == (amount, 0)
    assert registration.parameters()["amount"] == amount
    assert "tax_free" not in registration.parameters()


@pytest.mark.parametrize(("amount", "minimum"), [(9, 10), (0, 10), (99, 100)])
def test_below_the_minimum_the_error_is_the_sentence_for_the_buyer(
    amount: int, minimum: int
) -> None:
    for make in (
        lambda: windows.one_off(price=Price(amount), minimum_amount=minimum),
        lambda: windows.registration(amount=amount, minimum_amount=minimum),
    ):
        with pytest.raises(InvalidWindowError) as refused:
            make()
        assert str(refused.value) == minimum_amount_text(minimum)


def test_the_minimum_is_the_korean_pages_10_won() -> None:
    assert windows.one_off(price=Price(10)).price.amount == 10
    with pytest.raises(InvalidWindowError, match=r"^최소 결제 금액은 10원입니다.$"):
        windows.one_off(price=Price(9))


@pytest.mark.parametrize(
    "custom_data",
    ["", "[]", "null", '"a"', "{", '{"a": NaN}', '{"a": 1e999}', r'{"a": "\ud800"}', None, {}, 7],
)
def test_custom_data_is_the_text_of_a_json_object_and_never_repeated(custom_data: object) -> None:
    for make in (windows.one_off, windows.registration):
        if custom_data is None:
            assert "custom_data" not in make(custom_data=None).parameters()
            continue
        with pytest.raises(
            InvalidWindowError, match=r"^custom_data must be the text of a JSON obj"
        ):
            make(custom_data=custom_data)


# --- one-off payments ---------------------------------------------------------------------------


@pytest.mark.parametrize("products", [(), [], [windows.MUSIC], ("BOOK",), None], ids=repr)
def test_a_payment_of_no_products_is_refused(products: Any) -> None:
    with pytest.raises(InvalidWindowError, match=r"^naverProducts must"):
        windows.one_off(products=products)


@pytest.mark.parametrize(
    ("used_on", "text"),
    [
        (windows.TODAY, "20260315"),
        (date(2026, 12, 31), "20261231"),
        (date(2099, 1, 1), "20990101"),
    ],
)
def test_a_day_of_use_from_today_on_is_written_yyyymmdd(used_on: date, text: str) -> None:
    assert windows.one_off(used_on=used_on).parameters()["naverUseCfm"] == text


def test_a_day_of_use_before_today_is_refused_with_both_days() -> None:
    with pytest.raises(InvalidWindowError, match=r"naverUseCfm 20260314 must not be .* 20260315"):
        windows.one_off(used_on=date(2026, 3, 14))


@pytest.mark.parametrize("day", ["20260401", datetime(2026, 4, 1), 20260401], ids=repr)  # noqa: DTZ001
def test_a_day_of_use_is_a_day_and_no_text_or_instant(day: Any) -> None:
    with pytest.raises(InvalidWindowError, match="naverUseCfm must be a day"):
        windows.one_off(used_on=day)


def test_today_must_be_told_as_a_day() -> None:
    with pytest.raises(InvalidWindowError, match="today must be a day"):
        windows.one_off(today=made.NOW)


def test_a_purchaser_may_be_born_today_and_no_later() -> None:
    newborn = Purchaser("심은이름", windows.TODAY)
    assert windows.one_off(purchaser=newborn).parameters()["naverPurchaserBirthday"] == "20260315"
    with pytest.raises(InvalidWindowError, match="Birthday must not be in the future") as refused:
        windows.one_off(purchaser=Purchaser("심은이름", date(2026, 3, 16)))
    assert "20260316" not in str(refused.value)


@pytest.mark.parametrize("chain_id", [*BLANK, "chain id", 7], ids=repr)
def test_a_chain_id_is_one_word(chain_id: Any) -> None:
    assert windows.one_off(chain_id="sAMplE").parameters()["naverChainId"] == "sAMplE"
    with pytest.raises(InvalidWindowError, match="naverChainId must"):
        windows.one_off(chain_id=chain_id)


@pytest.mark.parametrize("benefit", ["true", 1, 0, ""], ids=repr)
def test_the_culture_benefit_is_true_or_false(benefit: Any) -> None:
    for truth in (True, False):
        window = windows.one_off(culture_benefit=truth)
        assert window.parameters()["naverCultureBenefit"] is truth
    with pytest.raises(InvalidWindowError, match="naverCultureBenefit must be true or false"):
        windows.one_off(culture_benefit=benefit)


@pytest.mark.parametrize(
    "key",
    [
        *("planted@example.test", "someone@else.test", "010-2345-6789", "01023456789", "홍길동"),
        *("심은이름", "20151201", "2015-12-01", "서울특별시 심은구 심은동"),
    ],
)
def test_a_user_key_that_is_personal_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(
        InvalidWindowError, match="naverMerchantUserKey must not be pers"
    ) as refused:
        windows.one_off(buyer=windows.BUYER, purchaser=windows.PURCHASER, merchant_user_key=key)
    assert key not in str(refused.value)


@pytest.mark.parametrize("key", ["u-4711", "고객사의 사용자 키", "9f2c" * 30])
def test_a_user_key_of_the_merchants_own_is_taken(key: str) -> None:
    window = windows.one_off(buyer=windows.BUYER, merchant_user_key=key)
    assert window.parameters()["naverMerchantUserKey"] == key


@pytest.mark.parametrize("key", [*BLANK, "planted\n"], ids=repr)
def test_a_user_key_that_is_no_text_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(InvalidWindowError, match="naverMerchantUserKey must") as refused:
        windows.one_off(merchant_user_key=key)
    assert "planted" not in str(refused.value)


# --- registrations ------------------------------------------------------------------------------


@pytest.mark.parametrize("customer_uid", ["a", "a" * 80, "구매자-1", "gildong_0001_1234"])
def test_a_billing_key_is_sent_as_it_is(customer_uid: str) -> None:
    assert windows.registration(customer_uid=customer_uid).parameters()["customer_uid"] == (
        customer_uid
    )


@pytest.mark.parametrize("customer_uid", [*BLANK, "planted-" * 11, "planted\x00", None], ids=repr)
def test_a_billing_key_that_is_refused_is_not_repeated(customer_uid: Any) -> None:
    with pytest.raises(InvalidWindowError, match="customer_uid must") as refused:
        windows.registration(customer_uid=customer_uid)
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize("buyer", [WindowBuyer(), WindowBuyer(Buyer("홍길동"), "서울")], ids=str)
def test_a_registration_without_a_telephone_number_is_refused(buyer: WindowBuyer) -> None:
    with pytest.raises(InvalidWindowError, match="buyer_tel must be given"):
        windows.registration(buyer=buyer)
    only_tel = windows.registration(buyer=WindowBuyer(Buyer(tel="010-1234-5678"))).parameters()
    assert {name for name in only_tel if name.startswith("buyer_")} == {"buyer_tel"}


@pytest.mark.parametrize("code", [*BLANK, "a\nb", None], ids=repr)
def test_a_product_code_may_not_be_left_to_chance(code: Any) -> None:
    """Naver's default is random, which lets a buyer register the same product twice."""
    assert windows.registration(product_code="반복결제 상품코드").parameters()[
        "naverProductCode"
    ] == ("반복결제 상품코드")
    with pytest.raises(InvalidWindowError, match="naverProductCode must"):
        windows.registration(product_code=code)


@pytest.mark.parametrize("count", [0, -1, True, 1.0, "5", None], ids=repr)
def test_a_product_count_is_one_or_more(count: Any) -> None:
    assert windows.registration().parameters()["naverProductCount"] == 1
    assert windows.registration(product_count=5).parameters()["naverProductCount"] == 5
    with pytest.raises(InvalidWindowError, match="naverProductCount must be a whole number, 1 or"):
        windows.registration(product_count=count)


def test_new_is_the_default_and_is_not_spelled_out() -> None:
    assert windows.registration().action is ActionType.NEW
    assert "naverActionType" not in windows.registration().parameters()


def test_a_change_carries_its_name_and_the_same_billing_key() -> None:
    parameters = changed().parameters()
    assert parameters["naverActionType"] == "CHANGE"
    assert type(parameters["naverActionType"]) is str
    assert parameters["customer_uid"] == made.CUSTOMER_UID


@pytest.mark.parametrize("other", ["planted-other-key", "", None], ids=repr)
def test_a_change_of_another_billing_key_is_refused_and_neither_repeated(other: Any) -> None:
    with pytest.raises(InvalidWindowError, match="CHANGE must carry the customer_uid") as refused:
        changed(changed_customer_uid=other)
    assert "planted" not in str(refused.value)


def test_a_first_registration_changes_no_billing_key() -> None:
    with pytest.raises(InvalidWindowError, match="NEW changes no billing key"):
        windows.registration(changed_customer_uid=made.CUSTOMER_UID)


def test_a_change_is_refused_where_it_is_not_known_to_be_supported() -> None:
    with pytest.raises(InvalidWindowError, match="CHANGE is switched off"):
        changed(change_supported=False)
    with pytest.raises(InvalidWindowError, match="CHANGE is switched off"):
        require_change_allowed(BillingKeyStatus.ACTIVE, change_supported=False)


@pytest.mark.parametrize("action", ["CHANGE", "NEW", None, "change"], ids=repr)
def test_an_action_is_one_of_the_two_and_no_text(action: Any) -> None:
    """The text "CHANGE" would be sent as NEW, which is the mistake that CHANGE prevents."""
    with pytest.raises(InvalidWindowError, match="naverActionType must be an ActionType"):
        changed(action=action)


MAY_BE_NEW: Final = {
    None,
    BillingKeyStatus.PENDING,
    BillingKeyStatus.DEAD,
    BillingKeyStatus.DELETED,
}
MAY_CHANGE: Final = {BillingKeyStatus.ACTIVE, BillingKeyStatus.DEAD}


@pytest.mark.parametrize("existing", [None, *BillingKeyStatus], ids=str)
def test_new_is_allowed_only_where_no_method_would_be_left_behind(
    existing: BillingKeyStatus | None,
) -> None:
    if existing in MAY_BE_NEW:
        require_new_allowed(existing)
        assert windows.registration(existing_key=existing).action is ActionType.NEW
        return
    with pytest.raises(InvalidWindowError, match="registered in the buyer's Naver Pay account"):
        require_new_allowed(existing)
    with pytest.raises(InvalidWindowError, match="registered in the buyer's Naver Pay account"):
        windows.registration(existing_key=existing)


def test_a_live_key_is_answered_with_what_to_do_instead() -> None:
    with pytest.raises(InvalidWindowError, match="with CHANGE and the same customer_uid instead"):
        require_new_allowed(BillingKeyStatus.ACTIVE)
    with pytest.raises(InvalidWindowError, match="wait for it, then register NEW"):
        require_new_allowed(BillingKeyStatus.DELETING)


@pytest.mark.parametrize("existing", [None, *BillingKeyStatus], ids=str)
def test_change_is_allowed_only_where_there_is_something_to_change(
    existing: BillingKeyStatus | None,
) -> None:
    if existing in MAY_CHANGE:
        assert changed(existing_key=existing).action is ActionType.CHANGE
        return
    with pytest.raises(InvalidWindowError, match="register NEW"):
        changed(existing_key=existing)


def test_a_status_that_nobody_knows_opens_no_window() -> None:
    unknown: Any = "lost"
    with pytest.raises(AssertionError):
        windows.registration(existing_key=unknown)
    with pytest.raises(AssertionError):
        changed(existing_key=unknown)
