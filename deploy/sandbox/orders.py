"""What `POST /subscribe/payments/again` accepts: names, types and limits of its parameters.

Only the message for missing parameters is published. Every other refusal here says what is wrong
in words marked as the sandbox's own, so that nobody takes them for PortOne's.
"""

import math
import re
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final

from deploy.sandbox import texts
from deploy.sandbox.bodies import Parameters
from deploy.sandbox.book import Order
from deploy.sandbox.clock import korean_day

AMOUNT_MIN: Final = 10  # Naver Pay's own minimum, documented; what the API says below it is not.
# Not PortOne's limit (none is known): it keeps a typing error from becoming a bignum.
_AMOUNT_MAX: Final = 10**12
_COUNT_MAX: Final = 10**6
_DAY: Final = re.compile(r"[0-9]{8}")

_REQUIRED: Final = ("customer_uid", "merchant_uid", "amount", "name")

# The documented lengths, NO_LIMIT where the documents give none.
_NO_LIMIT: Final = 2**20
_KEPT_TEXTS: Final = {
    "customer_uid": 80,
    "merchant_uid": 40,
    "name": 40,
    "currency": _NO_LIMIT,
    "buyer_name": 16,
    "buyer_email": 64,
    "buyer_tel": 16,
    "buyer_addr": 128,
    "buyer_postcode": 8,
    "custom_data": _NO_LIMIT,
    "notice_url": _NO_LIMIT,
}
# Read, checked and of no effect on a charge through Naver Pay.
_IDLE_TEXTS: Final = {
    "browser_ip": _NO_LIMIT,
    "bypass": _NO_LIMIT,
    "promotion_id": _NO_LIMIT,
    "channel_key": 55,
}
_TEXTS: Final = {**_KEPT_TEXTS, **_IDLE_TEXTS}


class BadParametersError(ValueError):
    """The request cannot become an order; the message is what the gateway answers."""


def read_order(parameters: Parameters, *, at: float) -> Order:
    """Check the parameters of a charge and make an order of them.

    Unknown parameters are ignored, as the compatibility promise of the API asks.

    Raises:
        BadParametersError: one is missing, of the wrong type, too long or out of range.
    """
    values = parameters.values
    missing = [name for name in _REQUIRED if values.get(name) in (None, "")]
    if missing:
        raise BadParametersError(texts.MISSING_PARAMETERS.format(names=", ".join(missing)))
    kept = _read_texts(values)
    amount = _whole("amount", values["amount"], typed=parameters.typed, maximum=_AMOUNT_MAX)
    if amount < AMOUNT_MIN:
        raise _bad(f"amount below {AMOUNT_MIN}")
    tax_free = _optional_whole("tax_free", parameters, default=0, maximum=_AMOUNT_MAX)
    if tax_free > amount:
        raise _bad("tax_free above amount")
    return Order(
        **kept,
        amount=amount,
        tax_free=tax_free,
        card_quota=_optional_whole("card_quota", parameters, default=0, maximum=_COUNT_MAX),
        product_count=_optional_whole("product_count", parameters, default=1, maximum=_COUNT_MAX),
        naver_use_cfm=_naver_use_cfm(values.get("extra"), at=at),
    )


def _read_texts(values: dict[str, Any]) -> dict[str, Any]:
    """Check every text that was given and give back those an order keeps."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        length_max = _TEXTS.get(name)
        if length_max is None or value is None:
            continue
        if not isinstance(value, str):
            raise _bad(f"{name} must be a string")
        if len(value) > length_max:
            raise _bad(f"{name} longer than {length_max}")
        if name in _KEPT_TEXTS:
            kept[name] = value
    return kept


def _optional_whole(name: str, parameters: Parameters, *, default: int, maximum: int) -> int:
    value = parameters.values.get(name)
    if value is None:
        return default
    return _whole(name, value, typed=parameters.typed, maximum=maximum)


def _whole(name: str, value: object, *, typed: bool, maximum: int) -> int:
    """Read a whole number >= 0; in JSON it must be a number (1004.0 is one), never a string."""
    if typed and type(value) not in (int, float):
        raise _bad(f"{name} must be a JSON number")
    number = value if typed else _form_number(name, value)
    if isinstance(number, float):
        if not math.isfinite(number) or not number.is_integer():
            raise _bad(f"{name} must be a whole number of KRW")
        number = int(number)
    if not isinstance(number, int) or not 0 <= number <= maximum:
        raise _bad(f"{name} must be between 0 and {maximum}")
    return number


def _form_number(name: str, value: object) -> float:
    try:
        return float(Decimal(str(value)))
    except InvalidOperation:
        raise _bad(f"{name} must be a number") from None


def _naver_use_cfm(extra: object, *, at: float) -> str | None:
    if extra is None:
        return None
    if not isinstance(extra, dict):
        raise _bad("extra must be an object")
    value = extra.get("naverUseCfm")
    if value is None:
        return None
    if not isinstance(value, str) or not _is_calendar_day(value):
        raise _bad("extra.naverUseCfm must be a day as YYYYMMDD")
    if value < korean_day(at):
        raise _bad("extra.naverUseCfm is before today in Korea")
    return value


@lru_cache(maxsize=256)
def _is_calendar_day(value: str) -> bool:
    if not _DAY.fullmatch(value):
        return False
    try:
        date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        return False
    return True


def _bad(what: str) -> BadParametersError:
    return BadParametersError(texts.SANDBOX + what)
