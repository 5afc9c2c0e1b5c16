"""What nobody will work again by itself, kept with its cause."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.text import storable, to_json


@dataclass(frozen=True, slots=True)
class AttemptLetter:
    """An attempt that a person must decide."""

    attempt_id: int
    cause: str
    payload: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as it stands, for people to read."""

    id: int
    kind: str
    attempt_id: int | None
    cause: str
    created_at: datetime


async def bury_message(connection: AsyncConnection, task: str, cause: str, payload: object) -> None:
    """Keep a message that cannot be worked, with the validator's words."""
    await connection.execute(
        text(
            """
            INSERT INTO dead_letters (kind, cause, payload)
            VALUES ('message', :cause, CAST(:payload AS jsonb))
            """
        ),
        {"cause": storable(cause), "payload": to_json({"task": task, "message": payload})},
    )


async def bury_attempt(connection: AsyncConnection, letter: AttemptLetter) -> None:
    """Keep an attempt for a person, once for each cause."""
    await connection.execute(
        text(
            """
            INSERT INTO dead_letters (kind, attempt_id, cause, payload)
            SELECT 'attempt', :attempt_id, :cause, CAST(:payload AS jsonb)
            WHERE NOT EXISTS (
                SELECT FROM dead_letters WHERE attempt_id = :attempt_id AND cause = :cause
            )
            """
        ),
        {
            "attempt_id": letter.attempt_id,
            "cause": storable(letter.cause),
            "payload": to_json(letter.payload),
        },
    )


async def newest(connection: AsyncConnection, limit: int) -> list[DeadLetter]:
    """Return the newest dead letters, newest first."""
    rows = await connection.execute(
        text(
            """
            SELECT id, kind, attempt_id, cause, created_at
            FROM dead_letters ORDER BY id DESC LIMIT :limit
            """
        ),
        {"limit": limit},
    )
    return [DeadLetter(*row) for row in rows]
