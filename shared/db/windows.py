"""Payment windows: opened by a command, prepared, confirmed by what the gateway shows, expired.

Whoever holds a window's row and its billing key's has locked the key first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json
from shared.billing.money import Price
from shared.billing.window import WINDOW_OPEN, Confirmed, Window, WindowKind, WindowStatus
from shared.db.dispatch import dispatch, dispatching
from shared.db.tables import one_of
from shared.db.text import storable, to_json

_COLUMNS = """
    w.id, w.kind, w.status, w.merchant_uid, w.billing_key_id, k.customer_uid, w.amount, w.tax_free,
    w.order_name, w.expires_at, w.command_id, w.imp_uid, w.parameters
"""
_FROM = "FROM windows w LEFT JOIN billing_keys k ON k.id = w.billing_key_id"
_OPEN = one_of("status", WINDOW_OPEN)


@dataclass(frozen=True, slots=True)
class StoredWindow:
    """A window with what it was opened with, and the payment that confirmed it, if one did."""

    window: Window
    parameters: dict[str, Json]
    imp_uid: str | None


async def open_new(
    connection: AsyncConnection, window: Window, parameters: Json, now: datetime
) -> None:
    """Write a window that was asked for; its next step is to be prepared, or to expire."""
    is_ready = window.status is WindowStatus.READY
    await connection.execute(
        text(
            """
            INSERT INTO windows (
                id, kind, status, merchant_uid, billing_key_id, amount, tax_free, order_name,
                parameters, expires_at, next_step_at, command_id
            )
            VALUES (
                :id, :kind, :status, :merchant_uid, :billing_key_id, :amount, :tax_free,
                :order_name, CAST(:parameters AS jsonb), :expires_at,
                :next_step_at, :command_id
            )
            """
        ),
        {
            "id": window.id,
            "kind": window.kind,
            "status": window.status,
            "merchant_uid": window.merchant_uid,
            "billing_key_id": window.billing_key_id,
            "amount": window.price.amount,
            "tax_free": window.price.tax_free,
            "order_name": window.order_name,
            "parameters": to_json(parameters),
            "expires_at": window.expires_at,
            "next_step_at": window.expires_at if is_ready else now,
            "command_id": window.command_id,
        },
    )


async def named(connection: AsyncConnection, merchant_uid: str) -> StoredWindow | None:
    """Return the window of a ``merchant_uid``."""
    row = (
        await connection.execute(
            text(f"SELECT {_COLUMNS} {_FROM} WHERE w.merchant_uid = :uid"),
            {"uid": merchant_uid},
        )
    ).first()
    return None if row is None else _stored(row)


async def lock(connection: AsyncConnection, id_: UUID) -> StoredWindow:
    """Lock a window and return it as it stands."""
    row = (
        await connection.execute(
            text(f"SELECT {_COLUMNS} {_FROM} WHERE w.id = :id FOR NO KEY UPDATE OF w"),
            {"id": id_},
        )
    ).one()
    return _stored(row)


async def product_code(connection: AsyncConnection, key_id: int) -> str | None:
    """Return the ``naverProductCode`` of a key's newest window that was used, else of any."""
    code: str | None = await connection.scalar(
        text(
            """
            SELECT parameters ->> 'naverProductCode' FROM windows
            WHERE billing_key_id = :key AND parameters ? 'naverProductCode'
            ORDER BY status = 'confirmed' DESC, created_at DESC LIMIT 1
            """
        ),
        {"key": key_id},
    )
    return code


async def only_subscription(connection: AsyncConnection, key_id: int) -> UUID | None:
    """Return the one subscription of a key; None if it has none, or more than one."""
    rows = await connection.execute(
        text("SELECT id FROM subscriptions WHERE billing_key_id = :key LIMIT 2"), {"key": key_id}
    )
    found = [row.id for row in rows]
    return found[0] if len(found) == 1 else None


async def expire_open(
    connection: AsyncConnection,
    key_id: int,
    message: str,
    now: datetime,
    kinds: frozenset[WindowKind] = frozenset(WindowKind),
) -> list[Window]:
    """Wait no longer for the open windows of a locked key; return those that there were.

    A buyer may be in one of them all the same, so what was handed out is looked at when its time
    is over.
    """
    rows = await connection.execute(
        text(
            f"""
            WITH gone AS (
                UPDATE windows SET status = 'expired', dispatched_at = NULL,
                    next_step_at = CASE WHEN status = 'ready' THEN expires_at END,
                    message = :message, settled_at = :now
                WHERE billing_key_id = :key AND {_OPEN} AND kind = ANY(CAST(:kinds AS text[]))
                RETURNING *
            )
            SELECT {_COLUMNS} FROM gone w LEFT JOIN billing_keys k ON k.id = w.billing_key_id
            """  # noqa: S608 - made of constants only
        ),
        {"key": key_id, "message": message, "now": now, "kinds": sorted(map(str, kinds))},
    )
    return [_stored(row).window for row in rows]


@dataclass(frozen=True, slots=True)
class DueWindows:
    """Windows whose next step has come: to be prepared, or to be given up."""

    to_prepare: tuple[UUID, ...]
    to_close: tuple[UUID, ...]


