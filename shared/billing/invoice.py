"""What is owed for one period."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

from shared.billing.calendar import Period
from shared.billing.errors import InvalidLinesError
from shared.billing.lines import Line, sum_of
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


# What is not named here is an end: a period is never told as both paid and given up.
INVOICE_BEGINNINGS: Final = frozenset({InvoiceStatus.OPEN})
INVOICE_TRANSITIONS: Final[Mapping[InvoiceStatus, frozenset[InvoiceStatus]]] = MappingProxyType(
    {
        InvoiceStatus.OPEN: frozenset(
            {InvoiceStatus.PAID, InvoiceStatus.UNCOLLECTIBLE, InvoiceStatus.VOID}
        ),
    }
)


@dataclass(frozen=True, slots=True)
class NewInvoice:
    """An invoice about to be opened for one period of one subscription.

    Attributes:
        price: The sum of the lines.
        next_attempt_at: When it is collected first, or None for at once.
    """

    subscription_id: UUID
    period: Period
    price: Price
    order_name: str
    lines: tuple[Line, ...]
    next_attempt_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse lines that do not add up to the price."""
        if sum_of(self.lines) != self.price:
            message = f"the lines add up to {sum_of(self.lines)}, not to {self.price}"
            raise InvalidLinesError(message)


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
    lines: tuple[Line, ...] = ()
