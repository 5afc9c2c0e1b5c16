"""Moves: what an ending changes, written for a whole group at once under compare-and-set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import INQUIRABLE, UNSETTLED, AttemptStatus
from shared.billing.collection import Move
from shared.billing.events import iso
from shared.db import outbox
from shared.db.tables import one_of
from shared.db.text import storable, to_json


@dataclass(frozen=True, slots=True)
class Applied:
    """Which moves were written.

    Attributes:
        won: Attempts whose move was written.
        stray_payments: Attempts that turned out paid while their invoice was no longer open.
    """

    won: frozenset[int]
    stray_payments: frozenset[int]


async def apply_moves(connection: AsyncConnection, moves: Sequence[Move]) -> Applied:
    """Write moves, each under compare-and-set: attempt, invoice, payment and events together.

    A move wins only while its attempt is unresolved and nobody has sent it again since. One that
    reports money wins from every unsettled state, since the gateway's word ends all waiting. A
    payment that has settled another attempt or window already is refused by its ``imp_uid``.
    """
    rows = [_move_row(move) for move in moves]
    told = [
        {
            "attempt_id": move.claim.attempt_id,
            "subscription_id": event.subscription_id and str(event.subscription_id),
            "name": event.name,
            "data": event.data,
        }
        for move in moves
        for event in move.events
    ]
    result = await connection.execute(_APPLY, {"moves": to_json(rows), "events": to_json(told)})
    written = list(result)
    return Applied(
        frozenset(row.attempt_id for row in written),
        frozenset(row.attempt_id for row in written if row.paid and row.invoice_id is None),
    )


_APPLY = text(
    f"""
    WITH moves AS (
        SELECT * FROM jsonb_to_recordset(CAST(:moves AS jsonb)) AS m (
            attempt_id bigint, send_number int, merchant_uid text, attempt_status text,
            invoice_status text,
            next_attempt_at timestamptz, past_due_at timestamptz, inquire_at timestamptz,
            unknown_since timestamptz,
            inquiries int, no_records int,
            held_by_gateway boolean, declines int, imp_uid text, receipt_url text, message text,
            paid_at timestamptz, settled_at timestamptz
        )
    ), won AS (
        UPDATE payment_attempts a
        SET status = m.attempt_status, inquire_at = m.inquire_at, dispatched_at = NULL,
            unknown_since = m.unknown_since, inquiries = m.inquiries,
            no_records = m.no_records, held_by_gateway = m.held_by_gateway, imp_uid = m.imp_uid,
            receipt_url = m.receipt_url, message = m.message, settled_at = m.settled_at
        FROM moves m
        WHERE a.id = m.attempt_id AND a.send_number = m.send_number
          -- In a database that was set back, numbers are given again.
          AND a.merchant_uid = m.merchant_uid
          AND (a.{one_of("status", INQUIRABLE)}
               OR m.attempt_status = 'paid' AND a.{one_of("status", UNSETTLED)})
        RETURNING a.id, a.invoice_id, m.attempt_status = 'paid' AS paid,
            a.imp_uid, a.merchant_uid, a.amount, a.tax_free, m.paid_at
    ), collected AS (
        INSERT INTO payments (imp_uid, merchant_uid, attempt_id, amount, tax_free, paid_at)
        SELECT imp_uid, merchant_uid, id, amount, tax_free, paid_at FROM won WHERE paid
    ), moved AS (
        UPDATE invoices i
        SET status = m.invoice_status, dispatched_at = NULL,
            next_attempt_at = CASE WHEN NOT i.collection_stopped THEN m.next_attempt_at END,
            declines = m.declines, paid_at = m.paid_at, message = m.message,
            past_due_at = coalesce(i.past_due_at, m.past_due_at),
            planned_attempt_at = CASE WHEN m.settled_at IS NULL THEN i.planned_attempt_at END
        FROM won w JOIN moves m ON m.attempt_id = w.id
        WHERE i.id = w.invoice_id AND i.status = 'open'
        RETURNING i.id
    ), given AS (
        SELECT * FROM ROWS FROM (
            jsonb_to_recordset(CAST(:events AS jsonb))
            AS (attempt_id bigint, subscription_id uuid, name text, data jsonb)
        ) WITH ORDINALITY AS e (attempt_id, subscription_id, name, data, position)
    ), {outbox.HELD}, told AS (
        INSERT INTO events (subscription_id, name, data)
        SELECT e.subscription_id, e.name, e.data
        FROM given e JOIN held h ON h.id = e.subscription_id
        JOIN won w ON w.id = e.attempt_id
        LEFT JOIN moved i ON i.id = w.invoice_id
        -- Of an invoice that was closed meanwhile nothing is told that did not happen to it.
        WHERE i.id IS NOT NULL OR e.name NOT LIKE 'invoice.%'
        ORDER BY e.position
    )
    SELECT w.id AS attempt_id, w.paid, moved.id AS invoice_id
    FROM won w LEFT JOIN moved ON moved.id = w.invoice_id
    """  # noqa: S608 - made of constants only
)


async def standing(
    connection: AsyncConnection, merchant_uids: Mapping[int, str]
) -> dict[int, tuple[AttemptStatus, str | None]]:
    """Return the status and ``imp_uid`` of attempts, for moves that came too late.

    Those that are not there under the number and the ``merchant_uid`` of the move are left out.
    """
    rows = await connection.execute(
        text(
            """
            SELECT id, merchant_uid, status, imp_uid FROM payment_attempts
            WHERE id = ANY(CAST(:ids AS bigint[]))
            """
        ),
        {"ids": list(merchant_uids)},
    )
    return {
        row.id: (AttemptStatus(row.status), row.imp_uid)
        for row in rows
        if row.merchant_uid == merchant_uids[row.id]
    }


@dataclass(frozen=True, slots=True)
class DeadMethods:
    """How many attempts were settled lately, how many by a dead method, how many of these last."""

    settled: int
    dead: int
    in_a_row: int


async def dead_methods(connection: AsyncConnection, since: datetime) -> DeadMethods:
    """Return the counts since an instant, and those since the last ending of another kind."""
    row = (
        await connection.execute(
            text(
                """
                SELECT count(*) FILTER (WHERE settled_at >= :since) AS settled,
                    count(*) FILTER (WHERE settled_at >= :since AND status = 'method_dead') AS dead,
                    count(*) FILTER (WHERE status = 'method_dead' AND (
                        other_at IS NULL OR settled_at > other_at)) AS in_a_row
                FROM payment_attempts, (
                    SELECT max(settled_at) AS other_at FROM payment_attempts
                    WHERE settled_at IS NOT NULL AND status <> 'method_dead'
                ) AS other
                WHERE settled_at >= least(:since, coalesce(other_at, '-infinity'))
                """
            ),
            {"since": since},
        )
    ).one()
    return DeadMethods(row.settled, row.dead, row.in_a_row)


def _move_row(move: Move) -> dict[str, str | int | bool | None]:
    return {
        "attempt_id": move.claim.attempt_id,
        "send_number": move.claim.send_number,
        "merchant_uid": move.claim.merchant_uid,
        "attempt_status": move.attempt_status,
        "invoice_status": move.invoice_status,
        "next_attempt_at": iso(move.next_attempt_at),
        "past_due_at": iso(move.past_due_at),
        "inquire_at": iso(move.inquire_at),
        "unknown_since": iso(move.unknown_since),
        "inquiries": move.inquiries,
        "no_records": move.no_records,
        "held_by_gateway": move.held_by_gateway,
        "declines": move.declines,
        "imp_uid": move.imp_uid,
        "receipt_url": move.receipt_url,
        "message": None if move.message is None else storable(move.message),
        "paid_at": iso(move.paid_at),
        "settled_at": iso(move.settled_at),
    }
