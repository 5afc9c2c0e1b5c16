"""What follows a definite decline: new attempts on a schedule, then an end."""

import calendar
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from types import MappingProxyType
from typing import Final, TypeAlias

from shared.billing.charge_hours import KST
from shared.billing.decline import DeclineClass, KnownDecline, classify
from shared.billing.errors import InvalidPolicyError

# The general schedule: two weeks, in which a salary or a new month's limit is likely to come.
DELAYS: Final = (timedelta(days=2), timedelta(days=5), timedelta(days=7))
# What differs from it. Nothing is tried less often than what nobody has seen before. Trouble of the
# payment company passes in hours, but such a payment may still turn paid: a day lies before the
# next one.
CLASS_DELAYS: Final[Mapping[DeclineClass, tuple[timedelta, ...]]] = MappingProxyType(
    {DeclineClass.GATEWAY_TROUBLE: (timedelta(days=1), timedelta(days=2), timedelta(days=4))}
)
# The days on which most Korean salaries are paid.
PAY_DAYS: Final = (10, 25)
ATTEMPTS_MAX: Final = 15
# Over how long the attempts with one payment method are counted.
KEY_WINDOW: Final = timedelta(days=30)
# After a buyer's own try was declined, ours that has come due meanwhile waits for so long.
BUYER_PAUSE: Final = timedelta(hours=1)

_DAY: Final = timedelta(days=1)
# By noon what is paid on a day has come: an assumption.
_PAID_BY: Final = time(12)
_DAYS_PER_MONTH_MAX: Final = 31


class TerminalAction(enum.StrEnum):
    """What happens to the subscription when an invoice is given up."""

    CANCEL = "cancel"
    PAUSE = "pause"
    LEAVE_PAST_DUE = "leave_past_due"


@dataclass(frozen=True, slots=True)
class DunningPolicy:
    """Delays between a decline and the next attempt, and the end.

    Attributes:
        delays: The general schedule: one delay for each further attempt; empty means one attempt
            only.
        terminal_action: What happens to the subscription of an invoice that is given up.
        class_delays: Schedules of classes of declines that differ from the general one.
        known: Texts of declines that the merchant has seen, beside those of the table.
        pay_days: Days of the month on which money comes; the last day of a shorter month counts.
        pay_day_within: How far the next attempt after too little money is moved to meet one of
            them, in days; 0 for not at all. A delay shorter than a day is not moved.
        attempts_max: How many attempts of ours are made at one invoice.
        key_attempts_max: How many are made with one payment method within ``KEY_WINDOW``, before
            further ones after a decline wait.
        grace: How long after the first decline an invoice is given up, whatever is left of the
            schedule, and not before; None for when the schedule is over.
        enabled: Whether declined invoices are tried again by themselves at all.
        retries_max: How often a buyer may try one invoice within a day.
    """

    delays: tuple[timedelta, ...] = DELAYS
    terminal_action: TerminalAction = TerminalAction.LEAVE_PAST_DUE
    class_delays: Mapping[DeclineClass, tuple[timedelta, ...]] = field(
        default_factory=lambda: CLASS_DELAYS
    )
    known: tuple[KnownDecline, ...] = ()
    pay_days: tuple[int, ...] = PAY_DAYS
    pay_day_within: int = 0
    attempts_max: int = ATTEMPTS_MAX
    key_attempts_max: int = ATTEMPTS_MAX
    grace: timedelta | None = None
    enabled: bool = True
    retries_max: int = 5

    def __post_init__(self) -> None:
        """Refuse a delay that would charge again at once, and what contradicts itself."""
        schedules = (self.delays, *self.class_delays.values())
        if any(delay <= timedelta(0) for delays in schedules for delay in delays):
            message = "every dunning delay must be longer than nothing"
            raise InvalidPolicyError(message)
        longest = max(len(delays) for delays in schedules) + 1
        if longest > self.attempts_max:
            message = (
                f"a dunning schedule of {longest - 1} delays makes {longest} attempts at an"
                f" invoice, and {self.attempts_max} are the most: shorten it or allow more"
            )
            raise InvalidPolicyError(message)
        if min(self.attempts_max, self.key_attempts_max, self.retries_max) < 1:
            message = "an invoice must be tried once at least, and by its buyer, too"
            raise InvalidPolicyError(message)
        if self.grace is not None and self.grace <= timedelta(0):
            message = "the grace period must be longer than nothing, or be left out"
            raise InvalidPolicyError(message)
        self._require_pay_days()

    def _require_pay_days(self) -> None:
        if any(not 1 <= day <= _DAYS_PER_MONTH_MAX for day in self.pay_days):
            message = f"pay-days must be days of a month, 1 to {_DAYS_PER_MONTH_MAX}"
            raise InvalidPolicyError(message)
        if self.pay_day_within < 0:
            message = f"pay_day_within must be 0 or more days, not {self.pay_day_within}"
            raise InvalidPolicyError(message)

    def class_of(self, fail_reason: str | None) -> DeclineClass:
        """Return the class of a decline, by the merchant's texts and the table's."""
        return classify(fail_reason, self.known)

    def delays_of(self, decline_class: DeclineClass) -> tuple[timedelta, ...]:
        """Return the schedule of a class of declines."""
        return self.class_delays.get(decline_class, self.delays)

    def grace_ends_at(self, past_due_at: datetime | None) -> datetime | None:
        """Return when an invoice is given up at the latest, or None if the schedule decides."""
        if self.grace is None or past_due_at is None:
            return None
        return past_due_at + self.grace

    def is_over(self, past_due_at: datetime | None, now: datetime) -> bool:
        """Say whether the grace period of an invoice has ended."""
        ends_at = self.grace_ends_at(past_due_at)
        return ends_at is not None and ends_at <= now


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Collect again, with a new attempt, at an instant."""

    at: datetime


@dataclass(frozen=True, slots=True)
class AwaitGrace:
    """No attempt is left, and the invoice is given up when its grace period ends."""

    until: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No attempt is left; the invoice is uncollectible."""

    action: TerminalAction


