"""What the database would refuse of a move: its own check constraints, asked without a server.

The expressions are read from ``shared.db.tables`` and evaluated by SQLite, which agrees with
PostgreSQL on comparisons, ``IN``, ``IS NULL`` and three-valued logic, all that is asked here.
"""

import sqlite3
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TypeAlias

from sqlalchemy import CheckConstraint, Table

from shared.billing.attempt import UNSETTLED
from shared.billing.collection import Move
from shared.billing.invoice import InvoiceStatus
from shared.billing.refund import RefundCause
from shared.billing.refunding import RefundMove
from shared.db.tables import invoices, payment_attempts, refunds

Cell: TypeAlias = str | int | None


@dataclass(frozen=True, slots=True)
class Constraints:
    """The check constraints that a settlement can break."""

    connection: sqlite3.Connection = field(default_factory=lambda: sqlite3.connect(":memory:"))

    def broken_by(self, move: Move) -> list[str]:
        """Return the names of the constraints that the rows of a move would break."""
        broken = [
            *self._broken(payment_attempts, _attempt_row(move)),
            *self._broken(invoices, _invoice_row(move)),
        ]
        # The partial unique index forbids a second attempt beside an unsettled one, so an invoice
        # that has ended must leave none behind.
        if move.attempt_status in UNSETTLED and move.invoice_status is not InvoiceStatus.OPEN:
            broken.append("an ended invoice leaves an unsettled attempt")
        return broken

    def broken_by_refund(self, move: RefundMove) -> list[str]:
        """Return the names of the constraints that the row of a refund would break."""
        self.connection.create_function("char_length", 1, len, deterministic=True)
        return self._broken(refunds, _refund_row(move))

    def _broken(self, table: Table, row: dict[str, Cell]) -> list[str]:
        checks = _checks(table)
        columns = ", ".join(f":{name} AS {name}" for name in row)
        verdicts = ", ".join(f"({check})" for check in checks.values())
        cursor = self.connection.execute(
            f"SELECT {verdicts} FROM (SELECT {columns})",  # noqa: S608 - made of our own tables
            row,
        )
        # As in PostgreSQL, a check that is neither true nor false holds.
        return [
            name for name, verdict in zip(checks, cursor.fetchone(), strict=True) if verdict == 0
        ]


@cache
def _checks(table: Table) -> dict[str, str]:
    """Return every check constraint of a table, by name; one over a new column fails loudly."""
    return {
        str(constraint.name): str(constraint.sqltext)
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }


def _attempt_row(move: Move) -> dict[str, Cell]:
    return {
        "status": str(move.attempt_status),
        "inquire_at": _iso(move.inquire_at),
        "imp_uid": move.imp_uid,
        "number": move.claim.number,
        "send_number": move.claim.send_number,
        "origin": str(move.claim.origin),
        "amount": move.claim.price.amount,
        "tax_free": move.claim.price.tax_free,
    }


def _invoice_row(move: Move) -> dict[str, Cell]:
    return {
        "status": str(move.invoice_status),
        "next_attempt_at": _iso(move.next_attempt_at),
        "collection_stopped": False,
        "paid_at": _iso(move.paid_at),
        "period_start_at": _iso(move.claim.period.start_at),
        "period_end_at": _iso(move.claim.period.end_at),
        "amount": move.claim.price.amount,
        "tax_free": move.claim.price.tax_free,
    }


def _refund_row(move: RefundMove) -> dict[str, Cell]:
    order = move.claim.order
    return {
        "amount": order.price.amount,
        "tax_free": order.price.tax_free,
        "reason": order.reason,
        "requester": order.requester,
        "cause": RefundCause.COMMAND,
        "status": str(move.status),
        "checksum": move.claim.checksum if move.keeps_checksum else None,
        "next_send_at": _iso(move.next_send_at),
        "inquire_at": _iso(move.inquire_at),
    }


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
