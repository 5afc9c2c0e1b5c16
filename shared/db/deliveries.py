"""Events on their way to endpoints, as rows: fanned out, dispatched, claimed, settled.

What is of one subscription goes to one endpoint in the order of its events: a delivery is due only
when every earlier one is delivered or given up. What is of no subscription waits for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.delivery import Answer, Tried
from shared.billing.events import Json
from shared.db.dispatch import dispatch, dispatching
from shared.db.text import storable

# Of what an endpoint does wrong nobody needs to read more.
ERROR_LENGTH_MAX = 300
# The first one that waits is asked for by itself, one probe of an index a row: written as a join,
# a long queue whose statistics are old made one statement of a quarter of a million rows squared.
_DUE = """
    d.status = 'waiting' AND d.next_try_at <= :now
    AND (d.lease_until IS NULL OR d.lease_until <= :now)
    AND (d.subscription_id IS NULL OR d.event_id = (
        SELECT o.event_id FROM deliveries o
        WHERE o.subscription_id = d.subscription_id AND o.endpoint_id = d.endpoint_id
          AND o.status = 'waiting'
        ORDER BY o.subscription_id, o.endpoint_id, o.event_id LIMIT 1
    ))
"""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A claimed delivery with everything that is sent.

    Attributes:
        url: May hold a token of the merchant's.
        secrets: What it is signed with, the newest first.
        try_number: Which of the delivery's tries this is; whoever settles it names it.
        failures: How many failed before.
    """

    delivery_id: int
    endpoint_id: int
    try_number: int
    failures: int
    url: str = field(repr=False)
    secrets: Sequence[str] = field(repr=False)
    allow_private: bool
    event_id: int
    name: str
    subscription_id: UUID | None
    data: dict[str, Json] = field(repr=False)
    created_at: datetime


async def fan_out(connection: AsyncConnection, event_ids: Sequence[int], now: datetime) -> None:
    """Write a delivery for every enabled endpoint that wants one of the events.

    Part of the transaction that marks them as relayed, so that none is told on one way only.
    """
    await connection.execute(_FAN_OUT, {"ids": list(event_ids), "now": now})


_FAN_OUT = text(
    """
    INSERT INTO deliveries (endpoint_id, event_id, subscription_id, next_try_at)
    SELECT e.id, v.id, v.subscription_id, :now
    FROM events v CROSS JOIN endpoints e
    WHERE v.id = ANY(CAST(:ids AS bigint[])) AND e.status = 'enabled'
      AND (e.event_names IS NULL OR v.name = ANY(e.event_names))
    ORDER BY v.id, e.id
    ON CONFLICT (endpoint_id, event_id) DO NOTHING
    """
)


@dataclass(frozen=True, slots=True)
class Room:
    """An endpoint for which something waits, and how much of it may be sent for."""

    endpoint_id: int
    limit: int


async def rooms(
    connection: AsyncConnection, under_way_max: int, now: datetime, resend_after: timedelta
) -> list[Room]:
    """Return the endpoints that may be sent to, each with how many deliveries may be dispatched.

    So many are under way to one endpoint at most, and of one that fails a single one; nothing more
    is sent for before half of them are done. Whoever is slow or away keeps two or three of our
    hands busy, and the others' deliveries wait for nobody.
    """
    rows = await connection.execute(
        _ROOMS, {"most": under_way_max, "now": now, "resend_after": resend_after}
    )
    return [Room(*row) for row in rows]


_ROOMS = text(
    """
    SELECT e.id, most.count - under_way.count
    FROM endpoints e CROSS JOIN LATERAL (
        SELECT CASE WHEN e.failing_since IS NULL THEN CAST(:most AS integer) ELSE 1 END
    ) most (count) CROSS JOIN LATERAL (
        SELECT count(*) FROM deliveries d
        WHERE d.endpoint_id = e.id AND d.status = 'waiting' AND d.dispatched_at IS NOT NULL
          AND (d.lease_until > :now OR d.dispatched_at > :now - CAST(:resend_after AS interval))
    ) under_way (count)
    WHERE e.status = 'enabled' AND under_way.count * 2 <= most.count
      AND under_way.count < most.count AND EXISTS (
        SELECT FROM deliveries d
        WHERE d.endpoint_id = e.id AND d.status = 'waiting' AND d.next_try_at <= :now
    )
    ORDER BY e.id
    """
)


async def dispatch_to(
    connection: AsyncConnection, room: Room, now: datetime, resend_after: timedelta
) -> list[int]:
    """Return deliveries of one endpoint that are due, noting that a message will be sent."""
    rows = await dispatch(
        connection, _DISPATCH, room.limit, now, resend_after, endpoint_id=room.endpoint_id
    )
    return [row.id for row in rows]


