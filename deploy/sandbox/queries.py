"""How the parameters of a query are read; what cannot be is refused in the sandbox's own words."""

from collections.abc import Collection
from typing import Final

from deploy.sandbox import texts
from deploy.sandbox.book import Sorting
from deploy.sandbox.calls import Call
from deploy.sandbox.parameters import BadParametersError, bad
from deploy.sandbox.records import Status

INSTANT_MAX: Final = 253_402_300_799  # the end of the year 9999

_PAGE_MAX: Final = 10**9
_LIMIT_DEFAULT: Final = 20
_LIMIT_MAX: Final = 1000
_IDS_MAX: Final = 100
_DIGITS_MAX: Final = 12


def number(text: str, name: str, *, minimum: int, maximum: int) -> int:
    """Read a whole number.

    Raises:
        BadParametersError: it is none, or out of range.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise bad(f"{name} must be a whole number")
    value = int(text)
    if not minimum <= value <= maximum:
        raise bad(f"{name} must be between {minimum} and {maximum}")
    return value


def instant(text: str, name: str) -> int:
    """Read an instant in unix seconds.

    Raises:
        BadParametersError: it is none.
    """
    return number(text, name, minimum=0, maximum=INSTANT_MAX)


def page_of(query: dict[str, str]) -> int:
    """Read which page is asked for; the first where none is named.

    Raises:
        BadParametersError: there is no such page of anything.
    """
    return number(query.get("page", "1"), "page", minimum=1, maximum=_PAGE_MAX)


def limit_of(query: dict[str, str]) -> int:
    """Read how long a page may be.

    Raises:
        BadParametersError: no page is so long or so short.
    """
    text = query.get("limit")
    if text is None:
        return _LIMIT_DEFAULT
    return number(text, "limit", minimum=1, maximum=_LIMIT_MAX)


def sorting_of(query: dict[str, str]) -> Sorting:
    """Read in which order a list is wanted.

    Raises:
        BadParametersError: there is no such order.
    """
    sorting = query.get("sorting", Sorting.STARTED_DESC)
    if sorting not in _SORTINGS:
        raise bad(f"sorting must be one of {', '.join(Sorting)}")
    return Sorting(sorting)


def one_of(value: str | None, known: Collection[str]) -> str | None:
    """Read a status that may be missing.

    Raises:
        BadParametersError: it is none of those known.
    """
    if value is not None and value not in known:
        raise BadParametersError(texts.UNSUPPORTED_STATUS)
    return value


def status_of(value: str | None) -> Status | None:
    """Read the status of a payment; None where any will do.

    Raises:
        BadParametersError: no payment has it.
    """
    known = one_of(value, _STATUSES)
    return None if known is None else Status(known)


def ids_of(call: Call, *names: str) -> list[list[str]]:
    """Read arrays of ids, of which a hundred may be given together.

    Raises:
        BadParametersError: there is none at all, or there are too many.
    """
    given = [call.query_list(f"{name}[]") for name in names]
    count = sum(map(len, given))
    if not count:
        listed = ", ".join(f"{name}[]" for name in names)
        raise BadParametersError(texts.MISSING_PARAMETERS.format(names=listed))
    if count > _IDS_MAX:
        raise bad(f"{count} ids in one request; {_IDS_MAX} are the most")
    return given


_SORTINGS: Final = frozenset(Sorting)
_STATUSES: Final = frozenset(Status)
