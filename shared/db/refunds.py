"""Refunds: asked for, found when due, and claimed before any byte of one leaves.

The row of the payment is the lock of all its refunds: whoever asks for one or claims one holds it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import Leases
from shared.billing.errors import BillingError
from shared.billing.installation import NEVER_MARKED, Proof
from shared.billing.money import Price
from shared.billing.refund import (
    REFUND_UNSETTLED,
    Balance,
    RefundCause,
    RefundClaim,
    RefundOrder,
    Requester,
    require_fits,
)
from shared.db.dispatch import dispatch, dispatching
from shared.db.holds import HELD
from shared.db.installation import PROVEN, proof_values
from shared.db.tables import one_of
from shared.db.text import to_json

# At most one refund of a payment may have been sent and not have ended; it owns the checksum.
_UNDER_WAY = f"{one_of('o.status', REFUND_UNSETTLED)} AND o.checksum IS NOT NULL"
# True of a refund ``r`` that must let another of its payment end first.
BEHIND_ANOTHER = f"""
    EXISTS (
        SELECT FROM refunds o
        WHERE o.payment_id = r.payment_id AND o.id <> r.id AND {_UNDER_WAY}
    )
"""

REFUND_COLUMNS = """
    r.id, r.payment_id, r.amount, r.tax_free, r.reason, r.requester, r.checksum, r.send_number,
    r.claimed_at, r.unknown_since, r.refusal, r.inquiries,
    p.imp_uid, p.merchant_uid, p.amount AS paid_amount, p.tax_free AS paid_tax_free,
    p.cancelled_amount, p.cancelled_tax_free, i.subscription_id
"""
REFUND_TABLES = """
    refunds r JOIN payments p ON p.id = r.payment_id
    LEFT JOIN payment_attempts a ON a.id = p.attempt_id LEFT JOIN invoices i ON i.id = a.invoice_id
