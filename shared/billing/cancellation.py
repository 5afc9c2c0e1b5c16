"""The end of a subscription: when, why, on whose wish, and what goes back to the buyer."""

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.billing.calendar import BillingCycle, Period
from shared.billing.errors import InvalidCancellationError
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.money import Price
from shared.billing.pause import PauseKeeps, time_left
from shared.billing.refund import Requester, part_of, require_reason
from shared.billing.rules import InquiryPolicy
from shared.billing.subscription import Subscription


class CancelWhen(enum.StrEnum):
    """When the end comes."""

    NOW = "now"
    PERIOD_END = "period_end"


class RefundChoice(enum.StrEnum):
    """What of a paid period goes back."""

    NONE = "none"
    FULL = "full"
    PRO_RATA = "pro_rata"


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A wish to end a subscription.

    Attributes:
        when: At once, or at the end of the period that runs.
        reason: The true reason; it goes to the gateway with every refund that follows.
        requester: Whose wish it is.
        refund: What goes back of the running period, if it is paid; only with an end at once.
        late_payment: What goes back of a payment that was under way at the end and turns out
            paid after it; None for what ``when`` makes fair.
    """

    when: CancelWhen
    reason: str
    requester: Requester
    refund: RefundChoice = RefundChoice.NONE
    late_payment: RefundChoice | None = None

    def __post_init__(self) -> None:
        """Refuse a missing reason, and a refund of a period that is still to be used."""
        require_reason(self.reason)
        if self.when is CancelWhen.PERIOD_END and self.refund is not RefundChoice.NONE:
            message = "a period that is used to its end is not refunded: cancel now, or refund none"
            raise InvalidCancellationError(message)

    @property
    def late(self) -> RefundChoice:
        """What goes back of a late payment.

        A buyer who ends at once shall not pay for what comes after; one who used the period to its
        end owes it, however late the money was known to have come.
        """
        if self.late_payment is not None:
            return self.late_payment
        return RefundChoice.FULL if self.when is CancelWhen.NOW else RefundChoice.NONE


def running_period_end(cycle: BillingCycle, now: datetime) -> datetime:
    """Return when the period that runs is over: the start of the first one that has not begun.

    It is read from the calendar and not from what was billed so far, so an outage moves no end.
    Before the first period nothing runs, and the end is its start: nothing will be billed.

    Raises:
        InvalidCycleError: The next period lies beyond the calendar.
    """
    return cycle.period(cycle.index_at(now) + 1).start_at


def end_of_use(subscription: Subscription, now: datetime) -> datetime:
    """Return when an end comes that waits for what was paid for to be used.

    A free trial is over when it ends, whenever the first period would have begun. In a pause that
    keeps the calendar a period that was paid for before it goes on; one that was skipped is no
    reason to wait. A pause that keeps the time has no end of a period: the end is now if nothing is
    left to be used.

    Raises:
        InvalidCancellationError: The pause keeps days that were paid for.
        InvalidCycleError: The next period lies beyond the calendar.
    """
    cycle, index = subscription.agreement.cycle, subscription.next_period_index
    trial_end_at, pause_at = subscription.agreement.trial_end_at, subscription.pause_at
    if subscription.status is SubscriptionStatus.TRIALING and trial_end_at and now < trial_end_at:
        return trial_end_at
    if subscription.status is not SubscriptionStatus.PAUSED or pause_at is None:
        return running_period_end(cycle, now)
    if subscription.pause_keeps is PauseKeeps.TIME:
        if time_left(cycle, index, pause_at):
            message = (
                "the pause keeps what is left of the period, so it does not end before the"
                " subscription is resumed: resume it first, or cancel now, with a refund pro_rata"
                " if what is left shall go back"
            )
            raise InvalidCancellationError(message)
        return now
    running = cycle.index_at(now)
    was_skipped = running >= cycle.anchor_index and cycle.period(running).start_at >= pause_at
    return now if was_skipped else running_period_end(cycle, now)


def refund_of(
    choice: RefundChoice,
    paid: Price,
    left: Price,
    period: Period,
    zone: str,
    ended_at: datetime,
) -> Price | None:
    """Return what of a paid period goes back, or None if nothing does.

    A share is counted from what was paid, since that is the price of a day, and is limited by what
    is left: what the merchant gave back before, for a reason of its own, makes no unused day
    cheaper. It is rounded down to whole won, and takes its share of the tax-free part that is left.

    Args:
        choice: What was wished.
        paid: What was paid for the period.
        left: What of it can still be given back.
        period: The period that was paid for.
        zone: IANA name of the zone in which the subscription's days are counted.
        ended_at: When the subscription ended.
    """
    match choice:
        case RefundChoice.NONE:
            amount = 0
        case RefundChoice.FULL:
            amount = left.amount
        case RefundChoice.PRO_RATA:
            unused, days = unused_days(period, zone, ended_at)
            amount = min(paid.amount * unused // days, left.amount)
        case _:
            assert_never(choice)
    return part_of(left, amount) if amount else None


def unused_days(period: Period, zone: str, ended_at: datetime) -> tuple[int, int]:
    """Return how many days of a period were not begun, and how many it has.

    Days are dates in the subscription's zone, whatever the clocks do on them. A period has the
    dates from that of its start up to that of its end, which belongs to the next period already,
    and one at least. The date of the end of the subscription counts as used, unless the end came
    no later than the period itself began.

    Raises:
        InvalidCancellationError: Nobody knows the zone.
    """
    local = _zone(zone)
    first = period.start_at.astimezone(local).date()
    days = max((period.end_at.astimezone(local).date() - first).days, 1)
    if ended_at <= period.start_at:
        return days, days
    used = max((ended_at.astimezone(local).date() - first).days, 0) + 1
    return max(days - used, 0), days


def look_again_at(doubt_since: datetime, now: datetime, policy: InquiryPolicy) -> datetime | None:
    """Return when the gateway is asked again about a send that it shows no record of.

    While a subscription lives, such an attempt is sent again under the same ``merchant_uid``, and
    the gateway's own refusal would bring a hidden payment to light. After its end nothing is sent,
    so silence that was enough to send again is not enough to forget: the gateway is asked on, at
    growing gaps, until it has been silent for as long as anything may be unknown. None means that
    this time is over and no money moved.
    """
    gap = min(max(now - doubt_since, policy.gaps[0]), policy.gaps[-1])
    # One gap of room, so that the last answer comes before a person would be called.
    return now + gap if now + 2 * gap <= doubt_since + policy.deadline else None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = f"days cannot be counted: {name!r} is not an IANA time zone"
        raise InvalidCancellationError(message) from error
