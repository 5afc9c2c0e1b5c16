"""What holds of every window, whatever a merchant puts into it."""

import json
import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.billing.errors import InvalidWindowError
from shared.billing.money import Price
from shared.billing.naver_products import (
    NaverProduct,
    product_code_of_key,
    product_code_of_subscription,
)
from shared.billing.subscription import BillingKeyStatus, Buyer
from shared.billing.window_channel import Channel, WindowReturn
from shared.billing.window_keys import ActionType, require_change_allowed, require_new_allowed
from shared.billing.window_parameters import TOLD, OneOffWindow, RegistrationWindow
from shared.billing.window_people import Purchaser, WindowBuyer
from shared.billing.window_text import day_of, yyyymmdd
from tests.unit.billing import windows

TODAY: Final = windows.TODAY
# Hangul, an emoji, quotes and a backslash: what JSON and counting get wrong.
LETTERS: Final = st.sampled_from("가나외개 aZ09\"'\\/<>&😀é-_")


def texts(limit: int) -> st.SearchStrategy[str]:
    return st.text(LETTERS, min_size=1, max_size=limit).filter(lambda text: bool(text.strip()))


# Marked, so that it can be looked for where it must not be, and never be met by chance.
def secrets(limit: int) -> st.SearchStrategy[str]:
    return texts(limit - 2).map(lambda text: f"§{text}¤")


WORDS: Final = st.text(st.sampled_from("abcXYZ019._-"), min_size=1, max_size=30)
ORDER_UIDS: Final = st.text(st.sampled_from("0189abyzAZ"), min_size=1, max_size=40)
DAYS: Final = st.dates(date(1900, 1, 1), date(2200, 12, 31))
BUYERS: Final = st.builds(
    WindowBuyer,
    st.builds(Buyer, *(st.none() | secrets(limit) for limit in (16, 64)), st.none() | secrets(16)),
    st.none() | secrets(128),
    st.none() | secrets(8),
)
PRODUCTS: Final = st.builds(
    NaverProduct,
    WORDS,
    WORDS,
    texts(60),
    texts(40),
    st.integers(1, 10**9),
    seller_id=st.none() | st.from_regex(r"[A-Za-z0-9]{1,20}", fullmatch=True),
    pay_referrer=st.none() | WORDS,
)
CHANNELS: Final = st.one_of(
    WORDS.map(lambda partner: Channel(pg=f"naverpay.{partner}")),
    WORDS.map(lambda key: Channel(channel_key=key)),
)
URLS: Final = WORDS.map(lambda path: f"https://shop.example.test/{path}")
RETURNS: Final = st.builds(WindowReturn, st.just(True), st.none() | URLS) | (
    st.builds(WindowReturn, st.booleans(), URLS, URLS)
)
JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | secrets(20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(secrets(9), inner, max_size=3),
    max_leaves=8,
)
CUSTOM_DATA: Final = st.none() | st.dictionaries(secrets(9), JSON, max_size=3).map(json.dumps)
_OTHERS: Final = re.compile(r"\s외\s*\d+\s*[개건]\s*$")
NAMES: Final = texts(40).filter(lambda name: not _OTHERS.search(name))


@st.composite
def one_off_windows(draw: st.DrawFn) -> OneOffWindow:
    amount = draw(st.integers(10, 10**12))
    products = draw(st.lists(PRODUCTS, min_size=1, max_size=4))
    purchasers = st.builds(Purchaser, secrets(20), st.dates(date(1900, 1, 1), TODAY))
    return OneOffWindow(
        draw(CHANNELS),
        draw(ORDER_UIDS),
        tuple(products),
        Price(amount, draw(st.integers(0, amount))),
        name=draw(NAMES),
        buyer=draw(BUYERS),
        back=draw(RETURNS),
        used_on=draw(st.none() | st.dates(TODAY, date(2200, 12, 31))),
        purchaser=draw(st.none() | purchasers),
        merchant_user_key=draw(st.none() | st.just("§user-key¤")),
        chain_id=draw(st.none() | WORDS),
        culture_benefit=draw(st.none() | st.booleans()),
        custom_data=draw(CUSTOM_DATA),
        today=TODAY,
    )


@st.composite
def registration_windows(draw: st.DrawFn) -> RegistrationWindow:
    customer_uid = draw(secrets(80))
    is_change = draw(st.booleans())
    buyer = draw(BUYERS.filter(lambda buyer: buyer.person.tel is not None))
    return RegistrationWindow(
        draw(CHANNELS),
        customer_uid,
        draw(ORDER_UIDS),
        draw(NAMES),
        draw(st.integers(10, 10**12)),
        draw(st.uuids().map(product_code_of_subscription) | texts(30)),
        buyer,
        action=ActionType.CHANGE if is_change else ActionType.NEW,
        product_count=draw(st.integers(1, 10**6)),
        back=draw(RETURNS),
        custom_data=draw(CUSTOM_DATA),
        existing_key=BillingKeyStatus.ACTIVE if is_change else None,
        changed_customer_uid=customer_uid if is_change else None,
        change_supported=True,
    )


WINDOWS: Final = one_off_windows() | registration_windows()


@given(WINDOWS)
def test_the_parameters_of_a_window_survive_json_unchanged(
    window: OneOffWindow | RegistrationWindow,
) -> None:
    parameters = window.parameters()
    assert json.loads(json.dumps(parameters, allow_nan=False)) == parameters
    assert json.loads(json.dumps(parameters, ensure_ascii=False)) == parameters
    assert None not in parameters.values()
    assert type(parameters["amount"]) is int


