"""How single parameters are read: their types and limits, and the words for what cannot be.

Only the message for missing parameters is published. Every other refusal says what is wrong in
words marked as the sandbox's own, so that nobody takes them for PortOne's.
"""

import math
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from deploy.sandbox import texts
from deploy.sandbox.bodies import Parameters

# Not PortOne's limit (none is known): it keeps a typing error from becoming a bignum.
AMOUNT_MAX: Final = 10**12
# For texts to which the documents give no length.
NO_LIMIT: Final = 2**20

_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False, "": False}


class BadParametersError(ValueError):
    """The request cannot be understood; the message is what the gateway answers."""


def bad(what: str) -> BadParametersError:
    """Give the error for a parameter about which nothing is published."""
    return BadParametersError(texts.SANDBOX + what)


def require(values: dict[str, Any], names: tuple[str, ...]) -> None:
    """Insist on parameters that have no default.

    Raises:
        BadParametersError: one of them is missing or empty.
    """
    missing = [name for name in names if values.get(name) in (None, "")]
    if missing:
        raise BadParametersError(texts.MISSING_PARAMETERS.format(names=", ".join(missing)))


def read_texts(values: dict[str, Any], lengths: dict[str, int]) -> dict[str, Any]:
    """Check every text that was given, by its longest length, and give back those."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        length_max = lengths.get(name)
        if length_max is None or value is None:
            continue
        if not isinstance(value, str):
            raise bad(f"{name} must be a string")
        if len(value) > length_max:
            raise bad(f"{name} longer than {length_max}")
        kept[name] = value
    return kept


def optional_whole(name: str, parameters: Parameters, *, default: int, maximum: int) -> int:
    """Read a whole number that may be missing."""
    value = parameters.values.get(name)
    if value is None:
        return default
    return whole(name, value, typed=parameters.typed, maximum=maximum)


def whole(name: str, value: object, *, typed: bool, maximum: int) -> int:
    """Read a whole number >= 0; in JSON it must be a number (1004.0 is one), never a string."""
    if typed and type(value) not in (int, float):
        raise bad(f"{name} must be a JSON number")
    number = value if typed else _form_number(name, value)
    if isinstance(number, float):
        if not math.isfinite(number) or not number.is_integer():
            raise bad(f"{name} must be a whole number")
        number = int(number)
    if not isinstance(number, int) or not 0 <= number <= maximum:
        raise bad(f"{name} must be between 0 and {maximum}")
    return number


def _form_number(name: str, value: object) -> float:
    try:
        return float(Decimal(str(value)))
    except InvalidOperation:
        raise bad(f"{name} must be a number") from None


def optional_truth(name: str, parameters: Parameters) -> bool:
    """Read true or false, false if it is missing; in a form it is a word or a digit."""
    value = parameters.values.get(name)
    if value is None:
        return False
    if parameters.typed and isinstance(value, bool):
        return value
    if not parameters.typed and isinstance(value, str) and value.lower() in _TRUTHS:
        return _TRUTHS[value.lower()]
    raise bad(f"{name} must be true or false")


def read_extra(values: dict[str, Any]) -> dict[str, Any]:
    """Read the object of parameters that belong to one payment company."""
    extra = values.get("extra")
    if extra is None:
        return {}
    if not isinstance(extra, dict):
        raise bad("extra must be an object")
    return extra