DunningStep: TypeAlias = TryAgain | AwaitGrace | GiveUp


def after_decline(
    policy: DunningPolicy,
    declines: int,
    now: datetime,
    decline_class: DeclineClass = DeclineClass.UNKNOWN,
    past_due_at: datetime | None = None,
) -> DunningStep:
    """Return what follows the ``declines``-th definite decline of an invoice.

    The schedule is that of this decline's class, at the place that all declines of the invoice
    have reached: another class begins no schedule anew.

    Args:
        policy: The schedules in force.
        declines: How many attempts of ours at this invoice were declined, this one included.
        now: The instant of the decline.
        decline_class: What stood in the way.
        past_due_at: When the invoice was declined first, if it was before.
    """
    if declines < 1:
        message = f"declines counts the one just seen: 1 or more, not {declines}"
        raise InvalidPolicyError(message)
    ends_at = policy.grace_ends_at(past_due_at or now)
    if ends_at is not None and ends_at <= now:
        return GiveUp(policy.terminal_action)
    delays = policy.delays_of(decline_class)
    if declines > len(delays) or declines >= policy.attempts_max:
        return GiveUp(policy.terminal_action) if ends_at is None else AwaitGrace(ends_at)
    at = now + delays[declines - 1]
    if decline_class is DeclineClass.INSUFFICIENT_BALANCE and delays[declines - 1] >= _DAY:
        at = _at_pay_day(policy, at)
    return TryAgain(at) if ends_at is None or at < ends_at else AwaitGrace(ends_at)


def _at_pay_day(policy: DunningPolicy, planned_at: datetime) -> datetime:
    """Return the noon of the next pay-day, if it is near enough, and else what was planned."""
    if not policy.pay_day_within:
        return planned_at
    wall = planned_at.astimezone(KST)
    for ahead in range(policy.pay_day_within + 1):
        day = wall.date() + ahead * _DAY
        last = calendar.monthrange(day.year, day.month)[1]
        if day.day in {min(pay_day, last) for pay_day in policy.pay_days}:
            noon = datetime.combine(day, _PAID_BY, KST)
            return max(planned_at, noon.astimezone(planned_at.tzinfo))
    return planned_at


def after_buyers_try(planned_at: datetime | None, now: datetime) -> datetime:
    """Return when our own schedule goes on after a buyer's own try was declined.

    It goes on as it was planned; what came due meanwhile waits a little, so that the buyer is not
    charged twice in one breath.
    """
    if planned_at is None or planned_at <= now:
        return now + BUYER_PAUSE
    return planned_at
