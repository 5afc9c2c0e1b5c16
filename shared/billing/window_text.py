"""What any text, address or day in a payment window must be, whichever parameter carries it.

The limits that PortOne states are counted in characters. Where neither it nor Naver Pay states
one, there is none here: only what can be no value at all (empty, unprintable) is refused.
"""

import json
import re
from datetime import date
from urllib.parse import urlsplit

from shared.billing.errors import InvalidWindowError

_DAY = re.compile(r"[0-9]{8}")


def require_text(label: str, text: object, limit: int | None = None, *, shown: bool = True) -> None:
    """Refuse what is no text, empty, over-long or unprintable.

    Args:
        label: The parameter's name.
        text: What was given for it.
        limit: The most characters PortOne takes, where it says so.
        shown: Whether the error may repeat the text; never for a secret or a person.
    """
    if not isinstance(text, str):
        message = f"{label} must be text, not {type(text).__name__}"
        raise InvalidWindowError(message)
    fault = None
    if not text.strip():
        fault = "must not be empty"
    elif limit is not None and len(text) > limit:
        fault = f"must have {limit} characters at most, not {len(text)}"
    elif not text.isprintable():
        fault = "must not contain control characters"
    if fault:
        message = f"{label} {fault}" + (f": {text[:limit]!r}" if shown and text.strip() else "")
        raise InvalidWindowError(message)


def require_word(label: str, text: object, limit: int | None = None, *, shown: bool = True) -> None:
    """Refuse what is no text, or holds a blank: an identifier that somebody else has issued."""
    require_text(label, text, limit, shown=shown)
    if re.search(r"\s", str(text)):
        message = f"{label} must not contain blanks" + (f": {text!r}" if shown else "")
        raise InvalidWindowError(message)


def require_count(label: str, count: object) -> None:
    """Refuse what is no whole number of things, one or more."""
    if type(count) is not int or count < 1:
        message = f"{label} must be a whole number, 1 or more, not {count!r}"
        raise InvalidWindowError(message)


def require_truth(label: str, value: object) -> None:
    """Refuse what is neither ``True`` nor ``False``: ``"false"`` is true in JavaScript."""
    if type(value) is not bool:
        message = f"{label} must be true or false, not {value!r}"
        raise InvalidWindowError(message)


def require_url(label: str, url: object) -> None:
    """Refuse what a browser or PortOne could not open as it stands.

    The guide pages show an absolute address (``http://yourservice.com/payments/complete``). One
    with a user name or password in it is refused: addresses end up in logs.
    """
    require_word(label, url, shown=False)
    try:
        parts = urlsplit(str(url))
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"}:
        message = f"{label} must be an absolute http or https address, with a host"
        raise InvalidWindowError(message)
    if "@" in parts.netloc:
        message = f"{label} must not carry a user name or password"
        raise InvalidWindowError(message)


def require_day(label: str, day: object) -> None:
    """Refuse what is no calendar day, an instant too: its day depends on who looks."""
    if type(day) is not date:
        message = f"{label} must be a day, not {type(day).__name__}"
        raise InvalidWindowError(message)


def yyyymmdd(day: date) -> str:
    """Write a day as both guide pages ask: ``yyyyMMdd``."""
    return f"{day.year:04}{day.month:02}{day.day:02}"


def day_of(label: str, text: object) -> date:
    """Read a day that is written ``yyyyMMdd``, and refuse one that no calendar has.

    The text is not repeated: it may be a birthday.
    """
    if not isinstance(text, str) or not _DAY.fullmatch(text):
        message = f"{label} must be written yyyyMMdd, eight digits"
        raise InvalidWindowError(message)
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        message = f"{label} must be a day that exists, written yyyyMMdd"
        raise InvalidWindowError(message) from None


def json_object(label: str, text: object) -> dict[str, object]:
    """Read a JSON object from its text, and refuse anything else without repeating it."""
    message = f"{label} must be the text of a JSON object"
    if not isinstance(text, str):
        raise InvalidWindowError(message)
    try:
        value = json.loads(text)
        # Python reads NaN, 1e999 and half a character; other readers of JSON do not.
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise InvalidWindowError(message) from None
    if not isinstance(value, dict):
        raise InvalidWindowError(message)
    return value


def given(parameters: dict[str, object]) -> dict[str, object]:
    """Leave out what was not given: an optional parameter is sent with a value or not at all."""
    return {name: value for name, value in parameters.items() if value is not None}
