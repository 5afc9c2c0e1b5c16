"""Billing keys: asked for, given another payment method, taken away.

Locks are taken in one order everywhere: invoices, then the key, then its windows. Whoever changes
the method behind a key holds the key's open invoices, as a claim and a settlement do; so of the
two, the later one sees what the other has written.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import INQUIRABLE, UNSETTLED, AttemptStatus
from shared.billing.lifecycle import LIVING
from shared.billing.refund import Requester
from shared.billing.subscription import BillingKeyStatus, Buyer
from shared.db.dispatch import RESEND_AFTER, dispatch, dispatching
from shared.db.tables import one_of

# An attempt that waits has certainly moved no money and may go out at any time.
_IN_FLIGHT = UNSETTLED - {AttemptStatus.WAITING}


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A billing key's row, locked by the caller's transaction."""

    id: int
    customer_uid: str = field(repr=False)
    status: BillingKeyStatus
    is_new: bool = False


async def ask_for(connection: AsyncConnection, customer_uid: str, buyer: Buyer) -> StoredKey:
    """Lock the billing key of a buyer; one that is not known is added and waits for the buyer."""
    row = (
        await connection.execute(
            text(
                """
                INSERT INTO billing_keys AS k (
                    customer_uid, status, buyer_name, buyer_email, buyer_tel
                )
                VALUES (:customer_uid, 'pending', :name, :email, :tel)
                ON CONFLICT (customer_uid) DO UPDATE
                SET buyer_name = coalesce(excluded.buyer_name, k.buyer_name),
                    buyer_email = coalesce(excluded.buyer_email, k.buyer_email),
                    buyer_tel = coalesce(excluded.buyer_tel, k.buyer_tel)
                RETURNING id, customer_uid, status, xmax = 0 AS is_new
                """
            ),
            {
                "customer_uid": customer_uid,
                "name": buyer.name,
                "email": buyer.email,
                "tel": buyer.tel,
            },
        )
    ).one()
    return StoredKey(row.id, row.customer_uid, BillingKeyStatus(row.status), row.is_new)


async def lock(connection: AsyncConnection, customer_uid: str) -> StoredKey | None:
    """Lock the billing key of a buyer, if it is known."""
    row = (
        await connection.execute(
            text(
                """
                SELECT id, customer_uid, status FROM billing_keys
                WHERE customer_uid = :customer_uid FOR NO KEY UPDATE
                """
            ),
            {"customer_uid": customer_uid},
        )
    ).first()
    return None if row is None else StoredKey(row.id, row.customer_uid, BillingKeyStatus(row[2]))


async def hold(connection: AsyncConnection, key_id: int) -> BillingKeyStatus:
    """Return where a billing key stands, and keep it there until the transaction ends."""
    status = await connection.scalar(
        text("SELECT status FROM billing_keys WHERE id = :key FOR SHARE"), {"key": key_id}
    )
    return BillingKeyStatus(status)


async def lock_with_invoices(connection: AsyncConnection, key_id: int) -> BillingKeyStatus:
    """Lock a billing key, and first every open invoice that is collected with it."""
    await connection.execute(
        text(
            """
            SELECT FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id
            WHERE s.billing_key_id = :key AND i.status = 'open'
            ORDER BY i.id FOR NO KEY UPDATE OF i
            """
        ),
        {"key": key_id},
    )
    status = await connection.scalar(
        text("SELECT status FROM billing_keys WHERE id = :key FOR NO KEY UPDATE"), {"key": key_id}
    )
    return BillingKeyStatus(status)


async def alive(connection: AsyncConnection, key_ids: Collection[int]) -> frozenset[int]:
    """Return those of the keys that may be charged, once no change of them is under way."""
    rows = await connection.execute(
        text(
            """
            SELECT id, status FROM billing_keys WHERE id = ANY(CAST(:ids AS bigint[]))
            ORDER BY id FOR SHARE
            """
        ),
        {"ids": list(key_ids)},
    )
    return frozenset(row.id for row in rows if row.status == BillingKeyStatus.ACTIVE)


async def renew(connection: AsyncConnection, key_id: int) -> int:
    """Note that the gateway holds another payment method for a locked key; return its generation.

    The first one of a key that was only asked for is its first generation.
    """
    generation = await connection.scalar(
        text(
            """
            UPDATE billing_keys
            SET generation = CASE WHEN status = 'pending' THEN generation ELSE generation + 1 END,
                status = 'active', delete_reason = NULL, delete_requester = NULL,
                delete_asked_at = NULL, dispatched_at = NULL
            WHERE id = :key RETURNING generation
            """
        ),
        {"key": key_id},
    )
    return int(generation or 0)


