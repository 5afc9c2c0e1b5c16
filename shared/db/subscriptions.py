"""Subscriptions and their billing keys: added, found when due, moved on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.events import Event, EventName, Json, iso
from shared.billing.lifecycle import Happening, SubscriptionStatus, sources
from shared.billing.money import Price
from shared.billing.pause import PauseKeeps
from shared.billing.subscription import Agreement, Buyer, Subscription
from shared.db import outbox, reserved_periods
from shared.db.columns import one_of
from shared.db.invoices import PAST_DUE
from shared.db.text import to_json

COLUMNS = """
    id, billing_key_id, amount, tax_free, quantity, order_name, product, buyer_ref, interval_unit,
    interval_count, anchor_at, anchor_index, time_zone, status, trial_end_at, next_period_index,
    next_renewal_at, created_at, cancel_at, pause_at, resume_at, pause_keeps, consented_amount
"""


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """A subscription about to be added, with the buyer's key at the gateway."""

    id: UUID
    customer_uid: str
    buyer: Buyer
    agreement: Agreement

    def __repr__(self) -> str:
        """Name the subscription by its id only: the billing key is a secret."""
        return f"NewSubscription(id={self.id})"


async def add(connection: AsyncConnection, new: Sequence[NewSubscription], now: datetime) -> None:
    """Add subscriptions, and the billing keys that are not known yet, and tell of each."""
    keys = [
        {
            "customer_uid": item.customer_uid,
            "buyer_name": item.buyer.name,
            "buyer_email": item.buyer.email,
            "buyer_tel": item.buyer.tel,
        }
        for item in new
    ]
    await connection.execute(_ADD_KEYS, {"rows": to_json(keys)})
    rows = [
        {
            "id": str(item.id),
            "customer_uid": item.customer_uid,
            "amount": item.agreement.price.amount,
            "tax_free": item.agreement.price.tax_free,
            "quantity": item.agreement.quantity,
            "order_name": item.agreement.order_name,
            "product": item.agreement.product,
            "buyer_ref": item.agreement.buyer_ref,
            "interval_unit": item.agreement.cycle.interval.unit,
            "interval_count": item.agreement.cycle.interval.count,
            "anchor_at": item.agreement.cycle.anchor_at.isoformat(),
            "anchor_index": item.agreement.cycle.anchor_index,
            "time_zone": item.agreement.cycle.time_zone,
            "status": _beginning(item.agreement),
            "trial_end_at": iso(item.agreement.trial_end_at),
            # What a free trial turns into is agreed to anew, when it is about to.
            "consented_amount": 0 if item.agreement.trial_end_at else item.agreement.total.amount,
            "next_period_index": item.agreement.first_period_index,
            "next_renewal_at": item.agreement.cycle.period(
                item.agreement.first_period_index
            ).start_at.isoformat(),
        }
        for item in new
    ]
    await connection.execute(_ADD, {"rows": to_json(rows)})
    await outbox.write(
        connection,
        [
            Event(
                EventName.SUBSCRIPTION_CREATED,
                item.id,
                {
                    "amount": item.agreement.price.amount,
                    "tax_free": item.agreement.price.tax_free,
                    "quantity": item.agreement.quantity,
                    "product": item.agreement.product,
                    "first_period_index": item.agreement.first_period_index,
                    "trial_end_at": iso(item.agreement.trial_end_at),
                    "at": now.isoformat(),
                },
            )
            for item in new
        ],
    )


_ADD_KEYS = text(
    """
    INSERT INTO billing_keys (customer_uid, buyer_name, buyer_email, buyer_tel)
    SELECT DISTINCT ON (customer_uid) customer_uid, buyer_name, buyer_email, buyer_tel
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS k (
        customer_uid text, buyer_name text, buyer_email text, buyer_tel text
    )
    ORDER BY customer_uid
    ON CONFLICT (customer_uid) DO UPDATE
    SET buyer_name = coalesce(excluded.buyer_name, billing_keys.buyer_name),
        buyer_email = coalesce(excluded.buyer_email, billing_keys.buyer_email),
        buyer_tel = coalesce(excluded.buyer_tel, billing_keys.buyer_tel)
    """
)
_ADD = text(
    """
    INSERT INTO subscriptions (
        id, billing_key_id, amount, tax_free, quantity, order_name, product, buyer_ref,
        interval_unit, interval_count, anchor_at, anchor_index, time_zone, status, trial_end_at,
        consented_amount, next_period_index, next_renewal_at
    )
    SELECT n.id, k.id, amount, tax_free, quantity, order_name, product, buyer_ref, interval_unit,
        interval_count, anchor_at, anchor_index, time_zone, n.status, trial_end_at,
        consented_amount, next_period_index, next_renewal_at
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (
        id uuid, customer_uid text, amount bigint, tax_free bigint, quantity int, order_name text,
        product text, buyer_ref text, interval_unit text, interval_count int,
        anchor_at timestamptz, anchor_index int, time_zone text, status text,
        trial_end_at timestamptz, consented_amount bigint, next_period_index int,
        next_renewal_at timestamptz
    )
    JOIN billing_keys k ON k.customer_uid = n.customer_uid
    """
)


