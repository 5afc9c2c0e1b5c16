"""The one brake on everything that is sent to the gateway."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.text import storable

# Used inside other statements: true while this database is known to be an older backup of what was
# billed from, and is not recovered (``shared/db/installation.py``).
RESTORED = "EXISTS (SELECT FROM installation WHERE restored_at IS NOT NULL)"
ON_HOLD = "EXISTS (SELECT FROM gateway_holds WHERE held_until > :now)"
# Used in the same way: true while nothing may be sent at the instant ``:now``, for either reason.
HELD = f"({ON_HOLD} OR {RESTORED})"


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing is sent, and until when."""

    cause: str
    held_until: datetime
    raised_at: datetime


async def hold(connection: AsyncConnection, cause: str, until: datetime, now: datetime) -> None:
    """Stop all sending until an instant; a longer hold is never shortened by a shorter one."""
    await connection.execute(
        text(
            """
            INSERT INTO gateway_holds (id, cause, held_until, raised_at)
            VALUES (1, :cause, :until, :now)
            ON CONFLICT (id) DO UPDATE
            SET cause = excluded.cause,
                held_until = excluded.held_until,
                raised_at = excluded.raised_at
            WHERE gateway_holds.held_until < excluded.held_until
            """
        ),
        {"cause": storable(cause), "until": until, "now": now},
    )


async def current(connection: AsyncConnection, now: datetime) -> Hold | None:
    """Return the hold in force at ``now``."""
    row = (
        await connection.execute(
            text("SELECT cause, held_until, raised_at FROM gateway_holds WHERE held_until > :now"),
            {"now": now},
        )
    ).first()
    return Hold(*row) if row else None


async def release(connection: AsyncConnection) -> None:
    """Let sending go on."""
    await connection.execute(text("DELETE FROM gateway_holds"))
