"""Reservations whose period begins, is wanted otherwise, or will never begin.

The caller's transaction holds the subscriptions locked, so nobody plans another meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import Period
from shared.billing.events import iso
from shared.billing.invoice import NewInvoice
from shared.billing.money import Price
from shared.billing.reserving import (
    LIVE,
    LOOKED_AT,
    REVOCABLE,
    CollectBy,
    ReservationStatus,
    ReservedPeriod,
)
from shared.db.columns import one_of
from shared.db.invoices import line_of
from shared.db.reservations import FIRST
from shared.db.text import to_json

# True of a subscription whose next period nobody may bill yet: a reservation of it
# is being revoked, and may have been executed.
REVOKING = """
    EXISTS (
        SELECT FROM reservations r
        WHERE r.subscription_id = subscriptions.id AND r.status = 'revoking'
    )
"""


async def hold(
    connection: AsyncConnection, subscription_ids: Sequence[UUID]
) -> Mapping[UUID, ReservedPeriod]:
    """Lock the reservations of subscriptions that live, at most one each, by subscription."""
    rows = await connection.execute(_HOLD, {"ids": list(subscription_ids)})
    return {
        row.subscription_id: ReservedPeriod(
            row.id,
            row.subscription_id,
            Period(row.period_index, row.period_start_at, row.period_end_at),
            Price(row.amount, row.tax_free),
            row.order_name,
            row.schedule_at,
            ReservationStatus(row.status),
        )
        for row in rows
    }


_HOLD = text(
    f"""
    SELECT id, subscription_id, period_index, period_start_at, period_end_at, amount, tax_free,
        order_name, schedule_at, status
    FROM reservations
    WHERE subscription_id = ANY(CAST(:ids AS uuid[])) AND {one_of("status", LIVE)}
    ORDER BY subscription_id
    FOR NO KEY UPDATE
    """  # noqa: S608 - made of constants only
)


async def recall(
    connection: AsyncConnection, subscription_ids: Sequence[UUID], cause: str, now: datetime
) -> int:
    """Have what is reserved for subscriptions revoked; return how many PortOne must be asked about.

    What was never requested is none any more at once. From here on their next period is billed by
    nobody before PortOne says that the reservation cannot be executed, or has been.
    """
    found = await connection.execute(
        _RECALL, {"ids": list(subscription_ids), "cause": cause, "now": now}
    )
    return sum(status == ReservationStatus.REVOKING for status in found.scalars())


_RECALL = text(
    f"""
    UPDATE reservations
    SET status = CASE WHEN status = 'planned' THEN 'revoked' ELSE 'revoking' END,
        look_at = CASE WHEN status <> 'planned' THEN CAST(:now AS timestamptz) END,
        ended_at = CASE WHEN status = 'planned' THEN CAST(:now AS timestamptz) END,
        dispatched_at = NULL, looks = 0, no_records = 0, message = :cause
    WHERE subscription_id = ANY(CAST(:ids AS uuid[]))
      AND {one_of("status", REVOCABLE | {ReservationStatus.PLANNED})}
    RETURNING status
    """  # noqa: S608 - made of constants only
)


async def recall_product(
    connection: AsyncConnection, product: str, from_at: datetime, cause: str, now: datetime
) -> None:
    """Have revoked what is reserved for periods of a product that begin at an instant or later."""
    ids = await connection.execute(
        text(
            f"""
            SELECT s.id FROM reservations r JOIN subscriptions s ON s.id = r.subscription_id
            WHERE s.product = :product AND r.period_start_at >= :from_at
              AND r.{one_of("status", LIVE)}
            """  # noqa: S608 - made of constants only
        ),
        {"product": product, "from_at": from_at},
    )
    await recall(connection, list(ids.scalars()), cause, now)


async def switch(connection: AsyncConnection, subscription_id: UUID, by: CollectBy) -> bool:
    """Say by whom a subscription is collected, and whether that was otherwise before."""
    changed = await connection.execute(
        text(
            """
            UPDATE subscriptions SET collect_by = :by, reserving_at = NULL
            WHERE id = :id AND collect_by <> :by RETURNING id
            """
        ),
        {"id": subscription_id, "by": by},
    )
    return changed.first() is not None


@dataclass(frozen=True, slots=True)
class HandOver:
    """A reservation and the invoice of its period, opened in the same transaction."""

    reservation: ReservedPeriod
    invoice_id: int


async def hand_over(
    connection: AsyncConnection,
    handed: Sequence[HandOver],
    settle_delay: timedelta,
    now: datetime,
    become: ReservationStatus = ReservationStatus.COLLECTED,
) -> None:
    """Make reservations the first attempts of their invoices; from here the inquiry owns them.

    The attempt stands as claimed by PortOne until its instant has come and it has had the time to
    book; whatever became of it is read then, as of every send that nobody saw the end of.
    """
    if not handed:
        return
    rows = [
        {
            "id": each.reservation.id,
            "invoice_id": each.invoice_id,
            "inquire_at": iso(max(each.reservation.schedule_at, now) + settle_delay),
        }
        for each in handed
    ]
    await connection.execute(
        _HAND_OVER,
        {
            "rows": to_json(rows),
            "number": FIRST,
            "now": now,
            "become": become,
            "look_at": now + settle_delay if become in LOOKED_AT else None,
        },
    )


_HAND_OVER = text(
    """
    WITH handed AS (
        SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS h (
            id bigint, invoice_id bigint, inquire_at timestamptz
        )
    ), begun AS (
        INSERT INTO payment_attempts (
            invoice_id, number, send_number, merchant_uid, billing_key_id, key_generation, amount,
            tax_free, status, claimed_at, lease_until, inquire_at, unknown_since, reserved_for
        )
        SELECT h.invoice_id, :number, 1, r.merchant_uid, r.billing_key_id, k.generation, r.amount,
            r.tax_free, 'claimed', :now, h.inquire_at, h.inquire_at, r.schedule_at, r.schedule_at
        FROM handed h
        JOIN reservations r ON r.id = h.id
        JOIN billing_keys k ON k.id = r.billing_key_id
        RETURNING id, invoice_id
    ), invoice AS (
        UPDATE invoices i SET next_attempt_at = NULL, attempts = :number
        FROM begun b WHERE i.id = b.invoice_id
    )
    UPDATE reservations r
    SET status = :become, attempt_id = b.id, look_at = CAST(:look_at AS timestamptz),
        dispatched_at = NULL, ended_at = :now
    FROM handed h JOIN begun b ON b.invoice_id = h.invoice_id
    WHERE r.id = h.id
    """
)


async def pass_over(connection: AsyncConnection, reserved: ReservedPeriod) -> None:
    """Have a subscription that ends never bill the period of a reservation once more."""
    await connection.execute(
        text(
            """
            UPDATE subscriptions SET next_period_index = greatest(next_period_index, :index + 1)
            WHERE id = :id
            """
        ),
        {"id": reserved.subscription_id, "index": reserved.period.index},
    )


async def invoice_of(connection: AsyncConnection, reservation: ReservedPeriod) -> NewInvoice:
    """Return the invoice that a reservation was made for."""
    row = (
        await connection.execute(
            text("SELECT lines FROM reservations WHERE id = :id"), {"id": reservation.id}
        )
    ).one()
    return NewInvoice(
        reservation.subscription_id,
        reservation.period,
        reservation.price,
        reservation.order_name,
        tuple(line_of(said) for said in row.lines),
    )


async def still_to_come(
    connection: AsyncConnection, subscription_ids: Sequence[UUID], now: datetime
) -> Mapping[str, tuple[str, ...]]:
    """Return what PortOne may still execute of subscriptions' periods that have begun.

    By the billing key, the ``merchant_uid`` of each.
    """
    found: dict[str, tuple[str, ...]] = {}
    for row in await connection.execute(
        _STILL_TO_COME, {"ids": list(subscription_ids), "now": now}
    ):
        found[row.customer_uid] = (*found.get(row.customer_uid, ()), row.merchant_uid)
    return found


_STILL_TO_COME = text(
    """
    SELECT k.customer_uid, a.merchant_uid
    FROM reservations r
    JOIN payment_attempts a ON a.id = r.attempt_id
    JOIN billing_keys k ON k.id = r.billing_key_id
    WHERE r.subscription_id = ANY(CAST(:ids AS uuid[])) AND r.schedule_at > :now
      AND a.status IN ('claimed', 'unknown')
    """
)
