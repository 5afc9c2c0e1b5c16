"""What PortOne has executed for periods that do not come: billed after all, and given back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import UNSETTLED
from shared.billing.lines import Adjustment, used_by
from shared.billing.money import Price
from shared.billing.renewal import Renewal
from shared.billing.reserving import ReservationStatus, ReservedPeriod
from shared.db import invoices, reserved_periods
from shared.db.columns import one_of
from shared.db.reserved_periods import HandOver

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Executed:
    """A reservation that PortOne has executed; nothing of it is locked."""

    id: int
    subscription_id: UUID


async def due(connection: AsyncConnection, ids: Sequence[int], now: datetime) -> list[Executed]:
    """Return those of the reservations that were executed and are to be looked at now."""
    rows = await connection.execute(
        text(
            """
            SELECT id, subscription_id FROM reservations
            WHERE id = ANY(CAST(:ids AS bigint[])) AND status IN ('executed', 'returning')
              AND look_at <= :now
            ORDER BY id
            """
        ),
        {"ids": list(ids), "now": now},
    )
    return [Executed(row.id, row.subscription_id) for row in rows]


async def is_stranded(connection: AsyncConnection, subscription_id: UUID) -> bool:
    """Say whether the period of an executed reservation does not come, or has been passed over.

    The caller holds the subscription locked. One that was asked to end is left to its end.
    """
    found = await connection.scalar(_IS_STRANDED, {"id": subscription_id})
    return bool(found)


_IS_STRANDED = text(
    """
    SELECT s.next_period_index > r.period_index
        OR s.status = 'canceled' AND s.cancel_at IS NULL
        OR s.status = 'paused' AND s.cancel_at IS NULL
            AND (s.resume_at IS NULL OR s.resume_at > r.period_start_at)
    FROM subscriptions s JOIN reservations r ON r.subscription_id = s.id
    WHERE s.id = :id AND r.status = 'executed'
    """
)


async def billed_as_executed(
    connection: AsyncConnection,
    renewal: Renewal,
    reservation: ReservedPeriod | None,
    adjustments: Sequence[Adjustment],
) -> Renewal:
    """Return a renewal whose period costs what PortOne has charged for it already.

    What was agreed too late for that is left to the next period.
    """
    if reservation is None or not reservation.is_executed_otherwise(renewal.invoices):
        return renewal
    log.error("reservation_executed_otherwise", reservation_id=reservation.id)
    executed = await reserved_periods.invoice_of(connection, reservation)
    used = used_by(executed.lines, adjustments)
    return replace(renewal, invoices=(executed,), adjustments=used)


async def bill(
    connection: AsyncConnection,
    live: ReservedPeriod,
    settle_delay: timedelta,
    now: datetime,
    become: ReservationStatus = ReservationStatus.RETURNING,
) -> None:
    """Open an invoice for what PortOne has executed for a period that does not come.

    The caller holds the subscription locked. Its period is decided by that, once and for all; it is
    never charged by us. Whoever looks at reservations gives it back (``RETURNING``), or the end of
    the subscription does (``COLLECTED``).
    """
    found = await reserved_periods.invoice_of(connection, live)
    # A period that does not come uses no credit or discount up, and gives none back.
    lines = tuple(replace(line, adjustment_id=None) for line in found.lines)
    invoice = replace(found, lines=lines)
    for opened in await invoices.open_new(connection, [invoice], now):
        handed = [HandOver(live, opened.invoice_id)]
        await reserved_periods.hand_over(connection, handed, settle_delay, now, become)
        await connection.execute(
            text(
                """
                UPDATE invoices SET collection_stopped = true, next_attempt_at = NULL
                WHERE id = :id
                """
            ),
            {"id": opened.invoice_id},
        )
    await reserved_periods.pass_over(connection, live)


@dataclass(frozen=True, slots=True)
class Returning:
    """An attempt of PortOne's whose payment is to go back.

    Attributes:
        is_settled: Whether its outcome is known.
        payment_id: The payment that was made, or None.
    """

    id: int
    invoice_id: int
    period_index: int
    price: Price
    is_open: bool
    is_settled: bool
    payment_id: int | None


async def returning(connection: AsyncConnection, reservation_id: int) -> Returning | None:
    """Lock a reservation whose payment is to go back, and return where its attempt stands."""
    row = (await connection.execute(_RETURNING, {"id": reservation_id})).first()
    if row is None:
        return None
    return Returning(
        row.id,
        row.invoice_id,
        row.period_index,
        Price(row.amount, row.tax_free),
        row.is_open,
        row.is_settled,
        row.payment_id,
    )


_RETURNING = text(
    f"""
    SELECT r.id, a.invoice_id, r.period_index, r.amount, r.tax_free, p.id AS payment_id,
        i.status = 'open' AS is_open, NOT a.{one_of("status", UNSETTLED)} AS is_settled
    FROM reservations r
    JOIN payment_attempts a ON a.id = r.attempt_id
    JOIN invoices i ON i.id = a.invoice_id
    LEFT JOIN payments p ON p.attempt_id = a.id
    WHERE r.id = :id AND r.status = 'returning'
    FOR NO KEY UPDATE OF r
    """  # noqa: S608 - made of constants only
)


async def look_again(connection: AsyncConnection, reservation_id: int, at: datetime) -> None:
    """Look at an executed reservation again later."""
    await connection.execute(
        text(
            """
            UPDATE reservations SET look_at = :at, dispatched_at = NULL
            WHERE id = :id AND status IN ('executed', 'returning')
            """
        ),
        {"id": reservation_id, "at": at},
    )


async def returned(connection: AsyncConnection, reservation_id: int) -> None:
    """Note that nothing is left to do for a reservation that the caller holds locked."""
    await connection.execute(
        text(
            """
            UPDATE reservations SET status = :collected, look_at = NULL, dispatched_at = NULL
            WHERE id = :id AND status = 'returning'
            """
        ),
        {"id": reservation_id, "collected": ReservationStatus.COLLECTED},
    )
