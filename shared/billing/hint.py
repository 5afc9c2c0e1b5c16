"""How often the gateway is read because somebody says that it holds something.

A hint changes nothing by itself: whoever sends it, it only makes us look. What is said of payments
that nobody here has asked for may come from anywhere, so it is looked at less often.
"""

from dataclasses import dataclass
from datetime import timedelta

from shared.billing.errors import InvalidPolicyError


@dataclass(frozen=True, slots=True)
class HintPolicy:
    """When a hint is read again, and when it is given up.

    Attributes:
        gaps: Waits between one reading and the next; the last one repeats.
        absent_max: After how many readings a payment that the gateway does not show, or does not
            show as ended, is taken for one that is not there.
        unanswered_max: The same where the gateway could not say, or where a refund of ours must
            end first: a day, with the gaps as they stand.
        unknown_max: The same, in any case, for a payment that is not known to be ours.
        again_after: How soon a hint that was read is read again when it is said again.
    """

    gaps: tuple[timedelta, ...] = (
        timedelta(seconds=10),
        timedelta(seconds=30),
        timedelta(minutes=2),
        timedelta(minutes=10),
        timedelta(hours=1),
    )
    absent_max: int = 6
    unanswered_max: int = 28
    unknown_max: int = 2
    again_after: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        """Refuse a policy that reads without pause, or never."""
        if not self.gaps or min((*self.gaps, self.again_after)) <= timedelta(0):
            message = "the waits between readings must be longer than nothing, and at least one"
            raise InvalidPolicyError(message)
        if min(self.absent_max, self.unanswered_max, self.unknown_max) < 1:
            message = "a hint must be read once at least"
            raise InvalidPolicyError(message)

    def next_gap(self, reads: int, *, known: bool, answered: bool) -> timedelta | None:
        """Return the wait after the ``reads``-th reading, or None once it is given up."""
        most = self.absent_max if answered else self.unanswered_max
        if not known:
            most = self.unknown_max
        return self.gaps[min(reads, len(self.gaps)) - 1] if reads < most else None


HINT_POLICY = HintPolicy()
