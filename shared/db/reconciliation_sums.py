"""What the two books come to over a window, and which payments of ours the gateway left out."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.inquiry import REGISTRATION
from shared.db.reconciliation_records import look_up_by_index

_OURS: Final = "paid_at >= :since AND paid_at < :until"
# Charges and windows of ours, and whatever else was made with a billing key of ours.
_OF_OURS: Final = f"""
    status IN ('paid', 'cancelled') AND usage IS DISTINCT FROM '{REGISTRATION}'
    AND (of_our_shape OR billing_key_id IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class Sums:
    """Payments made in a window, their money and what of it went back; in won.

    Attributes:
        first_id: The first of their rows, where they are ours; 0 where there is none.
        last_id: The last of them.
    """

    payments: int
    amount: int
    cancelled: int
    first_id: int = 0
    last_id: int = 0


async def of_ours(connection: AsyncConnection, since: datetime, until: datetime) -> Sums:
    """Return what our rows come to."""
    row = await connection.execute(
        text(
            f"""
            SELECT count(*), coalesce(sum(amount), 0)::bigint,
                coalesce(sum(cancelled_amount), 0)::bigint,
                coalesce(min(id), 0), coalesce(max(id), 0)
            FROM payments WHERE {_OURS}
            """  # noqa: S608 - made of constants only
        ),
        {"since": since, "until": until},
    )
    return Sums(*row.one())


async def of_theirs(
    connection: AsyncConnection, run_id: int, since: datetime, until: datetime
) -> Sums:
    """Return what the gateway's records of payments of ours come to."""
    row = await connection.execute(
        text(
            f"""
            SELECT count(*), coalesce(sum(amount), 0)::bigint,
                coalesce(sum(cancelled_amount), 0)::bigint
            FROM gateway_records WHERE run_id = :run AND {_OURS} AND {_OF_OURS}
            """  # noqa: S608 - made of constants only
        ),
        {"run": run_id, "since": since, "until": until},
    )
    return Sums(*row.one())


@dataclass(frozen=True, slots=True)
class Bar:
    """What was paid in one part of a window by either book, in won."""

    at: datetime
    theirs: int
    ours: int


async def bars(
    connection: AsyncConnection, run_id: int, since: datetime, until: datetime, width: timedelta
) -> list[Bar]:
    """Return what was paid by the gateway's book and by our rows, one part after the other."""
    rows = await connection.execute(
        text(
            f"""
            WITH theirs AS (
                SELECT date_bin(CAST(:width AS interval), paid_at, :since) AS at,
                    sum(amount)::bigint AS won
                FROM gateway_records WHERE run_id = :run AND {_OURS} AND {_OF_OURS} GROUP BY 1
            ), ours AS (
                SELECT date_bin(CAST(:width AS interval), paid_at, :since) AS at,
                    sum(amount)::bigint AS won
                FROM payments WHERE {_OURS} GROUP BY 1
            )
            SELECT g.at, coalesce(t.won, 0), coalesce(o.won, 0)
            FROM generate_series(
                CAST(:since AS timestamptz),
                CAST(:until AS timestamptz) - interval '1 microsecond',
                CAST(:width AS interval)
            ) AS g (at)
            LEFT JOIN theirs t ON t.at = g.at LEFT JOIN ours o ON o.at = g.at
            ORDER BY g.at
            """  # noqa: S608 - made of constants only
        ),
        {"run": run_id, "since": since, "until": until, "width": width},
    )
    return [Bar(*row) for row in rows]


async def payments_left_out(
    connection: AsyncConnection,
    run_id: int,
    since: datetime,
    until: datetime,
    ids: tuple[int, int],
) -> list[str]:
    """Return payments of ours of a window that are not staged, of those with ids ``(from, to]``."""
    await look_up_by_index(connection)
    rows = await connection.execute(
        text(
            f"""
            SELECT p.imp_uid FROM payments p
            WHERE p.id > :first AND p.id <= :last AND {_OURS} AND NOT EXISTS (
                SELECT FROM gateway_records r WHERE r.run_id = :run AND r.imp_uid = p.imp_uid
            )
            ORDER BY p.id
            """  # noqa: S608 - made of constants only
        ),
        {"run": run_id, "since": since, "until": until, "first": ids[0], "last": ids[1]},
    )
    return [row.imp_uid for row in rows]


async def refunded_left_out(
    connection: AsyncConnection,
    run_id: int,
    window: tuple[datetime, datetime],
    begun_at: datetime,
    limit: int,
) -> list[str]:
    """Return some payments of which we gave something back in a window and that are not staged."""
    rows = await connection.execute(
        text(
            """
            SELECT DISTINCT p.imp_uid FROM refunds f JOIN payments p ON p.id = f.payment_id
            WHERE f.status = 'done' AND f.settled_at >= :since AND f.settled_at < :until
              AND NOT EXISTS (
                SELECT FROM gateway_records r WHERE r.run_id = :run AND r.imp_uid = p.imp_uid
              )
              AND NOT EXISTS (
                SELECT FROM discrepancies d
                WHERE d.imp_uid = p.imp_uid AND d.difference = 'ours_only'
                  AND d.seen_at >= :begun_at
              )
            LIMIT :limit
            """
        ),
        {
            "run": run_id,
            "since": window[0],
            "until": window[1],
            "begun_at": begun_at,
            "limit": limit,
        },
    )
    return [row.imp_uid for row in rows]
