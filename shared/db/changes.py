"""Changes of agreements: read where they are due, and written as they were decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import Interval, IntervalUnit
from shared.billing.change import Change, ChangeStatus, Terms
from shared.billing.errors import BillingError
from shared.billing.gate import Decided
from shared.billing.money import Price
from shared.billing.refund import Requester
from shared.db.text import to_json

# When the period began that a change ``c`` of a subscription ``s`` waits for, or NULL before: when
# it is due, or when it was billed without the change.
BEGUN = """
    coalesce(
        (SELECT min(i.period_start_at) FROM invoices i
         WHERE i.subscription_id = s.id AND i.period_start_at >= c.effective_at
           AND i.created_at >= c.created_at),
        CASE WHEN s.next_renewal_at >= c.effective_at
              AND (s.cancel_at IS NULL OR s.next_renewal_at < s.cancel_at)
              AND (s.pause_at IS NULL OR s.next_renewal_at < s.pause_at)
             THEN s.next_renewal_at END
    )
"""


@dataclass(frozen=True, slots=True)
class PendingChanges:
    """What will be different of subscriptions, and those of which a change makes no sense."""

    of: Mapping[UUID, tuple[Change, ...]]
    faulty: Mapping[UUID, str]


async def pending(
    connection: AsyncConnection, subscription_ids: Sequence[UUID], until: datetime | None = None
) -> PendingChanges:
    """Return the changes of subscriptions that have not been decided, in order.

    Args:
        connection: Of a transaction that holds the subscriptions locked, if anything is decided.
        subscription_ids: Whose.
        until: Only those that are due then; all, if it is None.
    """
    found: dict[UUID, list[Change]] = {}
    faulty: dict[UUID, str] = {}
    rows = await connection.execute(_PENDING, {"ids": list(subscription_ids), "until": until})
    for row in rows:
        try:
            found.setdefault(row.subscription_id, []).append(change_of(row))
        except BillingError as error:
            faulty[row.subscription_id] = f"change {row.id} makes no sense: {error}"
    return PendingChanges({id_: tuple(changes) for id_, changes in found.items()}, faulty)


_PENDING = text(
    """
    SELECT id, subscription_id, effective_at, amount, tax_free, quantity, order_name, interval_unit,
        interval_count, requester
    FROM agreement_changes
    WHERE status = 'pending' AND subscription_id = ANY(CAST(:ids AS uuid[]))
      AND effective_at <= coalesce(CAST(:until AS timestamptz), 'infinity')
    ORDER BY subscription_id, effective_at, id
    """
)


async def decide(connection: AsyncConnection, decided: Sequence[Decided]) -> None:
    """Write what became of changes whose subscriptions the caller holds locked."""
    if not decided:
        return
    rows = [
        {
            "id": each.change.id,
            "status": ChangeStatus.APPLIED if each.refusal is None else ChangeStatus.REFUSED,
            "applied_index": each.period_index if each.refusal is None else None,
            "message": each.refusal,
        }
        for each in decided
    ]
    await connection.execute(_DECIDE, {"rows": to_json(rows)})


_DECIDE = text(
    """
    UPDATE agreement_changes c
    SET status = d.status, applied_index = d.applied_index, message = d.message
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS d (
        id bigint, status text, applied_index int, message text
    )
    WHERE c.id = d.id AND c.status = 'pending'
    """
)


def change_of(row: Row[Any]) -> Change:
    """Return the change that a row holds.

    Raises:
        BillingError: The row makes no sense.
    """
    interval = None
    if row.interval_unit is not None:
        interval = Interval(IntervalUnit(row.interval_unit), row.interval_count)
    price = None if row.amount is None else Price(row.amount, row.tax_free)
    terms = Terms(price, row.quantity, row.order_name, interval)
    return Change(row.id, row.effective_at, terms, Requester(row.requester))