_DISPATCH = dispatching(
    "deliveries", f"d.endpoint_id = :endpoint_id AND {_DUE}", "d.next_try_at, d.event_id"
)


async def claim(
    connection: AsyncConnection, delivery_ids: Sequence[int], now: datetime, lease: timedelta
) -> list[Parcel]:
    """Claim those of the deliveries that are due; what is claimed by others is left out."""
    return await _claim(connection, _CLAIM, now, lease, ids=list(delivery_ids))


async def claim_next(
    connection: AsyncConnection, after: Parcel, now: datetime, lease: timedelta
) -> Parcel | None:
    """Claim what is due at an endpoint after a delivery: of its subscription first, or nothing."""
    claimed: list[Parcel] = []
    if after.subscription_id is not None:
        claimed = await _claim(
            connection,
            _CLAIM_FOLLOWING,
            now,
            lease,
            endpoint_id=after.endpoint_id,
            subscription_id=after.subscription_id,
        )
    if not claimed:
        claimed = await _claim(connection, _CLAIM_NEXT, now, lease, endpoint_id=after.endpoint_id)
    return claimed[0] if claimed else None


async def _claim(
    connection: AsyncConnection,
    statement: TextClause,
    now: datetime,
    lease: timedelta,
    **values: object,
) -> list[Parcel]:
    rows = await connection.execute(statement, {"now": now, "lease_until": now + lease, **values})
    return sorted((Parcel(*row) for row in rows), key=lambda parcel: parcel.event_id)


def _claiming(which: str, limit: str) -> TextClause:
    return text(
        f"""
        WITH due AS (
            SELECT d.id FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id
            WHERE {which} AND e.status = 'enabled' AND {_DUE}
            ORDER BY d.next_try_at, d.event_id {limit}
            FOR NO KEY UPDATE OF d SKIP LOCKED
        )
        UPDATE deliveries d
        SET lease_until = :lease_until, dispatched_at = :now, tries = d.tries + 1
        FROM due, endpoints e, events v
        WHERE d.id = due.id AND e.id = d.endpoint_id AND v.id = d.event_id
        RETURNING d.id, d.endpoint_id, d.tries, d.failures, e.url, e.secrets, e.allow_private,
            v.id, v.name, v.subscription_id, v.data, v.created_at
        """  # noqa: S608 - made of constants only
    )


_CLAIM = _claiming("d.id = ANY(CAST(:ids AS bigint[]))", "")
_CLAIM_NEXT = _claiming("d.endpoint_id = :endpoint_id", "LIMIT 1")
_CLAIM_FOLLOWING = _claiming(
    "d.endpoint_id = :endpoint_id AND d.subscription_id = :subscription_id", "LIMIT 1"
)


async def settle(
    connection: AsyncConnection, parcel: Parcel, answer: Answer, tried: Tried, now: datetime
) -> bool:
    """Write down what came of a try; False if another try was begun meanwhile."""
    written = await connection.execute(
        _SETTLE,
        {
            "id": parcel.delivery_id,
            "try_number": parcel.try_number,
            "status": tried.status,
            "next_try_at": tried.next_try_at,
            "failures": tried.failures,
            "last_status": answer.status,
            "last_error": answer.cause and storable(answer.cause)[:ERROR_LENGTH_MAX],
            "delivered_at": now if answer.is_delivered else None,
        },
    )
    if written.rowcount and tried.next_try_at is not None and parcel.subscription_id is not None:
        # What must wait behind it is not looked at before: a long queue would be, at every look.
        behind = {
            "endpoint_id": parcel.endpoint_id,
            "subscription_id": parcel.subscription_id,
            "event_id": parcel.event_id,
            "next_try_at": tried.next_try_at,
        }
        await connection.execute(_WAIT_BEHIND, behind)
    return bool(written.rowcount)


_WAIT_BEHIND = text(
    """
    UPDATE deliveries SET next_try_at = :next_try_at
    WHERE subscription_id = :subscription_id AND endpoint_id = :endpoint_id
      AND status = 'waiting' AND event_id > :event_id AND next_try_at < :next_try_at
    """
)
_SETTLE = text(
    """
    UPDATE deliveries SET status = :status, next_try_at = :next_try_at, failures = :failures,
        last_status = :last_status, last_error = :last_error, delivered_at = :delivered_at,
        lease_until = NULL, dispatched_at = NULL
    WHERE id = :id AND status = 'waiting' AND tries = :try_number
    """
)
