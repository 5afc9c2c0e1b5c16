"""What an end leaves: invoices that are open, attempts that wait, payments to be given back.

Invoices are locked before their subscription, as a settlement does. What somebody else works on is
left out, never waited for; it is found again while the subscription is not closed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import UNSETTLED
from shared.billing.calendar import Period
from shared.billing.money import Price
from shared.db.tables import one_of


async def lock_open_invoices(connection: AsyncConnection, subscription_id: UUID) -> list[int]:
    """Lock the open invoices of a subscription that nobody else works on, so that none is claimed.

    Whether they are under way must be looked at in a later statement, which sees every claim that
    was committed before the lock.
    """
    rows = await connection.execute(
        text(
            """
            SELECT id FROM invoices
            WHERE subscription_id = :id AND status = 'open'
            ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
            """
        ),
        {"id": subscription_id},
    )
    return [row.id for row in rows]


@dataclass(frozen=True, slots=True)
class OpenInvoice:
    """An open invoice that the caller holds locked, with nothing of it at the gateway.

    Attributes:
        attempt_id: Its attempt that waits to be sent, locked as well, or None.
        doubt_since: Since when it has not been known of an earlier send whether it moved money.
    """

    invoice_id: int
    period_index: int
    price: Price
    attempt_id: int | None
    doubt_since: datetime | None


async def lock_idle(connection: AsyncConnection, invoice_ids: Sequence[int]) -> list[OpenInvoice]:
    """Return those of the locked invoices of which no attempt is in flight, or a person's.

    The attempts that wait are locked in a statement of their own: whoever settles one holds it
    before its invoice, and is not waited for.
    """
    values = {"ids": list(invoice_ids)}
    held = [row.id for row in await connection.execute(_LOCK_WAITING, values)]
    rows = await connection.execute(_IDLE, {**values, "held": held})
    return [
        OpenInvoice(
            row.id,
            row.period_index,
            Price(row.amount, row.tax_free),
            row.attempt_id,
            row.unknown_since,
        )
        for row in rows
    ]


_LOCK_WAITING = text(
    """
    SELECT id FROM payment_attempts
    WHERE invoice_id = ANY(CAST(:ids AS bigint[])) AND status = 'waiting'
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    """
)
_IDLE = text(
    f"""
    SELECT i.id, i.period_index, i.amount, i.tax_free, a.id AS attempt_id, a.unknown_since
    FROM invoices i
    LEFT JOIN payment_attempts a ON a.invoice_id = i.id AND a.{one_of("status", UNSETTLED)}
    WHERE i.id = ANY(CAST(:ids AS bigint[])) AND i.status = 'open'
      AND (a.id IS NULL OR a.id = ANY(CAST(:held AS bigint[])))
    ORDER BY i.period_index
    """  # noqa: S608 - made of constants only
)


async def doubt(
    connection: AsyncConnection, attempt_id: int, inquire_at: datetime, no_records: int
) -> None:
    """Hand an attempt that waits, and may have moved money, back to the inquiry."""
    await connection.execute(
        text(
            """
            UPDATE payment_attempts
            SET status = 'unknown', inquire_at = :inquire_at, no_records = :no_records,
                inquiries = 0, dispatched_at = NULL
            WHERE id = :id AND status = 'waiting'
            """
        ),
        {"id": attempt_id, "inquire_at": inquire_at, "no_records": no_records},
    )


async def believe_silence(connection: AsyncConnection, attempt_ids: Sequence[int]) -> None:
    """Doubt attempts that wait no more: the gateway was silent for as long as it is asked."""
    await connection.execute(
        text(
            """
            UPDATE payment_attempts SET unknown_since = NULL
            WHERE id = ANY(CAST(:ids AS bigint[])) AND status = 'waiting'
            """
        ),
        {"ids": list(attempt_ids)},
    )


async def anything_open(connection: AsyncConnection, subscription_id: UUID) -> bool:
    """Say whether an invoice of a subscription is open or an attempt at one has not ended.

    Only what a statement after this one reads of payments is complete: whatever settled in between
    was open here.
    """
    found = await connection.scalar(
        text(
            f"""
            SELECT EXISTS (
                SELECT FROM invoices i WHERE i.subscription_id = :id AND (
                    i.status = 'open' OR EXISTS (
                        SELECT FROM payment_attempts a
                        WHERE a.invoice_id = i.id AND a.{one_of("status", UNSETTLED)}
                    )
                )
            )
            """  # noqa: S608 - made of constants only
        ),
        {"id": subscription_id},
    )
    return bool(found)


@dataclass(frozen=True, slots=True)
class EndPayment:
    """A payment that an end may give back, with the period that it was for.

    Attributes:
        is_late: Whether it was known only after the end.
    """

    payment_id: int
    period: Period
    is_late: bool


async def payments_at_end(
    connection: AsyncConnection, subscription_id: UUID, canceled_at: datetime
) -> list[EndPayment]:
    """Return what was paid for the period that ran at the end, and everything paid after it.

    What an end has given back of before is left out, and so is a second payment of one attempt,
    which a person has a letter about. An invoice that the end made void is paid late if at all.
    """
    rows = await connection.execute(
        _PAYMENTS_AT_END, {"id": subscription_id, "canceled_at": canceled_at}
    )
    return [
        EndPayment(
            row.id,
            Period(row.period_index, row.period_start_at, row.period_end_at),
            row.is_late,
        )
        for row in rows
    ]


_PAYMENTS_AT_END = text(
    """
    SELECT p.id, i.period_index, i.period_end_at,
        -- A pause has lengthened the period by days that are none of it.
        coalesce(i.counted_from, i.period_start_at) AS period_start_at,
        i.status = 'void' OR a.settled_at > :canceled_at AS is_late
    FROM invoices i
    JOIN payment_attempts a ON a.invoice_id = i.id
    JOIN payments p ON p.attempt_id = a.id
    WHERE i.subscription_id = :id
      AND (
          i.status = 'void' AND a.status = 'void'
          OR a.status = 'paid' AND a.imp_uid = p.imp_uid AND (
              a.settled_at > :canceled_at
              OR i.period_start_at <= :canceled_at AND i.period_end_at > :canceled_at
          )
      )
      AND NOT EXISTS (SELECT FROM refunds r WHERE r.payment_id = p.id AND r.cause <> 'command')
    ORDER BY i.period_index
    """
)
