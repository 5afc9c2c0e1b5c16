"""What a merchant hands to `IMP.request_pay` for Naver Pay: names, types and limits.

What the window says to wrong parameters is not published, so every refusal here is in words
marked as the sandbox's own.
"""

import json
import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from deploy.sandbox.clock import korean_day
from deploy.sandbox.parameters import AMOUNT_MAX, NO_LIMIT
from deploy.sandbox.records import Order

_REQUIRED: Final = ("merchant_uid", "name", "amount")
_PRODUCT_REQUIRED: Final = ("categoryType", "categoryId", "uid", "name", "count")
_PRODUCT_TEXTS: Final = ("categoryType", "categoryId", "uid", "name", "payReferrer", "sellerId")

# The texts that a payment record keeps, with their documented lengths.
_KEPT_TEXTS: Final = {
    "customer_uid": 80,
    "merchant_uid": 40,
    "name": 40,
    "buyer_name": 16,
    "buyer_email": 64,
    "buyer_tel": 16,
    "buyer_addr": 128,
    "buyer_postcode": 8,
    "notice_url": NO_LIMIT,
}
_IDLE_TEXTS: Final = (
    "pg",
    "channelKey",
    "pay_method",
    "currency",
    "naverProductCode",
    "naverActionType",
    "naverChainId",
    "naverMerchantUserKey",
    "naverPurchaserName",
    "m_redirect_url",
)
_FLAGS: Final = ("naverPopupMode", "naverCultureBenefit")

_PG: Final = re.compile(r"naverpay(\..+)?")
_SELLER: Final = re.compile(r"[A-Za-z0-9]+")
_DAY: Final = re.compile(r"[0-9]{8}")
_BREAKS_AN_ADDRESS: Final = re.compile(r"[\x00-\x20\x7f]")


class BadRequestError(ValueError):
    """The window does not open for these parameters; the message says what is wrong."""


class Action(StrEnum):
    """What a registration asks for (`naverActionType`)."""

    NEW = "NEW"
    CHANGE = "CHANGE"


class Mode(StrEnum):
    """How the merchant's page learns what became of the window."""

    POPUP = "popup"
    REDIRECT = "redirect"


@dataclass(frozen=True, slots=True)
class Product:
    """One of the products of a one-off payment."""

    category_type: str
    category_id: str
    uid: str
    name: str
    count: int
    pay_referrer: str | None = None
    seller_id: str | None = None


@dataclass(frozen=True, slots=True)
class WindowRequest:
    """A window as the merchant asked for it; with a customer_uid it registers a billing key.

    Attributes:
        product_code: None stands for a random one, as documented.
    """

    order: Order
    mode: Mode
    action: Action = Action.NEW
    product_code: str | None = None
    products: tuple[Product, ...] = ()

    @property
    def is_registration(self) -> bool:
        """Whether it registers a billing key instead of paying."""
        return self.order.customer_uid is not None


def read_request(params: dict[str, Any], *, mode: Mode, at: float) -> WindowRequest:
    """Check what a merchant asks for.

    Unknown parameters are ignored, as the compatibility promise of the API asks.

    Raises:
        BadRequestError: a parameter is missing, of the wrong type, too long or out of range.
    """
    _check_texts(params)
    _refuse_missing(params)
    for name in _FLAGS:
        if not isinstance(params.get(name), bool | None):
            raise BadRequestError(f"{name} must be true or false")
    if not _PG.fullmatch(params.get("pg") or "naverpay"):
        raise BadRequestError("pg must be naverpay or naverpay.{partner id}")
    if (params.get("currency") or "KRW") != "KRW":
        raise BadRequestError("currency must be KRW")
    _check_birthday(params.get("naverPurchaserBirthday"))
    return WindowRequest(
        order=_order(params, at=at),
        mode=_mode(params, mode),
        action=_action(params),
        product_code=params.get("naverProductCode") or None,
        products=_products(params.get("naverProducts")),
    )


def _refuse_missing(params: dict[str, Any]) -> None:
    # With a customer_uid it registers, without one it pays.
    required = (*_REQUIRED, "buyer_tel" if params.get("customer_uid") else "naverProducts")
    missing = [name for name in required if params.get(name) in (None, "", [])]
    if missing:
        raise BadRequestError(f"missing {', '.join(missing)}")


