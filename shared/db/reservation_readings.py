"""Reservations as people read them: what PortOne is to collect, and what became of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import Period
from shared.billing.money import Price
from shared.billing.reserving import LIVE, ReservationStatus
from shared.db.columns import one_of


@dataclass(frozen=True, slots=True)
class ReservationCard:
    """A reservation as it stood when it was read; nothing is locked.

    Attributes:
        by_others: Whether somebody at PortOne's console has changed it.
        message: Why it stands where it does: our words, or PortOne's, byte for byte.
        time_zone: In which its subscription is counted.
    """

    id: int
    subscription_id: UUID
    period: Period
    merchant_uid: str
    price: Price
    schedule_at: datetime
    status: ReservationStatus
    send_number: int
    by_others: bool
    message: str | None
    created_at: datetime
    ended_at: datetime | None
    time_zone: str


async def newest(
    connection: AsyncConnection,
    *,
    limit: int,
    subscription_id: UUID | None = None,
    status: ReservationStatus | None = None,
) -> list[ReservationCard]:
    """Return the newest reservations, newest first."""
    rows = await connection.execute(
        text(
            f"""
            {_RESERVATIONS}
            WHERE (CAST(:subscription AS uuid) IS NULL OR r.subscription_id = :subscription)
              AND (CAST(:status AS text) IS NULL OR r.status = :status)
            ORDER BY r.id DESC LIMIT :limit
            """
        ),
        {"limit": limit, "subscription": subscription_id, "status": status},
    )
    return [_card(row) for row in rows]


async def live(connection: AsyncConnection, subscription_id: UUID) -> ReservationCard | None:
    """Return the reservation of a subscription that PortOne may execute, or has, if there is one.

    There is one at most.
    """
    row = (
        await connection.execute(
            text(
                f"{_RESERVATIONS} WHERE r.subscription_id = :subscription"
                f" AND r.{one_of('status', LIVE)}"
            ),
            {"subscription": subscription_id},
        )
    ).first()
    return _card(row) if row else None


_RESERVATIONS = """
    SELECT r.id, r.subscription_id, r.period_index, r.period_start_at, r.period_end_at,
        r.merchant_uid, r.amount, r.tax_free, r.schedule_at, r.status, r.send_number, r.by_others,
        r.message, r.created_at, r.ended_at, s.time_zone
    FROM reservations r JOIN subscriptions s ON s.id = r.subscription_id
"""


def _card(row: Row[Any]) -> ReservationCard:
    return ReservationCard(
        id=row.id,
        subscription_id=row.subscription_id,
        period=Period(row.period_index, row.period_start_at, row.period_end_at),
        merchant_uid=row.merchant_uid,
        price=Price(row.amount, row.tax_free),
        schedule_at=row.schedule_at,
        status=ReservationStatus(row.status),
        send_number=row.send_number,
        by_others=row.by_others,
        message=row.message,
        created_at=row.created_at,
        ended_at=row.ended_at,
        time_zone=row.time_zone,
    )
