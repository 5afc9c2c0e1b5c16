"""How forecasts look: one JSON document for programs, sums and the first rows for people."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from shared.billing.charge_hours import KST
from shared.billing.forecast import Day, Expected, Forecast, Outlook, Why
from shared.billing.forecast_facts import Explained, Reason
from worker.console.rendering import print_fields, print_line, print_table, won
from worker.services.forecast_verify import Verdict

WHY: Final = {
    Why.RENEWAL: "a period begins",
    Why.CONVERSION: "a free trial is over",
    Why.CATCH_UP: "periods have piled up",
    Why.OPENED: "opened before, and not tried yet",
    Why.RETRY: "declined before",
    Why.AGAIN: "sent before, and nothing moved",
    Why.BUYER: "the buyer has asked for it",
}
OUTLOOK: Final = {
    Outlook.CHARGED: "charged",
    Outlook.SETTLED: "nothing is owed",
    Outlook.UNCOLLECTIBLE: "given up",
    Outlook.VOID: "the subscription ends before",
    Outlook.WAITS: "waits",
    Outlook.ENDS: "ends for want of a consent",
    Outlook.FAULTY: "its row makes no sense",
}
MEANING: Final = {
    Reason.AS_FORESEEN: "paid as foreseen",
    Reason.DECLINED: "refused by the buyer's means",
    Reason.UNDER_WAY: "still under way",
    Reason.NEW: "subscribed after the forecast",
    Reason.CANCELED: "an end was asked for, or withdrawn",
    Reason.PAUSED: "paused",
    Reason.RESUMED: "resumed",
    Reason.CHANGED: "the terms were changed",
    Reason.ADJUSTED: "a credit, a discount or the like",
    Reason.CONSENT: "a consent was given, or is missing",
    Reason.REACTIVATED: "reactivated",
    Reason.SKIPPED: "the period was left out",
    Reason.PAID_BEFORE: "paid before the day",
    Reason.BY_BUYER: "tried by the buyer",
    Reason.TRIED_AGAIN: "tried again",
    Reason.NEW_METHOD: "a new payment method",
    Reason.NO_METHOD: "no method to charge",
    Reason.DUNNING: "dunning was switched",
    Reason.GIVEN_UP: "given up",
    Reason.PUT_OFF: "put off by our own limits",
    Reason.LATE: "late: on hold, or nobody was at work",
    Reason.BY_A_PERSON: "stopped for a person",
    Reason.CORRECTED: "its row made no sense before",
    Reason.SETTINGS: "the settings are others by now",
    Reason.UNEXPLAINED: "UNEXPLAINED",
}
Row: TypeAlias = Expected | Explained


@dataclass(slots=True)
class Document:
    """A document whose rows are written as they come, and none of it before there is anything."""

    name: str
    _is_begun: bool = False

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows."""
        for row in rows:
            said = row.as_json() if isinstance(row, Expected) else explained_json(row)
            sys.stdout.write(",\n    " if self._is_begun else f"{self._begin()}\n    ")
            sys.stdout.write(_json(said))
            self._is_begun = True

    def _begin(self) -> str:
        return f"{{\n  {_json(self.name)}: ["

    def end(self, rest: Mapping[str, Any]) -> None:
        """Write all that is known at the end."""
        sys.stdout.write("\n  ]" if self._is_begun else f"{self._begin()}]")
        for name, value in rest.items():
            sys.stdout.write(f",\n  {_json(name)}: {_json(value)}")
        sys.stdout.write("\n}\n")
        sys.stdout.flush()


def _json(value: object) -> str:
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(value, ensure_ascii=not utf8)


@dataclass(slots=True)
class Some:
    """The first charges of a day; the rest is in the sums."""

    day: Day
    most: int
    rows: list[Expected] = field(default_factory=list)
    missing: list[Expected] = field(default_factory=list)
    count: int = 0

    def add(self, rows: Sequence[Expected]) -> None:
        """Keep those of the day, as many as are shown."""
        for row in rows:
            if not self.day.holds(row.at):
                continue
            self.count += 1
            if len(self.rows) < self.most:
                self.rows.append(row)
            if row.missing and len(self.missing) < self.most:
                self.missing.append(row)


@dataclass(slots=True)
class Differences:
    """The first differences of a day, the unexplained ones apart."""

    most: int
    rows: list[Explained] = field(default_factory=list)
    unexplained: list[Explained] = field(default_factory=list)

    def add(self, found: Sequence[Explained]) -> None:
        """Keep what is shown."""
        for each in found:
            kept = self.unexplained if each.reason is Reason.UNEXPLAINED else self.rows
            if len(kept) < self.most:
                kept.append(each)


