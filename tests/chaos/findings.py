"""What our rows and the gateway's book say of each other once everything has come to its end.

Nothing here trusts what a worker said of itself: what is owed is counted from the agreements, what
was taken and given back from the book, what was wished from the merchant's own list.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit

Row = Mapping[str, Any]
Rows = Callable[..., list[dict[str, Any]]]

DOUBLE, MISSED, STUCK, SUM = "double", "missed", "stuck", "sum"


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be: what kind, which row, and what the book holds."""

    kind: str
    text: str


@dataclass
class Findings:
    """Everything that was found.

    Attributes:
        charges: Payments that the book holds.
        given_back: Cancellations that it holds.
        letters: What waits for a person.
        counts: How everything ended, for people.
    """

    charges: int = 0
    given_back: int = 0
    letters: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)

    def add(self, kind: str, text: str) -> None:
        """Note something that must not be."""
        self.violations.append(Violation(kind, text))

    def number(self, kind: str) -> int:
        """Return how many there are of a kind."""
        return sum(violation.kind == kind for violation in self.violations)


@dataclass(frozen=True)
class World:
    """Everything that is compared, read once.

    Attributes:
        book: Every payment record of the gateway.
        commands: The merchant's refund commands, by id, with the amount asked for.
        used: The ``imp_uid`` of every window that a buyer used, by its ``merchant_uid``.
        console: What was given back in the gateway's console, by ``imp_uid``.
        left: What had not come to its end within its bound, in words.
    """

    now: datetime
    book: Sequence[Row]
    invoices: Mapping[int, Row]
    attempts: Mapping[str, Row]
    payments: Mapping[str, Row]
    refunds: Sequence[Row]
    windows: Mapping[str, Row]
    subscriptions: Sequence[Row]
    skipped: set[tuple[UUID, int]]
    lettered: set[tuple[str, int]]
    results: Mapping[str, Row]
    commands: Mapping[str, int | str]
    used: Mapping[str, str]
    console: Mapping[str, int]
    left: Sequence[str]


def read(
    rows: Rows,
    book: Sequence[Row],
    now: datetime,
    *,
    commands: Mapping[str, int | str],
    used: Mapping[str, str],
    console: Mapping[str, int],
    left: Sequence[str],
) -> World:
    """Read our rows."""
    letters = rows("SELECT kind, attempt_id, refund_id FROM dead_letters WHERE resolved_at IS NULL")
    return World(
        now,
        book,
        {row["id"]: row for row in rows(_INVOICES)},
        {row["merchant_uid"]: row for row in rows("SELECT * FROM payment_attempts")},
        {row["imp_uid"]: row for row in rows("SELECT * FROM payments")},
        rows("SELECT r.*, p.imp_uid FROM refunds r JOIN payments p ON p.id = r.payment_id"),
        {row["merchant_uid"]: row for row in rows(_WINDOWS)},
        rows(_SUBSCRIPTIONS),
        {
            (row["subscription_id"], row["period_index"])
            for row in rows(
                "SELECT subscription_id, CAST(data ->> 'period_index' AS int) AS period_index"
                " FROM events WHERE name = 'period.skipped'"
            )
        },
        {(row["kind"], row["attempt_id"] or row["refund_id"] or 0) for row in letters},
        {row["command_id"]: row["result"] for row in rows("SELECT * FROM commands")},
        commands,
        used,
        console,
        left,
    )


_INVOICES = """
    SELECT i.*, s.cancel_at, s.cancel_late_payment, k.status AS key_status
    FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id
    JOIN billing_keys k ON k.id = s.billing_key_id
"""
_WINDOWS = """
    SELECT w.*, k.status AS key_status
    FROM windows w LEFT JOIN billing_keys k ON k.id = w.billing_key_id
"""
_SUBSCRIPTIONS = """
    SELECT s.*, (SELECT CAST(e.data ->> 'first_period_index' AS int) FROM events e
        WHERE e.subscription_id = s.id AND e.name = 'subscription.created') AS first_index
    FROM subscriptions s
"""


def compare(world: World) -> Findings:
    """Return everything that rows, book and wishes say differently."""
    found = Findings()
    paid = _paid(world, found)
    _compare_periods(world, paid, found)
    _compare_invoices(world, paid, found)
    _compare_payments(world, found)
    _compare_windows(world, found)
    _compare_commands(world, found)
    for text in world.left:
        found.add(STUCK, text)
    found.counts.update(f"invoices {row['status']}" for row in world.invoices.values())
    found.counts.update(f"refunds {row['status']}" for row in world.refunds)
    found.counts.update(f"windows {row['status']}" for row in world.windows.values())
    found.counts.update(f"subscriptions {row['status']}" for row in world.subscriptions)
    return found


