"""A payment window asked of a buyer: registering a billing key, changing its means, or paying once.

    requested ──▶ ready ──▶ confirmed        what the gateway shows matches what was asked for
        │           │           ▲
        ├───────────┴──▶ expired┤            the buyer left it, or another took its place
        └──────────────▶ failed ┘            the gateway refused to prepare it

The buyer's browser and the webhook only say "look": a window is confirmed by what the gateway
shows under the ``imp_uid`` and by nothing else. Nobody can shut a window in the buyer's browser,
so one that is expired or failed here may still have been used; what the gateway then shows is as
true as before, and it is confirmed all the same. ``confirmed`` alone is an end.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeAlias
from uuid import UUID, uuid5

from shared.billing.events import Event, EventName, Json
from shared.billing.inquiry import PaymentRecord, RecordStatus
from shared.billing.merchant_uid import base36
from shared.billing.money import Price

_NAMESPACE = UUID("8f0c4e1e-6f0b-4a0e-9b57-5b1f5a3d2c11")
_MERCHANT_UID = re.compile(r"[0-9a-z]{25}w")


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

# Windows of a billing key need no preparation; what is not named here is an end, or cannot follow.
WINDOW_BEGINNINGS: Final = WINDOW_OPEN
WINDOW_TRANSITIONS: Final[Mapping[WindowStatus, frozenset[WindowStatus]]] = MappingProxyType(
    {
        WindowStatus.REQUESTED: frozenset(
            {
                WindowStatus.READY,
                WindowStatus.FAILED,
                WindowStatus.EXPIRED,
                WindowStatus.CONFIRMED,
            }
        ),
        WindowStatus.READY: frozenset({WindowStatus.EXPIRED, WindowStatus.CONFIRMED}),
        WindowStatus.EXPIRED: frozenset({WindowStatus.CONFIRMED}),
        WindowStatus.FAILED: frozenset({WindowStatus.CONFIRMED}),
    }
)


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
class NotYet:
    """The gateway does not show the end of it; it is looked at again."""

    cause: str


@dataclass(frozen=True, slots=True)
class NotConfirmed:
    """The gateway shows something else; nothing changes.

    Attributes:
        cause: Why, in our words.
        message: What the gateway says of it, byte for byte, if it says anything.
    """

    cause: str
    message: str | None = None


WindowFinding: TypeAlias = Confirmed | NotYet | NotConfirmed


def window_id(command_id: str) -> UUID:
    """Return the id of the window that a command asks for: the same for the same command."""
    return uuid5(_NAMESPACE, command_id)


def window_merchant_uid(id_: UUID) -> str:
    """Return the ``merchant_uid`` of a window; no charge is written alike, for it has no ``p``.

    A registration and every charge need ids of their own (guide page, ``merchant_uid``).
    """
    return f"{base36(id_)}w"


def is_window_merchant_uid(written: str) -> bool:
    """Say whether a ``merchant_uid`` is written as only those of windows are."""
    return _MERCHANT_UID.fullmatch(written) is not None


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
        return NotConfirmed("the payment failed", record.fail_reason)
    if record.status is RecordStatus.READY:
        return NotYet("the gateway holds the payment as ready")
    if record.status is not RecordStatus.PAID or record.cancel_amount:
        return NotConfirmed(f"{record.cancel_amount} won of the payment were cancelled")
    if record.amount != window.price.amount:
        return NotConfirmed(f"the payment is of {record.amount} won, {window.price.amount} asked")
    if window.kind is WindowKind.PAYMENT:
        if record.usage is not None or record.customer_uid is not None:
            return NotConfirmed("the payment used a billing key")
        return Confirmed(record.imp_uid, record.paid_at)
    return _judge_key(window, record, key)


def _judge_key(window: Window, record: PaymentRecord, key: KeyHeld | None) -> WindowFinding:
    """Return whether a paid record and the billing key show that a method was registered."""
    if not record.is_registration or record.customer_uid != window.customer_uid:
        return NotConfirmed("the payment is no registration of this billing key")
    if key is None:
        return NotYet("the gateway does not hold the billing key")
    if window.kind is WindowKind.CHANGE and _is_older(key.updated_at, record.started_at):
        return NotYet("the gateway has not changed the billing key")
    return Confirmed(record.imp_uid, record.paid_at)


def _is_older(updated_at: datetime | None, started_at: datetime | None) -> bool:
    """Say whether the key was last updated before the registration began; both by one clock."""
    return updated_at is not None and started_at is not None and updated_at < started_at


_REQUESTED = {
    WindowKind.PAYMENT: EventName.PAYMENT_REQUESTED,
    WindowKind.REGISTER: EventName.BILLING_KEY_REGISTRATION_REQUESTED,
    WindowKind.CHANGE: EventName.BILLING_KEY_CHANGE_REQUESTED,
}
_CONFIRMED = {
    WindowKind.PAYMENT: EventName.PAYMENT_CONFIRMED,
    WindowKind.REGISTER: EventName.BILLING_KEY_REGISTERED,
    WindowKind.CHANGE: EventName.BILLING_KEY_CHANGED,
}
_EXPIRED = {
    WindowKind.PAYMENT: EventName.PAYMENT_EXPIRED,
    WindowKind.REGISTER: EventName.BILLING_KEY_REGISTRATION_EXPIRED,
    WindowKind.CHANGE: EventName.BILLING_KEY_CHANGE_EXPIRED,
}


def requested(window: Window, parameters: Json, at: datetime) -> Event:
    """Return the event that hands a window to the merchant's page."""
    expires_at = window.expires_at.isoformat()
    return _event(_REQUESTED, window, at, expires_at=expires_at, parameters=parameters)


def confirmed(window: Window, found: Confirmed, at: datetime, **data: Json) -> Event:
    """Return the event of a window that the buyer has used."""
    paid_at = None if found.paid_at is None else found.paid_at.isoformat()
    return _event(_CONFIRMED, window, at, imp_uid=found.imp_uid, paid_at=paid_at, **data)


def expired(window: Window, cause: str, at: datetime) -> Event:
    """Return the event of a window that is not waited for any longer."""
    return _event(_EXPIRED, window, at, cause=cause)


def refused(window: Window, message: str, at: datetime) -> Event:
    """Return the event of a window that the gateway refused to prepare, in its own words."""
    names = {window.kind: EventName.PAYMENT_REQUEST_REFUSED}
    return _event(names, window, at, message=message)


def _event(names: dict[WindowKind, EventName], window: Window, at: datetime, **data: Json) -> Event:
    """Return an event about a window, with the ids by which a merchant knows it."""
    return Event(
        names[window.kind],
        None,
        {
            "window_id": str(window.id),
            "command_id": window.command_id,
            "merchant_uid": window.merchant_uid,
            "billing_key_id": window.billing_key_id,
            "amount": window.price.amount,
            "tax_free": window.price.tax_free,
            "at": at.isoformat(),
            **data,
        },
    )
