"""Hints: what somebody says of a payment, and how far it has been looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import AttemptStatus, Claim
from shared.db.claims import CLAIM_COLUMNS, claim_of
from shared.db.dispatch import dispatch, dispatching
from shared.db.text import storable

# The finding that is told once a payment, whoever says what of it and however often.
UNRECOGNIZED = "unrecognized"
# How many hints about payments that are not known to be ours may wait; further ones are let go.
UNKNOWN_WAITING_MAX = 10_000
# Keeps two readings of one payment apart; no other advisory lock of ours takes a seed.
_PAYMENT_LOCK_SEED = 726_582_002


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody says of a payment.

    Attributes:
        status: What is said, by a webhook in the gateway's words.
        command_id: The command that says it, if one does; the merchant waits for an answer then.
    """

    imp_uid: str
    status: str
    merchant_uid: str | None = None
    cancellation_id: str = ""
    command_id: str | None = None


@dataclass(frozen=True, slots=True)
class Hint:
    """A hint that is to be looked at; ``reads`` and ``next_read_at`` tell one reading from another.

    Attributes:
        known: Whether the payment it speaks of is known to be one of ours.
        repeats: How often it had been said again when this reading began.
    """

    id: int
    imp_uid: str
    merchant_uid: str | None
    command_id: str | None
    known: bool
    reads: int
    repeats: int
    next_read_at: datetime


async def store(
    connection: AsyncConnection, said: Said, now: datetime, again_after: timedelta
) -> int | None:
    """Keep a hint to be looked at, once however often it is said; return its id.

    One that has been looked at already is looked at again, but not sooner than ``again_after``: not
    every cancellation is told under an id of its own. That a payment is paid which is kept here
    already is no news: the gateway tells it of every charge. None means that it was let go, since
    more than enough wait that nobody here knows of.
    """
    row = (
        await connection.execute(
            _STORE,
            {
                "imp_uid": storable(said.imp_uid),
                "merchant_uid": None if said.merchant_uid is None else storable(said.merchant_uid),
                "status": storable(said.status),
                "cancellation_id": storable(said.cancellation_id),
                "command_id": said.command_id,
                "now": now,
                "again_after": again_after,
                "waiting_max": UNKNOWN_WAITING_MAX,
            },
        )
    ).first()
    return None if row is None else int(row.id)


_STORE = text(
    """
    WITH kept AS (
        SELECT EXISTS (SELECT FROM payments WHERE imp_uid = :imp_uid) AS is_kept
    ), said AS (
        SELECT is_kept OR EXISTS (SELECT FROM payment_attempts WHERE merchant_uid = :merchant_uid)
                OR EXISTS (SELECT FROM windows WHERE merchant_uid = :merchant_uid) AS known,
            is_kept AND :status = 'paid' AS is_no_news
        FROM kept
    )
    INSERT INTO hints AS h (
        imp_uid, merchant_uid, said_status, cancellation_id, command_id, known, next_read_at,
        created_at
    )
    SELECT :imp_uid, CAST(:merchant_uid AS text), :status, :cancellation_id,
        CAST(:command_id AS text), known, CASE WHEN NOT is_no_news THEN :now END, :now
    FROM said
    WHERE known OR :waiting_max > (
        SELECT count(*) FROM (
            SELECT FROM hints WHERE next_read_at IS NOT NULL AND NOT known LIMIT :waiting_max
        ) AS waiting
    )
    ON CONFLICT (imp_uid, said_status, cancellation_id) DO UPDATE
    SET repeats = h.repeats + 1,
        known = h.known OR excluded.known,
        merchant_uid = coalesce(h.merchant_uid, excluded.merchant_uid),
        command_id = coalesce(excluded.command_id, h.command_id),
        reads = CASE WHEN h.next_read_at IS NULL THEN 0 ELSE h.reads END,
        dispatched_at = CASE WHEN h.next_read_at IS NULL THEN NULL ELSE h.dispatched_at END,
        next_read_at = coalesce(
            h.next_read_at,
            CASE WHEN excluded.next_read_at IS NOT NULL
                THEN greatest(:now, h.read_at + CAST(:again_after AS interval)) END
        )
    RETURNING id
    """
)


async def dispatch_due(
    connection: AsyncConnection,
    limit: int,
    unknown_limit: int,
    now: datetime,
    resend_after: timedelta,
) -> list[int]:
    """Return hints to be looked at that have no message under way, and note that one will be.

    Those about payments of ours come first; of the others ``unknown_limit`` at most are taken, so
    that a flood of them holds nobody up. A message that was lost is sent again after
    ``resend_after``.
    """
    found: list[int] = []
    for known, most in ((True, limit), (False, min(limit, unknown_limit))):
        rows = await dispatch(connection, _DISPATCH, most, now, resend_after, known=known)
        found += [row.id for row in rows]
    return found


_DISPATCH = dispatching(
    "hints",
    "d.next_read_at IS NOT NULL AND d.next_read_at <= :now AND d.known = :known",
    "d.next_read_at",
)