def _paid(world: World, found: Findings) -> dict[int, list[Row]]:
    """Return what was ever paid for each invoice, and note what was paid for none."""
    paid: defaultdict[int, list[Row]] = defaultdict(list)
    for record in world.book:
        if not _is_money(record):
            continue
        found.charges += 1
        found.given_back += len(record["cancels"])
        if record["merchant_uid"] in world.windows:
            continue
        attempt = world.attempts.get(record["merchant_uid"])
        if attempt is None:
            found.add(MISSED, f"{_told(record)}: no attempt of ours made it")
        else:
            paid[attempt["invoice_id"]].append(record)
    return paid


def _compare_periods(world: World, paid: Mapping[int, list[Row]], found: Findings) -> None:
    """Every period that is due is invoiced or explained, and paid once at most."""
    invoiced = {(row["subscription_id"], row["period_index"]) for row in world.invoices.values()}
    for row in world.subscriptions:
        for index in _due(row, world.now):
            if (row["id"], index) not in invoiced | world.skipped:
                found.add(
                    MISSED,
                    f"period {index} of subscription {row['id']} is due and has no invoice;"
                    f" the subscription is {row['status']}, its next renewal"
                    f" {row['next_renewal_at']}",
                )
    for invoice_id, records in paid.items():
        invoice = world.invoices[invoice_id]
        found.violations += [
            Violation(
                DOUBLE,
                f"{_named(invoice)} was charged {len(records)} times; the book holds"
                f" {', '.join(_told(one) for one in records)}",
            )
        ] * (len(records) - 1)


def _due(row: Row, now: datetime) -> Iterable[int]:
    interval = Interval(IntervalUnit(row["interval_unit"]), row["interval_count"])
    cycle = BillingCycle(row["anchor_at"], interval, row["time_zone"])
    until = min(now, row["cancel_at"] or now)
    for index in range(row["first_index"], cycle.index_at(until) + 1):
        # What begins at the instant of the end is not billed any more.
        if row["cancel_at"] is None or cycle.period(index).start_at < row["cancel_at"]:
            yield index


def _compare_invoices(world: World, paid: Mapping[int, list[Row]], found: Findings) -> None:
    owned = defaultdict(list)
    for attempt in world.attempts.values():
        owned[attempt["invoice_id"]].append(attempt)
    for invoice in world.invoices.values():
        records = paid.get(invoice["id"], [])
        parked = [a for a in owned[invoice["id"]] if a["status"] == "parked"]
        for attempt in parked:
            _note_letter(world, found, "attempt", attempt)
        _compare_attempts(invoice, owned[invoice["id"]], found)
        for record in records:
            if (record["amount"], record["tax_free"]) != (invoice["amount"], invoice["tax_free"]):
                text = f"{_named(invoice)} is of {invoice['amount']} won, {_told(record)}"
                found.add(SUM, text)
        if not parked:
            _compare_one(invoice, records, found)


def _note_letter(world: World, found: Findings, kind: str, row: Row) -> None:
    """Note what waits for a person; nothing in a run is meant to be more than scans can end."""
    letter = "a letter" if (kind, row["id"]) in world.lettered else "no letter"
    text = f"{kind} {row['id']} waits for a person, with {letter}: {row['message']!r}"
    found.letters.append(text)
    found.add(STUCK, text)


def _compare_attempts(invoice: Row, attempts: Sequence[Row], found: Findings) -> None:
    """Compare an invoice that has ended with what its attempts say of themselves."""
    if invoice["status"] == "open":
        return
    statuses = Counter(attempt["status"] for attempt in attempts)
    if left := [status for status in ("claimed", "unknown", "waiting") if statuses[status]]:
        found.add(SUM, f"{_named(invoice)} is {invoice['status']}, an attempt at it is {left[0]}")
    if invoice["status"] == "paid" and invoice["amount"] and statuses["paid"] != 1:
        text = f"{_named(invoice)} is paid, of its attempts {statuses['paid']} are: {statuses}"
        found.add(SUM, text)


def _compare_one(invoice: Row, records: Sequence[Row], found: Findings) -> None:
    """Compare one invoice with what was paid for it, no person having it in hand."""
    status = invoice["status"]
    if status == "paid" and invoice["amount"] and not records:
        found.add(SUM, f"{_named(invoice)} is paid, the book holds no payment of it")
    if status == "open" and records:
        found.add(MISSED, f"{_named(invoice)} is open, the book holds {_told(records[0])}")
    if status == "open" and invoice["key_status"] == "active":
        found.add(
            MISSED,
            f"{_named(invoice)} is open, its billing key is active and nobody collects it:"
            f" next attempt {invoice['next_attempt_at']}, message {invoice['message']!r}",
        )
    if status == "uncollectible" and records:
        found.add(SUM, f"{_named(invoice)} is uncollectible, the book holds {_told(records[0])}")
    if status == "void":
        is_owed = invoice["cancel_late_payment"] == "none" and (
            invoice["period_start_at"] < invoice["cancel_at"]
        )
        for record in records:
            if record["cancel_amount"] != record["amount"] and not is_owed:
                text = f"{_named(invoice)} is void, not all went back: {_told(record)}"
                found.add(MISSED, text)


