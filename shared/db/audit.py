"""What people did by hand, and why: written in the transaction of the change, never altered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json
from shared.db.text import storable, to_json


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that a person did.

    Attributes:
        actor: Who, as the operating system knows them.
        action: The command, for example ``dead-letter discard``.
        subject: What it was done to, for example ``dead letter 7``.
        reason: Why, in the person's words.
        details: What came of it: ids and amounts, never a secret.
    """

    id: int
    actor: str
    action: str
    subject: str
    reason: str | None
    details: Mapping[str, Json]
    created_at: datetime


async def note(
    connection: AsyncConnection,
    *,
    actor: str,
    action: str,
    subject: str,
    reason: str | None = None,
    details: Mapping[str, Json] | None = None,
) -> None:
    """Write down what a person is doing; part of the caller's transaction."""
    await connection.execute(
        text(
            """
            INSERT INTO audit_log (actor, action, subject, reason, details)
            VALUES (:actor, :action, :subject, :reason, CAST(:details AS jsonb))
            """
        ),
        {
            "actor": storable(actor),
            "action": action,
            "subject": storable(subject),
            "reason": None if reason is None else storable(reason),
            "details": to_json(details or {}),
        },
    )


async def newest(connection: AsyncConnection, limit: int) -> list[AuditEntry]:
    """Return what was done last, newest first."""
    rows = await connection.execute(
        text(
            """
            SELECT id, actor, action, subject, reason, details, created_at
            FROM audit_log ORDER BY id DESC LIMIT :limit
            """
        ),
        {"limit": limit},
    )
    return [AuditEntry(*row) for row in rows]
