"""What an invoice is made of: lines, a pure function of the agreement and of what differs from it.

One mechanism carries everything that is ever owed for a period: the recurring amount and its
quantity, discounts for some periods, one-off credits, and what a change in mid-period leaves to be
charged or given back. An invoice explains itself by them, and its total is their sum.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.billing.errors import InvalidLinesError
from shared.billing.money import Price

DESCRIPTION_LENGTH_MAX = 200
PERCENT_MAX = 100


class LineKind(enum.StrEnum):
    """What a line stands for; those that lower the total have a negative amount."""

    RECURRING = "recurring"
    DISCOUNT = "discount"
    SETUP = "setup"
    PRORATION_CHARGE = "proration_charge"
    PRORATION_CREDIT = "proration_credit"
    CREDIT = "credit"


class AdjustmentKind(enum.StrEnum):
    """What invoices to come differ by from the agreement."""

    DISCOUNT = "discount"
    SETUP = "setup"
    PRORATION_CHARGE = "proration_charge"
    PRORATION_CREDIT = "proration_credit"
    CREDIT = "credit"


# In which order adjustments are set against a period: what is added comes before what is taken
# off, and a credit, which waits for later periods if need be, comes last.
_ORDER = (
    AdjustmentKind.DISCOUNT,
    AdjustmentKind.SETUP,
    AdjustmentKind.PRORATION_CHARGE,
    AdjustmentKind.PRORATION_CREDIT,
    AdjustmentKind.CREDIT,
)
# What is owed beside the agreement.
_ADDED = frozenset({AdjustmentKind.SETUP, AdjustmentKind.PRORATION_CHARGE})


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Something that invoices to come differ by.

    Attributes:
        left: What of a credit, a setup or a proration has not been set against an invoice yet; of a
            discount by amount, what each period is made cheaper by.
        percent: The share of a discount, 1 to 100, or None where it is an amount.
        periods_left: For how many periods more a discount is given; None where it is no discount.
    """

    id: int
    kind: AdjustmentKind
    description: str
    left: Price
    percent: int | None = None
    periods_left: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether anything of it is left for an invoice to come."""
        if self.kind is AdjustmentKind.DISCOUNT:
            return bool(self.periods_left)
        return self.left.amount > 0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an invoice.

    Attributes:
        amount: Won, below zero where the line lowers the total; ``tax_free`` likewise.
        adjustment_id: What it comes from, or None for the agreement itself.
    """

    kind: LineKind
    description: str
    amount: int
    tax_free: int
    quantity: int = 1
    adjustment_id: int | None = None


@dataclass(frozen=True, slots=True)
class Bill:
    """The lines of one period, their sum, and what they leave of the adjustments.

    Attributes:
        left: Every adjustment that was set against the period, as it is afterwards.
    """

    lines: tuple[Line, ...]
    total: Price
    left: tuple[Adjustment, ...]


def bill(
    recurring: Price,
    description: str,
    quantity: int,
    adjustments: Sequence[Adjustment] = (),
    minimum: int = 0,
) -> Bill:
    """Return what is owed for one period.

    The total is never below zero: what of a credit is too much for one period is left for the next.
    Nor is it made smaller than the gateway charges: a credit leaves that much to be paid, and a
    discount that would leave less leaves nothing.
    The tax-free part follows each line, and that of the total is never above the total.

    Args:
        recurring: What the agreement asks for a period, all units together.
        description: How the recurring line reads.
        quantity: Of how many units.
        adjustments: What differs from the agreement and is still open, in any order.
        minimum: The least that the gateway charges, in won.
    """
    lines = [Line(LineKind.RECURRING, description, recurring.amount, recurring.tax_free, quantity)]
    total, left = recurring, []
    for adjustment in sorted(adjustments, key=lambda each: (_ORDER.index(each.kind), each.id)):
        if not adjustment.is_open:
            continue
        total, line, after = _set_against(total, adjustment, minimum)
        left.append(after)
        if line.amount:
            lines.append(line)
    return Bill(tuple(lines), total, tuple(left))


