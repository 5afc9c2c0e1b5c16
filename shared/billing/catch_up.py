"""What is billed after the scheduler stood still: a policy with a cap, not an accident."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared.billing.calendar import Period
from shared.billing.errors import InvalidPolicyError

# So many elapsed periods are explained in one pass, and what is left with the next one.
SKIPPED_MAX = 400


class CatchUp(enum.StrEnum):
    """Which of several periods that began while nobody looked are billed.

    ``bill_latest`` bills the period that runs now and explains the elapsed ones as skipped;
    ``bill_all`` bills every one, and collects them oldest first, some a day; ``forgive`` is
    ``bill_latest`` that also leaves out the running period when an elapsed one had to be skipped.
    """

    BILL_LATEST = "bill_latest"
    BILL_ALL = "bill_all"
    FORGIVE = "forgive"


@dataclass(frozen=True, slots=True)
class CatchUpPolicy:
    """A choice, and how many invoices opened in one pass for one subscription come due a day."""

    choice: CatchUp = CatchUp.BILL_LATEST
    periods_max: int = 3

    def __post_init__(self) -> None:
        """Refuse a cap that would never bill anything."""
        if self.periods_max < 1:
            message = f"periods_max must be 1 or more, not {self.periods_max}"
            raise InvalidPolicyError(message)


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What a policy made of several periods of one subscription that were due at once.

    Attributes:
        oldest: The first of them.
    """

    choice: CatchUp
    billed: int
    skipped: int
    oldest: Period


def to_be_billed(
    owed: Sequence[Period], policy: CatchUpPolicy, *, is_whole: bool
) -> tuple[Period, ...]:
    """Return those of the periods due at once that are billed, oldest first.

    Args:
        owed: Periods that have begun and for which something is owed, oldest first.
        policy: What is done if there are several.
        is_whole: Whether these are all; if more have begun after them, the one that runs is not
            among them.
    """
    match policy.choice:
        case CatchUp.BILL_ALL:
            return tuple(owed)
        case CatchUp.BILL_LATEST:
            return tuple(owed[-1:]) if is_whole else ()
        case CatchUp.FORGIVE:
            return tuple(owed) if is_whole and len(owed) == 1 else ()


def wait_before(position: int, policy: CatchUpPolicy) -> timedelta:
    """Return how long after the pass the invoice at ``position`` among those opened comes due."""
    return timedelta(days=position // policy.periods_max)
