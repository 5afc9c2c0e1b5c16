"""What a forecast looks at: one instant's rows, read lot by lot, whatever is written meanwhile."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import UNSETTLED
from shared.billing.errors import BillingError
from shared.billing.lifecycle import LIVING
from shared.billing.subscription import BillingKeyStatus, Subscription
from shared.db.claims import CLAIM_COLUMNS, IS_DUNNING, DueInvoice, claim_of, due_invoice_of
from shared.db.subscriptions import COLUMNS, subscription_of
from shared.db.tables import one_of

# Subscriptions that are looked at together: what bounds the memory of a forecast, and how long the
# loop of a process that does other work as well is kept from it.
LOT = 250
# Numbers of events are drawn before they are committed: so many may be under way at once.
_UNDER_WAY = 200_000


@dataclass(frozen=True, slots=True)
class Standing:
    """A subscription as it stands, with what decides over its next charges.

    Attributes:
        is_billed: Whether the last period that was decided has an invoice.
    """

    subscription: Subscription
    key_status: BillingKeyStatus
    is_billed: bool


@dataclass(frozen=True, slots=True)
class Faulty:
    """A subscription whose row makes no sense, or the row of an invoice of its, and why.

    Attributes:
        period_index: The period of which nobody can say what is due.
        due_at: When it would be.
    """

    id: UUID
    period_index: int
    due_at: datetime | None
    fault: str
    invoice_id: int | None = None


async def take_snapshot(connection: AsyncConnection) -> None:
    """Have a transaction that has read nothing yet see one instant until its end."""
    await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


async def newest_event(connection: AsyncConnection) -> int:
    """Return a number that every event exceeds of which this snapshot does not know."""
    newest: int = await connection.scalar(text("SELECT coalesce(max(id), 0) FROM events"))
    return max(newest - _UNDER_WAY, 0)


async def due(connection: AsyncConnection, until: datetime) -> AsyncIterator[list[UUID]]:
    """Return the ids of subscriptions of which something is due until then, in order, in lots."""
    found = await connection.stream(_DUE, {"until": until}, execution_options={"yield_per": LOT})
    async for lot in found.partitions(LOT):
        yield [row.id for row in lot]


_DUE = text(
    f"""
    SELECT id FROM subscriptions
    WHERE next_renewal_at < :until AND (cancel_at IS NULL OR next_renewal_at < cancel_at)
    UNION
    SELECT id FROM subscriptions WHERE status = 'paused' AND resume_at < :until
    UNION
    SELECT i.subscription_id FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id
    WHERE i.status = 'open' AND i.next_attempt_at < :until AND s.{one_of("status", LIVING)}
    ORDER BY id
    """  # noqa: S608 - made of constants only
)


async def standing(
    connection: AsyncConnection, ids: Sequence[UUID], until: datetime
) -> tuple[list[Standing], list[Faulty]]:
    """Return those of the subscriptions that renew until then, and those that make no sense."""
    sound: list[Standing] = []
    faulty: list[Faulty] = []
    for row in await connection.execute(_STANDING, {"ids": list(ids), "until": until}):
        try:
            key_status = BillingKeyStatus(row.key_status)
            sound.append(Standing(subscription_of(row), key_status, row.is_billed))
        except BillingError as error:
            faulty.append(Faulty(row.id, row.next_period_index, row.next_renewal_at, str(error)))
    return sound, faulty


_STANDING = text(
    f"""
    SELECT {", ".join(f"s.{column.strip()}" for column in COLUMNS.split(","))},
        k.status AS key_status, EXISTS (
            SELECT FROM invoices i
            WHERE i.subscription_id = s.id AND i.period_index = s.next_period_index - 1
        ) AS is_billed
    FROM subscriptions s JOIN billing_keys k ON k.id = s.billing_key_id
    WHERE s.id = ANY(CAST(:ids AS uuid[]))
      AND (s.next_renewal_at < :until OR s.status = 'paused' AND s.resume_at < :until)
    """  # noqa: S608 - made of constants only
)


async def due_invoices(
    connection: AsyncConnection, ids: Sequence[UUID], until: datetime
) -> tuple[list[tuple[DueInvoice, datetime | None]], list[Faulty]]:
    """Return the open invoices of subscriptions that are due until then, with their ends.

    The other part are those that make no sense. What the buyers of the end of a subscription are
    not charged for any more is known by when it ends.
    """
    found: list[tuple[DueInvoice, datetime | None]] = []
    faulty: list[Faulty] = []
    for row in await connection.execute(_INVOICES, {"ids": list(ids), "until": until}):
        try:
            found.append((_due_invoice(row), row.cancel_at))
        except BillingError as error:
            faulty.append(
                Faulty(
                    row.subscription_id,
                    row.period_index,
                    row.next_attempt_at,
                    str(error),
                    row.invoice_id,
                )
            )
    return found, faulty


_INVOICES = text(
    f"""
    SELECT {CLAIM_COLUMNS}, i.next_attempt_at, s.cancel_at, {IS_DUNNING} AS is_dunning
    FROM invoices i
    JOIN subscriptions s ON s.id = i.subscription_id
    JOIN billing_keys k ON k.id = s.billing_key_id
    LEFT JOIN payment_attempts a ON a.invoice_id = i.id AND a.{one_of("status", UNSETTLED)}
    WHERE i.subscription_id = ANY(CAST(:ids AS uuid[]))
      AND i.status = 'open' AND i.next_attempt_at < :until
    """  # noqa: S608 - made of constants only
)


def _due_invoice(row: Row[Any]) -> DueInvoice:
    """Return what a claim would find, had its instant come."""
    number = row.attempts + 1 if row.attempt_status is None else row.number
    claim = claim_of(row, number, 1, row.merchant_uid or "", row.next_attempt_at)
    return due_invoice_of(row, claim)