async def change_status(
    connection: AsyncConnection,
    wanted: Mapping[UUID, SubscriptionStatus],
    now: datetime,
) -> None:
    """Move subscriptions to past due, to a pause or to their end, and tell of each that moved.

    What a subscription cannot do from where it stands it does not, whatever a late outcome says: a
    canceled one stays so, and a paused one is not past due before it resumes. Of one whose end has
    come only that end is told, since it may carry a refund. A pause leaves the calendar as it is.
    """
    rows = [{"id": str(id_), "status": status} for id_, status in wanted.items()]
    changed = await connection.execute(
        text(
            f"""
            WITH wanted AS (
                SELECT s.id, w.status
                FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS w (id uuid, status text)
                JOIN subscriptions s ON s.id = w.id
                WHERE CASE w.status
                    WHEN 'past_due' THEN s.{one_of("status", sources(Happening.DECLINE))}
                    WHEN 'paused' THEN s.{one_of("status", sources(Happening.PAUSE))}
                    WHEN 'canceled' THEN s.{one_of("status", sources(Happening.CANCEL))} END
                  AND (s.cancel_at IS NULL OR s.cancel_at > :now)
                ORDER BY s.id FOR NO KEY UPDATE OF s
            )
            UPDATE subscriptions s
            SET status = w.status,
                canceled_at = CASE WHEN w.status = 'canceled' THEN CAST(:now AS timestamptz) END,
                next_renewal_at = CASE WHEN w.status = 'canceled' THEN NULL
                    ELSE s.next_renewal_at END,
                -- From the first period on that nobody has decided: no further one is billed.
                pause_at = CASE WHEN w.status = 'paused' THEN least(:now, s.next_renewal_at)
                    ELSE s.pause_at END,
                pause_keeps = CASE WHEN w.status = 'paused' THEN 'calendar' ELSE s.pause_keeps END,
                resume_at = CASE WHEN w.status <> 'paused' THEN s.resume_at END
            FROM wanted w WHERE s.id = w.id
            RETURNING s.id, s.status, s.pause_at
            """  # noqa: S608 - made of constants only
        ),
        {"rows": to_json(rows), "now": now},
    )
    moved = list(changed)
    await outbox.write(connection, [_status_event(row, now) for row in moved])
    # Of one that ends its end sees to it.
    paused = [row.id for row in moved if row.status == SubscriptionStatus.PAUSED]
    if paused:
        cause = "paused by dunning: revoked, before anything else"
        await reserved_periods.recall(connection, paused, cause, now)


async def recover(connection: AsyncConnection, ids: Sequence[UUID], now: datetime) -> None:
    """Make past-due subscriptions active again that owe nothing and have a living method.

    The lock comes first, and the look in a statement of its own: of two last payments at once, the
    second one sees what the first has written.
    """
    await connection.execute(
        text(
            """
            SELECT FROM subscriptions
            WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE
            """
        ),
        {"ids": list(ids)},
    )
    changed = await connection.execute(
        text(
            f"""
            UPDATE subscriptions s SET status = 'active'
            FROM billing_keys k
            WHERE s.id = ANY(CAST(:ids AS uuid[])) AND s.status = 'past_due'
              AND k.id = s.billing_key_id AND k.status = 'active'
              AND NOT EXISTS (
                  SELECT FROM invoices i WHERE i.subscription_id = s.id AND i.{PAST_DUE}
              )
            RETURNING s.id, s.status, s.pause_at
            """  # noqa: S608 - made of constants only
        ),
        {"ids": list(ids)},
    )
    await outbox.write(connection, [_status_event(row, now) for row in changed])


