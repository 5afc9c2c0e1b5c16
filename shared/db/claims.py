"""Claims: an attempt is written, and committed, before any byte of its charge leaves.

Works on whole batches: two statements, however many invoices (one statement a row costs more than
the payment).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import UNSETTLED, AttemptOrigin, AttemptStatus, Claim, Leases
from shared.billing.calendar import Period
from shared.billing.errors import BillingError
from shared.billing.installation import NEVER_MARKED, Proof
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.merchant_uid import merchant_uid
from shared.billing.money import Price
from shared.billing.subscription import BillingKeyStatus, Buyer
from shared.db.holds import HELD
from shared.db.installation import PROVEN, proof_values
from shared.db.tables import one_of
from shared.db.text import to_json

CLAIM_COLUMNS = """
    i.id AS invoice_id, i.subscription_id, i.period_index, i.period_start_at, i.period_end_at,
    i.amount, i.tax_free, i.order_name, i.declines, i.attempts, i.past_due_at, i.retry_asked_at,
    i.planned_attempt_at, s.status AS subscription_status, s.dunning_enabled,
    k.id AS billing_key_id, k.customer_uid, k.status AS billing_key_status,
    k.buyer_name, k.buyer_email, k.buyer_tel,
    a.id AS attempt_id, a.number, a.send_number, a.merchant_uid, a.status AS attempt_status,
    a.claimed_at, a.unknown_since, a.inquiries, a.no_records, a.held_by_gateway, a.origin,
    a.reserved_for
"""
# Whether a new attempt would be one more with a method that was refused: looked up for what is past
# due only, and never by reading every attempt.
IS_DUNNING = """
    i.past_due_at IS NOT NULL AND a.id IS NULL AND coalesce((
        SELECT l.billing_key_id = k.id AND l.key_generation = k.generation
        FROM payment_attempts l WHERE l.invoice_id = i.id AND l.number = i.attempts
    ), false)
