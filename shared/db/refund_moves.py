"""What the endings of refunds change, written for a whole group at once under compare-and-set."""

from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import iso
from shared.billing.refund import REFUND_INQUIRABLE, REFUND_UNSETTLED, RefundStatus
from shared.billing.refunding import RefundMove
from shared.db import outbox
from shared.db.tables import one_of
from shared.db.text import storable, to_json


async def apply_moves(connection: AsyncConnection, moves: Sequence[RefundMove]) -> frozenset[int]:
    """Write moves, each under compare-and-set: refund, payment and events together or not at all.

    A move wins only while its refund is unresolved, nobody has sent it again since, and its
    checksum is the same. One that reports the money as given back wins from every unsettled state,
    since the gateway's word ends all waiting. Returns the ids of the refunds whose move was
    written.
    """
    told = [
        {
            "refund_id": move.claim.refund_id,
            "subscription_id": event.subscription_id and str(event.subscription_id),
            "name": event.name,
            "data": event.data,
        }
        for move in moves
        for event in move.events
    ]
    rows = [_move_row(move) for move in moves]
    won = await connection.execute(_APPLY, {"moves": to_json(rows), "events": to_json(told)})
    return frozenset(row.id for row in won)


_APPLY = text(
    f"""
    WITH moves AS (
        SELECT * FROM jsonb_to_recordset(CAST(:moves AS jsonb)) AS m (
            refund_id bigint, send_number int, imp_uid text, checksum bigint, status text,
            next_send_at timestamptz, inquire_at timestamptz, unknown_since timestamptz,
            keeps_checksum boolean, inquiries int, refusal text, message text,
            cancellation_id text, settled_at timestamptz
        )
    ), won AS (
        UPDATE refunds r
        SET status = m.status, next_send_at = m.next_send_at, inquire_at = m.inquire_at,
            dispatched_at = NULL, unknown_since = m.unknown_since, inquiries = m.inquiries,
            checksum = CASE WHEN m.keeps_checksum THEN r.checksum END,
            refusal = m.refusal, message = m.message, cancellation_id = m.cancellation_id,
            settled_at = m.settled_at
        FROM moves m
        WHERE r.id = m.refund_id AND r.send_number = m.send_number AND r.checksum = m.checksum
          -- In a database that was set back, numbers are given again.
          AND EXISTS (SELECT FROM payments p WHERE p.id = r.payment_id AND p.imp_uid = m.imp_uid)
          AND (r.{one_of("status", REFUND_INQUIRABLE)}
               OR m.status = 'done' AND r.{one_of("status", REFUND_UNSETTLED)})
        RETURNING r.id, r.payment_id, r.amount, r.tax_free, m.checksum, m.status = 'done' AS done
    ), given_back AS (
        UPDATE payments p
        SET cancelled_amount = p.cancelled_amount + w.amount,
            cancelled_tax_free = p.cancelled_tax_free + w.tax_free
        FROM won w
        WHERE p.id = w.payment_id AND w.done
          -- Unless somebody has taken over the sum that the gateway shows with this refund in it.
          AND p.cancelled_amount = p.amount - w.checksum
    ), given AS (
        SELECT * FROM ROWS FROM (
            jsonb_to_recordset(CAST(:events AS jsonb))
            AS (refund_id bigint, subscription_id uuid, name text, data jsonb)
        ) WITH ORDINALITY AS e (refund_id, subscription_id, name, data, position)
    ), {outbox.HELD}, told AS (
        INSERT INTO events (subscription_id, name, data)
        SELECT e.subscription_id, e.name, e.data
        FROM given e LEFT JOIN held h ON h.id = e.subscription_id
        JOIN won w ON w.id = e.refund_id
        WHERE e.subscription_id IS NULL OR h.id IS NOT NULL
        ORDER BY e.position
    )
    SELECT id FROM won
    """  # noqa: S608 - made of constants only
)


async def end_unsent(connection: AsyncConnection, moves: Sequence[RefundMove]) -> None:
    """Write the ends of refunds that were never sent, whose rows the caller holds locked."""
    if not moves:
        return
    await connection.execute(
        text(
            """
            UPDATE refunds r
            SET status = m.status, next_send_at = NULL, dispatched_at = NULL,
                message = m.message, settled_at = m.settled_at
            FROM jsonb_to_recordset(CAST(:moves AS jsonb))
                AS m (refund_id bigint, status text, message text, settled_at timestamptz)
            WHERE r.id = m.refund_id AND r.status = 'waiting' AND r.checksum IS NULL
            """
        ),
        {"moves": to_json([_move_row(move) for move in moves])},
    )
    await outbox.write(connection, [event for move in moves for event in move.events])


async def standing(
    connection: AsyncConnection, imp_uids: Mapping[int, str]
) -> dict[int, RefundStatus]:
    """Return the status of refunds, for moves that came too late.

    Those that are not there under the number and of the payment of the move are left out.
    """
    rows = await connection.execute(
        text(
            """
            SELECT r.id, r.status, p.imp_uid FROM refunds r JOIN payments p ON p.id = r.payment_id
            WHERE r.id = ANY(CAST(:ids AS bigint[]))
            """
        ),
        {"ids": list(imp_uids)},
    )
    return {row.id: RefundStatus(row.status) for row in rows if row.imp_uid == imp_uids[row.id]}


def _move_row(move: RefundMove) -> dict[str, str | int | bool | None]:
    return {
        "refund_id": move.claim.refund_id,
        "send_number": move.claim.send_number,
        "imp_uid": move.claim.imp_uid,
        "checksum": move.claim.checksum,
        "status": move.status,
        "next_send_at": iso(move.next_send_at),
        "inquire_at": iso(move.inquire_at),
        "unknown_since": iso(move.unknown_since),
        "keeps_checksum": move.keeps_checksum,
        "inquiries": move.inquiries,
        "refusal": None if move.refusal is None else storable(move.refusal),
        "message": None if move.message is None else storable(move.message),
        "cancellation_id": move.cancellation_id,
        "settled_at": iso(move.settled_at),
    }
