"""What a pause does to the periods it covers."""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.billing.calendar import BillingCycle, Period
from shared.billing.errors import InvalidCycleError


class PauseKeeps(enum.StrEnum):
    """What stays as it was over a pause.

    ``calendar``: renewals keep their dates. Periods that begin during the pause are skipped, each
    with its explanation; what is left at the resumption of one that was skipped is charged by the
    day with the next renewal.

    ``time``: what was paid for is used to its end. No period begins during the pause, and the one
    that ran goes on from the resumption with the days it had left; the renewals after it move.
    """

    CALENDAR = "calendar"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Resumption:
    """What the end of a pause makes of a subscription.

    Attributes:
        cycle: By which the periods to come are counted.
        next_index: The first of them, which begins at ``next_renewal_at``.
        skipped: Periods that began during the pause and that no renewal has explained yet.
        used: Periods that were skipped and run on, or begin, after the pause: what is left of each
            is owed.
        stood_still: How long the period that ran stood still.
    """

    cycle: BillingCycle
    next_index: int
    next_renewal_at: datetime
    skipped: tuple[Period, ...] = ()
    used: tuple[Period, ...] = ()
    stood_still: timedelta = timedelta(0)


def resumed(
    cycle: BillingCycle,
    next_index: int,
    keeps: PauseKeeps,
    pause_at: datetime,
    at: datetime,
    *,
    is_billed: bool,
) -> Resumption:
    """Return what follows when a pause is over.

    Every period that began before the pause has been decided, or the pause would not have begun.

    Args:
        cycle: By which periods are counted.
        next_index: The first that has not been decided.
        keeps: What stays as it was over the pause.
        pause_at: When the pause began.
        at: When it is over.
        is_billed: Whether the last period that was decided was billed: it may have begun in the
            instant in which the pause did.

    Raises:
        InvalidCycleError: A period lies beyond the calendar.
    """
    at = max(at, pause_at)
    if keeps is PauseKeeps.TIME:
        return _with_time_kept(cycle, next_index, pause_at, at)
    skipped = []
    index = next_index
    while (period := cycle.period(index)).start_at < at:
        skipped.append(period)
        index += 1
    running = max(cycle.index_at(at), cycle.anchor_index, next_index if is_billed else 0)
    used = [cycle.period(each) for each in range(running, index)]
    return Resumption(
        cycle,
        index,
        period.start_at,
        tuple(skipped),
        # What began before the pause was billed as it began.
        tuple(each for each in used if each.start_at >= pause_at and not each.is_empty),
    )


def time_left(cycle: BillingCycle, next_index: int, pause_at: datetime) -> timedelta:
    """Return how much of the running period a pause that keeps the time leaves to be used."""
    return max(cycle.period(next_index).start_at - pause_at, timedelta(0))


def _with_time_kept(
    cycle: BillingCycle, next_index: int, pause_at: datetime, at: datetime
) -> Resumption:
    try:
        anchor_at = at + time_left(cycle, next_index, pause_at)
    except OverflowError as error:
        message = "the period after the pause lies beyond the calendar (year 9999)"
        raise InvalidCycleError(message) from error
    moved = BillingCycle(anchor_at, cycle.interval, cycle.time_zone, next_index)
    return Resumption(moved, next_index, anchor_at, stood_still=at - pause_at)
