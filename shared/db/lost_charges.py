"""Charges that the gateway holds and a restored database does not: looked for, and written again.

A lost attempt is written as one whose worker died after the claim: under its own ``merchant_uid``
and number, with a lease that is over. From there on it is like any other, and only what the gateway
shows can end it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import UNSETTLED, AttemptStatus
from shared.billing.errors import BillingError
from shared.billing.inquiry import PaymentRecord, RecordStatus
from shared.billing.merchant_uid import ChargeName
from shared.billing.reserving import LIVE, ReservationStatus
from shared.billing.subscription import Subscription
from shared.db.renewals import counted
from shared.db.subscriptions import COLUMNS
from shared.db.tables import one_of
from shared.db.text import to_json


async def known(
    connection: AsyncConnection, merchant_uids: Sequence[str]
) -> Mapping[str, AttemptStatus]:
    """Return how attempts stand in the rows, by ``merchant_uid``."""
    rows = await connection.execute(
        text(
            """
            SELECT merchant_uid, status FROM payment_attempts
            WHERE merchant_uid = ANY(CAST(:uids AS text[]))
            """
        ),
        {"uids": list(merchant_uids)},
    )
    return {row.merchant_uid: AttemptStatus(row.status) for row in rows}


async def unexplained(
    connection: AsyncConnection, records: Sequence[PaymentRecord]
) -> frozenset[str]:
    """Return the ``imp_uid`` of those of the gateway's records that the rows do not agree with.

    They do where the payment is kept and as much of it has gone back, and where a failed one is of
    an attempt that has ended.
    """
    rows = [
        {
            "imp_uid": record.imp_uid,
            "merchant_uid": record.merchant_uid,
            "failed": record.status is RecordStatus.FAILED,
            "cancelled": record.cancel_amount,
        }
        for record in records
    ]
    found = await connection.execute(_UNEXPLAINED, {"rows": to_json(rows)})
    return frozenset(row.imp_uid for row in found)


_UNEXPLAINED = text(
    f"""
    SELECT r.imp_uid FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        imp_uid text, merchant_uid text, failed boolean, cancelled bigint
    )
    WHERE NOT EXISTS (
        SELECT FROM payments p WHERE p.imp_uid = r.imp_uid AND p.cancelled_amount = r.cancelled
    ) AND NOT (r.failed AND EXISTS (
        SELECT FROM payment_attempts a
        WHERE a.merchant_uid = r.merchant_uid AND NOT a.{one_of("status", UNSETTLED)}
    ))
    """  # noqa: S608 - made of constants only
)


async def doubt_waiting(connection: AsyncConnection, now: datetime) -> None:
    """Have the gateway asked about every attempt that waits: it may have been sent since.

    The silence that follows is believed as ever, and the attempt waits again. Until then nothing is
    planned for its invoice.
    """
    await connection.execute(
        text(
            """
            WITH doubted AS (
                UPDATE payment_attempts
                SET status = 'unknown', inquire_at = :now, dispatched_at = NULL,
                    unknown_since = coalesce(unknown_since, :now), inquiries = 0, no_records = 0
                WHERE status = 'waiting'
                RETURNING invoice_id
            )
            UPDATE invoices i SET next_attempt_at = NULL, dispatched_at = NULL
            FROM doubted d WHERE i.id = d.invoice_id
            """
        ),
        {"now": now},
    )


async def lock_subscription(
    connection: AsyncConnection, subscription_id: UUID
) -> Subscription | None:
    """Return a subscription, locked, or None if there is none.

    Raises:
        BillingError: Its row makes no sense.
    """
    statement = f"SELECT {COLUMNS} FROM subscriptions WHERE id = :id FOR NO KEY UPDATE"  # noqa: S608 - made of constants only
    read = counted(await connection.execute(text(statement), {"id": subscription_id}))
    for fault in read.faulty.values():
        raise BillingError(fault)
    return read.countable[0] if read.countable else None


@dataclass(frozen=True, slots=True)
class FoundInvoice:
    """The invoice of a period, and what there is of attempts at it.

    Attributes:
        attempts: Status and id of each attempt, by its number.
        last: The highest number that was ever given.
    """

    id: int
    attempts: Mapping[int, tuple[AttemptStatus, int]]
    last: int


async def invoice_of(connection: AsyncConnection, name: ChargeName) -> FoundInvoice | None:
    """Return the invoice that an attempt is at, locked, or None if the period is not billed."""
    values = {"subscription_id": name.subscription_id, "period_index": name.period_index}
    row = (await connection.execute(_LOCK_INVOICE, values)).first()
    if row is None:
        return None
    rows = await connection.execute(
        text("SELECT id, number, status FROM payment_attempts WHERE invoice_id = :id"),
        {"id": row.id},
    )
    found = {each.number: (AttemptStatus(each.status), int(each.id)) for each in rows}
    return FoundInvoice(row.id, found, max([row.attempts, *found]))


_LOCK_INVOICE = text(
    """
    SELECT id, attempts FROM invoices
    WHERE subscription_id = :subscription_id AND period_index = :period_index
    FOR NO KEY UPDATE
    """
)


@dataclass(frozen=True, slots=True)
class LostAttempt:
    """An attempt of which the gateway holds a record and the rows hold nothing.

    Attributes:
        customer_uid: The billing key that the gateway charged, if it says so.
        begun_at: When the gateway began it.
        is_reserved: Whether PortOne made it by itself at an instant that was reserved.
    """

    name: ChargeName
    merchant_uid: str
    customer_uid: str | None = field(repr=False)
    begun_at: datetime
    is_reserved: bool


async def write(
    connection: AsyncConnection,
    invoice_id: int,
    lost: LostAttempt,
    now: datetime,
    inquire_at: datetime,
) -> bool:
    """Write a lost attempt at an invoice that the caller holds locked; return whether it was.

    Not if there is one of this name already, or one that has not ended: then that comes first.
    The invoice is collected no further until the attempt has ended, and never under its number.
    """
    values = {
        "invoice_id": invoice_id,
        "number": lost.name.attempt_number,
        "merchant_uid": lost.merchant_uid,
        "customer_uid": lost.customer_uid,
        "begun_at": lost.begun_at,
        "reserved_for": lost.begun_at if lost.is_reserved else None,
        "now": now,
        "inquire_at": inquire_at,
    }
    written = (await connection.execute(_WRITE, values)).first() is not None
    if written:
        await pass_number(connection, invoice_id, lost.name.attempt_number)
    return written


# The key that was charged, where the rows know it; else the one that the inquiry will compare.
_WRITE = text(
    """
    INSERT INTO payment_attempts (
        invoice_id, number, send_number, merchant_uid, billing_key_id, key_generation, amount,
        tax_free, status, claimed_at, lease_until, inquire_at, reserved_for
    )
    SELECT i.id, :number, 1, :merchant_uid, k.id, k.generation, i.amount, i.tax_free, 'claimed',
        least(CAST(:begun_at AS timestamptz), :now), :now, :inquire_at,
        CAST(:reserved_for AS timestamptz)
    FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id
    JOIN billing_keys k ON k.id = coalesce(
        (SELECT id FROM billing_keys WHERE customer_uid = :customer_uid), s.billing_key_id
    )
    WHERE i.id = :invoice_id
    ON CONFLICT DO NOTHING
    RETURNING id
    """
)


async def pass_number(connection: AsyncConnection, invoice_id: int, number: int) -> None:
    """Give no attempt at an invoice this number, nor a lower one, and plan none for the moment."""
    await connection.execute(
        text(
            """
            UPDATE invoices
            SET attempts = greatest(attempts, :number), next_attempt_at = NULL,
                dispatched_at = NULL, retry_asked_at = NULL
            WHERE id = :id
            """
        ),
        {"id": invoice_id, "number": number},
    )


async def reserved(connection: AsyncConnection, merchant_uids: Sequence[str]) -> frozenset[str]:
    """Return those of the ``merchant_uid`` under which a reservation of ours is known to be made.

    One that is only planned is not, nor one that has ended without being executed: what the gateway
    holds of it was made in what was lost.
    """
    if not merchant_uids:
        return frozenset()
    rows = await connection.execute(
        text(
            f"""
            SELECT merchant_uid FROM reservations
            WHERE merchant_uid = ANY(CAST(:uids AS text[])) AND {one_of("status", _REQUESTED)}
            """  # noqa: S608 - made of constants only
        ),
        {"uids": list(merchant_uids)},
    )
    return frozenset(row.merchant_uid for row in rows)


_REQUESTED = LIVE - {ReservationStatus.PLANNED}
