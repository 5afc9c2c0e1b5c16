"""A payment window asked of a buyer: registering a billing key, changing its means, or paying once.

    requested ──▶ ready ──▶ confirmed        what the gateway shows matches what was asked for
                    │
                    ├──▶ expired             the buyer left it; nothing changes
                    └──▶ failed              the gateway refused to prepare it

The buyer's browser and the webhook only say "look": a window is confirmed by what the gateway
shows under the ``imp_uid`` and by nothing else.
"""

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from uuid import UUID, uuid5

from shared.billing.inquiry import PaymentRecord, RecordStatus
from shared.billing.merchant_uid import base36
from shared.billing.money import Price

_NAMESPACE = UUID("8f0c4e1e-6f0b-4a0e-9b57-5b1f5a3d2c11")


class WindowKind(enum.StrEnum):
    """What a window is for."""

    PAYMENT = "payment"
    REGISTER = "register"
    CHANGE = "change"


class WindowStatus(enum.StrEnum):
    """Where a window stands; ``requested`` waits for its amount to be registered beforehand."""

    REQUESTED = "requested"
    READY = "ready"
    CONFIRMED = "confirmed"
    EXPIRED = "expired"
    FAILED = "failed"


WINDOW_OPEN = frozenset({WindowStatus.REQUESTED, WindowStatus.READY})


@dataclass(frozen=True, slots=True)
class Window:
    """A window as it stands.

    Attributes:
        customer_uid: The billing key to be registered or changed; None for a single payment.
        price: What is shown to the buyer, and paid in a single payment only.
    """

    id: UUID
    kind: WindowKind
    status: WindowStatus
    merchant_uid: str
    billing_key_id: int | None
    customer_uid: str | None = field(repr=False)
    price: Price
    order_name: str
    expires_at: datetime
    command_id: str


@dataclass(frozen=True, slots=True)
class KeyHeld:
    """A billing key at the gateway; ``updated_at`` moves when the means behind it does."""

    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """The gateway's word on an amount registered beforehand; ``refusal`` is byte for byte."""

    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The gateway shows what the window asked for."""

    imp_uid: str
    paid_at: datetime | None


@dataclass(frozen=True, slots=True)
class NotConfirmed:
    """The gateway shows something else, or nothing; nothing changes."""

    cause: str


WindowFinding: TypeAlias = Confirmed | NotConfirmed


def window_id(command_id: str) -> UUID:
    """Return the id of the window that a command asks for: the same for the same command."""
    return uuid5(_NAMESPACE, command_id)


def window_merchant_uid(id_: UUID) -> str:
    """Return the ``merchant_uid`` of a window; no charge is written alike, for it has no ``p``.

    A registration and every charge need ids of their own (guide page, ``merchant_uid``).
    """
    return f"{base36(id_)}w"


def judge_window(  # noqa: PLR0911 - a decision table, one row a return
    window: Window, record: PaymentRecord, key: KeyHeld | None
) -> WindowFinding:
    """Return whether the gateway shows that the buyer did what the window asked for.

    Args:
        window: What was asked.
        record: The gateway's payment under the ``imp_uid`` that was told.
        key: The gateway's billing key under the window's ``customer_uid``; None if there is none.
    """
    if record.merchant_uid != window.merchant_uid:
        return NotConfirmed("the payment is of another merchant_uid")
    if record.status is RecordStatus.FAILED:
        return NotConfirmed(record.fail_reason or "the payment failed")
    if record.status is not RecordStatus.PAID or record.cancel_amount:
        return NotConfirmed(f"the payment is {record.status}")
    if record.amount != window.price.amount:
        return NotConfirmed(f"the payment is of {record.amount} won, {window.price.amount} asked")
    if window.kind is WindowKind.PAYMENT:
        if record.usage is not None or record.customer_uid is not None:
            return NotConfirmed("the payment used a billing key")
        return Confirmed(record.imp_uid, record.paid_at)
    if not record.is_registration or record.customer_uid != window.customer_uid:
        return NotConfirmed("the payment is no registration of this billing key")
    if key is None:
        return NotConfirmed("the gateway does not hold the billing key")
    if window.kind is WindowKind.CHANGE and _is_older(key.updated_at, record.started_at):
        return NotConfirmed("the gateway has not changed the billing key")
    return Confirmed(record.imp_uid, record.paid_at)


def _is_older(updated_at: datetime | None, started_at: datetime | None) -> bool:
    """Say whether the key was last updated before the registration began; both by one clock."""
    return updated_at is not None and started_at is not None and updated_at < started_at