def used_by(lines: Sequence[Line], adjustments: Sequence[Adjustment]) -> tuple[Adjustment, ...]:
    """Return the adjustments that lines made before are set against, as they leave them."""
    used = []
    for adjustment in adjustments:
        taken = [line for line in lines if line.adjustment_id == adjustment.id]
        if not taken:
            continue
        if adjustment.kind is AdjustmentKind.DISCOUNT:
            used.append(
                replace(adjustment, periods_left=max((adjustment.periods_left or 0) - 1, 0))
            )
            continue
        amount = adjustment.left.amount - sum(abs(line.amount) for line in taken)
        tax_free = adjustment.left.tax_free - sum(abs(line.tax_free) for line in taken)
        used.append(_with_left(adjustment, Price(max(amount, 0), max(min(tax_free, amount), 0))))
    return tuple(used)


def sum_of(lines: Sequence[Line]) -> Price:
    """Return the total of lines.

    Raises:
        InvalidLinesError: They add up to what cannot be owed.
    """
    amount, tax_free = sum(line.amount for line in lines), sum(line.tax_free for line in lines)
    if not 0 <= tax_free <= amount:
        message = f"lines must add up to 0 won or more, not {amount} with {tax_free} tax-free"
        raise InvalidLinesError(message)
    return Price(amount, tax_free)


def _set_against(
    total: Price, adjustment: Adjustment, minimum: int
) -> tuple[Price, Line, Adjustment]:
    """Return the total, the line and the adjustment after one has been set against the other."""
    kind, left = LineKind(adjustment.kind), adjustment.left
    if adjustment.kind in _ADDED:
        total = Price(total.amount + left.amount, total.tax_free + left.tax_free)
        line = _line(adjustment, kind, left.amount, left.tax_free)
        return total, line, _with_left(adjustment, Price(0))
    if adjustment.kind is AdjustmentKind.DISCOUNT:
        wanted = left.amount
        if adjustment.percent is not None:
            wanted = total.amount * adjustment.percent // PERCENT_MAX
        is_charged = total.amount - wanted >= minimum
        taken = _taken(total, wanted if is_charged else total.amount, total)
        after = Adjustment(
            adjustment.id,
            adjustment.kind,
            adjustment.description,
            left,
            adjustment.percent,
            (adjustment.periods_left or 1) - 1,
        )
    else:
        amount = min(left.amount, total.amount)
        if 0 < total.amount - amount < minimum:
            amount = max(total.amount - minimum, 0)
        taken = _taken(total, amount, left)
        # What is taken may carry less tax-free than its share, or more, as the total bears it: what
        # is left never carries more than it is, nor less than nothing.
        rest = left.amount - taken.amount
        rest_tax_free = min(max(left.tax_free - taken.tax_free, 0), rest)
        after = _with_left(adjustment, Price(rest, rest_tax_free))
    total = Price(total.amount - taken.amount, total.tax_free - taken.tax_free)
    return total, _line(adjustment, kind, -taken.amount, -taken.tax_free), after


def _taken(total: Price, amount: int, shared: Price) -> Price:
    """Return ``amount`` with the tax-free part it has in ``shared``, as far as the total bears it.

    What is left of the total must not be tax-free by more than it is, nor by less than nothing.
    """
    share = shared.tax_free * amount // shared.amount if shared.amount else 0
    least = max(total.tax_free - (total.amount - amount), 0)
    most = min(total.tax_free, amount)
    return Price(amount, min(max(share, least), most))


def _with_left(adjustment: Adjustment, left: Price) -> Adjustment:
    return Adjustment(adjustment.id, adjustment.kind, adjustment.description, left)


def _line(adjustment: Adjustment, kind: LineKind, amount: int, tax_free: int) -> Line:
    return Line(kind, adjustment.description, amount, tax_free, 1, adjustment.id)