@given(WINDOWS)
def test_no_part_of_the_buyer_is_told_or_shown(window: OneOffWindow | RegistrationWindow) -> None:
    """Whatever is drawn as a secret stands between § and ¤; what is shown holds neither."""
    told = window.told()
    shown = f"{window!r} {json.dumps(told, ensure_ascii=False)}"
    assert "§" not in shown
    assert "¤" not in shown
    assert set(told) == set(window.parameters()) & TOLD
    assert not [name for name in told if name.startswith(("buyer_", "naverPurchaser"))]


@given(st.text(LETTERS, max_size=100), st.sampled_from(["name", "customer_uid"]))
def test_limits_count_characters(text: str, part: str) -> None:
    """Not bytes, which would cut Hangul at a third; PortOne states characters."""
    limit = {"name": 40, "customer_uid": 80}[part]
    assume(not _OTHERS.search(text))
    if text.strip() and len(text) <= limit:
        assert windows.registration(**{part: text}).parameters()[part] == text
    else:
        with pytest.raises(InvalidWindowError, match=f"{part} must"):
            windows.registration(**{part: text})


@given(st.text(max_size=60))
def test_a_merchant_uid_is_taken_exactly_when_it_is_letters_and_digits(uid: str) -> None:
    if re.fullmatch(r"[0-9A-Za-z]{1,40}\Z", uid):
        assert windows.one_off(merchant_uid=uid).parameters()["merchant_uid"] == uid
    else:
        with pytest.raises(InvalidWindowError, match="merchant_uid must"):
            windows.one_off(merchant_uid=uid)


@given(DAYS, DAYS)
def test_a_day_of_use_is_sent_exactly_when_it_is_not_past(used_on: date, today: date) -> None:
    if used_on >= today:
        window = windows.one_off(used_on=used_on, today=today)
        assert window.parameters()["naverUseCfm"] == f"{used_on:%Y%m%d}"
    else:
        with pytest.raises(InvalidWindowError, match="naverUseCfm"):
            windows.one_off(used_on=used_on, today=today)


@given(st.dates())
def test_every_day_can_be_written_and_read_back(day: date) -> None:
    assert day_of("day", yyyymmdd(day)) == day
    assert re.fullmatch(r"[0-9]{8}", yyyymmdd(day))


def _is_a_day(text: str) -> bool:
    try:
        date.fromisoformat(f"{text[:4]}-{text[4:6]}-{text[6:]}")
    except ValueError:
        return False
    return True


@given(st.text(max_size=10) | st.from_regex(r"[0-9]{8}", fullmatch=True))
def test_a_text_is_read_as_a_day_or_refused_and_nothing_else(text: str) -> None:
    try:
        day = day_of("naverPurchaserBirthday", text)
    except InvalidWindowError:
        # The other side: what Python's own reader refuses, or what is not eight plain digits.
        assert not re.fullmatch(r"[0-9]{8}", text) or not _is_a_day(text)
    else:
        assert yyyymmdd(day) == text


@given(st.integers(-10, 10**6), st.integers(1, 1000))
def test_a_window_opens_exactly_from_the_minimum_on(amount: int, minimum: int) -> None:
    if amount >= minimum:
        assert windows.registration(amount=amount, minimum_amount=minimum).amount == amount
    else:
        with pytest.raises(InvalidWindowError, match=f"^최소 결제 금액은 {minimum:,}원입니다.$"):
            windows.registration(amount=amount, minimum_amount=minimum)


@given(st.text(max_size=30))
def test_a_seller_id_is_taken_exactly_when_it_is_alphanumeric(seller_id: str) -> None:
    parts: dict[str, Any] = {"seller_id": seller_id}
    if re.fullmatch(r"[A-Za-z0-9]+\Z", seller_id):
        product = NaverProduct("BOOK", "GENERAL", "1", "한국사", 1, **parts)
        assert product.parameters()["sellerId"] == seller_id
    else:
        with pytest.raises(InvalidWindowError, match="sellerId must"):
            NaverProduct("BOOK", "GENERAL", "1", "한국사", 1, **parts)


@given(st.text(max_size=60))
def test_any_address_is_taken_or_refused_and_never_crashes(url: str) -> None:
    try:
        back = WindowReturn(popup=False, redirect_url=url)
    except InvalidWindowError:
        return
    assert re.match(r"https?://[^/?#@\s]+", str(back.parameters()["m_redirect_url"]))


@given(st.lists(st.uuids(), unique=True, max_size=20), st.lists(st.integers(1), unique=True))
def test_no_two_product_codes_are_alike(ids: list[UUID], keys: list[int]) -> None:
    codes = [*map(product_code_of_subscription, ids), *map(product_code_of_key, keys)]
    assert len(set(codes)) == len(ids) + len(keys)
    assert all(re.fullmatch(r"[a-z0-9]+", code) for code in codes)
    assert codes[: len(ids)] == [product_code_of_subscription(id_) for id_ in ids]


def _is_open(ask: Callable[[], None]) -> bool:
    try:
        ask()
    except InvalidWindowError:
        return False
    return True


@given(st.sampled_from([None, *BillingKeyStatus]))
def test_every_buyer_has_a_way_on_except_while_a_key_is_being_deleted(
    existing: BillingKeyStatus | None,
) -> None:
    ways: list[Callable[[], None]] = [
        lambda: require_new_allowed(existing),
        lambda: require_change_allowed(existing, change_supported=True),
    ]
    assert any(map(_is_open, ways)) == (existing is not BillingKeyStatus.DELETING)


@given(st.integers(0, 3650))
def test_a_birthday_is_never_in_the_future(days: int) -> None:
    purchaser = Purchaser("§name¤", TODAY + timedelta(days=days))
    if days == 0:
        assert windows.one_off(purchaser=purchaser).purchaser == purchaser
    else:
        with pytest.raises(InvalidWindowError, match="future"):
            windows.one_off(purchaser=purchaser)