async def make_due(connection: AsyncConnection, key_id: int, now: datetime) -> int:
    """Make everything that a locked key owes due at once; return how many invoices that are.

    What may have moved money is left alone: its ending decides. Where the last attempt has ended
    for certain, the next claim makes one with a new number.
    """
    due = await connection.execute(
        text(
            f"""
            UPDATE invoices i SET next_attempt_at = :now, dispatched_at = NULL, message = NULL
            FROM subscriptions s
            WHERE s.id = i.subscription_id AND s.billing_key_id = :key
              AND s.{one_of("status", LIVING)} AND (s.cancel_at IS NULL OR s.cancel_at > :now)
              AND i.status = 'open' AND NOT i.collection_stopped
              AND NOT EXISTS (
                  SELECT FROM payment_attempts a
                  WHERE a.invoice_id = i.id AND a.{one_of("status", _IN_FLIGHT)}
              )
            RETURNING i.id
            """  # noqa: S608 - made of constants only
        ),
        {"key": key_id, "now": now},
    )
    return len(due.all())


async def overtaken(connection: AsyncConnection, attempt_ids: Collection[int]) -> frozenset[int]:
    """Return those of the attempts whose billing key has been given another method since.

    Their invoices are locked in a statement of their own, so that the look at the key sees what a
    change has committed meanwhile, and a change that comes later sees what is written of them.
    """
    ids = {"ids": list(attempt_ids)}
    await connection.execute(
        text(
            """
            SELECT FROM invoices WHERE id IN (
                SELECT invoice_id FROM payment_attempts WHERE id = ANY(CAST(:ids AS bigint[]))
            )
            ORDER BY id FOR NO KEY UPDATE
            """
        ),
        ids,
    )
    rows = await connection.execute(
        text(
            """
            SELECT a.id FROM payment_attempts a JOIN billing_keys k ON k.id = a.billing_key_id
            WHERE a.id = ANY(CAST(:ids AS bigint[])) AND a.key_generation < k.generation
            """
        ),
        ids,
    )
    return frozenset(row.id for row in rows)


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What still needs a billing key: subscriptions that are billed, and charges under way."""

    subscriptions: int
    attempts: int


async def use_of(connection: AsyncConnection, key_id: int) -> KeyUse:
    """Return what still needs a billing key."""
    row = (
        await connection.execute(
            text(
                f"""
                SELECT
                    (SELECT count(*) FROM subscriptions
                     WHERE billing_key_id = :key AND {one_of("status", LIVING)}) AS subscriptions,
                    (SELECT count(*) FROM payment_attempts a
                     JOIN invoices i ON i.id = a.invoice_id
                     JOIN subscriptions s ON s.id = i.subscription_id
                     WHERE s.billing_key_id = :key AND a.billing_key_id = :key
                       AND a.{one_of("status", INQUIRABLE)}) AS attempts
                """  # noqa: S608 - made of constants only
            ),
            {"key": key_id},
        )
    ).one()
    return KeyUse(row.subscriptions, row.attempts)


@dataclass(frozen=True, slots=True)
class Removal:
    """A billing key that is to be taken away, why, and on whose wish."""

    key_id: int
    customer_uid: str = field(repr=False)
    reason: str
    requester: Requester
    asked_at: datetime


async def ask_removal(
    connection: AsyncConnection, key_id: int, reason: str, requester: Requester, now: datetime
) -> None:
    """Have a locked key taken away: from here on it is not charged."""
    await connection.execute(
        text(
            """
            UPDATE billing_keys
            SET status = 'deleting', delete_reason = :reason, delete_requester = :requester,
                delete_asked_at = :now, dispatched_at = NULL
            WHERE id = :key
            """
        ),
        {"key": key_id, "reason": reason, "requester": requester, "now": now},
    )


async def dispatch_removals(
    connection: AsyncConnection, limit: int, now: datetime, resend_after: timedelta
) -> list[int]:
    """Return keys to be taken away that have no message under way, and note that one will be.

    The longer it has not been possible, the longer the wait: a quarter of that time, an hour at
    most.
    """
    rows = await dispatch(connection, _DISPATCH_REMOVALS, limit, now, resend_after)
    return [row.id for row in rows]


_DISPATCH_REMOVALS = dispatching(
    "billing_keys",
    "d.status = 'deleting'",
    "d.id",
    again=f"""greatest(
        {RESEND_AFTER},
        least((:now - coalesce(d.delete_asked_at, d.created_at)) / 4, interval '1 hour')
    )""",
)


async def removals(connection: AsyncConnection, key_ids: Sequence[int]) -> list[Removal]:
    """Return those of the keys that are still to be taken away."""
    rows = await connection.execute(
        text(
            """
            SELECT id, customer_uid, delete_reason, delete_requester,
                coalesce(delete_asked_at, created_at) AS asked_at
            FROM billing_keys WHERE id = ANY(CAST(:ids AS bigint[])) AND status = 'deleting'
            ORDER BY id
            """
        ),
        {"ids": list(key_ids)},
    )
    return [
        Removal(
            row.id,
            row.customer_uid,
            row.delete_reason,
            Requester(row.delete_requester),
            row.asked_at,
        )
        for row in rows
    ]


async def removed(connection: AsyncConnection, key_id: int) -> bool:
    """Note that the gateway holds a key no more; False if somebody has noted it already."""
    found = await connection.execute(
        text(
            """
            UPDATE billing_keys SET status = 'deleted', dispatched_at = NULL
            WHERE id = :key AND status = 'deleting' RETURNING id
            """
        ),
        {"key": key_id},
    )
    return found.first() is not None
