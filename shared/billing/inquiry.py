"""What the gateway's records say of an attempt whose outcome is unknown.

The one place that turns "what the gateway holds" into a decision. It never guesses: whatever does
not match in every respect is a conflict for a person.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from shared.billing.outcome import Declined, Paid


class RecordStatus(enum.StrEnum):
    """The state of a payment record, in PortOne's own words."""

    READY = "ready"
    PAID = "paid"
    CANCELLED = "cancelled"
    FAILED = "failed"


# The usage of a billing key's registration: it looks like a paid payment and moved no money.
REGISTRATION = "issue"
# The usages of money charged when asked for; a window's payment has none.
CHARGES = frozenset({None, "payment"})
# The usage of money that PortOne took by itself at an instant that was reserved.
SCHEDULED_CHARGE = "payment.scheduled"


@dataclass(frozen=True, slots=True)
class CancelRecord:
    """One cancellation, whole or partial, as the gateway holds it; ``amount`` is won."""

    amount: int
    reason: str | None = None
    cancellation_id: str | None = None
    cancelled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PaymentRecord:
    """A payment as the gateway holds it.

    ``amount`` and ``cancel_amount`` are won; ``cancelled`` is also the status after a partial
    cancel, so what is left is ``amount - cancel_amount`` (V1 spec, ``PaymentAnnotation``).

    Attributes:
        usage: What the billing key was used for (``customer_uid_usage``): ``issue`` for its
            registration, None for a payment in a window.
        cancels: What was cancelled, oldest first.
    """

    imp_uid: str
    merchant_uid: str
    status: RecordStatus
    amount: int
    cancel_amount: int
    customer_uid: str | None = field(repr=False)
    fail_reason: str | None = None
    started_at: datetime | None = None
    paid_at: datetime | None = None
    receipt_url: str | None = None
    usage: str | None = None
    cancels: tuple[CancelRecord, ...] = ()

    @property
    def is_registration(self) -> bool:
        """Whether this is the registration of a billing key, which moved no money."""
        return self.usage == REGISTRATION

    @property
    def is_charge(self) -> bool:
        """Whether money was asked for here: by no registration, and by no schedule of PortOne's."""
        return self.usage in CHARGES


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a record must say to be ours."""

    merchant_uid: str
    amount: int
    customer_uid: str = field(repr=False)
    # Whether PortOne was to make the charge by itself, which it may have been made to since.
    is_reserved: bool = False


@dataclass(frozen=True, slots=True)
class NoRecord:
    """The gateway holds nothing under the ``merchant_uid``."""


@dataclass(frozen=True, slots=True)
class StillUnresolved:
    """The gateway holds a record that has not ended, or could not be asked."""

    cause: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """The gateway holds something that is not what we sent; a person must look."""

    cause: str


Finding: TypeAlias = Paid | Declined | NoRecord | StillUnresolved | Conflict


def judge(  # noqa: PLR0911 - a decision table, one row a return
    expected: Expectation, records: Sequence[PaymentRecord]
) -> Finding:
    """Return what the gateway's records of one ``merchant_uid`` mean for the attempt.

    Several records may share a ``merchant_uid``: one failed try does not block the next where the
    gateway refuses only paid ones (V1 spec, ``findAll``).
    """
    if not records:
        return NoRecord()
    for record in records:
        if fault := _mismatch(expected, record):
            return Conflict(fault)
    paid = [record for record in records if record.status is RecordStatus.PAID]
    if len(paid) > 1:
        return Conflict(f"{len(paid)} paid records under one merchant_uid")
    if any(record.status is RecordStatus.CANCELLED for record in records):
        return Conflict("the payment was cancelled at the gateway")
    if paid:
        record = paid[0]
        if record.cancel_amount:
            return Conflict(f"{record.cancel_amount} won of the payment were cancelled")
        return Paid(record.imp_uid, record.paid_at, record.receipt_url)
    if any(record.status is RecordStatus.READY for record in records):
        return StillUnresolved("the gateway holds the payment as ready")
    latest = records[-1]
    return Declined(latest.fail_reason or "", latest.imp_uid)


def _mismatch(expected: Expectation, record: PaymentRecord) -> str | None:
    """Return in words how a record differs from what was sent, or None."""
    if record.merchant_uid != expected.merchant_uid:
        return f"the record is of another merchant_uid, {record.merchant_uid}"
    if record.amount != expected.amount:
        return f"the record is of {record.amount} won, {expected.amount} were sent"
    if record.customer_uid != expected.customer_uid:
        return "the record is of another buyer"
    is_scheduled = expected.is_reserved and record.usage == SCHEDULED_CHARGE
    if not (record.is_charge or is_scheduled):
        return f"the record is of usage {record.usage}, which is no charge of ours"
    return None
