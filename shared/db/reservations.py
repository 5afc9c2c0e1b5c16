"""Reservations: requested under a lease, looked at, and moved under a comparison.

Whoever locks a reservation beside its subscription locks the subscription first.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import Leases
from shared.billing.calendar import Period
from shared.billing.events import iso
from shared.billing.installation import NEVER_MARKED, Proof
from shared.billing.money import Price
from shared.billing.reserving import (
    ASKED_ABOUT,
    LIVE,
    LOOKED_AT,
    Reservation,
    ReservationMove,
    ReservationStatus,
    ReservePolicy,
)
from shared.billing.subscription import Buyer
from shared.db.columns import one_of
from shared.db.dispatch import dispatch, dispatching
from shared.db.holds import HELD
from shared.db.installation import PROVEN, proof_values
from shared.db.text import storable, to_json

# The attempt that a reservation becomes: the first of its invoice.
FIRST = 1

COLUMNS = """
    r.id, r.subscription_id, r.period_index, r.period_start_at, r.period_end_at, r.merchant_uid,
    r.billing_key_id, r.amount, r.tax_free, r.order_name, r.schedule_at, r.status, r.send_number,
    r.claimed_at, r.looks, r.no_records, k.customer_uid, k.buyer_name, k.buyer_email, k.buyer_tel
"""


async def dispatch_due(
    connection: AsyncConnection, limit: int, now: datetime, resend_after: timedelta
) -> list[int]:
    """Return reservations whose next step is due, and note that a message for each will be sent."""
    rows = await dispatch(connection, _DISPATCH, limit, now, resend_after)
    return [row.id for row in rows]


_DISPATCH = dispatching(
    "reservations", f"d.{one_of('status', LOOKED_AT)} AND d.look_at <= :now", "d.look_at"
)


async def claim(
    connection: AsyncConnection,
    ids: Sequence[int],
    leases: Leases,
    policy: ReservePolicy,
    now: datetime,
    proof: Proof = NEVER_MARKED,
) -> list[Reservation]:
    """Commit to requesting those that are planned and due; none while the gateway is on hold.

    Nor any from a database that does not show what its mark was seen to be.

    What has become too late to be reserved ends here, and its period is charged by us.
    """
    latest = now + policy.lead_min
    await connection.execute(_TOO_LATE, {"ids": list(ids), "latest": latest, "now": now})
    silent_until = now + leases.lease + leases.settle_delay
    values = {"ids": list(ids), "now": now, "silent_until": silent_until, **proof_values(proof)}
    rows = await connection.execute(_CLAIM, values)
    return [reservation_of(row) for row in rows]


_TOO_LATE = text(
    """
    UPDATE reservations
    SET status = 'revoked', look_at = NULL, dispatched_at = NULL, ended_at = :now,
        message = 'too late to be reserved: charged by us when its period begins'
    WHERE id = ANY(CAST(:ids AS bigint[])) AND status = 'planned' AND period_start_at <= :latest
    """
)
_CLAIM = text(
    f"""
    WITH due AS (
        SELECT id FROM reservations
        WHERE id = ANY(CAST(:ids AS bigint[])) AND status = 'planned' AND look_at <= :now
          AND NOT {HELD} AND {PROVEN}
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE reservations r
    SET status = 'claimed', send_number = r.send_number + 1, claimed_at = :now,
        look_at = :silent_until, dispatched_at = NULL, looks = 0, no_records = 0, message = NULL
    FROM due d, billing_keys k
    WHERE r.id = d.id AND k.id = r.billing_key_id
    RETURNING {COLUMNS}
    """  # noqa: S608 - made of constants only
)


async def to_look_at(
    connection: AsyncConnection, ids: Sequence[int], now: datetime
) -> list[Reservation]:
    """Return those of the reservations about which PortOne is to be asked now."""
    rows = await connection.execute(_TO_LOOK_AT, {"ids": list(ids), "now": now})
    return [reservation_of(row) for row in rows]


_TO_LOOK_AT = text(
    f"""
    SELECT {COLUMNS} FROM reservations r JOIN billing_keys k ON k.id = r.billing_key_id
    WHERE r.id = ANY(CAST(:ids AS bigint[]))
      AND r.{one_of("status", ASKED_ABOUT)} AND r.look_at <= :now
    ORDER BY r.id
    """  # noqa: S608 - made of constants only
)


async def apply(
    connection: AsyncConnection, moves: Sequence[ReservationMove], now: datetime
) -> set[int]:
    """Write moves, each only if its reservation stands as it did; return the ids of those written.

    What has been recalled, requested again or taken over by its period since then is left alone:
    whoever did so has it looked at anew.
    """
    rows = [
        {
            "id": move.reservation.id,
            "seen": move.reservation.status,
            "send_number": move.reservation.send_number,
            "status": move.status,
            "look_at": iso(move.look_at),
            "looks": move.looks,
            "no_records": move.no_records,
            "message": None if move.message is None else storable(move.message),
            "by_others": move.by_others,
        }
        for move in moves
    ]
    written = await connection.execute(_APPLY, {"rows": to_json(rows), "now": now})
    return set(written.scalars())


_APPLY = text(
    f"""
    UPDATE reservations r
    SET status = m.status, look_at = m.look_at, dispatched_at = NULL, looks = m.looks,
        no_records = m.no_records, message = m.message, by_others = r.by_others OR m.by_others,
        ended_at = CASE WHEN NOT (m.{one_of("status", LIVE)}) THEN :now END
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS m (
        id bigint, seen text, send_number int, status text, look_at timestamptz, looks int,
        no_records int, message text, by_others boolean
    )
    WHERE r.id = m.id AND r.status = m.seen AND r.send_number = m.send_number
    RETURNING r.id
    """  # noqa: S608 - made of constants only
)


def reservation_of(row: Row[Any]) -> Reservation:
    """Return the reservation that a row of ``COLUMNS`` tells of."""
    return Reservation(
        id=row.id,
        subscription_id=row.subscription_id,
        billing_key_id=row.billing_key_id,
        period=Period(row.period_index, row.period_start_at, row.period_end_at),
        merchant_uid=row.merchant_uid,
        customer_uid=row.customer_uid,
        price=Price(row.amount, row.tax_free),
        order_name=row.order_name,
        buyer=Buyer(row.buyer_name, row.buyer_email, row.buyer_tel),
        schedule_at=row.schedule_at,
        status=ReservationStatus(row.status),
        send_number=row.send_number,
        claimed_at=row.claimed_at,
        looks=row.looks,
        no_records=row.no_records,
    )
