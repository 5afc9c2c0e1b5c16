"""What a charge accepts: names, types and limits of its parameters, alone or in a schedule."""

import re
from datetime import date
from functools import lru_cache
from typing import Any, Final

from deploy.sandbox.bodies import Parameters
from deploy.sandbox.clock import korean_day
from deploy.sandbox.parameters import (
    AMOUNT_MAX,
    NO_LIMIT,
    bad,
    optional_whole,
    read_extra,
    read_texts,
    require,
    whole,
)
from deploy.sandbox.records import Order

AMOUNT_MIN: Final = 10  # Naver Pay's own minimum, documented; what the API says below it is not.
_COUNT_MAX: Final = 10**6
_DAY: Final = re.compile(r"[0-9]{8}")

_REQUIRED: Final = ("customer_uid", "merchant_uid", "amount", "name")

# The documented lengths.
_KEPT_TEXTS: Final = {
    "customer_uid": 80,
    "merchant_uid": 40,
    "name": 40,
    "currency": NO_LIMIT,
    "buyer_name": 16,
    "buyer_email": 64,
    "buyer_tel": 16,
    "buyer_addr": 128,
    "buyer_postcode": 8,
    "custom_data": NO_LIMIT,
    "notice_url": NO_LIMIT,
}
# Read, checked and of no effect on a charge through Naver Pay.
_IDLE_TEXTS: Final = {
    "browser_ip": NO_LIMIT,
    "bypass": NO_LIMIT,
    "promotion_id": NO_LIMIT,
    "channel_key": 55,
}
_TEXTS: Final = {**_KEPT_TEXTS, **_IDLE_TEXTS}


def read_order(
    parameters: Parameters, *, at: float, required: tuple[str, ...] = _REQUIRED
) -> Order:
    """Check the parameters of a charge and make an order of them.

    Unknown parameters are ignored, as the compatibility promise of the API asks.

    Raises:
        BadParametersError: one is missing, of the wrong type, too long or out of range.
    """
    values = parameters.values
    require(values, required)
    kept = read_texts(values, _TEXTS)
    for name in _IDLE_TEXTS:
        kept.pop(name, None)
    # A schedule's may be missing, as in the samples of the guide.
    kept.setdefault("name", "")
    amount = whole("amount", values["amount"], typed=parameters.typed, maximum=AMOUNT_MAX)
    if amount < AMOUNT_MIN:
        raise bad(f"amount below {AMOUNT_MIN}")
    tax_free = optional_whole("tax_free", parameters, default=0, maximum=AMOUNT_MAX)
    if tax_free > amount:
        raise bad("tax_free above amount")
    return Order(
        **kept,
        amount=amount,
        tax_free=tax_free,
        card_quota=optional_whole("card_quota", parameters, default=0, maximum=_COUNT_MAX),
        product_count=optional_whole("product_count", parameters, default=1, maximum=_COUNT_MAX),
        naver_use_cfm=_naver_use_cfm(values, at=at),
    )


def is_past_day(naver_use_cfm: str | None, *, at: float) -> bool:
    """Say whether the service was to be over before the day of an instant in Korea."""
    return naver_use_cfm is not None and naver_use_cfm < korean_day(at)


def _naver_use_cfm(values: dict[str, Any], *, at: float) -> str | None:
    value = read_extra(values).get("naverUseCfm")
    if value is None:
        return None
    if not isinstance(value, str) or not _is_calendar_day(value):
        raise bad("extra.naverUseCfm must be a day as YYYYMMDD")
    if is_past_day(value, at=at):
        raise bad("extra.naverUseCfm is before the day of the charge in Korea")
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
