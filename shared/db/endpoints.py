"""Endpoints of merchants, as rows: what an operator does with them, and what failures do."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.delivery import DeliveryStatus, EndpointStatus
from shared.db.text import storable


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as an operator sees it; its secrets are counted and never read.

    Attributes:
        event_names: Which events it wants, None where it wants every one.
        waiting: Deliveries that wait, those that are being tried included.
        oldest_at: When the oldest of these was written.
    """

    id: int
    url: str = field(repr=False)
    secrets: int
    event_names: Sequence[str] | None
    allow_private: bool
    status: EndpointStatus
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    created_at: datetime
    waiting: int
    delivered: int
    given_up: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeliveryCard:
    """One event for one endpoint, as an operator sees it."""

    id: int
    event_id: int
    name: str
    subscription_id: str | None
    status: DeliveryStatus
    tries: int
    next_try_at: datetime | None
    last_status: int | None
    last_error: str | None
    delivered_at: datetime | None
    created_at: datetime


async def failed_count(connection: AsyncConnection) -> int:
    """Return how many endpoints were disabled for their failures, by nobody's wish."""
    return int(await connection.scalar(_FAILED) or 0)


_FAILED = text(
    "SELECT count(*) FROM endpoints WHERE status = 'disabled' AND failing_since IS NOT NULL"
)


async def given_up_count(connection: AsyncConnection) -> int:
    """Return how many deliveries nobody tries any more, to endpoints that are still there."""
    return int(await connection.scalar(_GIVEN_UP) or 0)


_GIVEN_UP = text(
    """
    SELECT count(*) FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id
    WHERE d.status = 'given_up' AND e.status <> 'removed'
    """
)


async def add(
    connection: AsyncConnection,
    *,
    url: str,
    secret: str,
    event_names: Sequence[str],
    allow_private: bool,
) -> int | None:
    """Write an endpoint and return its number; None if there is one with this address."""
    found = await connection.scalar(
        _ADD,
        {
            "url": url,
            "secrets": [secret],
            "event_names": list(event_names) or None,
            "allow_private": allow_private,
        },
    )
    return None if found is None else int(found)


_ADD = text(
    """
    INSERT INTO endpoints (url, secrets, event_names, allow_private)
    VALUES (:url, CAST(:secrets AS text[]), CAST(:event_names AS text[]), :allow_private)
    ON CONFLICT (url) WHERE status <> 'removed' DO NOTHING
    RETURNING id
    """
)


async def lock_secrets(
    connection: AsyncConnection, endpoint_id: int
) -> tuple[EndpointStatus, int] | None:
    """Lock an endpoint; return where it stands and how many secrets it has, or None."""
    row = (
        await connection.execute(
            text(
                """
                SELECT status, cardinality(secrets) FROM endpoints WHERE id = :id
                FOR NO KEY UPDATE
                """
            ),
            {"id": endpoint_id},
        )
    ).one_or_none()
    return None if row is None else (EndpointStatus(row[0]), int(row[1]))


async def add_secret(connection: AsyncConnection, endpoint_id: int, secret: str) -> None:
    """Have deliveries signed with another secret as well, which is named first."""
    await connection.execute(
        text(
            """
            UPDATE endpoints SET secrets = CAST(:secret AS text) || secrets WHERE id = :id
            """
        ),
        {"id": endpoint_id, "secret": secret},
    )


async def drop_old_secrets(connection: AsyncConnection, endpoint_id: int) -> None:
    """Have deliveries signed with the newest secret only."""
    await connection.execute(
        text("UPDATE endpoints SET secrets = secrets[1:1] WHERE id = :id"), {"id": endpoint_id}
    )


async def remove(connection: AsyncConnection, endpoint_id: int, reason: str, now: datetime) -> int:
    """Forget an endpoint's secrets, give up what waits for it, and return how much that was."""
    await connection.execute(
        text(
            """
            UPDATE endpoints SET status = 'removed', secrets = '{}', failing_since = NULL,
                disabled_at = :now, disabled_reason = :reason
            WHERE id = :id
            """
        ),
        {"id": endpoint_id, "now": now, "reason": storable(reason)},
    )
    given_up = await connection.execute(
        text(
            """
            UPDATE deliveries SET status = 'given_up', next_try_at = NULL, lease_until = NULL,
                dispatched_at = NULL
            WHERE endpoint_id = :id AND status = 'waiting'
            """
        ),
        {"id": endpoint_id},
    )
    return given_up.rowcount


async def disable(
    connection: AsyncConnection,
    endpoint_id: int,
    reason: str,
    now: datetime,
    *,
    failing_since: datetime | None = None,
) -> bool:
    """Send nothing more to an endpoint; False if nothing was sent to it anyway.

    What somebody has disabled is not failing any more, whatever it did before.
    """
    done = await connection.execute(
        text(
            """
            UPDATE endpoints SET status = 'disabled', disabled_at = :now, disabled_reason = :reason,
                failing_since = :failing_since
            WHERE id = :id AND status = 'enabled'
            """
        ),
        {
            "id": endpoint_id,
            "now": now,
            "reason": storable(reason),
            "failing_since": failing_since,
        },
    )
    return bool(done.rowcount)


