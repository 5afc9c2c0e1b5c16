"""The report of a comparison as one page."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from shared.billing.reconciliation import Difference
from shared.db.reconciliation_rows import Discrepancy
from worker.console import pages
from worker.console.pages import As, Bar, Colour, Place
from worker.console.reconcile_view import MEANING, korean, open_count
from worker.console.rendering import won

_LABELS_MAX: Final = 8


def page(report: Mapping[str, Any], found: Sequence[Discrepancy], left_out: int) -> str:
    """Return the page; ``left_out`` more differences than are shown were found."""
    since, until = (korean(report[name]) for name in ("since", "until"))
    count = open_count(report)
    verdict = f"{count:,} differences wait for a person." if count else "The two books agree."
    return pages.page(
        f"Books compared: {since} to {until}",
        (
            pages.paragraph(verdict, is_good=not count),
            _sums(report),
            _beside(report),
            pages.heading("What was paid"),
            pages.chart("Won paid by PortOne's book and by ours", list(_places(report))),
            pages.legend("PortOne", "ours", "a dot marks where they differ."),
            pages.heading("Differences"),
            _kinds(report),
            *_list(found, left_out),
        ),
    )


def _sums(report: Mapping[str, Any]) -> str:
    return pages.table(
        [
            ("", As.TEXT),
            *((name, As.NUMBER) for name in ("payments", "paid", "of it given back")),
        ],
        [
            (name, f"{book['payments']:,}", won(book["amount"]), won(book["cancelled_amount"]))
            for name, book in (("PortOne", report["theirs"]), ("ours", report["ours"]))
        ],
    )


def _beside(report: Mapping[str, Any]) -> str:
    return pages.table(
        [("", As.TEXT), ("", As.NUMBER)],
        [
            (name, f"{count:,}")
            for name, count in (
                ("payments that agree", report["matched"]),
                ("declined or never paid", report["unpaid"]),
                ("registrations of billing keys, left out", report["registrations"]),
                ("payments that are not ours", report["foreign"]["count"]),
                ("under way, looked at again by the next run", report["watched"]["count"]),
                ("dismissed before", report["dismissed"]["count"]),
                ("vanished since an earlier run", report["vanished"]),
            )
        ],
    )


def _places(report: Mapping[str, Any]) -> Iterator[Place]:
    """Yield two bars a part of the window, and a mark where they differ."""
    bars = report["bars"]
    labelled_every = len(bars) // _LABELS_MAX + 1
    is_hourly = report["bar_s"] < timedelta(days=1).total_seconds()
    for position, bar in enumerate(bars):
        theirs, ours, at = bar["theirs"], bar["ours"], korean(bar["at"])
        label = at[11:16] if is_hourly else at[5:10]
        yield Place(
            (
                Bar(theirs, f"PortOne: {won(theirs)}"),
                Bar(ours, f"ours: {won(ours)}", Colour.SECOND),
            ),
            label if position % labelled_every == 0 else "",
            "" if theirs == ours else f"{won(abs(theirs - ours))} apart",
        )


def _kinds(report: Mapping[str, Any]) -> str:
    return pages.table(
        [
            ("kind", As.CODE),
            ("meaning", As.TEXT),
            ("count", As.NUMBER),
            ("amount", As.NUMBER),
        ],
        [
            (kind, MEANING[Difference(kind)], f"{each['count']:,}", won(each["amount"]))
            for kind, each in report["differences"].items()
        ],
    )


def _list(found: Sequence[Discrepancy], left_out: int) -> Iterator[str]:
    if not found:
        return
    yield pages.heading("What waits for a person")
    yield pages.table(
        [
            ("id", As.NUMBER),
            ("kind", As.CODE),
            ("proposed repair", As.TEXT),
            ("who looks", As.TEXT),
            ("amount", As.NUMBER),
            ("payment", As.CODE),
            ("merchant_uid", As.CODE),
        ],
        [
            (
                str(each.id),
                each.difference,
                each.repair,
                each.owner,
                won(each.amount),
                each.imp_uid,
                each.merchant_uid or "",
            )
            for each in found
        ],
    )
    if left_out:
        yield pages.paragraph(f"{left_out:,} more are not shown.")
