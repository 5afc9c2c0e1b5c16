"""Whole windows for tests, as the guide pages' samples show them, with planted secrets."""

from datetime import date
from typing import Any, Final

from shared.billing.money import Price
from shared.billing.naver_products import NaverProduct, product_code_of_subscription
from shared.billing.subscription import Buyer
from shared.billing.window_channel import Channel, WindowReturn
from shared.billing.window_parameters import OneOffWindow, RegistrationWindow
from shared.billing.window_people import Purchaser, WindowBuyer
from tests.unit.billing import made

TODAY: Final = date(2026, 3, 15)
CHANNEL: Final = Channel(pg="naverpay.np_partner01")
HISTORY: Final = NaverProduct(
    "BOOK", "GENERAL", "107922211", "한국사", 10, seller_id="sellerA", pay_referrer="NAVER_BOOK"
)
MUSIC: Final = NaverProduct("MUSIC", "CD", "299911002", "러블리즈", 1)
BUYER: Final = WindowBuyer(
    Buyer("홍길동", "planted@example.test", "010-2345-6789"), "서울특별시 심은구 심은동", "987-654"
)
PURCHASER: Final = Purchaser("심은이름", date(2015, 12, 1))
USER_KEY: Final = "planted-user-key-41"
CUSTOM_DATA: Final = '{"note": "planted-note", "parts": [1, 2.5, null, true]}'
BACK: Final = WindowReturn(
    popup=False,
    redirect_url="https://shop.example.test/payments/complete",
    notice_url="https://shop.example.test/hooks/portone",
)
# Planted, so that a test can look for them where they must not be.
PLANTED: Final = (
    *made.PLANTED,
    *("서울특별시 심은구 심은동", "987-654", "심은이름", "20151201", "2015", USER_KEY),
    "planted",
)


def one_off(**parts: Any) -> OneOffWindow:
    """Return a one-off payment of two products; ``parts`` say otherwise."""
    whole: dict[str, Any] = {
        "channel": CHANNEL,
        "merchant_uid": "0order1",
        "products": (HISTORY, MUSIC),
        "price": Price(1004, 4),
        "today": TODAY,
    }
    return OneOffWindow(**(whole | parts))


def whole_one_off() -> OneOffWindow:
    """Return a one-off payment with everything that a window may carry."""
    return one_off(
        name="한국사",
        buyer=BUYER,
        back=BACK,
        used_on=date(2026, 3, 31),
        purchaser=PURCHASER,
        merchant_user_key=USER_KEY,
        chain_id="sAMplEChAINid",
        culture_benefit=True,
        custom_data=CUSTOM_DATA,
    )


def registration(**parts: Any) -> RegistrationWindow:
    """Return the registration of a buyer's first billing key; ``parts`` say otherwise."""
    whole: dict[str, Any] = {
        "channel": CHANNEL,
        "customer_uid": made.CUSTOMER_UID,
        "merchant_uid": "0register1",
        "name": "Slim 요금제(1개월 단위)",
        "amount": 1004,
        "product_code": product_code_of_subscription(made.SUBSCRIPTION_ID),
        "buyer": BUYER,
        "existing_key": None,
    }
    return RegistrationWindow(**(whole | parts))
