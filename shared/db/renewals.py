"""Renewals: what is due, what they look at, read for many at once, and what they change, written.

The caller's transaction holds the subscriptions locked from before the first look until the end.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.errors import BillingError
from shared.billing.events import iso
from shared.billing.installation import NEVER_MARKED, Proof
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.lines import Adjustment
from shared.billing.renewal import Outstanding, Renewal
from shared.billing.renewal_events import after_invoices, before_invoices
from shared.billing.reserving import ReservedPeriod
from shared.billing.subscription import Subscription
from shared.db import adjustments, changes, consents, invoices, outbox, reserved_periods
from shared.db.holds import RESTORED
from shared.db.installation import PROVEN, proof_values
from shared.db.reserved_periods import REVOKING, HandOver
from shared.db.subscriptions import COLUMNS, subscription_of
from shared.db.text import storable, to_json

NOTHING_RESERVED: Final[Mapping[UUID, ReservedPeriod]] = MappingProxyType({})

DUE = f"""
    next_renewal_at <= :now
    AND (cancel_at IS NULL OR next_renewal_at < cancel_at)
    AND (status <> 'paused' OR resume_at IS NULL OR next_renewal_at < resume_at)
    AND NOT {REVOKING}
"""


@dataclass(frozen=True, slots=True)
class DueSubscriptions:
    """Subscriptions to be renewed, and those whose row makes no sense, with the reason."""

    countable: tuple[Subscription, ...]
    faulty: Mapping[UUID, str]


async def lock_due(
    connection: AsyncConnection, limit: int, now: datetime, proof: Proof = NEVER_MARKED
) -> DueSubscriptions:
    """Lock subscriptions whose renewal is due, leaving out those another scan holds.

    A period that begins when the subscription has ended, or later, is never due, nor is one that
    begins after a pause that is still to be ended, or of which a reservation is being revoked. In a
    database that was set back nothing is due before it is recovered: of the periods that are found
    at once some would be left out that have been charged. One row that cannot be counted (a time
    zone that no longer exists) must not hold up the others.
    """
    rows = await connection.execute(
        text(
            f"""
            SELECT {COLUMNS} FROM subscriptions
            WHERE {DUE} AND NOT {RESTORED} AND {PROVEN}
            ORDER BY next_renewal_at LIMIT :limit
            FOR NO KEY UPDATE SKIP LOCKED
            """  # noqa: S608 - made of constants only
        ),
        {"now": now, "limit": limit, **proof_values(proof)},
    )
    return counted(rows)


def counted(rows: Iterable[Row[Any]]) -> DueSubscriptions:
    """Return the subscriptions of rows, those that make no sense apart."""
    countable: list[Subscription] = []
    faulty: dict[UUID, str] = {}
    for row in rows:
        try:
            countable.append(subscription_of(row))
        except BillingError as error:
            faulty[row.id] = str(error)
    return DueSubscriptions(tuple(countable), faulty)


async def postpone(connection: AsyncConnection, ids: Sequence[UUID], until: datetime) -> None:
    """Look at subscriptions that cannot be renewed again later, so that they block nobody."""
    await connection.execute(
        text(
            """
            UPDATE subscriptions SET next_renewal_at = :until
            WHERE id = ANY(CAST(:ids AS uuid[])) AND next_renewal_at IS NOT NULL
            """
        ),
        {"ids": list(ids), "until": until},
    )


async def advance(
    connection: AsyncConnection, next_periods: Mapping[UUID, tuple[int, datetime | None]]
) -> None:
    """Write the next period, as (index, start), of subscriptions the caller holds locked."""
    rows = [
        {
            "id": str(id_),
            "next_period_index": index,
            "next_renewal_at": start_at and start_at.isoformat(),
        }
        for id_, (index, start_at) in next_periods.items()
    ]
    await connection.execute(
        text(
            """
            UPDATE subscriptions s
            SET next_period_index = n.next_period_index, next_renewal_at = n.next_renewal_at
            FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (
                id uuid, next_period_index int, next_renewal_at timestamptz
            )
            WHERE s.id = n.id AND s.next_period_index <= n.next_period_index
            """
        ),
        {"rows": to_json(rows)},
    )


@dataclass(frozen=True, slots=True)
class Gathered:
    """What waits for the renewals of subscriptions, and those of which it makes no sense."""

    of: Mapping[UUID, Outstanding]
    faulty: Mapping[UUID, str]


async def gather(
    connection: AsyncConnection, due: Sequence[Subscription], until: datetime | None = None
) -> Gathered:
    """Return what the renewals of subscriptions must regard: nothing, for most.

    Args:
        connection: Of the transaction that holds them locked.
        due: The subscriptions.
        until: Leave out changes that come into effect later than this.
    """
    if not due:
        return Gathered({}, {})
    ids = [subscription.id for subscription in due]
    pending = await changes.pending(connection, ids, until)
    adjusted = await adjustments.still_open(connection, ids)
    asking = [each.id for each in due if each.id in pending.of or _asks_for_consent(each)]
    agreed = await consents.given(connection, asking) if asking else {}
    return Gathered(
        {
            id_: Outstanding(pending.of.get(id_, ()), adjusted.get(id_, ()), agreed.get(id_, ()))
            for id_ in {*pending.of, *adjusted, *agreed}
        },
        pending.faulty,
    )


def _asks_for_consent(subscription: Subscription) -> bool:
    """Say whether a period may ask for a consent though no change is due."""
    is_free = subscription.status is SubscriptionStatus.TRIALING
    consented_amount = subscription.consented_amount or 0
    return is_free or subscription.agreement.total.amount > consented_amount


async def write(
    connection: AsyncConnection,
    renewals: Sequence[Renewal],
    now: datetime,
    reserved: Mapping[UUID, ReservedPeriod] = NOTHING_RESERVED,
    settle_delay: timedelta = timedelta(0),
) -> int:
    """Write renewals of subscriptions, tell of them, and return how many invoices were opened.

    What is reserved for a period that begins becomes the first attempt of its invoice.
    """
    await changes.decide(connection, [each for renewal in renewals for each in renewal.decided])
    await outbox.write(
        connection, [event for renewal in renewals for event in before_invoices(renewal, now)]
    )
    new = [invoice for renewal in renewals for invoice in renewal.invoices]
    opened = await invoices.open_new(connection, new, now)
    handed = [
        HandOver(reservation, each.invoice_id)
        for each in opened
        if (reservation := reserved.get(each.subscription_id)) is not None
        and reservation.period.index == each.period_index
    ]
    await reserved_periods.hand_over(connection, handed, settle_delay, now)
    await adjustments.write_left(connection, _used_up(renewals, opened))
    await outbox.write(
        connection, [event for renewal in renewals for event in after_invoices(renewal, now)]
    )
    plain = {
        renewal.after.id: (renewal.after.next_period_index, renewal.after.next_renewal_at)
        for renewal in renewals
        if renewal.is_plain
    }
    if plain:
        await advance(connection, plain)
    await _advance_changed(connection, [each for each in renewals if not each.is_plain])
    return len(opened)


def _used_up(renewals: Sequence[Renewal], opened: Sequence[invoices.Opened]) -> list[Adjustment]:
    """Return the adjustments as the invoices leave them.

    Where an invoice was there already (a table from an older backup), what it was to carry has not
    been given to the buyer by it, and is kept.
    """
    there = {(each.subscription_id, each.period_index) for each in opened}
    return [
        adjustment
        for renewal in renewals
        if all((each.subscription_id, each.period.index) in there for each in renewal.invoices)
        for adjustment in renewal.adjustments
    ]


async def _advance_changed(connection: AsyncConnection, renewals: Sequence[Renewal]) -> None:
    """Write subscriptions of which more changes than the next period."""
    if not renewals:
        return
    await connection.execute(_ADVANCE, {"rows": to_json([_row(each.after) for each in renewals])})
    ends = [
        {
            "id": str(each.after.id),
            "cancel_at": iso(each.ends_at),
            "cancel_reason": storable(end.reason),
            "cancel_requester": end.requester,
            "cancel_refund": end.refund,
            "cancel_late_payment": end.late,
        }
        for each in renewals
        if (end := each.end) is not None
    ]
    if ends:
        await connection.execute(_END, {"rows": to_json(ends)})


def _row(after: Subscription) -> dict[str, object]:
    agreement = after.agreement
    return {
        "id": str(after.id),
        "amount": agreement.price.amount,
        "tax_free": agreement.price.tax_free,
        "quantity": agreement.quantity,
        "order_name": agreement.order_name,
        "interval_unit": agreement.cycle.interval.unit,
        "interval_count": agreement.cycle.interval.count,
        "anchor_at": agreement.cycle.anchor_at.isoformat(),
        "anchor_index": agreement.cycle.anchor_index,
        "status": after.status,
        "consented_amount": after.consented_amount,
        "next_period_index": after.next_period_index,
        "next_renewal_at": iso(after.next_renewal_at),
    }


_ADVANCE = text(
    """
    UPDATE subscriptions s
    SET amount = n.amount, tax_free = n.tax_free, quantity = n.quantity, order_name = n.order_name,
        interval_unit = n.interval_unit, interval_count = n.interval_count,
        anchor_at = n.anchor_at, anchor_index = n.anchor_index, status = n.status,
        consented_amount = n.consented_amount, next_period_index = n.next_period_index,
        next_renewal_at = n.next_renewal_at
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (
        id uuid, amount bigint, tax_free bigint, quantity int, order_name text, interval_unit text,
        interval_count int, anchor_at timestamptz, anchor_index int, status text,
        consented_amount bigint, next_period_index int, next_renewal_at timestamptz
    )
    WHERE s.id = n.id
    """
)
# Of why it was to end before, nothing is read: who scans need not know it.
_END = text(
    """
    UPDATE subscriptions s
    SET cancel_at = n.cancel_at, cancel_reason = n.cancel_reason,
        cancel_requester = n.cancel_requester, cancel_refund = n.cancel_refund,
        cancel_late_payment = n.cancel_late_payment, dispatched_at = NULL
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (
        id uuid, cancel_at timestamptz, cancel_reason text, cancel_requester text,
        cancel_refund text, cancel_late_payment text
    )
    WHERE s.id = n.id
    """
)