async def enable(connection: AsyncConnection, endpoint_id: int, now: datetime) -> int:
    """Send to an endpoint again, what waited at once; return how much that is."""
    await connection.execute(
        text(
            """
            UPDATE endpoints SET status = 'enabled', failing_since = NULL, disabled_at = NULL,
                disabled_reason = NULL
            WHERE id = :id
            """
        ),
        {"id": endpoint_id},
    )
    waiting = await connection.execute(
        text(
            """
            UPDATE deliveries SET next_try_at = least(next_try_at, :now), failures = 0
            WHERE endpoint_id = :id AND status = 'waiting'
            """
        ),
        {"id": endpoint_id, "now": now},
    )
    return waiting.rowcount


async def note_success(connection: AsyncConnection, endpoint_id: int) -> None:
    """Write down that an endpoint takes events in."""
    await connection.execute(
        text(
            """
            UPDATE endpoints SET failing_since = NULL
            WHERE id = :id AND failing_since IS NOT NULL
            """
        ),
        {"id": endpoint_id},
    )


async def note_failure(
    connection: AsyncConnection, endpoint_id: int, now: datetime
) -> datetime | None:
    """Write down that an endpoint failed, and return since when it has; None if it is not told."""
    found = await connection.scalar(
        text(
            """
            UPDATE endpoints SET failing_since = coalesce(failing_since, :now)
            WHERE id = :id AND status = 'enabled' RETURNING failing_since
            """
        ),
        {"id": endpoint_id, "now": now},
    )
    return found if isinstance(found, datetime) else None


async def replay(
    connection: AsyncConnection,
    endpoint_id: int,
    now: datetime,
    *,
    event_ids: Sequence[int] = (),
    since: datetime | None = None,
    until: datetime | None = None,
) -> int:
    """Have events delivered to an endpoint once more, and return how many.

    By their ids, whether the endpoint wants their kind or not; by the time at which they were
    written; or, with neither, all that were given up. What waits already is left as it is.
    """
    values: dict[str, object] = {"id": endpoint_id, "now": now}
    if event_ids:
        done = await connection.execute(_REPLAY_IDS, {**values, "ids": list(event_ids)})
    elif since is not None:
        span = {"since": since, "until": until or now}
        done = await connection.execute(_REPLAY_SPAN, {**values, **span})
    else:
        done = await connection.execute(_REPLAY_GIVEN_UP, values)
    return done.rowcount


_ANEW = """
    status = 'waiting', next_try_at = :now, failures = 0, lease_until = NULL,
    dispatched_at = NULL, delivered_at = NULL
"""


def _replaying(which: str) -> str:
    return f"""
        INSERT INTO deliveries (endpoint_id, event_id, subscription_id, next_try_at)
        SELECT e.id, v.id, v.subscription_id, :now FROM events v, endpoints e
        WHERE e.id = :id AND v.relayed_at IS NOT NULL AND {which}
        ORDER BY v.id
        ON CONFLICT (endpoint_id, event_id) DO UPDATE SET {_ANEW}
        WHERE deliveries.status <> 'waiting'
    """  # noqa: S608 - made of constants only


_REPLAY_IDS = text(_replaying("v.id = ANY(CAST(:ids AS bigint[]))"))
_REPLAY_SPAN = text(
    _replaying(
        "v.created_at >= :since AND v.created_at < :until"
        " AND (e.event_names IS NULL OR v.name = ANY(e.event_names))"
    )
)
_REPLAY_GIVEN_UP = text(
    f"UPDATE deliveries SET {_ANEW} WHERE endpoint_id = :id AND status = 'given_up'"  # noqa: S608
)


async def show(
    connection: AsyncConnection, limit: int, endpoint_id: int | None = None
) -> list[Endpoint]:
    """Return endpoints, newest first, those that were removed left out unless asked for by id."""
    rows = await connection.execute(_SHOW, {"limit": limit, "id": endpoint_id})
    return [Endpoint(*row) for row in rows]


_SHOW = text(
    """
    SELECT e.id, e.url, cardinality(e.secrets), e.event_names, e.allow_private, e.status,
        e.failing_since, e.disabled_at, e.disabled_reason, e.created_at,
        counted.waiting, counted.delivered, counted.given_up, counted.oldest_at
    FROM endpoints e CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE d.status = 'waiting'),
            count(*) FILTER (WHERE d.status = 'delivered'),
            count(*) FILTER (WHERE d.status = 'given_up'),
            min(d.created_at) FILTER (WHERE d.status = 'waiting')
        FROM deliveries d WHERE d.endpoint_id = e.id
    ) counted (waiting, delivered, given_up, oldest_at)
    WHERE CASE WHEN CAST(:id AS bigint) IS NULL THEN e.status <> 'removed' ELSE e.id = :id END
    ORDER BY e.id DESC LIMIT :limit
    """
)


async def deliveries_of(
    connection: AsyncConnection, endpoint_id: int, limit: int, status: DeliveryStatus | None
) -> list[DeliveryCard]:
    """Return an endpoint's deliveries, those of the newest events first."""
    rows = await connection.execute(
        _DELIVERIES, {"id": endpoint_id, "limit": limit, "status": status}
    )
    return [DeliveryCard(*row) for row in rows]


_DELIVERIES = text(
    """
    SELECT d.id, d.event_id, v.name, CAST(d.subscription_id AS text), d.status, d.tries,
        d.next_try_at, d.last_status, d.last_error, d.delivered_at, d.created_at
    FROM deliveries d JOIN events v ON v.id = d.event_id
    WHERE d.endpoint_id = :id AND (CAST(:status AS text) IS NULL OR d.status = :status)
    ORDER BY d.event_id DESC LIMIT :limit
    """
)
