"""Ends of subscriptions: asked for, found when their time has come, written, and closed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.cancellation import Cancellation, RefundChoice
from shared.billing.lifecycle import LIVING, SubscriptionStatus
from shared.billing.refund import Requester
from shared.db.dispatch import dispatch, dispatching
from shared.db.holds import RESTORED
from shared.db.tables import one_of
from shared.db.text import storable


@dataclass(frozen=True, slots=True)
class Wish:
    """The end that was asked for, as it is kept with the subscription."""

    cancel_at: datetime
    reason: str
    requester: Requester
    refund: RefundChoice
    late_payment: RefundChoice

    def __repr__(self) -> str:
        """Leave the reason out: it may speak of a person."""
        return f"Wish(cancel_at={self.cancel_at!r})"


@dataclass(frozen=True, slots=True)
class Ending:
    """A subscription on the way to its end or past it, locked by the caller's transaction.

    Attributes:
        wish: What was asked for, or None where nobody asked: dunning ends subscriptions too.
        canceled_at: When it ended; None while it is billable, or if that was never noted.
        decided_until: The start of the first period that was not decided yet, or None once it has
            ended, or while a pause holds the calendar.
        closed_at: When nothing was left to do, or None.
    """

    subscription_id: UUID
    status: SubscriptionStatus
    time_zone: str
    wish: Wish | None
    canceled_at: datetime | None
    decided_until: datetime | None
    closed_at: datetime | None

    def is_due(self, now: datetime) -> bool:
        """Say whether the end has come and everything before it has been decided."""
        if self.wish is None or self.status not in LIVING:
            return False
        # A pause without a calendar has no period to come.
        return self.wish.cancel_at <= min(now, self.decided_until or now)


async def lock(connection: AsyncConnection, subscription_id: UUID) -> Ending | None:
    """Lock a subscription and return where its end stands, or None if there is no such one."""
    row = (await connection.execute(_LOCK, {"id": subscription_id})).first()
    return _ending(row) if row else None


_LOCK = text(
    """
    SELECT id, status, time_zone, cancel_at, cancel_reason, cancel_requester, cancel_refund,
        cancel_late_payment, canceled_at, next_renewal_at, closed_at
    FROM subscriptions WHERE id = :id FOR NO KEY UPDATE
    """
)


async def ask(
    connection: AsyncConnection, subscription_id: UUID, asked: Cancellation, cancel_at: datetime
) -> None:
    """Write the end that is asked for; the caller holds the subscription locked."""
    await connection.execute(
        text(
            """
            UPDATE subscriptions
            SET cancel_at = :cancel_at, cancel_reason = :reason, cancel_requester = :requester,
                cancel_refund = :refund, cancel_late_payment = :late_payment, dispatched_at = NULL
            WHERE id = :id
            """
        ),
        {
            "id": subscription_id,
            "cancel_at": cancel_at,
            "reason": storable(asked.reason),
            "requester": asked.requester,
            "refund": asked.refund,
            "late_payment": asked.late,
        },
    )


async def dispatch_due(
    connection: AsyncConnection, limit: int, now: datetime, resend_after: timedelta
) -> list[UUID]:
    """Return subscriptions to be ended or wound up, and note that a message for each will be sent.

    A message that was lost is sent again after ``resend_after``; so long as something is left to
    do, the same gap lies between one look and the next. An end comes when every period before it
    has been decided.
    """
    ending = await dispatch(connection, _DISPATCH_ENDING, limit, now, resend_after)
    unclosed = await dispatch(connection, _DISPATCH_UNCLOSED, limit, now, resend_after)
    return sorted(row.id for row in [*ending, *unclosed])


_DISPATCH_ENDING = dispatching(
    "subscriptions",
    f"d.{one_of('status', LIVING)} AND d.closed_at IS NULL"
    f" AND d.cancel_at <= :now AND NOT {RESTORED}"
    # A pause without a calendar has no period to come.
    " AND (d.next_renewal_at >= d.cancel_at OR d.next_renewal_at IS NULL)",
    "d.cancel_at",
)
_DISPATCH_UNCLOSED = dispatching(
    "subscriptions",
    f"d.status = 'canceled' AND d.closed_at IS NULL AND NOT {RESTORED}",
    "d.dispatched_at NULLS FIRST, d.id",
)


@dataclass(frozen=True, slots=True)
class Due:
    """A subscription to be ended or wound up.

    Attributes:
        customer_uid: The billing key whose reservations must be revoked before, or None if they
            need not be: another subscription still lives on the key, or it has been done.
    """

    subscription_id: UUID
    customer_uid: str | None

    def __repr__(self) -> str:
        """Name the subscription by its id only: the billing key is a secret."""
        return f"Due(subscription_id={self.subscription_id})"


async def due(
    connection: AsyncConnection, subscription_ids: Sequence[UUID], now: datetime
) -> list[Due]:
    """Return those of the subscriptions that are to be ended or wound up now.

    A subscription whose own end has come keeps no reservation alive: of two that end at once on
    one key, both have them revoked. An end that was asked for had them revoked before it was
    written; after one by dunning they are revoked before it is closed.
    """
    rows = await connection.execute(_DUE, {"ids": list(subscription_ids), "now": now})
    return [Due(row.id, row.customer_uid) for row in rows]


_DUE = text(
    f"""
    SELECT s.id, CASE WHEN (s.status <> 'canceled' OR s.canceled_at IS DISTINCT FROM s.cancel_at)
        AND NOT EXISTS (
            SELECT FROM subscriptions o
            WHERE o.billing_key_id = s.billing_key_id AND o.{one_of("status", LIVING)}
              AND (o.cancel_at IS NULL OR o.cancel_at > :now)
        ) THEN k.customer_uid END AS customer_uid
    FROM subscriptions s JOIN billing_keys k ON k.id = s.billing_key_id
    WHERE s.id = ANY(CAST(:ids AS uuid[])) AND s.closed_at IS NULL
      AND (s.status = 'canceled' OR s.cancel_at <= least(:now, s.next_renewal_at))
      AND NOT {RESTORED}
    ORDER BY s.id
    """  # noqa: S608 - made of constants only
)


async def end(connection: AsyncConnection, subscription_id: UUID) -> None:
    """Write the end of a subscription that the caller holds locked, as of when it was asked for.

    It is looked at again at once for what it left behind.
    """
    await connection.execute(
        text(
            """
            UPDATE subscriptions
            SET status = 'canceled', canceled_at = cancel_at, next_renewal_at = NULL,
                dispatched_at = NULL
            WHERE id = :id
            """
        ),
        {"id": subscription_id},
    )


async def close(connection: AsyncConnection, subscription_id: UUID, now: datetime) -> None:
    """Note that nothing is left to do for a subscription that the caller holds locked."""
    await connection.execute(
        text("UPDATE subscriptions SET closed_at = :now WHERE id = :id"),
        {"now": now, "id": subscription_id},
    )


async def reopen(connection: AsyncConnection, attempt_ids: Sequence[int]) -> None:
    """Have the subscriptions of attempts wound up again, if they ended: money came after all.

    Asked of no condition, so that it waits for whoever closes one at this instant.
    """
    await connection.execute(
        text(
            """
            UPDATE subscriptions SET closed_at = NULL, dispatched_at = NULL
            WHERE id IN (
                SELECT i.subscription_id
                FROM payment_attempts a JOIN invoices i ON i.id = a.invoice_id
                WHERE a.id = ANY(CAST(:ids AS bigint[]))
            )
            """
        ),
        {"ids": list(attempt_ids)},
    )


def _ending(row: Row[Any]) -> Ending:
    wish = None
    if row.cancel_at is not None:
        wish = Wish(
            row.cancel_at,
            row.cancel_reason,
            Requester(row.cancel_requester),
            RefundChoice(row.cancel_refund),
            RefundChoice(row.cancel_late_payment),
        )
    return Ending(
        row.id,
        SubscriptionStatus(row.status),
        row.time_zone,
        wish,
        row.canceled_at,
        row.next_renewal_at,
        row.closed_at,
    )
