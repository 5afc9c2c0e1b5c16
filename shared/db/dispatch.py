"""Rows that somebody must work, and for which no message is under way.

Every scan asks the same of its table: what is due, and of that what no message was sent for lately.
The note that one will be is committed before it is sent, so a death in between costs time and no
second message; one that was lost (an emptied broker, such a death) is sent again after a while.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

RESEND_AFTER = "CAST(:resend_after AS interval)"


def dispatching(
    table: str, due: str, order: str, *, again: str = RESEND_AFTER, tells: str = ""
) -> TextClause:
    """Return the statement that finds due rows and notes that messages for them will be sent.

    What another scan holds locked is left out.

    Args:
        table: Its rows are ``d`` in the conditions; it has ``id`` and ``dispatched_at``.
        due: When a row is due, at ``:now``.
        order: Which come first.
        again: How long a message is waited for before it counts as lost.
        tells: What is returned of each row beside its ``id``, beginning with a comma.
    """
    return text(
        f"""
        WITH due AS (
            SELECT d.id FROM {table} d
            WHERE {due} AND (d.dispatched_at IS NULL OR d.dispatched_at <= :now - {again})
            ORDER BY {order} LIMIT :limit
            FOR NO KEY UPDATE SKIP LOCKED
        )
        UPDATE {table} d SET dispatched_at = :now FROM due WHERE d.id = due.id
        RETURNING d.id{tells}
        """  # noqa: S608 - made of constants only
    )


async def dispatch(
    connection: AsyncConnection,
    statement: TextClause,
    limit: int,
    now: datetime,
    resend_after: timedelta,
    **values: object,
) -> list[Row[Any]]:
    """Return what is due, by id; at most ``limit`` rows."""
    rows = await connection.execute(
        statement, {"now": now, "limit": limit, "resend_after": resend_after, **values}
    )
    return sorted(rows, key=lambda row: row.id)