async def with_dunning(connection: AsyncConnection, ids: Collection[UUID]) -> frozenset[UUID]:
    """Return those of the subscriptions for which dunning is on, once no switch is under way."""
    rows = await connection.execute(
        text(
            """
            SELECT id, dunning_enabled FROM subscriptions
            WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR SHARE
            """
        ),
        {"ids": list(ids)},
    )
    return frozenset(row.id for row in rows if row.dunning_enabled)


async def bury_keys(connection: AsyncConnection, attempt_ids: Sequence[int]) -> None:
    """Mark the billing keys of attempts as not to be charged any more.

    An attempt that was claimed before the buyer changed the method behind the key says nothing of
    the method as it stands, however late its ending comes.
    """
    await connection.execute(
        text(
            """
            UPDATE billing_keys SET status = 'dead'
            WHERE id IN (
                SELECT k.id FROM billing_keys k JOIN payment_attempts a ON a.billing_key_id = k.id
                WHERE a.id = ANY(CAST(:ids AS bigint[]))
                  AND k.status = 'active' AND k.generation = a.key_generation
                ORDER BY k.id FOR NO KEY UPDATE OF k
            )
            """
        ),
        {"ids": list(attempt_ids)},
    )


async def get(connection: AsyncConnection, subscription_id: UUID) -> Subscription | None:
    """Return one subscription."""
    row = (
        await connection.execute(
            text(f"SELECT {COLUMNS} FROM subscriptions WHERE id = :id"),  # noqa: S608 - constants
            {"id": subscription_id},
        )
    ).first()
    return subscription_of(row) if row else None


async def newest(
    connection: AsyncConnection, *, limit: int, status: SubscriptionStatus | None = None
) -> list[Subscription]:
    """Return the newest subscriptions, newest first."""
    rows = await connection.execute(
        text(
            f"""
            SELECT {COLUMNS} FROM subscriptions
            WHERE CAST(:status AS text) IS NULL OR status = :status
            ORDER BY created_at DESC, id LIMIT :limit
            """  # noqa: S608 - made of constants only
        ),
        {"status": status, "limit": limit},
    )
    return [subscription_of(row) for row in rows]


async def counts(connection: AsyncConnection) -> dict[SubscriptionStatus, int]:
    """Return how many subscriptions stand in each status."""
    rows = await connection.execute(
        text("SELECT status, count(*) AS subscriptions FROM subscriptions GROUP BY status")
    )
    return {SubscriptionStatus(row.status): row.subscriptions for row in rows}


def _beginning(agreement: Agreement) -> SubscriptionStatus:
    is_free = agreement.trial_end_at is not None
    return SubscriptionStatus.TRIALING if is_free else SubscriptionStatus.ACTIVE


def _status_event(row: Row[Any], now: datetime) -> Event:
    name = {
        SubscriptionStatus.ACTIVE: EventName.SUBSCRIPTION_RECOVERED,
        SubscriptionStatus.PAST_DUE: EventName.SUBSCRIPTION_PAST_DUE,
        SubscriptionStatus.PAUSED: EventName.SUBSCRIPTION_PAUSED,
        SubscriptionStatus.CANCELED: EventName.SUBSCRIPTION_CANCELED,
    }[SubscriptionStatus(row.status)]
    data: dict[str, Json] = {"at": now.isoformat()}
    if row.status == SubscriptionStatus.PAUSED:
        pause_at = row.pause_at.isoformat()
        data |= {"pause_at": pause_at, "resume_at": None, "keeps": PauseKeeps.CALENDAR}
    return Event(name, row.id, data)


def subscription_of(row: Row[Any]) -> Subscription:
    """Return the subscription that a row says."""
    return Subscription(
        id=row.id,
        billing_key_id=row.billing_key_id,
        agreement=Agreement(
            Price(row.amount, row.tax_free),
            row.order_name,
            BillingCycle(
                row.anchor_at,
                Interval(IntervalUnit(row.interval_unit), row.interval_count),
                row.time_zone,
                row.anchor_index,
            ),
            quantity=row.quantity,
            product=row.product,
            buyer_ref=row.buyer_ref,
            trial_end_at=row.trial_end_at,
        ),
        status=SubscriptionStatus(row.status),
        next_period_index=row.next_period_index,
        next_renewal_at=row.next_renewal_at,
        created_at=row.created_at,
        cancel_at=row.cancel_at,
        pause_at=row.pause_at,
        resume_at=row.resume_at,
        pause_keeps=row.pause_keeps and PauseKeeps(row.pause_keeps),
        consented_amount=row.consented_amount,
    )
