"""A forecast as one page."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from shared.billing.charge_hours import KST
from shared.billing.forecast import Expected, Forecast, Outlook, Why
from worker.console import pages
from worker.console.forecast_view import OUTLOOK, WHY, Some
from worker.console.pages import As, Bar, Place
from worker.console.rendering import won

# So many charges are listed; whoever wants all of them reads the document for programs.
ROWS_MAX: Final = 1_000
_HOURS: Final = 24
_LABELLED_EVERY: Final = 3


def page(made: Forecast, some: Some) -> str:
    """Return the page of a forecast, with the first of its charges."""
    totals = made.totals
    at = f"{made.made_at.astimezone(KST):%Y-%m-%d %H:%M:%S} KST"
    return pages.page(
        f"Charges foreseen for {made.day}",
        (
            pages.paragraph(
                f"{_sum(totals['charges'])}, {won(totals['tax_free'])} of it tax-free. As all rows"
                f" stood at {at}, taking it that every charge is paid and nobody wants anything"
                " else until then."
            ),
            pages.heading("By the hour in Korea"),
            pages.chart("Won to be charged by the hour", list(_places(totals["hours"]))),
            pages.heading("Why"),
            _sums({WHY[Why(why)]: each for why, each in totals["reasons"].items()}),
            pages.heading("Due, and not charged"),
            _sums({OUTLOOK[Outlook(name)]: each for name, each in totals["others"].items()}),
            pages.heading("Consents missing"),
            _consents(some),
            pages.heading("Charges"),
            *_rows(some),
            pages.table([("", As.TEXT), ("", As.CODE)], [("digest", made.digest)]),
        ),
    )


def _places(hours: Mapping[str, Mapping[str, int]]) -> Iterator[Place]:
    """Yield a bar an hour."""
    for hour in range(_HOURS):
        each = hours.get(str(hour))
        bars = () if each is None else (Bar(each["amount"], f"{hour:02}:00: {_sum(each)}"),)
        yield Place(bars, "" if hour % _LABELLED_EVERY else f"{hour:02}:00")


def _sums(sums: Mapping[str, Mapping[str, int]]) -> str:
    return pages.table(
        [("", As.TEXT), ("periods", As.NUMBER), ("won", As.NUMBER)],
        [(name, f"{each['count']:,}", won(each["amount"])) for name, each in sums.items()],
        "Nothing.",
    )


def _consents(some: Some) -> str:
    return pages.table(
        [
            ("subscription", As.CODE),
            ("period", As.NUMBER),
            ("to", As.TEXT),
            ("a period would cost", As.NUMBER),
            ("without it", As.TEXT),
        ],
        [
            (
                str(row.subscription_id),
                str(row.period_index),
                each.kind,
                won(each.amount),
                "it ends" if row.outlook is Outlook.ENDS else "the price stays",
            )
            for row in some.missing
            for each in row.missing
        ],
        "None.",
    )


def _rows(some: Some) -> Iterator[str]:
    shown = some.rows[:ROWS_MAX]
    yield pages.table(
        [
            ("at", As.TEXT),
            ("subscription", As.CODE),
            ("period", As.NUMBER),
            ("won", As.NUMBER),
            ("why", As.TEXT),
        ],
        [
            (
                f"{row.at.astimezone(KST):%H:%M:%S}",
                str(row.subscription_id),
                str(row.period_index),
                won(row.price.amount),
                _why(row),
            )
            for row in shown
        ],
    )
    if left := some.count - len(shown):
        yield pages.paragraph(f"And {left:,} more: the document for programs has all.")


def _why(row: Expected) -> str:
    why = WHY[row.why]
    if row.outlook is not Outlook.CHARGED:
        why += f"; {OUTLOOK[row.outlook]}" + (f": {row.note}" if row.note else "")
    return why


def _sum(said: Mapping[str, Any]) -> str:
    return f"{said['count']:,} charges · {won(said['amount'])}"
