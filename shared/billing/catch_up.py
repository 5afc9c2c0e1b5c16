"""What is billed after the scheduler stood still: a policy with a cap, not an accident."""

import enum
from dataclasses import dataclass
from datetime import datetime

from shared.billing.calendar import BillingCycle, Period
from shared.billing.errors import InvalidPolicyError


class CatchUp(enum.StrEnum):
    """Which of several periods that began while nobody looked are billed.

    ``bill_latest`` bills the period that runs now and explains the elapsed ones as skipped;
    ``bill_all`` bills every one, oldest first; ``forgive`` is ``bill_latest`` that also leaves out
    the running period when an elapsed one had to be skipped.
    """

    BILL_LATEST = "bill_latest"
    BILL_ALL = "bill_all"
    FORGIVE = "forgive"


@dataclass(frozen=True, slots=True)
class CatchUpPolicy:
    """A choice and the largest number of periods opened for one subscription in one pass."""

    choice: CatchUp = CatchUp.BILL_LATEST
    periods_max: int = 3

    def __post_init__(self) -> None:
        """Refuse a cap that would never bill anything."""
        if self.periods_max < 1:
            message = f"periods_max must be 1 or more, not {self.periods_max}"
            raise InvalidPolicyError(message)


@dataclass(frozen=True, slots=True)
class Renewals:
    """What one pass opens for one subscription.

    Attributes:
        billed: Periods that get an invoice to be collected, oldest first.
        skipped: Periods that began but are not billed, each of which is explained by an event.
        next_index: The first period that has not been decided yet.
    """

    billed: tuple[Period, ...]
    skipped: tuple[Period, ...]
    next_index: int


def due_renewals(
    cycle: BillingCycle, next_index: int, now: datetime, policy: CatchUpPolicy
) -> Renewals:
    """Return the periods from ``next_index`` on that have begun at ``now``, split by the policy.

    Bounded by ``policy.periods_max`` decisions for ``bill_all``; skipping costs nothing at the
    gateway and is decided in one pass, at most ``SKIPPED_MAX`` at a time.
    """
    current = cycle.index_at(now)
    if current < next_index:
        return Renewals((), (), next_index)
    if policy.choice is CatchUp.BILL_ALL:
        last = min(current, next_index + policy.periods_max - 1)
        periods = tuple(cycle.period(index) for index in range(next_index, last + 1))
        return Renewals(
            tuple(period for period in periods if not period.is_empty),
            tuple(period for period in periods if period.is_empty),
            last + 1,
        )
    elapsed_end = min(current, next_index + SKIPPED_MAX)
    elapsed = tuple(cycle.period(index) for index in range(next_index, elapsed_end))
    if elapsed_end < current:
        return Renewals((), elapsed, elapsed_end)
    running = cycle.period(current)
    if policy.choice is CatchUp.FORGIVE and not all(period.is_empty for period in elapsed):
        return Renewals((), (*elapsed, running), current + 1)
    return Renewals((running,), elapsed, current + 1)


SKIPPED_MAX = 400