"""


@dataclass(frozen=True, slots=True)
class DueInvoice:
    """An open invoice that is due now, locked by the caller's transaction.

    Attributes:
        due_at: Since when it is due.
        is_buyers: Whether the buyer asked for it to be charged now.
        is_dunning: Whether a new attempt would be one more with a method that was refused.
        dunning_enabled: Whether its subscription's invoices are tried again by themselves.
    """

    claim: Claim
    subscription_status: SubscriptionStatus
    billing_key_status: BillingKeyStatus
    unsettled: AttemptStatus | None
    due_at: datetime
    is_buyers: bool = False
    is_dunning: bool = False
    dunning_enabled: bool = True


@dataclass(frozen=True, slots=True)
class DueInvoices:
    """Invoices to be worked, and those whose rows make no sense, with the reason."""

    workable: tuple[DueInvoice, ...]
    faulty: Mapping[int, str]


async def lock_due(
    connection: AsyncConnection,
    invoice_ids: Sequence[int],
    now: datetime,
    proof: Proof = NEVER_MARKED,
) -> DueInvoices:
    """Lock those of the invoices that are open and due, leaving out what others work on.

    Returns nothing for an invoice that is already being collected, that is not due yet, whose
    subscription's end has come, while the gateway is on hold, or from a database that does not show
    what its mark was seen to be: a message delivered again ends
    here. The claims returned are what may be written by ``write_claims``; nothing is claimed before
    that.
    """
    values = {"ids": list(invoice_ids), "now": now, **proof_values(proof)}
    rows = await connection.execute(_LOCK_DUE, values)
    workable: list[DueInvoice] = []
    faulty: dict[int, str] = {}
    for row in rows:
        try:
            workable.append(_due_invoice(row, now))
        except BillingError as error:
            faulty[row.invoice_id] = str(error)
    return DueInvoices(tuple(workable), faulty)


_LOCK_DUE = text(
    f"""
    SELECT {CLAIM_COLUMNS}, i.next_attempt_at, {IS_DUNNING} AS is_dunning,
        -- Of a first attempt there is none before it.
        CASE WHEN i.attempts > 0 THEN (
            SELECT f.merchant_uid FROM payment_attempts f
            WHERE f.invoice_id = i.id AND f.reserved_for IS NOT NULL AND f.status = 'declined'
        ) END AS reserved_before
    FROM invoices i
    JOIN subscriptions s ON s.id = i.subscription_id
    JOIN billing_keys k ON k.id = s.billing_key_id
    LEFT JOIN payment_attempts a ON a.invoice_id = i.id AND a.{one_of("status", UNSETTLED)}
    WHERE i.id = ANY(CAST(:ids AS bigint[]))
      AND i.status = 'open' AND i.next_attempt_at <= :now
      AND (s.cancel_at IS NULL OR s.cancel_at > :now)
      AND NOT {HELD} AND {PROVEN}
    ORDER BY i.id
    FOR NO KEY UPDATE OF i SKIP LOCKED
    """  # noqa: S608 - made of constants only
)


async def write_claims(
    connection: AsyncConnection, due: Sequence[DueInvoice], leases: Leases, now: datetime
) -> list[Claim]:
    """Commit to sending: write the attempt of each due invoice before any byte leaves.

    A waiting attempt is claimed again under its own ``merchant_uid``; otherwise a new one is made.
    Returns the claims that were won, which are all unless a row changed in between.
    """
    if not due:
        return []
    lease_until = now + leases.lease
    rows = [
        {
            "invoice_id": item.claim.invoice_id,
            "attempt_id": item.claim.attempt_id or None,
            "number": item.claim.number,
            "send_number": item.claim.send_number,
            "merchant_uid": item.claim.merchant_uid,
            "billing_key_id": item.claim.billing_key_id,
            "amount": item.claim.price.amount,
            "tax_free": item.claim.price.tax_free,
            "origin": item.claim.origin,
        }
        for item in due
    ]
    written = await connection.execute(
        _WRITE_CLAIMS,
        {
            "rows": to_json(rows),
            "now": now,
            "lease_until": lease_until,
            "inquire_at": lease_until + leases.settle_delay,
        },
    )
    attempt_ids = {row.invoice_id: row.attempt_id for row in written}
    return [
        _with_attempt_id(item.claim, attempt_ids[item.claim.invoice_id])
        for item in due
        if item.claim.invoice_id in attempt_ids
    ]


_WRITE_CLAIMS = text(
    """
    WITH claims AS (
        -- The generation is read here, where no change of the key's method can come in between.
        SELECT c.*, (
            SELECT generation FROM billing_keys k WHERE k.id = c.billing_key_id
        ) AS key_generation
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS c (
            invoice_id bigint, attempt_id bigint, number int, send_number int, merchant_uid text,
            billing_key_id bigint, amount bigint, tax_free bigint, origin text
        )
        -- Asked once more, whatever the caller saw: of what has ended since, nothing is sent.
        JOIN invoices i ON i.id = c.invoice_id AND i.status = 'open' AND i.next_attempt_at <= :now
    ), again AS (
        UPDATE payment_attempts a
        SET status = 'claimed', send_number = c.send_number, billing_key_id = c.billing_key_id,
            key_generation = c.key_generation, claimed_at = :now, lease_until = :lease_until,
            inquire_at = :inquire_at, dispatched_at = NULL,
            inquiries = 0, no_records = 0, held_by_gateway = false, message = NULL
        FROM claims c
        WHERE a.id = c.attempt_id AND a.status = 'waiting' AND a.send_number = c.send_number - 1
        RETURNING a.id, a.invoice_id
    ), new AS (
        INSERT INTO payment_attempts (
            invoice_id, number, send_number, merchant_uid, billing_key_id, key_generation, amount,
            tax_free, status, claimed_at, lease_until, inquire_at, origin
        )
        SELECT invoice_id, number, send_number, merchant_uid, billing_key_id, key_generation,
            amount, tax_free, 'claimed', :now, :lease_until, :inquire_at, origin
        FROM claims WHERE attempt_id IS NULL
        ON CONFLICT DO NOTHING
        RETURNING id, invoice_id
    ), taken AS (
        SELECT id, invoice_id FROM again UNION ALL SELECT id, invoice_id FROM new
    )
    UPDATE invoices i
    SET next_attempt_at = NULL, dispatched_at = NULL, attempts = c.number, message = NULL,
        retry_asked_at = NULL
    FROM taken t JOIN claims c ON c.invoice_id = t.invoice_id
    WHERE i.id = t.invoice_id
    RETURNING i.id AS invoice_id, t.id AS attempt_id
    """
)


async def void_waiting(connection: AsyncConnection, attempt_ids: Sequence[int]) -> None:
    """End attempts that wait to be sent, because their invoice shall not count."""
    await connection.execute(
        text(
            """
            UPDATE payment_attempts SET status = 'void'
            WHERE id = ANY(CAST(:ids AS bigint[])) AND status = 'waiting'
            """
        ),
        {"ids": list(attempt_ids)},
    )


def _due_invoice(row: Row[Any], now: datetime) -> DueInvoice:
    if row.attempt_status is None:
        number, send_number = row.attempts + 1, 1
        uid = merchant_uid(row.subscription_id, row.period_index, number)
    else:
        number, send_number, uid = row.number, row.send_number + 1, row.merchant_uid
    claim = claim_of(row, number, send_number, uid, now)
    return due_invoice_of(row, dataclasses.replace(claim, reserved_before=row.reserved_before))


def due_invoice_of(row: Row[Any], claim: Claim) -> DueInvoice:
    """Return the due invoice that a row of ``CLAIM_COLUMNS`` and ``IS_DUNNING`` tells of."""
    return DueInvoice(
        claim,
        SubscriptionStatus(row.subscription_status),
        BillingKeyStatus(row.billing_key_status),
        AttemptStatus(row.attempt_status) if row.attempt_status else None,
        row.next_attempt_at,
        is_buyers=row.retry_asked_at is not None or row.origin == AttemptOrigin.BUYER,
        is_dunning=row.is_dunning,
        dunning_enabled=row.dunning_enabled,
    )


def claim_of(row: Row[Any], number: int, send_number: int, uid: str, claimed_at: datetime) -> Claim:
    """Return the claim that a row of ``CLAIM_COLUMNS`` tells of."""
    return Claim(
        attempt_id=row.attempt_id or 0,
        invoice_id=row.invoice_id,
        subscription_id=row.subscription_id,
        billing_key_id=row.billing_key_id,
        period=Period(row.period_index, row.period_start_at, row.period_end_at),
        number=number,
        send_number=send_number,
        merchant_uid=uid,
        customer_uid=row.customer_uid,
        price=Price(row.amount, row.tax_free),
        order_name=row.order_name,
        buyer=Buyer(row.buyer_name, row.buyer_email, row.buyer_tel),
        declines=row.declines,
        claimed_at=claimed_at,
        subscription_status=SubscriptionStatus(row.subscription_status),
        unknown_since=row.unknown_since,
        origin=_origin(row),
        past_due_at=row.past_due_at,
        planned_attempt_at=row.planned_attempt_at,
        reserved_for=row.reserved_for,
    )


def _origin(row: Row[Any]) -> AttemptOrigin:
    """Return on whose wish an attempt was made, or one is made that does not exist yet."""
    if row.origin is not None:
        return AttemptOrigin(row.origin)
    return AttemptOrigin.SCHEDULE if row.retry_asked_at is None else AttemptOrigin.BUYER


def _with_attempt_id(claim: Claim, attempt_id: int) -> Claim:
    return dataclasses.replace(claim, attempt_id=attempt_id)
