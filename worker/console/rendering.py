"""What commands print: one JSON document for programs, tables and lines for people."""

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from shared.billing.money import Price

Json: TypeAlias = str | int | float | bool | Sequence["Json"] | Mapping[str, "Json"] | None

# Into a file or a pipe nothing is folded: a cut id or message would be worth nothing.
_WIDTH_UNBOUNDED = 100_000
# Characters that steer a terminal or reorder what it shows; a gateway's text may hold any.
_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_MASK_START_MAX = 4
_MASK_END_MAX = 2
_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86_400


def print_json(document: Mapping[str, Json]) -> None:
    """Print one JSON document, in UTF-8 or, where stdout cannot, in ASCII escapes."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(document, ensure_ascii=not utf8, indent=2) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, or where the terminal is too narrow for it one block of lines a row.

    Nothing is ever cut or folded: an id must be whole to be copied.
    """
    lines = list(rows)
    if not lines:
        print_line("(none)")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ignore")
    for line in lines:
        table.add_row(*(Text(visible(cell)) for cell in line))
    console = _console()
    unbounded = console.options.update(max_width=_WIDTH_UNBOUNDED)
    if Measurement.get(console, unbounded, table).maximum <= console.width:
        console.print(table)
        return
    for position, line in enumerate(lines):
        if position:
            print_line()
        print_fields(dict(zip(columns, line, strict=True)))


def print_fields(fields: Mapping[str, str], *, indent: int = 0) -> None:
    """Print one line a field, its value never folded."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        print_line(f"{' ' * indent}{name:<{width}}  {value}")


def print_line(line: str = "") -> None:
    """Print one line as it is."""
    _console().print(Text(visible(line)), soft_wrap=True)


def print_more(shown: int) -> None:
    """Say that a list was cut, so that nobody takes it for all."""
    print_line(f"Only the newest {shown} are shown; --limit shows more.")


def _console() -> Console:
    """Return a console that adds nothing of its own to a text."""
    terminal = sys.stdout.isatty()
    return Console(
        color_system="auto" if terminal else None,
        width=None if terminal else _WIDTH_UNBOUNDED,
        markup=False,
        emoji=False,
        highlight=False,
    )


def visible(text: str) -> str:
    """Return ``text`` with characters that steer a terminal written as escapes."""
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _STEERING else char
        for char in text
    )


def mask(text: str) -> str:
    """Return enough of a secret to know it again, at most half of it: ``gild…34``."""
    start = min(_MASK_START_MAX, len(text) // 3)
    end = min(_MASK_END_MAX, len(text) // 6)
    return f"{text[:start]}…{text[len(text) - end :]}"


def iso(instant: datetime | None) -> str | None:
    """Return an instant for programs, in UTC."""
    return None if instant is None else instant.astimezone(UTC).isoformat()


def local(instant: datetime | None, zone: str) -> str:
    """Return an instant for people, on the clocks of ``zone``."""
    if instant is None:
        return "-"
    try:
        at = instant.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError, OverflowError):
        # A zone that is gone, or the calendar's edge, must keep nobody from seeing the row.
        at = instant
    return f"{at:%Y-%m-%d %H:%M:%S %Z}"


def both(instant: datetime | None, zone: str) -> str:
    """Return an instant on the clocks of ``zone`` and in UTC."""
    return "-" if instant is None else f"{local(instant, zone)} ({iso(instant)})"


def won(amount: int) -> str:
    """Return an amount for people."""
    return f"{amount:,} KRW"


def price(asked: Price) -> str:
    """Return an amount and its tax-free part for people."""
    return won(asked.amount) + (f" ({won(asked.tax_free)} tax-free)" if asked.tax_free else "")


def age(seconds: float) -> str:
    """Return a duration for people, in the largest unit of which there are two."""
    for unit_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"
