"""What is owed for one period."""

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.billing.calendar import Period
from shared.billing.money import Price


class InvoiceStatus(enum.StrEnum):
    """The life of an invoice.

    ``open`` is being collected; ``paid``, ``uncollectible`` (nothing more is tried) and ``void``
    (shall not count) are ends.
    """

    OPEN = "open"
    PAID = "paid"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class NewInvoice:
    """An invoice about to be opened for one period of one subscription."""

    subscription_id: UUID
    period: Period
    price: Price
    order_name: str


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice as it stands, for people to read."""

    id: int
    subscription_id: UUID
    period: Period
    price: Price
    order_name: str
    status: InvoiceStatus
    declines: int
    next_attempt_at: datetime | None
    paid_at: datetime | None
    message: str | None
