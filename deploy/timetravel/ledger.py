"""The ledger: what became of every period, month by month, in Korean months and won."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich.table import Table

from deploy.timetravel.gateway import Book
from deploy.timetravel.rows import Rows

_KOREA: Final = ZoneInfo("Asia/Seoul")
# What a period has come to, by the status of its invoice.
_COLUMNS: Final = {
    "paid": "paid",
    "open": "dunning",
    "uncollectible": "uncollectible",
    "void": "voided",
}


@dataclass(slots=True)
class Month:
    """The periods that began in a month; sums are won.

    Attributes:
        opened: Periods with an invoice, whatever became of it.
        dunning: Invoices that are still being collected.
        skipped: Periods that are not billed, each with its explanation.
        refunded_won: What went back of payments made in the month.
    """

    opened: int = 0
    paid: int = 0
    dunning: int = 0
    uncollectible: int = 0
    voided: int = 0
    skipped: int = 0
    opened_won: int = 0
    paid_won: int = 0
    refunded_won: int = 0

    def __add__(self, other: "Month") -> "Month":
        """Return both together."""
        mine, theirs = asdict(self), asdict(other)
        return Month(**{name: mine[name] + theirs[name] for name in mine})


@dataclass(slots=True)
class Ledger:
    """Every month, and what they come to together."""

    months: dict[str, Month] = field(default_factory=lambda: defaultdict(Month))

    @property
    def total(self) -> Month:
        """All months together."""
        return sum(self.months.values(), Month())

    @property
    def counts(self) -> Mapping[str, int]:
        """The numbers of the last line: each period counts once.

        What is uncollectible or void is not billed any more and counts as skipped: an event
        explains each, or it is a violation.
        """
        total = self.total
        skipped = total.skipped + total.uncollectible + total.voided
        return {
            "periods": total.opened + total.skipped,
            "paid": total.paid,
            "dunning": total.dunning,
            "skipped": skipped,
        }

    def as_json(self) -> Mapping[str, Any]:
        """Return the ledger for machines."""
        months = {name: asdict(month) for name, month in sorted(self.months.items())}
        return {"months": months, "total": asdict(self.total)}


def ledger_of(rows: Rows, book: Book) -> Ledger:
    """Return the ledger of what the tables hold, with what the gateway's book says went back."""
    ledger = Ledger()
    for row in rows.invoices:
        month = ledger.months[f"{row.period_start_at.astimezone(_KOREA):%Y-%m}"]
        month.opened += 1
        month.opened_won += row.amount
        column = _COLUMNS[row.status]
        setattr(month, column, getattr(month, column) + 1)
        if row.status == "paid":
            month.paid_won += row.amount
    for row in rows.skipped:
        ledger.months[f"{row.period_start_at.astimezone(_KOREA):%Y-%m}"].skipped += 1
    started = {row.id: row.period_start_at for row in rows.invoices}
    month_of = {row.merchant_uid: started[row.invoice_id] for row in rows.attempts}
    for record in book:
        if record["cancel_amount"] and record["merchant_uid"] in month_of:
            at = month_of[record["merchant_uid"]].astimezone(_KOREA)
            ledger.months[f"{at:%Y-%m}"].refunded_won += record["cancel_amount"]
    return ledger


def table_of(ledger: Ledger) -> Table:
    """Return the ledger for people."""
    table = Table(title="The ledger, by the month in which a period began", title_justify="left")
    names = list(Month.__dataclass_fields__)
    table.add_column("month", no_wrap=True)
    for name in names:
        table.add_column(name.replace("_won", " ₩"), justify="right", no_wrap=True)
    lines: Sequence[tuple[str, Month]] = sorted(ledger.months.items())
    for label, month in lines:
        table.add_row(label, *(f"{getattr(month, name):,}" for name in names))
    table.add_section()
    table.add_row("together", *(f"{getattr(ledger.total, name):,}" for name in names))
    return table