"""


async def add(
    connection: AsyncConnection,
    payment_id: int,
    order: RefundOrder,
    cause: RefundCause,
    command_id: str | None,
    now: datetime,
) -> int:
    """Write a refund that is due at once, of a payment that the caller holds locked."""
    refund_id: int = await connection.scalar(
        text(
            """
            INSERT INTO refunds (
                payment_id, amount, tax_free, reason, requester, cause, command_id, next_send_at
            )
            VALUES (
                :payment_id, :amount, :tax_free, :reason, :requester, :cause, :command_id, :now
            )
            RETURNING id
            """
        ),
        {
            "payment_id": payment_id,
            "amount": order.price.amount,
            "tax_free": order.price.tax_free,
            "reason": order.reason,
            "requester": order.requester,
            "cause": cause,
            "command_id": command_id,
            "now": now,
        },
    )
    return refund_id


@dataclass(frozen=True, slots=True)
class Asked:
    """A refund that was asked for before."""

    id: int
    payment_id: int
    price: Price


async def asked_before(
    connection: AsyncConnection, payment_id: int, cause: RefundCause, command_id: str | None
) -> Asked | None:
    """Return the refund of a command, or the one that a payment gets by itself, if it exists."""
    row = (
        await connection.execute(
            text(
                """
                SELECT id, payment_id, amount, tax_free FROM refunds
                WHERE command_id = :command_id
                   OR :cause <> 'command' AND cause <> 'command' AND payment_id = :payment_id
                ORDER BY id LIMIT 1
                """
            ),
            {"payment_id": payment_id, "cause": cause, "command_id": command_id},
        )
    ).first()
    return Asked(row.id, row.payment_id, Price(row.amount, row.tax_free)) if row else None


async def dispatch_due(
    connection: AsyncConnection, limit: int, now: datetime, resend_after: timedelta
) -> list[int]:
    """Return refunds that may be sent now and have no message under way; note that one will be.

    Of each payment the oldest only, and none while another is under way. Nothing is due while the
    gateway is on hold. A message that was lost is sent again after ``resend_after``.
    """
    rows = await dispatch(connection, _DISPATCH, limit, now, resend_after)
    return [row.id for row in rows]


_DISPATCH = dispatching(
    "refunds",
    f"""
    d.status = 'waiting' AND d.next_send_at <= :now AND NOT {HELD}
    AND NOT EXISTS (
        SELECT FROM refunds o WHERE o.payment_id = d.payment_id AND o.id <> d.id
          AND ({_UNDER_WAY}
               OR d.checksum IS NULL AND o.id < d.id
                  AND o.status = 'waiting' AND o.next_send_at <= :now)
    )
    """,
    "d.next_send_at",
)


@dataclass(frozen=True, slots=True)
class DueRefunds:
    """Refunds to be sent, those that no longer fit, and those whose rows make no sense.

    The last two come with the reason.
    """

    claims: tuple[RefundClaim, ...]
    unfit: tuple[tuple[RefundClaim, str], ...]
    faulty: Mapping[int, str]


async def lock_due(
    connection: AsyncConnection,
    refund_ids: Sequence[int],
    now: datetime,
    proof: Proof = NEVER_MARKED,
) -> DueRefunds:
    """Lock those of the refunds that may be sent now, leaving out what others work on.

    At most one of each payment, none while another of it is under way, and nothing while the
    gateway is on hold or the database not proven: a message delivered again ends here. The claims
    returned are what may be written by ``write_claims``; nothing is claimed before that.
    """
    values = {"ids": list(refund_ids), "now": now, **proof_values(proof)}
    # First the payments: what is under way of them is read by a statement of its own, whose
    # snapshot begins when nobody else can claim or ask any more.
    locked = [row.id for row in await connection.execute(_LOCK_PAYMENTS, values)]
    if not locked:
        return DueRefunds((), (), {})
    claims: list[RefundClaim] = []
    unfit: list[tuple[RefundClaim, str]] = []
    faulty: dict[int, str] = {}
    taken: set[int] = set()
    for row in await connection.execute(_LOCK_DUE, {**values, "payments": locked}):
        if row.payment_id in taken:
            continue
        try:
            claim = claim_of(row, row.send_number + 1, now)
            why = _unfit(row, claim)
        except BillingError as error:
            faulty[row.id] = str(error)
            continue
        if why is not None:
            unfit.append((claim, why))
            continue
        taken.add(row.payment_id)
        claims.append(claim)
    return DueRefunds(tuple(claims), tuple(unfit), faulty)


_DUE = "r.id = ANY(CAST(:ids AS bigint[])) AND r.status = 'waiting' AND r.next_send_at <= :now"
_LOCK_PAYMENTS = text(
    f"""
    SELECT id FROM payments
    WHERE id IN (SELECT payment_id FROM refunds r WHERE {_DUE}) AND NOT {HELD} AND {PROVEN}
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
    """  # noqa: S608 - made of constants only
)
_LOCK_DUE = text(
    f"""
    SELECT {REFUND_COLUMNS}
    FROM {REFUND_TABLES}
    WHERE {_DUE} AND r.payment_id = ANY(CAST(:payments AS bigint[]))
      AND NOT {BEHIND_ANOTHER}
    ORDER BY r.id
    FOR NO KEY UPDATE OF r SKIP LOCKED
    """  # noqa: S608 - made of constants only
)


def _unfit(row: Row[Any], claim: RefundClaim) -> str | None:
    """Return in words why a refund no longer fits; one that may have been sent is sent as it is."""
    paid = Price(row.paid_amount, row.paid_tax_free)
    balance = Balance(paid, Price(row.cancelled_amount, row.cancelled_tax_free))
    if row.checksum is not None:
        return None
    try:
        require_fits(balance.left, claim.order.price)
    except BillingError as error:
        return str(error)
    return None


async def write_claims(
    connection: AsyncConnection,
    claims: Sequence[RefundClaim],
    leases: Leases,
    now: datetime,
) -> list[RefundClaim]:
    """Commit to sending: write checksum, send number and lease before any byte leaves.

    Returns the claims that were won, which are all unless a row changed in between.
    """
    if not claims:
        return []
    lease_until = now + leases.lease
    rows = [
        {
            "refund_id": claim.refund_id,
            "send_number": claim.send_number,
            "checksum": claim.checksum,
        }
        for claim in claims
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
    won = {row.id for row in written}
    return [claim for claim in claims if claim.refund_id in won]


_WRITE_CLAIMS = text(
    """
    UPDATE refunds r
    SET status = 'claimed', send_number = c.send_number, checksum = c.checksum,
        next_send_at = NULL, claimed_at = :now, lease_until = :lease_until,
        inquire_at = :inquire_at, dispatched_at = NULL, inquiries = 0, refusal = NULL,
        message = NULL
    FROM jsonb_to_recordset(CAST(:rows AS jsonb))
        AS c (refund_id bigint, send_number int, checksum bigint)
    WHERE r.id = c.refund_id AND r.status = 'waiting' AND r.send_number = c.send_number - 1
    RETURNING r.id
    """
)


async def let_go(connection: AsyncConnection, refund_ids: Sequence[int]) -> None:
    """Forget that messages were sent for refunds that were not claimed, whose turn is yet to come.

    The next scan sends one as soon as they may go, and does not take the message for a lost one.
    """
    await connection.execute(
        text(
            """
            UPDATE refunds SET dispatched_at = NULL
            WHERE id IN (
                SELECT id FROM refunds
                WHERE id = ANY(CAST(:ids AS bigint[])) AND status = 'waiting'
                  AND dispatched_at IS NOT NULL
                FOR NO KEY UPDATE SKIP LOCKED
            )
            """
        ),
        {"ids": list(refund_ids)},
    )


async def postpone(connection: AsyncConnection, faults: Mapping[int, str], until: datetime) -> None:
    """Look at refunds that cannot be sent again later, and say on each why."""
    rows = [{"id": id_, "message": fault} for id_, fault in faults.items()]
    await connection.execute(
        text(
            """
            UPDATE refunds r
            SET message = f.message, next_send_at = :until, dispatched_at = NULL
            FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS f (id bigint, message text)
            WHERE r.id = f.id AND r.status = 'waiting'
            """
        ),
        {"rows": to_json(rows), "until": until},
    )


def claim_of(row: Row[Any], send_number: int, claimed_at: datetime) -> RefundClaim:
    """Return the claim that a row of ``REFUND_COLUMNS`` tells of."""
    checksum = row.checksum
    if checksum is None:
        checksum = row.paid_amount - row.cancelled_amount
    return RefundClaim(
        refund_id=row.id,
        payment_id=row.payment_id,
        subscription_id=row.subscription_id,
        imp_uid=row.imp_uid,
        merchant_uid=row.merchant_uid,
        paid_amount=row.paid_amount,
        order=RefundOrder(Price(row.amount, row.tax_free), row.reason, Requester(row.requester)),
        checksum=checksum,
        send_number=send_number,
        claimed_at=claimed_at,
        refusal=row.refusal,
        unknown_since=row.unknown_since,
    )