def _check_texts(params: dict[str, Any]) -> None:
    for name in (*_KEPT_TEXTS, *_IDLE_TEXTS):
        value = params.get(name)
        if value is None:
            continue
        _check_text(name, value)
        if len(value) > _KEPT_TEXTS.get(name, NO_LIMIT):
            raise BadRequestError(f"{name} longer than {_KEPT_TEXTS[name]}")


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise BadRequestError(f"{name} must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRequestError(f"{name} holds half a character") from None


def _order(params: dict[str, Any], *, at: float) -> Order:
    kept = {name: params[name] for name in _KEPT_TEXTS if params.get(name)}
    amount = _whole("amount", params["amount"])
    tax_free = _whole("tax_free", params.get("tax_free") or 0)
    if tax_free > amount:
        raise BadRequestError("tax_free above amount")
    count = params.get("naverProductCount")
    return Order(
        customer_uid=kept.pop("customer_uid", None),
        **kept,
        amount=amount,
        tax_free=tax_free,
        product_count=1 if count is None else _whole("naverProductCount", count, minimum=1),
        naver_use_cfm=_use_day(params.get("naverUseCfm"), at=at),
        custom_data=_custom_data(params.get("custom_data")),
    )


def _whole(name: str, value: object, *, minimum: int = 0) -> int:
    """Read a whole number; `"1004"` is none, which the guide warns of."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise BadRequestError(f"{name} must be a whole number, not a string")
    if not minimum <= value <= AMOUNT_MAX:
        raise BadRequestError(f"{name} must be between {minimum} and {AMOUNT_MAX}")
    return value


def _use_day(value: object, *, at: float) -> str | None:
    if value is None:
        return None
    if not _is_day(value):
        raise BadRequestError("naverUseCfm must be a day as yyyyMMdd")
    if str(value) < korean_day(at):
        raise BadRequestError("naverUseCfm is before today in Korea")
    return str(value)


def _check_birthday(value: object) -> None:
    if value is not None and not _is_day(value):
        raise BadRequestError("naverPurchaserBirthday must be a day as yyyyMMdd")


def _is_day(value: object) -> bool:
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        return False
    try:
        date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        return False
    return True


def _custom_data(value: object) -> str | None:
    """Keep it as JSON notation, as documented; what is a text already stays as it is."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    _check_text("custom_data", text)
    return text


def _action(params: dict[str, Any]) -> Action:
    value = params.get("naverActionType") or Action.NEW
    if value not in set(Action):
        raise BadRequestError("naverActionType must be NEW or CHANGE")
    action = Action(value)
    if action is Action.CHANGE and not params.get("customer_uid"):
        raise BadRequestError("naverActionType CHANGE needs the customer_uid that is to change")
    return action


def _products(value: object) -> tuple[Product, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadRequestError("naverProducts must be an array")
    return tuple(_product(f"naverProducts[{n}]", item) for n, item in enumerate(value))


def _product(where: str, value: object) -> Product:
    if not isinstance(value, dict):
        raise BadRequestError(f"{where} must be an object")
    missing = [name for name in _PRODUCT_REQUIRED if value.get(name) in (None, "")]
    if missing:
        raise BadRequestError(f"missing {', '.join(f'{where}.{name}' for name in missing)}")
    for name in _PRODUCT_TEXTS:
        if value.get(name) is not None:
            _check_text(f"{where}.{name}", value[name])
    seller_id = value.get("sellerId")
    if seller_id is not None and not _SELLER.fullmatch(seller_id):
        raise BadRequestError(f"{where}.sellerId must be letters and digits")
    return Product(
        category_type=value["categoryType"],
        category_id=value["categoryId"],
        uid=value["uid"],
        name=value["name"],
        count=_whole(f"{where}.count", value["count"], minimum=1),
        pay_referrer=value.get("payReferrer"),
        seller_id=seller_id,
    )


def _mode(params: dict[str, Any], mode: Mode) -> Mode:
    """Insist on what the guide asks for: a page that is left needs an address to return to."""
    if params.get("m_redirect_url"):
        if return_address(params) is None:
            raise BadRequestError("m_redirect_url must be an http or https address")
        return mode
    if mode is Mode.REDIRECT or not params.get("naverPopupMode"):
        raise BadRequestError("missing m_redirect_url, since naverPopupMode is not true")
    return mode


def return_address(params: dict[str, Any]) -> str | None:
    """Give the address to return to, if there is one that a browser may be sent to."""
    value = params.get("m_redirect_url")
    return value if isinstance(value, str) and is_web_address(value) else None


def is_web_address(value: str) -> bool:
    """Say whether a browser may be sent there: no script, no line break, a host."""
    if _BREAKS_AN_ADDRESS.search(value):
        return False
    try:
        value.encode()  # no half characters
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
