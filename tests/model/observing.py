"""What committed transactions did to invoices, attempts and refunds, seen by the database itself.

Triggers write every change of a column that the models know into a log; what is rolled back rolls
its log back with it. Read in the order in which the transactions let go of a row, and grouped by
transaction and statement, the log is a list of observations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.model.conformance import ChargeRows, Observation, RefundRows

_WATCHED = {
    "invoices": ("status", "next_attempt_at"),
    "payment_attempts": (
        "status",
        "number",
        "send_number",
        "unknown_since",
        "held_by_gateway",
        "no_records",
    ),
    "refunds": ("status", "checksum", "send_number", "unknown_since", "refusal"),
    "reservations": ("status", "send_number"),
}
_LOG = """
    CREATE TABLE IF NOT EXISTS observed (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        transaction text NOT NULL,
        stated_at timestamptz NOT NULL,
        kind text NOT NULL,
        before jsonb,
        after jsonb NOT NULL
    )
"""
_OBSERVE = """
    CREATE OR REPLACE FUNCTION observe() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        -- A statement is told from the next one by the instant at which it came.
        INSERT INTO observed (transaction, stated_at, kind, before, after)
        VALUES (pg_current_xact_id()::text, statement_timestamp(), TG_TABLE_NAME,
            CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) END, to_jsonb(NEW));
        RETURN NULL;
    END
    $$
"""


async def install(connection: AsyncConnection) -> None:
    """Have every change written down from here on; asked twice, it is done once."""
    await connection.execute(text(_LOG))
    # Past `text`, which would take the casts for parameters.
    await connection.exec_driver_sql(_OBSERVE)
    for table, columns in _WATCHED.items():
        changed = " OR ".join(f"OLD.{name} IS DISTINCT FROM NEW.{name}" for name in columns)
        for name, event, when in (
            ("observe_insert", "INSERT", ""),
            ("observe_update", "UPDATE", f"WHEN ({changed})"),
        ):
            await connection.execute(
                text(
                    f"CREATE OR REPLACE TRIGGER {name} AFTER {event} ON {table}"
                    f" FOR EACH ROW {when} EXECUTE FUNCTION observe()"
                )
            )


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen, oldest first."""

    charges: Sequence[Observation[ChargeRows]] = ()
    refunds: Sequence[Observation[RefundRows]] = ()
    reservations: Sequence[tuple[str | None, str]] = ()


async def read(connection: AsyncConnection) -> Observed:
    """Return what was written down since the last time, and forget it."""
    rows = list(
        await connection.execute(
            text(
                """
                WITH read AS (DELETE FROM observed RETURNING *)
                SELECT id, transaction, stated_at, kind, before, after FROM read ORDER BY id
                """
            )
        )
    )
    # Of what PortOne charges by itself the model of our own charges says nothing.
    theirs = {row.after["invoice_id"] for row in rows if row.after.get("reserved_for")}
    charges = [
        observation
        for invoice_id, changes in _by(rows, _invoice_of).items()
        if invoice_id not in theirs
        for observation in _charges(invoice_id, changes)
    ]
    refunds = [
        observation
        for refund_id, changes in _by(rows, _refund_of).items()
        for observation in _refunds(refund_id, changes)
    ]
    reservations = [
        (row.before and str(row.before["status"]), str(row.after["status"]))
        for row in rows
        if row.kind == "reservations"
    ]
    return Observed(charges, refunds, reservations)


def _invoice_of(row: Row[Any]) -> int | None:
    match row.kind:
        case "invoices":
            return int(row.after["id"])
        case "payment_attempts":
            return int(row.after["invoice_id"])
        case _:
            return None


def _refund_of(row: Row[Any]) -> int | None:
    return int(row.after["id"]) if row.kind == "refunds" else None


def _by(rows: Sequence[Row[Any]], key: Any) -> dict[int, list[list[Row[Any]]]]:
    """Return the changes of each thing, as a list for each transaction, in order of their ends."""
    found: dict[int, dict[str, list[Row[Any]]]] = {}
    for row in rows:
        thing = key(row)
        if thing is not None:
            found.setdefault(thing, {}).setdefault(row.transaction, []).append(row)
    return {
        thing: sorted(transactions.values(), key=lambda changes: changes[-1].id)
        for thing, transactions in found.items()
    }


def _statements(changes: Sequence[Row[Any]]) -> Iterator[list[Row[Any]]]:
    for _, group in groupby(changes, key=lambda row: row.stated_at):
        yield list(group)


@dataclass
class _Ledger:
    """An invoice and its attempts, as far as was seen."""

    invoice: dict[str, Any] | None = None
    attempts: dict[int, dict[str, Any]] = field(default_factory=dict)

    def put(self, kind: str, row: dict[str, Any] | None, number: int) -> None:
        """Take over a row as it stands, or that there is none."""
        if kind == "invoices":
            self.invoice = row
        elif row is None:
            self.attempts.pop(number, None)
        else:
            self.attempts[number] = row

    def rows(self) -> ChargeRows | None:
        """Return what the rows show."""
        if self.invoice is None:
            return None
        status, planned = self.invoice["status"], self.invoice["next_attempt_at"] is not None
        if not self.attempts:
            return ChargeRows(status, planned)
        attempt = self.attempts[max(self.attempts)]
        return ChargeRows(
            status,
            planned,
            attempt["status"],
            attempt["unknown_since"] is not None,
            attempt["held_by_gateway"],
            attempt["no_records"],
            attempt["number"],
            attempt["send_number"],
        )


def _charges(
    invoice_id: int, transactions: Sequence[Sequence[Row[Any]]]
) -> Iterator[Observation[ChargeRows]]:
    ledger = _Ledger()
    for changes in transactions:
        for row in reversed(changes):
            # What a row was before the transaction, whatever another one did to it meanwhile.
            ledger.put(row.kind, row.before, row.after.get("number", 0))
        before, ends = ledger.rows(), []
        for statement in _statements(changes):
            for row in statement:
                ledger.put(row.kind, row.after, row.after.get("number", 0))
            if (rows := ledger.rows()) is not None:
                ends.append(rows)
        if ends and ends[-1] != before:
            event = f"invoice {invoice_id}, transaction {changes[0].transaction}"
            yield Observation(before, ends[-1], event, tuple(ends[:-1]))


def _refunds(
    refund_id: int, transactions: Sequence[Sequence[Row[Any]]]
) -> Iterator[Observation[RefundRows]]:
    for changes in transactions:
        ends = [_refund_rows(statement[-1].after) for statement in _statements(changes)]
        first = changes[0].before
        before = None if first is None else _refund_rows(first)
        if ends[-1] != before:
            event = f"refund {refund_id}, transaction {changes[0].transaction}"
            yield Observation(before, ends[-1], event, tuple(ends[:-1]))


def _refund_rows(row: dict[str, Any]) -> RefundRows:
    return RefundRows(
        row["status"],
        row["unknown_since"] is not None,
        row["refusal"] is not None,
        row["checksum"],
        row["send_number"],
    )
