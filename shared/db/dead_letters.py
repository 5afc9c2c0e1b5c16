"""What nobody will work again by itself, kept with its cause."""

from collections.abc import Mapping
from dataclasses import dataclass

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
class RefundLetter:
    """A refund that a person must decide."""

    refund_id: int
    cause: str
    payload: Mapping[str, object]


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


async def bury_message_once(
    connection: AsyncConnection, task: str, cause: str, payload: object
) -> None:
    """Keep a message as above, unless the same one waits for a person already."""
    kept = to_json({"task": task, "message": payload})
    found = await connection.scalar(
        text(
            """
            SELECT EXISTS (
                SELECT FROM dead_letters
                WHERE kind = 'message' AND resolved_at IS NULL
                  AND payload = CAST(:payload AS jsonb)
            )
            """
        ),
        {"payload": kept},
    )
    if not found:
        await bury_message(connection, task, cause, payload)


async def bury_attempt(connection: AsyncConnection, letter: AttemptLetter) -> None:
    """Keep an attempt for a person, once for each cause unless one was taken up again since."""
    await connection.execute(
        text(
            """
            INSERT INTO dead_letters (kind, attempt_id, cause, payload)
            SELECT 'attempt', :attempt_id, :cause, CAST(:payload AS jsonb)
            WHERE NOT EXISTS (
                SELECT FROM dead_letters
                WHERE attempt_id = :attempt_id AND cause = :cause
                  AND resolution IS DISTINCT FROM 'requeued'
            )
            """
        ),
        {
            "attempt_id": letter.attempt_id,
            "cause": storable(letter.cause),
            "payload": to_json(letter.payload),
        },
    )


async def bury_refund(connection: AsyncConnection, letter: RefundLetter) -> None:
    """Keep a refund for a person, once for each cause until the letter is resolved."""
    await connection.execute(
        text(
            """
            INSERT INTO dead_letters (kind, refund_id, cause, payload)
            SELECT 'refund', :refund_id, :cause, CAST(:payload AS jsonb)
            WHERE NOT EXISTS (
                SELECT FROM dead_letters
                WHERE refund_id = :refund_id AND cause = :cause AND resolved_at IS NULL
            )
            """
        ),
        {
            "refund_id": letter.refund_id,
            "cause": storable(letter.cause),
            "payload": to_json(letter.payload),
        },
    )


async def bury_payment(
    connection: AsyncConnection, cause: str, payload: Mapping[str, object]
) -> None:
    """Keep a payment that nobody here has asked for, or that is not as it was asked for."""
    await connection.execute(
        text(
            """
            INSERT INTO dead_letters (kind, cause, payload)
            VALUES ('payment', :cause, CAST(:payload AS jsonb))
            """
        ),
        {"cause": storable(cause), "payload": to_json(payload)},
    )


async def bury_payment_once(
    connection: AsyncConnection, cause: str, payload: Mapping[str, object]
) -> bool:
    """Keep a payment as above, unless the same one was kept before; return whether it was not."""
    kept = to_json(payload)
    found = await connection.scalar(
        text(
            """
            SELECT EXISTS (
                SELECT FROM dead_letters
                WHERE kind = 'payment' AND payload = CAST(:payload AS jsonb)
            )
            """
        ),
        {"payload": kept},
    )
    if not found:
        await bury_payment(connection, cause, payload)
    return not found
