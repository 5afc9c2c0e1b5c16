"""What of an agreement will be different from a date on."""

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from shared.billing.calendar import BillingCycle, Interval, Period
from shared.billing.errors import InvalidAgreementError
from shared.billing.events import Json
from shared.billing.money import Price
from shared.billing.refund import Requester
from shared.billing.subscription import Agreement


class ChangeStatus(enum.StrEnum):
    """The life of a change; ``refused`` is what the buyer did not consent to."""

    PENDING = "pending"
    APPLIED = "applied"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"


CHANGE_BEGINNINGS: Final = frozenset({ChangeStatus.PENDING})
CHANGE_TRANSITIONS: Final[Mapping[ChangeStatus, frozenset[ChangeStatus]]] = MappingProxyType(
    {
        ChangeStatus.PENDING: frozenset(
            {ChangeStatus.APPLIED, ChangeStatus.WITHDRAWN, ChangeStatus.REFUSED}
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What of an agreement can change; None leaves it as it is."""

    price: Price | None = None
    quantity: int | None = None
    order_name: str | None = None
    interval: Interval | None = None

    def __post_init__(self) -> None:
        """Refuse a change that changes nothing."""
        if all(getattr(self, field.name) is None for field in dataclasses.fields(self)):
            message = "a change must name a price, a quantity, an order name or an interval"
            raise InvalidAgreementError(message)


@dataclass(frozen=True, slots=True)
class Change:
    """New terms from the first period on that begins at ``effective_at`` or later."""

    id: int
    effective_at: datetime
    terms: Terms
    requester: Requester


def changed(agreement: Agreement, terms: Terms, period: Period) -> Agreement:
    """Return the agreement as it is from the beginning of a period on.

    Another interval counts from that beginning: the cycle is anchored there, and the indices of
    periods go on.
    """
    cycle = agreement.cycle
    if terms.interval is not None and terms.interval != cycle.interval:
        cycle = BillingCycle(period.start_at, terms.interval, cycle.time_zone, period.index)
    return dataclasses.replace(
        agreement,
        price=agreement.price if terms.price is None else terms.price,
        quantity=agreement.quantity if terms.quantity is None else terms.quantity,
        order_name=agreement.order_name if terms.order_name is None else terms.order_name,
        cycle=cycle,
    )


def told(agreement: Agreement) -> dict[str, Json]:
    """Return what can change of an agreement, as events tell it: before a change, and after it."""
    return {
        "amount": agreement.price.amount,
        "tax_free": agreement.price.tax_free,
        "quantity": agreement.quantity,
        "order_name": agreement.order_name,
        "interval": agreement.cycle.interval.unit,
        "interval_count": agreement.cycle.interval.count,
    }