async def readable(
    connection: AsyncConnection, hint_ids: Sequence[int], now: datetime
) -> list[Hint]:
    """Return those of the hints that are to be looked at now."""
    rows = await connection.execute(
        text(
            """
            SELECT id, imp_uid, merchant_uid, command_id, known, reads, repeats, next_read_at
            FROM hints WHERE id = ANY(CAST(:ids AS bigint[])) AND next_read_at <= :now ORDER BY id
            """
        ),
        {"ids": list(hint_ids), "now": now},
    )
    return [Hint(*row) for row in rows]


async def lock(connection: AsyncConnection, hint: Hint) -> bool:
    """Lock a hint for the end of a reading; False if another reading has ended it meanwhile.

    Every reading of the same payment waits, whatever was said of it.
    """
    mine = await connection.scalar(
        text(
            """
            SELECT id FROM hints
            WHERE id = :id AND reads = :reads AND next_read_at = :next_read_at
            FOR NO KEY UPDATE
            """
        ),
        {"id": hint.id, "reads": hint.reads, "next_read_at": hint.next_read_at},
    )
    if mine is None:
        return False
    await connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:imp_uid, :seed))"),
        {"imp_uid": hint.imp_uid, "seed": _PAYMENT_LOCK_SEED},
    )
    return True


async def end_reading(
    connection: AsyncConnection,
    hint: Hint,
    finding: str,
    now: datetime,
    again_after: timedelta,
    next_read_at: datetime | None = None,
) -> None:
    """Write what came of a reading of a locked hint, and when it is read next, if it is.

    What was said again during the reading may be newer than what was read.
    """
    await connection.execute(
        text(
            """
            UPDATE hints
            SET reads = reads + 1, read_at = :now, dispatched_at = NULL,
                finding = CASE WHEN finding = :unrecognized THEN finding ELSE :finding END,
                next_read_at = coalesce(
                    CAST(:next_read_at AS timestamptz),
                    CASE WHEN repeats > :repeats THEN :now + CAST(:again_after AS interval) END
                )
            WHERE id = :id
            """
        ),
        {
            "id": hint.id,
            "finding": storable(finding),
            "unrecognized": UNRECOGNIZED,
            "repeats": hint.repeats,
            "now": now,
            "again_after": again_after,
            "next_read_at": next_read_at,
        },
    )


async def is_told(connection: AsyncConnection, imp_uid: str) -> bool:
    """Say whether it was told already that nobody here has asked for a payment."""
    found = await connection.scalar(
        text("SELECT EXISTS (SELECT FROM hints WHERE imp_uid = :imp_uid AND finding = :finding)"),
        {"imp_uid": imp_uid, "finding": UNRECOGNIZED},
    )
    return bool(found)


async def is_pending(connection: AsyncConnection, hint_ids: Sequence[int]) -> bool:
    """Say whether any of the hints is still to be looked at."""
    found = await connection.scalar(
        text(
            """
            SELECT EXISTS (
                SELECT FROM hints
                WHERE id = ANY(CAST(:ids AS bigint[])) AND next_read_at IS NOT NULL
            )
            """
        ),
        {"ids": list(hint_ids)},
    )
    return bool(found)


async def forget(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Delete hints of before an instant that have been looked at; return how many these were.

    What was told of a payment that nobody asked for is kept, so that it is told once.
    """
    gone = await connection.execute(
        text(
            """
            DELETE FROM hints WHERE id IN (
                SELECT id FROM hints
                WHERE created_at < :before AND next_read_at IS NULL
                  AND finding IS DISTINCT FROM :unrecognized
                ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED
            )
            RETURNING id
            """
        ),
        {"before": before, "limit": limit, "unrecognized": UNRECOGNIZED},
    )
    return len(gone.all())


@dataclass(frozen=True, slots=True)
class NamedAttempt:
    """The attempt of a ``merchant_uid``, as it stands."""

    claim: Claim = field(repr=False)
    status: AttemptStatus
    imp_uid: str | None


async def attempt_named(connection: AsyncConnection, merchant_uid: str) -> NamedAttempt | None:
    """Return the attempt of a ``merchant_uid``, whether it has ended or not.

    Raises:
        BillingError: Its row makes no sense.
    """
    row = (
        await connection.execute(
            text(
                f"""
                SELECT {CLAIM_COLUMNS}, a.imp_uid
                FROM payment_attempts a
                JOIN invoices i ON i.id = a.invoice_id
                JOIN subscriptions s ON s.id = i.subscription_id
                JOIN billing_keys k ON k.id = a.billing_key_id
                WHERE a.merchant_uid = :merchant_uid
                """  # noqa: S608 - made of constants only
            ),
            {"merchant_uid": merchant_uid},
        )
    ).first()
    return None if row is None else _named(row)


def _named(row: Row[Any]) -> NamedAttempt:
    claim = claim_of(row, row.number, row.send_number, row.merchant_uid, row.claimed_at)
    return NamedAttempt(claim, AttemptStatus(row.attempt_status), row.imp_uid)
