"""What PostgreSQL cannot store is replaced here, and nowhere else is a text touched."""

import json
import math
from collections.abc import Mapping, Sequence


def storable(value: str) -> str:
    """Return ``value`` as it is, or with the few characters replaced that PostgreSQL refuses.

    NUL and lone surrogates cannot be stored as text; a gateway's garbage that contains one must not
    make the outcome of a charge unstorable.
    """
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def to_json(value: object) -> str:
    """Return JSON that PostgreSQL takes as ``jsonb``."""
    try:
        plain = _dump(value)
        plain.encode()
    except (TypeError, ValueError):
        # A mapping or sequence that json does not know, a lone surrogate, or no number.
        return _dump(_clean(value))
    # Looking at every text costs more than writing it, and next to none needs it.
    return _dump(_clean(value)) if "\\u0000" in plain else plain


def _dump(value: object) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _clean(value: object) -> object:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {storable(str(key)): _clean(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_clean(item) for item in value]
    return value
