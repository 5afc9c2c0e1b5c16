"""Events, written in the transaction of the change and relayed afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Event, Json
from shared.db.text import to_json

# A part of every statement that writes events: the subscriptions of those ``given`` are locked
# before their events have numbers. Two transactions that tell of one subscription would else draw
# their numbers in one order and commit in the other, and the relay, which sees only what is
# committed, would tell the later number first.
HELD = """
    held AS (
        SELECT id FROM subscriptions WHERE id IN (SELECT subscription_id FROM given)
        ORDER BY id FOR NO KEY UPDATE
    )
"""

# Any number that no other advisory lock of ours uses: one relay at a time keeps events in order.
_RELAY_LOCK = 726_582_001


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with the id by which a reader knows it again."""

    id: int
    subscription_id: UUID | None
    name: str
    data: dict[str, Json]
    created_at: datetime


async def write(connection: AsyncConnection, events: Sequence[Event]) -> None:
    """Write events in the order given; part of the caller's transaction.

    Their subscriptions stay locked until it ends (``HELD``).
    """
    if not events:
        return
    rows = [
        {
            "subscription_id": event.subscription_id and str(event.subscription_id),
            "name": event.name,
            "data": event.data,
        }
        for event in events
    ]
    await connection.execute(_WRITE, {"rows": to_json(rows)})


_WRITE = text(
    f"""
    WITH given AS (
        SELECT * FROM ROWS FROM (
            jsonb_to_recordset(CAST(:rows AS jsonb))
            AS (subscription_id uuid, name text, data jsonb)
        ) WITH ORDINALITY AS e (subscription_id, name, data, position)
    ), {HELD}
    INSERT INTO events (subscription_id, name, data)
    SELECT g.subscription_id, g.name, g.data
    FROM given g LEFT JOIN held h ON h.id = g.subscription_id
    WHERE g.subscription_id IS NULL OR h.id IS NOT NULL
    ORDER BY g.position
    """  # noqa: S608 - made of constants only
)


async def unrelayed(connection: AsyncConnection, limit: int) -> list[StoredEvent]:
    """Return the oldest events that were not relayed, or none while another process relays.

    The lock is held until the caller's transaction ends, so two relays never interleave.
    """
    free = await connection.scalar(
        text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _RELAY_LOCK}
    )
    if not free:
        return []
    rows = await connection.execute(_UNRELAYED, {"limit": limit})
    return [StoredEvent(*row) for row in rows]


_UNRELAYED = text(
    """
    SELECT id, subscription_id, name, data, created_at
    FROM events WHERE relayed_at IS NULL ORDER BY id LIMIT :limit
    """
)


async def mark_relayed(connection: AsyncConnection, ids: Sequence[int], now: datetime) -> None:
    """Mark events as relayed."""
    await connection.execute(
        text("UPDATE events SET relayed_at = :now WHERE id = ANY(CAST(:ids AS bigint[]))"),
        {"now": now, "ids": list(ids)},
    )


async def anything_waits(connection: AsyncConnection) -> bool:
    """Say whether any event waits to be relayed."""
    found = await connection.scalar(
        text("SELECT EXISTS (SELECT FROM events WHERE relayed_at IS NULL)")
    )
    return bool(found)


async def backlog(connection: AsyncConnection) -> int:
    """Return how many events wait to be relayed."""
    count = await connection.scalar(text("SELECT count(*) FROM events WHERE relayed_at IS NULL"))
    return int(count or 0)
