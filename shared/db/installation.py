"""The mark of the database, and the hold under which it stands once it was set back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.billing.installation import MARK_LEAP, Mark, Proof
from shared.db.holds import RESTORED
from shared.db.text import storable

# Used inside other statements, with the values of ``proof_values``: true while the database shows
# what whoever claims from it has seen last. It is one row, and read once a statement.
PROVEN = """
    CASE WHEN CAST(:proven_id AS uuid) IS NULL THEN NOT EXISTS (SELECT FROM installation)
        ELSE EXISTS (
            SELECT FROM installation
            WHERE installation_id = CAST(:proven_id AS uuid)
              AND mark >= CAST(:proven_mark AS bigint)
        ) END
"""
# Numbers of rows leap by this: more than can have been drawn since any backup, and by far fewer
# than JavaScript can count.
_IDS_LEAP = 1_000_000_000
# One recovery at a time, and one question to the gateway; no other advisory lock of ours has these
# numbers.
RECOVERY_LOCK = 726_582_003
PROOF_LOCK = 726_582_004


def proof_values(proof: Proof) -> dict[str, object]:
    """Return the values that ``PROVEN`` asks for."""
    return {"proven_id": proof.installation_id, "proven_mark": proof.number}


@dataclass(frozen=True, slots=True)
class Installation:
    """What the database says of itself.

    Attributes:
        mark: As it was raised last.
        restored_at: Since when it is known to have been set back, or None.
        cause: By what that was seen.
        recover_since: From when on charges may be lost, as far as anybody has said; or None.
    """

    mark: Mark
    restored_at: datetime | None
    cause: str | None
    recover_since: datetime | None


async def read(connection: AsyncConnection) -> Installation | None:
    """Return what the database says of itself; None while it has never been marked."""
    row = (
        await connection.execute(
            text(
                """
                SELECT installation_id, mark, marked_at, restored_at, cause, recover_since
                FROM installation
                """
            )
        )
    ).first()
    if row is None:
        return None
    mark = Mark(row.installation_id, row.mark, row.marked_at)
    return Installation(mark, row.restored_at, row.cause, row.recover_since)


async def has_charged(connection: AsyncConnection) -> bool:
    """Say whether any payment attempt was ever made here."""
    found = await connection.scalar(text("SELECT EXISTS (SELECT FROM payment_attempts)"))
    return bool(found)


async def mark(connection: AsyncConnection, shown: Mark | None, now: datetime) -> Mark | None:
    """Raise the mark that was read, or draw the first one; None if somebody else has meanwhile.

    A database that is known to have been set back is not marked.
    """
    if shown is None:
        statement = """
            INSERT INTO installation (id, installation_id, mark, marked_at)
            VALUES (1, :installation_id, 1, :now)
            ON CONFLICT (id) DO NOTHING
            RETURNING installation_id, mark, marked_at
        """
        values: dict[str, object] = {"installation_id": uuid4(), "now": now}
    else:
        statement = """
            UPDATE installation SET mark = mark + 1, marked_at = :now
            WHERE installation_id = :installation_id AND mark = :mark AND restored_at IS NULL
            RETURNING installation_id, mark, marked_at
        """
        values = {
            "installation_id": shown.installation_id,
            "mark": shown.number,
            "now": now,
        }
    row = (await connection.execute(text(statement), values)).first()
    return None if row is None else Mark(row.installation_id, row.mark, row.marked_at)


async def hold(connection: AsyncConnection, cause: str, now: datetime) -> bool:
    """Stop all that moves money until the database is recovered; False if it is stopped already.

    One that has never been marked gets its row here, with a mark that nobody has seen.
    """
    done = await connection.execute(
        text(
            """
            INSERT INTO installation AS i (
                id, installation_id, mark, marked_at, restored_at, cause
            )
            VALUES (1, :installation_id, 0, :now, :now, :cause)
            ON CONFLICT (id) DO UPDATE SET restored_at = excluded.restored_at, cause = :cause
            WHERE i.restored_at IS NULL
            RETURNING id
            """
        ),
        {"installation_id": uuid4(), "cause": storable(cause), "now": now},
    )
    return done.first() is not None


async def is_held(connection: AsyncConnection) -> bool:
    """Say whether the database is known to have been set back, and is not recovered yet."""
    return bool(await connection.scalar(text(f"SELECT {RESTORED}")))


async def recover_since(connection: AsyncConnection, since: datetime) -> None:
    """Note with the hold from when on charges may be lost; never later than was said before."""
    await connection.execute(
        text(
            """
            UPDATE installation SET recover_since = least(recover_since, :since)
            WHERE restored_at IS NOT NULL
            """
        ),
        {"since": since},
    )


@asynccontextmanager
async def alone(engine: AsyncEngine, lock: int) -> AsyncIterator[bool]:
    """Do what nobody else does meanwhile; false is yielded if somebody does.

    A connection of its own holds the lock, and with its end it is free.
    """
    async with engine.connect() as plain:
        connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
        taken = await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": lock})
        try:
            yield bool(taken)
        finally:
            if taken:
                await connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": lock})


async def leap(connection: AsyncConnection, now: datetime) -> bool:
    """Have new rows numbered beyond all that were lost, once a recovery; False if that is done.

    Numbers are told: a reader knows an event again by its number, and a worker that slept since
    before the backup was restored settles an attempt by its number. None of them may come to mean
    another row.
    """
    done = await connection.execute(
        text(
            """
            UPDATE installation SET leapt_at = :now
            WHERE restored_at IS NOT NULL AND leapt_at IS NULL
            RETURNING id
            """
        ),
        {"now": now},
    )
    if done.first() is None:
        return False
    await connection.execute(
        text(
            """
            SELECT setval(s.seqrelid::regclass, nextval(s.seqrelid::regclass) + :leap)
            FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
            WHERE c.relnamespace = 'public'::regnamespace AND s.seqtypid = 'bigint'::regtype
            """
        ),
        {"leap": _IDS_LEAP},
    )
    return True


async def recover(
    connection: AsyncConnection,
    seen: Mark | None,
    now: datetime,
    read_since: datetime | None = None,
) -> Mark | None:
    """Take the hold back and let the mark leap beyond all that anybody has seen.

    None if there is no hold: somebody else has finished; or if it is known by now that charges may
    be lost from before what was read.
    """
    row = (
        await connection.execute(
            text(
                """
                UPDATE installation
                SET restored_at = NULL, cause = NULL, leapt_at = NULL, recover_since = NULL,
                    recovered_at = :now, mark = greatest(mark, :seen) + :leap, marked_at = :now
                WHERE restored_at IS NOT NULL
                  AND coalesce(recover_since >= CAST(:read_since AS timestamptz), true)
                RETURNING installation_id, mark, marked_at
                """
            ),
            {
                "seen": 0 if seen is None else seen.number,
                "leap": MARK_LEAP,
                "now": now,
                "read_since": read_since,
            },
        )
    ).first()
    return None if row is None else Mark(row.installation_id, row.mark, row.marked_at)
