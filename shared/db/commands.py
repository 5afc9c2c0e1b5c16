"""Commands that were worked, each with its first result."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json
from shared.db.text import to_json


@dataclass(frozen=True, slots=True)
class WorkedCommand:
    """A command as it came first, and what came of it."""

    task: str
    digest: str
    result: Mapping[str, Json]


async def begin(
    connection: AsyncConnection, command_id: str, task: str, digest: str
) -> WorkedCommand | None:
    """Take a command_id for this transaction; return what it was used for if it is taken.

    Whoever comes second waits here until the first one has committed or has given up.
    """
    begun = await connection.execute(
        text(
            """
            INSERT INTO commands (command_id, task, digest, result)
            VALUES (:command_id, :task, :digest, '{}')
            ON CONFLICT DO NOTHING
            """
        ),
        {"command_id": command_id, "task": task, "digest": digest},
    )
    if begun.rowcount:
        return None
    found = await connection.execute(
        text("SELECT task, digest, result FROM commands WHERE command_id = :command_id"),
        {"command_id": command_id},
    )
    return WorkedCommand(*found.one())


async def finish(connection: AsyncConnection, command_id: str, result: Mapping[str, Json]) -> None:
    """Keep the result of a command that this transaction has begun."""
    await connection.execute(
        text("UPDATE commands SET result = CAST(:result AS jsonb) WHERE command_id = :command_id"),
        {"command_id": command_id, "result": to_json(result)},
    )
