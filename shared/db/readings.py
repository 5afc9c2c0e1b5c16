"""What only people ask: joined and counted views that no hot path needs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json
from shared.billing.lifecycle import LIVING
from shared.billing.subscription import BillingKeyStatus, Buyer
from shared.billing.window import WINDOW_OPEN, WindowKind, WindowStatus
from shared.db.tables import one_of


@dataclass(frozen=True, slots=True)
class BillingKey:
    """A stored payment method as it stands."""

    customer_uid: str
    status: BillingKeyStatus
    buyer: Buyer

    def __repr__(self) -> str:
        """Say nothing but the status: the rest is a secret and a person."""
        return f"BillingKey(status={self.status!r})"

    @classmethod
    def of(cls, row: Row[Any]) -> "BillingKey":
        """Return the billing key that a row names."""
        buyer = Buyer(row.buyer_name, row.buyer_email, row.buyer_tel)
        return cls(row.customer_uid, BillingKeyStatus(row.status), buyer)


async def billing_key_of(connection: AsyncConnection, subscription_id: UUID) -> BillingKey | None:
    """Return the billing key of one subscription."""
    row = (
        await connection.execute(
            text(
                """
                SELECT k.customer_uid, k.status, k.buyer_name, k.buyer_email, k.buyer_tel
                FROM subscriptions s JOIN billing_keys k ON k.id = s.billing_key_id
                WHERE s.id = :id
                """
            ),
            {"id": subscription_id},
        )
    ).first()
    return BillingKey.of(row) if row else None


async def key_statuses(
    connection: AsyncConnection, billing_key_ids: Collection[int]
) -> dict[int, BillingKeyStatus]:
    """Return the status of each of the billing keys."""
    rows = await connection.execute(
        text("SELECT id, status FROM billing_keys WHERE id = ANY(CAST(:ids AS bigint[]))"),
        {"ids": list(billing_key_ids)},
    )
    return {row.id: BillingKeyStatus(row.status) for row in rows}


async def time_zones(
    connection: AsyncConnection, subscription_ids: Collection[UUID]
) -> dict[UUID, str]:
    """Return the time zone of each of the subscriptions."""
    rows = await connection.execute(
        text("SELECT id, time_zone FROM subscriptions WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": list(subscription_ids)},
    )
    return {row.id: row.time_zone for row in rows}


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """A payment window that a buyer may still use."""

    id: UUID
    kind: WindowKind
    status: WindowStatus
    merchant_uid: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class KeyCard:
    """A billing key with what hangs on it.

    Attributes:
        generation: Raised whenever the payment method behind the key changes.
        subscriptions: How many subscriptions are billed with it.
        window: The window that its buyer was asked to use, while it is open.
        delete_asked_at: Since when it is to be taken away, or None.
    """

    id: int
    key: BillingKey
    generation: int
    subscriptions: int
    window: OpenWindow | None
    delete_reason: str | None
    delete_requester: str | None
    delete_asked_at: datetime | None
    created_at: datetime


async def newest_keys(
    connection: AsyncConnection, *, limit: int, status: BillingKeyStatus | None = None
) -> list[KeyCard]:
    """Return the newest billing keys, newest first."""
    rows = await connection.execute(
        text(
            f"{_KEYS} WHERE CAST(:status AS text) IS NULL OR k.status = :status"
            " ORDER BY k.id DESC LIMIT :limit"
        ),
        {"limit": limit, "status": status},
    )
    return [_key(row) for row in rows]


async def key_card(connection: AsyncConnection, key_id: int) -> KeyCard | None:
    """Return one billing key."""
    row = (await connection.execute(text(f"{_KEYS} WHERE k.id = :id"), {"id": key_id})).first()
    return _key(row) if row else None


async def key_card_of(connection: AsyncConnection, customer_uid: str) -> KeyCard | None:
    """Return the billing key that the gateway knows by a ``customer_uid``."""
    row = (
        await connection.execute(
            text(f"{_KEYS} WHERE k.customer_uid = :customer_uid"), {"customer_uid": customer_uid}
        )
    ).first()
    return _key(row) if row else None


async def subscriptions_of(connection: AsyncConnection, key_id: int) -> list[UUID]:
    """Return the subscriptions that are billed with a key, oldest first."""
    rows = await connection.execute(
        text(
            f"""
            SELECT id FROM subscriptions
            WHERE billing_key_id = :key AND {one_of("status", LIVING)} ORDER BY created_at, id
            """  # noqa: S608 - made of constants only
        ),
        {"key": key_id},
    )
    return [row.id for row in rows]


async def result_of(connection: AsyncConnection, command_id: str) -> Mapping[str, Json] | None:
    """Return the first result of a command, if it was worked."""
    result: Mapping[str, Json] | None = await connection.scalar(
        text("SELECT result FROM commands WHERE command_id = :command_id"),
        {"command_id": command_id},
    )
    return result


_KEYS = f"""
    SELECT k.id, k.customer_uid, k.status, k.generation, k.buyer_name, k.buyer_email, k.buyer_tel,
        k.delete_reason, k.delete_requester, k.delete_asked_at, k.created_at,
        (SELECT count(*) FROM subscriptions s
         WHERE s.billing_key_id = k.id AND s.{one_of("status", LIVING)}) AS subscriptions,
        w.id AS window_id, w.kind AS window_kind, w.status AS window_status, w.merchant_uid,
        w.expires_at
    FROM billing_keys k
    LEFT JOIN windows w ON w.billing_key_id = k.id AND w.{one_of("status", WINDOW_OPEN)}
"""  # noqa: S608 - made of constants only


def _key(row: Row[Any]) -> KeyCard:
    window = None
    if row.window_id is not None:
        window = OpenWindow(
            row.window_id,
            WindowKind(row.window_kind),
            WindowStatus(row.window_status),
            row.merchant_uid,
            row.expires_at,
        )
    return KeyCard(
        row.id,
        BillingKey.of(row),
        row.generation,
        row.subscriptions,
        window,
        row.delete_reason,
        row.delete_requester,
        row.delete_asked_at,
        row.created_at,
    )
