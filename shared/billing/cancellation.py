"""The end of a subscription: when, why, on whose wish, and what goes back to the buyer."""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from shared.billing.calendar import Period
from shared.billing.errors import InvalidCancellationError
from shared.billing.money import Price
from shared.billing.refund import Requester, part_of, require_reason


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
            paid after it.
    """

    when: CancelWhen
    reason: str
    requester: Requester
    refund: RefundChoice = RefundChoice.NONE
    late_payment: RefundChoice = RefundChoice.FULL

    def __post_init__(self) -> None:
        """Refuse a missing reason, and a refund of a period that is still to be used."""
        require_reason(self.reason)
        if self.when is CancelWhen.PERIOD_END and self.refund is not RefundChoice.NONE:
            message = "a period that is used to its end is not refunded: cancel now, or refund none"
            raise InvalidCancellationError(message)


def refund_of(
    choice: RefundChoice, left: Price, period: Period, zone: str, ended_at: datetime
) -> Price | None:
    """Return what of a paid period goes back, or None if nothing does.

    Args:
        choice: What was wished.
        left: What of the payment can still be given back.
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
            amount = left.amount * unused // days
    return part_of(left, amount) if amount else None


def unused_days(period: Period, zone: str, ended_at: datetime) -> tuple[int, int]:
    """Return how many whole days of a period were not begun, and how many it has.

    Days are those of the calendar in the subscription's zone: the day of the end counts as used,
    and so does a day that the period only touches. A period has one day at least.
    """
    local = ZoneInfo(zone)
    first = period.start_at.astimezone(local).date()
    # Half-open: the last day is that of the instant before the end.
    last = (period.end_at - timedelta(microseconds=1)).astimezone(local).date()
    days = max((last - first).days + 1, 1)
    used = (ended_at.astimezone(local).date() - first).days + 1
    return min(max(days - used, 0), days), days
