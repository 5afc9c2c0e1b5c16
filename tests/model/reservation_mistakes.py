"""The reservation model without one of its rules, and what goes wrong then."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tests.model.checker import STUCK
from tests.model.reservation import (
    OUTDATED,
    PAID_TWICE,
    UNSEEN,
    Bounds,
    Reservation,
    Rules,
)

ONE = Bounds(plans=1, sends=1, workers=1, crashes=0, declines=0)
TWO = replace(ONE, workers=2)


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is left out, and by what it must be found."""

    name: str
    found: str
    rules: Rules = field(default_factory=Rules)
    bounds: Bounds = ONE

    @property
    def model(self) -> Reservation:
        """The model without it."""
        return Reservation(self.rules, self.bounds)


MISTAKES: Sequence[Mistake] = (
    Mistake(
        "a period that begins leaves the reservation to itself",
        PAID_TWICE,
        Rules(begins_by_hand_over=False),
    ),
    Mistake(
        "a revocation that was asked for is as good as done",
        PAID_TWICE,
        Rules(awaits_revocation=False),
    ),
    Mistake("a wish leaves what is reserved as it is", STUCK, Rules(recalls=False)),
    Mistake(
        "a period begins as it was reserved, whatever it costs by now",
        OUTDATED,
        Rules(recalls=False, stale_is_revoked=False),
    ),
    Mistake("an answer is judged by when it is read", UNSEEN, Rules(asked_is_judged=False), TWO),
    Mistake(
        "a settlement names no request",
        PAID_TWICE,
        Rules(send_is_compared=False),
        replace(TWO, sends=2),
    ),
    Mistake("a request may leave at any time", PAID_TWICE, Rules(fence=False), TWO),
    Mistake(
        "money for a period that does not come is kept", STUCK, Rules(stranded_goes_back=False)
    ),
    Mistake("a lost reply is a refusal", PAID_TWICE, Rules(lost_is_read=False)),
    Mistake("a moment's silence is a proof", UNSEEN, Rules(silence_takes_time=False), TWO),
    Mistake(
        "what was to be revoked is revoked, executed or not",
        UNSEEN,
        Rules(executed_is_billed=False),
    ),
    Mistake("a revocation is not read", PAID_TWICE, Rules(revocation_is_read=False)),
)
