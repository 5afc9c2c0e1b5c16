"""What only people ask: joined and counted views that no hot path needs."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import INQUIRABLE
from shared.billing.subscription import BILLABLE, BillingKeyStatus, Buyer
from shared.db.tables import one_of


@dataclass(frozen=True, slots=True)
class BillingKey:
    """A stored payment method as it stands."""

    customer_uid: str
    status: BillingKeyStatus
    buyer: Buyer

    def __repr__(self) -> str:
        """Say nothing but the status: the rest is a secret and a person."""
        return f"BillingKey(status={self.status!r})"


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits, and since when the oldest of it does."""

    count: int
    oldest_at: datetime | None


async def billing_key_of(connection: AsyncConnection, subscription_id: UUID) -> BillingKey | None:
    """Return the billing key of one subscription."""
    row = (
        await connection.execute(
            text(
                """
                SELECT k.customer_uid, k.status, k.buyer_name, k.buyer_email, k.buyer_tel
                FROM subscriptions s JOIN billing_keys k ON k.id = s.billing_key_id
                WHERE s.id = :id
                """
            ),
            {"id": subscription_id},
        )
    ).first()
    if row is None:
        return None
    buyer = Buyer(row.buyer_name, row.buyer_email, row.buyer_tel)
    return BillingKey(row.customer_uid, BillingKeyStatus(row.status), buyer)


async def key_statuses(
    connection: AsyncConnection, billing_key_ids: Collection[int]
) -> dict[int, BillingKeyStatus]:
    """Return the status of each of the billing keys."""
    rows = await connection.execute(
        text("SELECT id, status FROM billing_keys WHERE id = ANY(CAST(:ids AS bigint[]))"),
        {"ids": list(billing_key_ids)},
    )
    return {row.id: BillingKeyStatus(row.status) for row in rows}


async def time_zones(
    connection: AsyncConnection, subscription_ids: Collection[UUID]
) -> dict[UUID, str]:
    """Return the time zone of each of the subscriptions."""
    rows = await connection.execute(
        text("SELECT id, time_zone FROM subscriptions WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": list(subscription_ids)},
    )
    return {row.id: row.time_zone for row in rows}


async def renewals_due(connection: AsyncConnection, now: datetime) -> Backlog:
    """Return the subscriptions whose period has begun and whose invoice is not opened yet."""
    return await _backlog(connection, _RENEWALS_DUE, now=now)


async def inquiries_due(connection: AsyncConnection, now: datetime) -> Backlog:
    """Return the attempts about which the gateway should have been asked by now."""
    return await _backlog(connection, _INQUIRIES_DUE, now=now)


async def events_waiting(connection: AsyncConnection) -> Backlog:
    """Return the events that were not relayed."""
    return await _backlog(connection, _EVENTS_WAITING)


async def dead_letter_count(connection: AsyncConnection) -> int:
    """Return how many dead letters there are."""
    count = await connection.scalar(text("SELECT count(*) FROM dead_letters"))
    return int(count or 0)


async def _backlog(connection: AsyncConnection, query: TextClause, **values: datetime) -> Backlog:
    row = (await connection.execute(query, values)).one()
    return Backlog(row.waiting, row.oldest_at)


_RENEWALS_DUE = text(
    f"""
    SELECT count(*) AS waiting, min(next_renewal_at) AS oldest_at
    FROM subscriptions WHERE {one_of("status", BILLABLE)} AND next_renewal_at <= :now
    """  # noqa: S608 - made of constants only
)
_INQUIRIES_DUE = text(
    f"""
    SELECT count(*) AS waiting, min(inquire_at) AS oldest_at
    FROM payment_attempts WHERE {one_of("status", INQUIRABLE)} AND inquire_at <= :now
    """  # noqa: S608 - made of constants only
)
_EVENTS_WAITING = text(
    """
    SELECT count(*) AS waiting, min(created_at) AS oldest_at
    FROM events WHERE relayed_at IS NULL
    """
)
