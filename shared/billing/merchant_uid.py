"""The one handle on a charge: PortOne V1 has no idempotency key, only ``merchant_uid``.

It is a pure function of what is being collected, so that any process, and a database restored from
an older backup, derives the same one for the same attempt, and the gateway's own refusal of a used
``merchant_uid`` protects the buyer.
"""

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from shared.billing.errors import InvalidMerchantUidError

MERCHANT_UID_LENGTH_MAX = 40
PERIOD_INDEX_MAX = 999_999
ATTEMPT_NUMBER_MAX = 9_999
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
# 36 ** 25 > 2 ** 128: every UUID fits in 25 digits of base 36.
_SUBSCRIPTION_WIDTH = 25
_SHAPE: Final = re.compile(
    rf"(?P<subscription>[0-9a-z]{{{_SUBSCRIPTION_WIDTH}}})"
    r"p(?P<period>0|[1-9][0-9]{0,5})n(?P<number>[1-9][0-9]{0,3})"
)


@dataclass(frozen=True, slots=True)
class ChargeName:
    """What a ``merchant_uid`` of ours says."""

    subscription_id: UUID
    period_index: int
    attempt_number: int


def merchant_uid(subscription_id: UUID, period_index: int, attempt_number: int) -> str:
    """Return the ``merchant_uid`` of one attempt at one period of one subscription.

    Lower-case letters and digits only (Smartro refuses anything else, and nobody knows which
    gateways fold case), at most 40 characters (V1 spec, ``again.merchant_uid``). The subscription
    takes a fixed width and the letters ``p`` and ``n`` stand before decimal numbers, so two
    different attempts can never be written alike.

    Raises:
        InvalidMerchantUidError: The period or the attempt is out of range.
    """
    if type(period_index) is not int or not 0 <= period_index <= PERIOD_INDEX_MAX:
        message = f"period index must be 0 to {PERIOD_INDEX_MAX}, not {period_index}"
        raise InvalidMerchantUidError(message)
    if type(attempt_number) is not int or not 1 <= attempt_number <= ATTEMPT_NUMBER_MAX:
        message = f"attempt number must be 1 to {ATTEMPT_NUMBER_MAX}, not {attempt_number}"
        raise InvalidMerchantUidError(message)
    return f"{base36(subscription_id)}p{period_index}n{attempt_number}"


def base36(identity: UUID) -> str:
    """Write a UUID in base 36, padded to the width of the largest one."""
    value = identity.int
    digits = []
    for _ in range(_SUBSCRIPTION_WIDTH):
        value, digit = divmod(value, 36)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def parse(written: str) -> ChargeName | None:
    """Return what a ``merchant_uid`` says, or None if it is not written as only ours are."""
    match = _SHAPE.fullmatch(written)
    if match is None:
        return None
    identity = int(match["subscription"], 36)
    if identity >= 2**128:
        return None
    return ChargeName(UUID(int=identity), int(match["period"]), int(match["number"]))
