"""Reports as one page that loads nothing from anywhere: its frame, its tables and its charts.

Whatever is shown is given as plain text and escaped here; parts of a page are put together as they
are.
"""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from worker.console.endings import MisusedError
from worker.console.rendering import visible, won

_WIDTH: Final = 960
_HEIGHT: Final = 240
_LEFT: Final = 100
_TOP: Final = 20
_FLOOR: Final = _HEIGHT - 28
# How much of its place a group of bars fills.
_FILLED: Final = 0.8
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; color: #1b1b1f; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #d9d9e0; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
code { font-size: .9em; overflow-wrap: anywhere; } svg { width: 100%; height: auto; }
.key { width: .8em; } .good { color: #146c2e; } .bad { color: #a50e0e; } .off { fill: #a50e0e; }
.first { fill: #2f6fde; } .second { fill: #f0a030; } text { fill: #55555f; }
@media (prefers-color-scheme: dark) {
  body { background: #16161a; color: #e7e7ee; } th, td { border-color: #3a3a44; }
  text { fill: #a9a9b8; } .good { color: #6fd58c; } .bad { color: #ff8a80; }
  .off { fill: #ff8a80; }
}
"""


class As(enum.Enum):
    """How the cells of a column are shown."""

    TEXT = enum.auto()
    NUMBER = enum.auto()
    CODE = enum.auto()


class Colour(enum.StrEnum):
    """What a bar is drawn in: the first of two that are compared, or the second."""

    FIRST = "first"
    SECOND = "second"


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart; ``says`` is what is shown to whoever points at it."""

    amount: int
    says: str
    colour: Colour = Colour.FIRST


@dataclass(frozen=True, slots=True)
class Place:
    """What a chart shows at one place from left to right.

    Attributes:
        label: What stands below it; empty where nothing does.
        mark: Why a dot stands above it; empty where none does.
    """

    bars: Sequence[Bar]
    label: str = ""
    mark: str = ""


def page(title: str, parts: Iterable[str]) -> str:
    """Return a page of parts that the functions below have made."""
    lines = "\n".join(part for part in parts if part)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width" />
<title>{_shown(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{_shown(title)}</h1>
{lines}
</body>
</html>
"""


def heading(text: str) -> str:
    """Return the heading of a section."""
    return f"<h2>{_shown(text)}</h2>"


def paragraph(text: str, *, is_good: bool | None = None) -> str:
    """Return a paragraph, coloured where it tells whether all is well."""
    colour = {None: "", True: ' class="good"', False: ' class="bad"'}[is_good]
    return f"<p{colour}>{_shown(text)}</p>"


def table(columns: Sequence[tuple[str, As]], rows: Iterable[Sequence[str]], none: str = "") -> str:
    """Return a table; the paragraph ``none`` where there is no row and it says something."""
    lines = "".join(
        f"<tr>{''.join(_cell(text, kind) for text, (_, kind) in zip(row, columns, strict=True))}"
        "</tr>"
        for row in rows
    )
    if not lines and none:
        return paragraph(none)
    head = "".join(f"<th{_aligned(kind)}>{_shown(name)}</th>" for name, kind in columns)
    is_headed = any(name for name, _ in columns)
    return f"<table>{f'<tr>{head}</tr>' if is_headed else ''}{lines}</table>"


def chart(says: str, places: Sequence[Place]) -> str:
    """Return bars of won from left to right, the highest as high as there is room."""
    most = max((bar.amount for place in places for bar in place.bars), default=0) or 1
    step = (_WIDTH - _LEFT) / max(1, len(places))
    drawn = [
        f'<text x="0" y="{_TOP}">{won(most)}</text><text x="0" y="{_FLOOR}">0</text>',
        f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{_FLOOR}" y2="{_FLOOR}" stroke="#99a" />',
    ]
    for position, place in enumerate(places):
        left = _LEFT + position * step
        width = step * _FILLED / max(1, len(place.bars))
        for beside, bar in enumerate(place.bars):
            at = left + step * (1 - _FILLED) / 2 + beside * width
            drawn.append(_bar(bar, at, width, bar.amount / most))
        if place.mark:
            drawn.append(
                f'<circle class="off" cx="{left + step / 2:.1f}" cy="8" r="4">'
                f"<title>{_shown(place.mark)}</title></circle>"
            )
        if place.label:
            drawn.append(f'<text x="{left:.1f}" y="{_HEIGHT - 8}">{_shown(place.label)}</text>')
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-size="12"'
        f' aria-label="{_shown(says)}">{"".join(drawn)}</svg>'
    )


def legend(first: str, second: str, rest: str) -> str:
    """Return what the two colours of a chart stand for, and what else is to be said of it."""
    keys = " ".join(
        f'<svg class="key" viewBox="0 0 12 12"><rect class="{colour}" width="12" height="12" />'
        f"</svg> {_shown(name)}"
        for colour, name in ((Colour.FIRST, first), (Colour.SECOND, second))
    )
    return f"<p>{keys}; {_shown(rest)}</p>"


def write(option: str, path: Path, text: str) -> None:
    """Write the file that an option names.

    Raises:
        MisusedError: It cannot be written.
    """
    try:
        # As it is: CSV ends its lines by itself, whatever the system does.
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise MisusedError(f"{option} {path}: {error.strerror}") from None


def _bar(bar: Bar, left: float, width: float, share: float) -> str:
    height = share * (_FLOOR - _TOP)
    return (
        f'<rect class="{bar.colour}" x="{left:.1f}" y="{_FLOOR - height:.1f}" width="{width:.1f}"'
        f' height="{height:.1f}"><title>{_shown(bar.says)}</title></rect>'
    )


def _cell(text: str, kind: As) -> str:
    shown = _shown(text)
    return f"<td{_aligned(kind)}>{f'<code>{shown}</code>' if kind is As.CODE else shown}</td>"


def _aligned(kind: As) -> str:
    return ' class="n"' if kind is As.NUMBER else ""


def _shown(text: str) -> str:
    return escape(visible(text))
