"""What a change in mid-period costs: the days that are left, at the old price and at the new one.

Both sides are counted by the same days and rounded down alike, so that a change and its opposite on
one day cancel out, and a change to the same price is nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.billing.calendar import Period
from shared.billing.cancellation import unused_days
from shared.billing.lines import Line, LineKind
from shared.billing.money import Price
from shared.billing.refund import part_of

# What the price of a period itself is made of; the rest was owed or given for something else.
_OWN = frozenset({LineKind.RECURRING, LineKind.DISCOUNT})


@dataclass(frozen=True, slots=True)
class PaidShare:
    """How much of its list price a period really costs, as a fraction; never more than all of it.

    Whoever was given a discount, or money back, has not paid for the days at the list price: they
    are credited at what they cost, and charged anew with the same discount.
    """

    amount: int
    of: int

    def of_price(self, price: Price) -> Price:
        """Return what a period at this list price costs, rounded down."""
        return part_of(price, price.amount * self.amount // self.of)


WHOLE = PaidShare(1, 1)


def paid_share(lines: Sequence[Line], given_back: int = 0) -> PaidShare:
    """Return the share that an invoice's lines tell of, less what of it was given back.

    A period that costs nothing by its agreement has no price that could be cheaper.
    """
    whole = sum(line.amount for line in lines if line.kind is LineKind.RECURRING)
    if whole <= 0:
        return WHOLE
    own = sum(line.amount for line in lines if line.kind in _OWN)
    return PaidShare(min(max(own - given_back, 0), whole), whole)


@dataclass(frozen=True, slots=True)
class Proration:
    """What the rest of a period is credited and charged with.

    Attributes:
        unused: How many days of the period were not begun at the change, ``days`` how many it has.
    """

    credit: Price
    charge: Price
    unused: int
    days: int


def prorated(
    old: Price, new: Price | None, share: PaidShare, period: Period, zone: str, at: datetime
) -> Proration:
    """Return what a change at ``at`` credits of the old price and charges of the new one.

    Args:
        old: The list price of the period until now.
        new: That of its remaining days, or None where no day of it is left to be used.
        share: What of its list price the period costs.
        period: Whose days are counted.
        zone: IANA name of the zone in which they are.
        at: When it changes; the date of the change counts as used at the old price.
    """
    unused, days = unused_days(period, zone, at)
    return Proration(
        days_of(share.of_price(old), unused, days),
        Price(0) if new is None else days_of(share.of_price(new), unused, days),
        unused,
        days,
    )


def days_of(price: Price, some: int, days: int) -> Price:
    """Return what ``some`` of the ``days`` of a period cost, rounded down, with its tax-free part.

    Some days and the others together never cost more than all, and at most one won less.
    """
    return part_of(price, price.amount * some // days)


def days_text(order_name: str, some: int, days: int) -> str:
    """Return how a line reads that is for some days of a period only."""
    return f"{order_name}: {some} of {days} days"
