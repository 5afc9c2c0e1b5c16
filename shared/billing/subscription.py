"""The standing agreement to be billed."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

from shared.billing.calendar import BillingCycle
from shared.billing.errors import InvalidAgreementError
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.money import Price
from shared.billing.pause import PauseKeeps

# PortOne's limits (V1 spec, `again.name`, `again.customer_uid`, `again.buyer_*`), in characters.
ORDER_NAME_LENGTH_MAX = 40
CUSTOMER_UID_LENGTH_MAX = 80
BUYER_NAME_LENGTH_MAX = 16
BUYER_EMAIL_LENGTH_MAX = 64
BUYER_TEL_LENGTH_MAX = 16
# Names of the merchant's own, by which subscriptions are told apart and grouped.
PRODUCT_LENGTH_MAX = 64
BUYER_REF_LENGTH_MAX = 64
QUANTITY_MAX = 10_000


class BillingKeyStatus(enum.StrEnum):
    """Whether a stored payment method may be charged; only an active one may.

    ``pending``: the buyer was asked to register it and has not yet. ``dead``: the gateway says that
    it is not registered any more. ``deleting``: it is being taken away; ``deleted``: it is gone.
    """

    PENDING = "pending"
    ACTIVE = "active"
    DEAD = "dead"
    DELETING = "deleting"
    DELETED = "deleted"


# A key is asked for in a window, or told of as one that the gateway holds already; a registration
# that the gateway shows makes it active again, unless it is just being taken away.
KEY_BEGINNINGS: Final = frozenset({BillingKeyStatus.PENDING, BillingKeyStatus.ACTIVE})
KEY_TRANSITIONS: Final[Mapping[BillingKeyStatus, frozenset[BillingKeyStatus]]] = MappingProxyType(
    {
        BillingKeyStatus.PENDING: frozenset({BillingKeyStatus.ACTIVE, BillingKeyStatus.DELETING}),
        BillingKeyStatus.ACTIVE: frozenset({BillingKeyStatus.DEAD, BillingKeyStatus.DELETING}),
        BillingKeyStatus.DEAD: frozenset({BillingKeyStatus.ACTIVE, BillingKeyStatus.DELETING}),
        BillingKeyStatus.DELETING: frozenset({BillingKeyStatus.DELETED}),
        BillingKeyStatus.DELETED: frozenset({BillingKeyStatus.ACTIVE}),
    }
)


@dataclass(frozen=True, slots=True)
class Buyer:
    """What the gateway is told of the buyer, each part optional (``buyer_*`` of ``again``)."""

    name: str | None = None
    email: str | None = None
    tel: str | None = None

    def __post_init__(self) -> None:
        """Refuse a part that PortOne would not take."""
        limits = (
            ("buyer name", self.name, BUYER_NAME_LENGTH_MAX),
            ("buyer e-mail", self.email, BUYER_EMAIL_LENGTH_MAX),
            ("buyer telephone", self.tel, BUYER_TEL_LENGTH_MAX),
        )
        for label, text, limit in limits:
            if text is not None:
                _require_text(label, text, limit, shown=False)

    def __repr__(self) -> str:
        """Hide the person: a repr ends up in logs and tracebacks."""
        return "Buyer(…)"


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a buyer signed up for: enough to open every period's invoice.

    Attributes:
        price: What one unit costs for one period.
        order_name: What the buyer sees, 40 characters at most.
        cycle: When each period begins.
        first_period_index: The first period that is billed; 0 unless the anchor lies in the past.
        quantity: How many units are had.
        product: What is subscribed to, in the merchant's own words: trials are given once and
            prices are changed by it.
        buyer_ref: The merchant's own id of the buyer.
        trial_end_at: Until when nothing is owed, or None without a free trial; the first period
            begins then, or later.
    """

    price: Price
    order_name: str
    cycle: BillingCycle
    first_period_index: int = 0
    quantity: int = 1
    product: str | None = None
    buyer_ref: str | None = None
    trial_end_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a name the gateway would refuse, a negative first period, or no unit."""
        _require_text("order name", self.order_name, ORDER_NAME_LENGTH_MAX)
        for label, text, limit in (
            ("product", self.product, PRODUCT_LENGTH_MAX),
            ("buyer_ref", self.buyer_ref, BUYER_REF_LENGTH_MAX),
        ):
            if text is not None:
                _require_text(label, text, limit)
        if type(self.quantity) is not int or not 1 <= self.quantity <= QUANTITY_MAX:
            message = f"quantity must be 1 to {QUANTITY_MAX}, not {self.quantity!r}"
            raise InvalidAgreementError(message)
        if self.first_period_index < 0:
            message = f"first_period_index must be 0 or more, not {self.first_period_index}"
            raise InvalidAgreementError(message)

    @property
    def total(self) -> Price:
        """What all units cost for one period, before discounts."""
        return Price(self.price.amount * self.quantity, self.price.tax_free * self.quantity)


@dataclass(frozen=True, slots=True)
class Subscription:
    """An agreement in force, with where its billing stands.

    Attributes:
        cancel_at: From then on nothing is billed; None while no end has been asked for.
        pause_at: From then on no period begins; None while no pause has been asked for.
        resume_at: Until then; None if nobody has said when.
        pause_keeps: What stays as it was over the pause.
        consented_amount: What the buyer has agreed to pay for a period, in won.
    """

    id: UUID
    billing_key_id: int
    agreement: Agreement
    status: SubscriptionStatus
    next_period_index: int
    next_renewal_at: datetime | None
    created_at: datetime
    cancel_at: datetime | None = None
    pause_at: datetime | None = None
    resume_at: datetime | None = None
    pause_keeps: PauseKeeps | None = None
    consented_amount: int | None = None


def require_customer_uid(customer_uid: str) -> str:
    """Return ``customer_uid`` if PortOne would take it, or refuse it without repeating it."""
    _require_text("customer_uid", customer_uid, CUSTOMER_UID_LENGTH_MAX, shown=False)
    return customer_uid


def _require_text(label: str, text: str, limit: int, *, shown: bool = True) -> None:
    """Refuse empty, over-long or unprintable text."""
    fault = None
    if not text.strip():
        fault = "must not be empty"
    elif len(text) > limit:
        fault = f"must have {limit} characters at most, not {len(text)}"
    elif not text.isprintable():
        fault = "must not contain control characters"
    if fault:
        message = f"{label} {fault}" + (f": {text[:limit]!r}" if shown and text.strip() else "")
        raise InvalidAgreementError(message)