def show(made: Forecast, some: Some, limit: int, *, is_kept: bool) -> None:
    """Print a forecast for people."""
    totals = made.totals
    print_fields(
        {
            "day": f"{made.day} (Korea)",
            "made": f"{made.made_at.astimezone(KST):%Y-%m-%d %H:%M:%S %Z}",
            "will be charged": _sum(totals["charges"])
            + (f" · {won(totals['tax_free'])} tax-free" if totals["tax_free"] else ""),
            **{f"  {WHY[Why(why)]}": _sum(each) for why, each in totals["reasons"].items()},
            **{
                f"not charged: {OUTLOOK[Outlook(outlook)]}": _sum(each)
                for outlook, each in totals["others"].items()
            },
            "consents missing": _missing(totals["consents_missing"]),
            "due before the day": _sum(totals["before_the_day"]),
            "digest": made.digest + ("" if is_kept else " (not kept: --store keeps it)"),
        }
    )
    print_line()
    print_table(
        ("at", "subscription", "period", "amount", "why"),
        [_row(row) for row in sorted(some.rows[:limit], key=lambda row: row.at)],
    )
    if some.count > limit:
        print_line(f"Only {limit} of {some.count:,} are shown; --limit shows more, --json all.")


def show_verdict(verdict: Verdict, found: Differences) -> None:
    """Print what came of a forecast, for people: from what was foreseen to what was collected."""
    forecast = verdict.forecast
    print_fields(
        {
            "day": f"{forecast.day} (Korea)",
            "forecast made": f"{forecast.made_at.astimezone(KST):%Y-%m-%d %H:%M:%S %Z}",
            "digest": forecast.digest if verdict.is_intact else "does NOT match what is kept",
            "foreseen": _sum(verdict.foreseen.as_json()),
            "collected": won(verdict.collected),
            "not to be charged, and not charged": str(verdict.left_alone),
            "unexplained": str(verdict.unexplained),
        }
    )
    print_line()
    print_table(
        ("what became of it", "periods", "foreseen", "collected", "difference"),
        [
            (
                MEANING[reason],
                str(outcome.count),
                won(outcome.foreseen),
                won(outcome.collected),
                f"{outcome.collected - outcome.foreseen:+,} KRW",
            )
            for reason in Reason
            if (outcome := verdict.outcomes.get(reason)) is not None
        ],
    )
    for title, rows in (("Unexplained", found.unexplained), ("Explained", found.rows)):
        if rows:
            print_line()
            print_line(f"{title}:")
            print_table(
                ("subscription", "period", "foreseen", "collected", "why"),
                [_difference(each) for each in rows],
            )
    if verdict.settings_differ:
        print_line()
        print_line("The settings are others than those that the forecast was made by.")


def explained_json(explained: Explained) -> dict[str, Any]:
    """Return a difference for programs."""
    return {
        "subscription_id": str(explained.subscription_id),
        "period_index": explained.period_index,
        "reason": explained.reason,
        "foreseen": explained.foreseen,
        "collected": explained.collected,
        "because": explained.because,
    }


def _row(row: Expected) -> tuple[str, ...]:
    why = WHY[row.why]
    if row.outlook is not Outlook.CHARGED:
        why += f"; {OUTLOOK[row.outlook]}" + (f": {row.note}" if row.note else "")
    if row.changes:
        why += f"; change {', '.join(map(str, row.changes))}"
    why += "".join(f"; {kind} {amount:+,}" for kind, amount in row.lines)
    why += "".join(f"; no consent to {won(each.amount)}" for each in row.missing)
    return (
        f"{row.at.astimezone(KST):%H:%M:%S}",
        str(row.subscription_id),
        str(row.period_index),
        won(row.price.amount),
        why,
    )


def _difference(each: Explained) -> tuple[str, ...]:
    return (
        str(each.subscription_id),
        str(each.period_index),
        won(each.foreseen),
        won(each.collected),
        f"{MEANING[each.reason]}: {each.because}",
    )


def _sum(said: Mapping[str, int]) -> str:
    return f"{said['count']:,} · {won(said['amount'])}"


def _missing(said: Mapping[str, int]) -> str:
    return " · ".join(f"{kind} {count}" for kind, count in said.items()) or "none"