def _compare_payments(world: World, found: Findings) -> None:
    """Every payment is known, and exactly what was asked for went back of it, once."""
    asked: defaultdict[str, list[Row]] = defaultdict(list)
    for refund in world.refunds:
        asked[refund["imp_uid"]].append(refund)
        if refund["status"] == "parked":
            _note_letter(world, found, "refund", refund)
    held = {record["imp_uid"]: record for record in world.book}
    for imp_uid, payment in world.payments.items():
        record = held.get(imp_uid)
        if record is None:
            found.add(SUM, f"payment {payment['id']} ({imp_uid}) is in our rows, not in the book")
            continue
        _compare_returned(payment, record, asked[imp_uid], world.console.get(imp_uid, 0), found)
    for imp_uid, record in held.items():
        if _is_money(record) and imp_uid not in world.payments:
            origin = world.attempts.get(record["merchant_uid"]) or world.windows.get(
                record["merchant_uid"]
            )
            status = origin["status"] if origin else "nowhere"
            found.add(MISSED, f"{_told(record)}: our rows do not know it; its origin is {status}")


def _compare_returned(
    payment: Row, record: Row, refunds: Sequence[Row], by_console: int, found: Findings
) -> None:
    """Compare what went back of one payment with what was asked for."""
    done = sum(row["amount"] for row in refunds if row["status"] == "done")
    parked = sum(row["amount"] for row in refunds if row["status"] == "parked")
    returned = record["cancel_amount"]
    listed = ", ".join(f"{row['id']}: {row['amount']} {row['status']}" for row in refunds)
    told = (
        f"payment {payment['id']}: {_told(record)}; refunds [{listed}],"
        f" {by_console} won given back in the console"
    )
    if returned > done + parked + by_console:
        found.add(DOUBLE, f"more went back than was done: {told}")
    elif returned < done + by_console:
        found.add(MISSED, f"a refund that is done is not in the book: {told}")
    if not parked and payment["cancelled_amount"] != returned:
        found.add(SUM, f"{payment['cancelled_amount']} won are noted as given back: {told}")
    # What the console gives back is told without its tax-free part.
    tax_free = payment["cancelled_tax_free"], record["cancel_tax_free"]
    if not parked and not by_console and tax_free[0] != tax_free[1]:
        found.add(SUM, f"{tax_free[0]} won tax-free are noted, {tax_free[1]} went back: {told}")


def _compare_commands(world: World, found: Findings) -> None:
    """Every refund that was promised is a row of that amount."""
    by_command = {row["command_id"]: row for row in world.refunds if row["command_id"]}
    for command_id, amount in world.commands.items():
        result = world.results.get(command_id)
        if result is None or result["status"] != "done":
            continue
        refund = by_command.get(command_id)
        if refund is None:
            found.add(MISSED, f"command {command_id} is done, and there is no refund of it")
        elif amount not in {"all", refund["amount"]}:
            text = f"command {command_id} asked for {amount} won, its refund is {refund['amount']}"
            found.add(SUM, text)


def _compare_windows(world: World, found: Findings) -> None:
    """What a buyer did in a window is known, whoever told of it or did not."""
    for merchant_uid, imp_uid in world.used.items():
        window = world.windows.get(merchant_uid)
        if window is not None and window["key_status"] in {"deleting", "deleted"}:
            # Taken away meanwhile, whatever was behind it.
            continue
        if window is None or (window["status"], window["imp_uid"]) != ("confirmed", imp_uid):
            row = f"{window['kind']} {window['status']}, {window['message']!r}" if window else "–"
            found.add(MISSED, f"window {merchant_uid} was used ({imp_uid}), in our rows: {row}")


def _is_money(record: Row) -> bool:
    """Say whether a record was ever paid; a registration looks so and moved nothing."""
    return record["status"] in {"paid", "cancelled"} and record["customer_uid_usage"] != "issue"


def _named(invoice: Row) -> str:
    return (
        f"invoice {invoice['id']} (period {invoice['period_index']} of"
        f" {invoice['subscription_id']})"
    )


def _told(record: Row) -> str:
    back = f", {record['cancel_amount']} given back" if record["cancel_amount"] else ""
    return (
        f"{record['imp_uid']} [{record['merchant_uid']}] {record['status']} {record['amount']} won"
        f"{back}"
    )
