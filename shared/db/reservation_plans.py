"""Which periods are to be reserved ahead, and the plans for them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import iso
from shared.billing.invoice import NewInvoice
from shared.billing.merchant_uid import merchant_uid
from shared.billing.reserving import ReservePolicy
from shared.billing.subscription import Subscription
from shared.db import renewals
from shared.db.renewals import DueSubscriptions
from shared.db.reservations import FIRST
from shared.db.subscriptions import COLUMNS
from shared.db.text import storable, to_json

# A period that was looked at and is not reserved now is looked at again after this.
_AGAIN_AFTER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Plan:
    """A period that is to be reserved: what will be owed for it, and when it is collected."""

    invoice: NewInvoice
    billing_key_id: int
    schedule_at: datetime


async def lock_unreserved(
    connection: AsyncConnection, limit: int, now: datetime, policy: ReservePolicy
) -> DueSubscriptions:
    """Lock subscriptions whose next period is to be reserved and is not, leaving out held ones.

    Not of one that is past due: its method is in trouble, and what is tried with it is counted. Nor
    where PortOne has refused it, or somebody there has changed it.
    """
    rows = await connection.execute(
        _UNRESERVED,
        {
            "now": now,
            "from": now + policy.lead_min,
            "until": now + policy.ahead,
            "looked_before": now - _AGAIN_AFTER,
            "limit": limit,
        },
    )
    return renewals.counted(rows)


_UNRESERVED = text(
    f"""
    SELECT {COLUMNS} FROM subscriptions s
    WHERE s.collect_by = 'reservation' AND s.status = 'active'
      AND s.next_renewal_at > :from AND s.next_renewal_at <= :until
      AND (s.cancel_at IS NULL OR s.cancel_at > s.next_renewal_at)
      AND (s.pause_at IS NULL OR s.pause_at > s.next_renewal_at)
      AND EXISTS (
          SELECT FROM billing_keys k WHERE k.id = s.billing_key_id AND k.status = 'active'
      )
      AND (s.reserving_at IS NULL OR s.reserving_at <= :looked_before)
      AND NOT EXISTS (
          SELECT FROM reservations r
          WHERE r.subscription_id = s.id
            AND (r.ended_at IS NULL
                 OR r.period_index = s.next_period_index AND (r.by_others OR r.status = 'refused'))
      )
    ORDER BY s.next_renewal_at LIMIT :limit
    FOR NO KEY UPDATE SKIP LOCKED
    """  # noqa: S608 - made of constants only
)


async def looked_at(
    connection: AsyncConnection, subscriptions: Sequence[Subscription], now: datetime
) -> None:
    """Note that subscriptions which the caller holds locked were looked at."""
    await connection.execute(
        text(
            """
            UPDATE subscriptions SET reserving_at = :now WHERE id = ANY(CAST(:ids AS uuid[]))
            """
        ),
        {"ids": [each.id for each in subscriptions], "now": now},
    )


async def plan(connection: AsyncConnection, plans: Sequence[Plan], now: datetime) -> int:
    """Write plans for subscriptions that the caller holds locked; return how many are new."""
    if not plans:
        return 0
    rows = [_planned(each) for each in plans]
    written = await connection.execute(_PLAN, {"rows": to_json(rows), "now": now})
    return len(written.all())


_PLAN = text(
    """
    INSERT INTO reservations (
        subscription_id, period_index, period_start_at, period_end_at, merchant_uid,
        billing_key_id, amount, tax_free, order_name, lines, schedule_at, look_at
    )
    SELECT subscription_id, period_index, period_start_at, period_end_at, merchant_uid,
        billing_key_id, amount, tax_free, order_name, lines, schedule_at, :now
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS p (
        subscription_id uuid, period_index int, period_start_at timestamptz,
        period_end_at timestamptz, merchant_uid text, billing_key_id bigint, amount bigint,
        tax_free bigint, order_name text, lines jsonb, schedule_at timestamptz
    )
    ON CONFLICT DO NOTHING
    RETURNING id
    """
)


def _planned(planned: Plan) -> dict[str, object]:
    invoice, period = planned.invoice, planned.invoice.period
    return {
        "subscription_id": str(invoice.subscription_id),
        "period_index": period.index,
        "period_start_at": iso(period.start_at),
        "period_end_at": iso(period.end_at),
        "merchant_uid": merchant_uid(invoice.subscription_id, period.index, FIRST),
        "billing_key_id": planned.billing_key_id,
        "amount": invoice.price.amount,
        "tax_free": invoice.price.tax_free,
        "order_name": storable(invoice.order_name),
        "lines": [asdict(line) for line in invoice.lines],
        "schedule_at": iso(planned.schedule_at),
    }