async def dispatch_due(
    connection: AsyncConnection, limit: int, now: datetime, resend_after: timedelta
) -> DueWindows:
    """Return windows whose next step is due, and note that a message for it will be under way.

    A message that was lost is sent again after ``resend_after``.
    """
    found = await dispatch(connection, _DISPATCH, limit, now, resend_after)
    return DueWindows(
        tuple(row.id for row in found if row.prepare),
        tuple(row.id for row in found if not row.prepare),
    )


_DISPATCH = dispatching(
    "windows",
    "d.next_step_at <= :now",
    "d.next_step_at",
    tells=", d.status = 'requested' AND d.expires_at > :now AS prepare",
)


async def due(connection: AsyncConnection, ids: Sequence[UUID], now: datetime) -> list[Window]:
    """Return those of the windows whose next step has come."""
    rows = await connection.execute(
        text(
            f"""
            SELECT {_COLUMNS} {_FROM}
            WHERE w.id = ANY(CAST(:ids AS uuid[])) AND w.next_step_at <= :now
            ORDER BY w.id
            """
        ),
        {"ids": list(ids), "now": now},
    )
    return [_stored(row).window for row in rows]


async def make_ready(connection: AsyncConnection, id_: UUID) -> StoredWindow | None:
    """Note that a window is prepared; None if it no longer waits for that."""
    row = (
        await connection.execute(
            text(
                f"""
                WITH prepared AS (
                    UPDATE windows SET status = 'ready', next_step_at = expires_at,
                        dispatched_at = NULL, message = NULL
                    WHERE id = :id AND status = 'requested' RETURNING *
                )
                SELECT {_COLUMNS} FROM prepared w LEFT JOIN billing_keys k
                    ON k.id = w.billing_key_id
                """  # noqa: S608 - made of constants only
            ),
            {"id": id_},
        )
    ).first()
    return None if row is None else _stored(row)


async def fail(connection: AsyncConnection, id_: UUID, message: str, now: datetime) -> bool:
    """Note that the gateway refused to prepare a window; False if it no longer waits for that."""
    found = await connection.execute(
        text(
            """
            UPDATE windows SET status = 'failed', next_step_at = NULL, dispatched_at = NULL,
                message = :message, settled_at = :now
            WHERE id = :id AND status = 'requested' RETURNING id
            """
        ),
        {"id": id_, "message": storable(message), "now": now},
    )
    return found.first() is not None


async def postpone(connection: AsyncConnection, id_: UUID, message: str, until: datetime) -> None:
    """Take the next step of a window that has one later, and say on it why."""
    await connection.execute(
        text(
            """
            UPDATE windows SET next_step_at = :until, dispatched_at = NULL, message = :message
            WHERE id = :id AND next_step_at IS NOT NULL
            """
        ),
        {"id": id_, "message": storable(message), "until": until},
    )


async def expire(connection: AsyncConnection, id_: UUID, message: str, now: datetime) -> bool:
    """Wait no longer for a window; False if nobody waited for it."""
    found = await connection.execute(
        text(
            f"""
            UPDATE windows SET status = 'expired', next_step_at = NULL, dispatched_at = NULL,
                message = :message, settled_at = :now
            WHERE id = :id AND {_OPEN} RETURNING id
            """  # noqa: S608 - made of constants only
        ),
        {"id": id_, "message": message, "now": now},
    )
    return found.first() is not None


async def look_no_more(connection: AsyncConnection, id_: UUID) -> None:
    """Note that the last look at an expired window is done."""
    await connection.execute(
        text("UPDATE windows SET next_step_at = NULL WHERE id = :id AND status = 'expired'"),
        {"id": id_},
    )


async def confirm(connection: AsyncConnection, id_: UUID, found: Confirmed, now: datetime) -> None:
    """Write what the gateway shows of a window that the caller holds locked and not confirmed."""
    await connection.execute(
        text(
            """
            UPDATE windows SET status = 'confirmed', imp_uid = :imp_uid, paid_at = :paid_at,
                next_step_at = NULL, dispatched_at = NULL, message = NULL, settled_at = :now
            WHERE id = :id AND status <> 'confirmed'
            """
        ),
        {"id": id_, "imp_uid": found.imp_uid, "paid_at": found.paid_at, "now": now},
    )


async def has_later_one(
    connection: AsyncConnection, key_id: int, id_: UUID, paid_at: datetime | None
) -> bool:
    """Say whether another window of a key was used later than one that was used at ``paid_at``."""
    found = await connection.scalar(
        text(
            """
            SELECT EXISTS (
                SELECT FROM windows
                WHERE billing_key_id = :key AND status = 'confirmed' AND id <> :id
                  AND paid_at > CAST(:paid_at AS timestamptz)
            )
            """
        ),
        {"key": key_id, "id": id_, "paid_at": paid_at},
    )
    return bool(found)


def _stored(row: Row[Any]) -> StoredWindow:
    return StoredWindow(
        Window(
            id=row.id,
            kind=WindowKind(row.kind),
            status=WindowStatus(row.status),
            merchant_uid=row.merchant_uid,
            billing_key_id=row.billing_key_id,
            customer_uid=row.customer_uid,
            price=Price(row.amount, row.tax_free),
            order_name=row.order_name,
            expires_at=row.expires_at,
            command_id=row.command_id,
        ),
        row.parameters,
        row.imp_uid,
    )
