"""Invoices: opened once a period, found when due, closed without a charge where none is owed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import Period
from shared.billing.events import Event, EventName
from shared.billing.installation import NEVER_MARKED, Proof
from shared.billing.invoice import Invoice, InvoiceStatus, NewInvoice
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.lines import Line, LineKind
from shared.billing.money import Price
from shared.db import adjustments, outbox
from shared.db.dispatch import dispatch, dispatching
from shared.db.holds import HELD
from shared.db.installation import PROVEN, proof_values
from shared.db.text import to_json

_COLUMNS = """
    id, subscription_id, period_index, period_start_at, period_end_at, amount, tax_free, order_name,
    status, declines, next_attempt_at, paid_at, message, lines
"""

# What an invoice that is owed and was not paid in time looks like, whether it was tried or waits
# for a payment method untried: a subscription is past due while it has one.
PAST_DUE = "status = 'open' AND past_due_at IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Opened:
    """An invoice that did not exist before."""

    invoice_id: int
    subscription_id: UUID
    period_index: int


async def open_new(
    connection: AsyncConnection, new: Sequence[NewInvoice], now: datetime
) -> list[Opened]:
    """Open invoices, and tell of each in the same transaction.

    Returns those that did not exist yet: a period is billed once, whoever asks.
    """
    if not new:
        return []
    rows = [
        {
            "subscription_id": str(invoice.subscription_id),
            "period_index": invoice.period.index,
            "period_start_at": invoice.period.start_at.isoformat(),
            "period_end_at": invoice.period.end_at.isoformat(),
            "amount": invoice.price.amount,
            "tax_free": invoice.price.tax_free,
            "order_name": invoice.order_name,
            "lines": [asdict(line) for line in invoice.lines],
            "next_attempt_at": (invoice.next_attempt_at or now).isoformat(),
        }
        for invoice in new
    ]
    opened = list(await connection.execute(_OPEN, {"rows": to_json(rows)}))
    await outbox.write(
        connection,
        [
            Event(
                EventName.INVOICE_OPENED,
                row.subscription_id,
                {
                    "invoice_id": row.id,
                    "period_index": row.period_index,
                    "amount": row.amount,
                    "tax_free": row.tax_free,
                    "at": now.isoformat(),
                },
            )
            for row in opened
        ],
    )
    return [Opened(row.id, row.subscription_id, row.period_index) for row in opened]


_OPEN = text(
    """
    INSERT INTO invoices (
        subscription_id, period_index, period_start_at, period_end_at, amount, tax_free,
        order_name, lines, next_attempt_at
    )
    SELECT subscription_id, period_index, period_start_at, period_end_at, amount, tax_free,
        order_name, lines, next_attempt_at
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (
        subscription_id uuid, period_index int, period_start_at timestamptz,
        period_end_at timestamptz, amount bigint, tax_free bigint, order_name text, lines jsonb,
        next_attempt_at timestamptz
    )
    ORDER BY subscription_id, period_index
    ON CONFLICT (subscription_id, period_index) DO NOTHING
    RETURNING id, subscription_id, period_index, amount, tax_free
    """
)


async def dispatch_due(
    connection: AsyncConnection,
    limit: int,
    now: datetime,
    resend_after: timedelta,
    proof: Proof = NEVER_MARKED,
) -> list[int]:
    """Return due invoices for which no message is under way, and note that one will be.

    A message that was lost (an emptied broker, a death before publishing) is sent again after
    ``resend_after``. Nothing is due while the gateway is on hold, while the database is not proven,
    or once the subscription's end has come.
    """
    values = proof_values(proof)
    rows = await dispatch(connection, _DISPATCH, limit, now, resend_after, **values)
    return [row.id for row in rows]


_DISPATCH = dispatching(
    "invoices",
    f"""
    d.status = 'open' AND d.next_attempt_at <= :now AND NOT {HELD} AND {PROVEN}
    AND NOT EXISTS (
        SELECT FROM subscriptions s
        WHERE s.id = d.subscription_id AND s.cancel_at <= :now AND s.closed_at IS NULL
    )
    """,
    "d.next_attempt_at",
)


@dataclass(frozen=True, slots=True)
class Closing:
    """An end, or a stop, of an invoice for which the gateway is not called.

    Attributes:
        next_attempt_at: When an invoice that stays open is looked at again, or None for never.
        past_due_at: Since when it is past due, or None if this does not make it so.
        planned_attempt_at: The attempt that is not made because dunning is switched off, or None.
        subscription_status: Where its end takes the subscription, or None if it stays.
    """

    invoice_id: int
    status: InvoiceStatus
    message: str | None
    event: Event | None
    next_attempt_at: datetime | None = None
    past_due_at: datetime | None = None
    planned_attempt_at: datetime | None = None
    subscription_status: SubscriptionStatus | None = None


async def close_without_call(
    connection: AsyncConnection, closings: Sequence[Closing], now: datetime
) -> None:
    """Write closings of invoices that the caller holds locked.

    An invoice that stays open is taken off the list of what is due; its message says what it
    waits for. One that is void gives back what it used of credits, discounts and the like.
    """
    if not closings:
        return
    rows = [
        {
            "id": closing.invoice_id,
            "status": closing.status,
            "message": closing.message,
            "next_attempt_at": _iso(closing.next_attempt_at),
            "past_due_at": _iso(closing.past_due_at),
            "planned_attempt_at": _iso(closing.planned_attempt_at),
        }
        for closing in closings
    ]
    closed = await connection.execute(
        text(
            """
            UPDATE invoices i
            SET status = c.status, message = c.message, next_attempt_at = c.next_attempt_at,
                dispatched_at = NULL, paid_at = CASE WHEN c.status = 'paid' THEN :now END,
                past_due_at = coalesce(i.past_due_at, c.past_due_at), retry_asked_at = NULL,
                planned_attempt_at = coalesce(c.planned_attempt_at, i.planned_attempt_at)
            FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS c (
                id bigint, status text, message text, next_attempt_at timestamptz,
                past_due_at timestamptz, planned_attempt_at timestamptz
            )
            WHERE i.id = c.id AND i.status = 'open'
            RETURNING i.id
            """
        ),
        {"rows": to_json(rows), "now": now},
    )
    # Of an invoice that was closed before nothing is told that did not happen to it.
    written = set(closed.scalars())
    void = [
        each.invoice_id
        for each in closings
        if each.status is InvoiceStatus.VOID and each.invoice_id in written
    ]
    if void:
        await adjustments.give_back(connection, void)
    await outbox.write(
        connection,
        [each.event for each in closings if each.event and each.invoice_id in written],
    )


async def postpone(connection: AsyncConnection, faults: Mapping[int, str], until: datetime) -> None:
    """Look at open invoices that cannot be charged again later, and say on each why."""
    rows = [{"id": id_, "message": fault} for id_, fault in faults.items()]
    await connection.execute(
        text(
            """
            UPDATE invoices i
            SET message = f.message, next_attempt_at = :until, dispatched_at = NULL
            FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS f (id bigint, message text)
            WHERE i.id = f.id AND i.status = 'open'
            """
        ),
        {"rows": to_json(rows), "until": until},
    )


async def move(connection: AsyncConnection, next_attempts: Mapping[int, datetime]) -> None:
    """Have open invoices that the caller holds locked tried later; all else stays as it was."""
    if not next_attempts:
        return
    rows = [{"id": id_, "at": at.isoformat()} for id_, at in next_attempts.items()]
    await connection.execute(
        text(
            """
            UPDATE invoices i SET next_attempt_at = n.at, dispatched_at = NULL
            FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (id bigint, at timestamptz)
            WHERE i.id = n.id AND i.status = 'open'
            """
        ),
        {"rows": to_json(rows)},
    )


async def stop_collecting(
    connection: AsyncConnection, invoice_ids: Sequence[int], message: str
) -> None:
    """Plan no further send for open invoices, for good: a person has been called."""
    await connection.execute(
        text(
            """
            UPDATE invoices
            SET collection_stopped = true, next_attempt_at = NULL, dispatched_at = NULL,
                message = :message
            WHERE id = ANY(CAST(:ids AS bigint[])) AND status = 'open'
            """
        ),
        {"ids": list(invoice_ids), "message": message},
    )


async def newest(
    connection: AsyncConnection,
    *,
    limit: int,
    status: InvoiceStatus | None = None,
    subscription_id: UUID | None = None,
) -> list[Invoice]:
    """Return the newest invoices, newest first."""
    rows = await connection.execute(
        text(
            f"""
            SELECT {_COLUMNS} FROM invoices
            WHERE (CAST(:status AS text) IS NULL OR status = :status)
              AND (CAST(:subscription_id AS uuid) IS NULL OR subscription_id = :subscription_id)
            ORDER BY id DESC LIMIT :limit
            """  # noqa: S608 - made of constants only
        ),
        {"status": status, "subscription_id": subscription_id, "limit": limit},
    )
    return [_invoice(row) for row in rows]


async def get(connection: AsyncConnection, invoice_id: int) -> Invoice | None:
    """Return one invoice."""
    row = (
        await connection.execute(
            text(f"SELECT {_COLUMNS} FROM invoices WHERE id = :id"),  # noqa: S608 - constants only
            {"id": invoice_id},
        )
    ).first()
    return _invoice(row) if row else None


async def counts(connection: AsyncConnection) -> dict[InvoiceStatus, int]:
    """Return how many invoices stand in each status."""
    rows = await connection.execute(
        text("SELECT status, count(*) AS invoices FROM invoices GROUP BY status")
    )
    return {InvoiceStatus(row.status): row.invoices for row in rows}


async def due_backlog(connection: AsyncConnection, now: datetime) -> tuple[int, datetime | None]:
    """Return how many invoices are due and since when the oldest of them is."""
    row = (
        await connection.execute(
            text(
                """
                SELECT count(*) AS due, min(next_attempt_at) AS oldest
                FROM invoices WHERE status = 'open' AND next_attempt_at <= :now
                """
            ),
            {"now": now},
        )
    ).one()
    return row.due, row.oldest


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()


def line_of(said: Mapping[str, Any]) -> Line:
    """Return the line of an invoice that a row keeps as JSON."""
    return Line(**{**said, "kind": LineKind(said["kind"])})


def _invoice(row: Row[Any]) -> Invoice:
    return Invoice(
        id=row.id,
        subscription_id=row.subscription_id,
        period=Period(row.period_index, row.period_start_at, row.period_end_at),
        price=Price(row.amount, row.tax_free),
        order_name=row.order_name,
        status=InvoiceStatus(row.status),
        declines=row.declines,
        next_attempt_at=row.next_attempt_at,
        paid_at=row.paid_at,
        message=row.message,
        lines=tuple(line_of(said) for said in row.lines),
    )
