"""The refund model without one of its rules or assumptions, and what goes wrong then."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.model.checker import STUCK
from tests.model.refund import (
    FALSE_END,
    GIVEN_BACK_TWICE,
    TOLD_WRONG,
    Bounds,
    Refund,
    Rules,
    World,
)

ONE = Bounds(refunds=1, crashes=0, faults=1)
UNWILLING = Bounds(refunds=1, crashes=0, faults=1, refusals=1)


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is left out, and by what it must be found."""

    name: str
    found: str
    rules: Rules = field(default_factory=Rules)
    world: World = field(default_factory=World)
    bounds: Bounds = ONE

    @property
    def model(self) -> Refund:
        """The model without it."""
        return Refund(self.rules, self.world, self.bounds)


MISTAKES: Sequence[Mistake] = (
    Mistake("the gateway ignores the checksum", GIVEN_BACK_TWICE, world=World(False)),
    Mistake(
        "the checksum is computed anew for every send",
        GIVEN_BACK_TWICE,
        Rules(checksum_is_committed=False),
    ),
    Mistake("the checksum is dropped in doubt", GIVEN_BACK_TWICE, Rules(checksum_is_kept=False)),
    Mistake("a refusal is believed unread", FALSE_END, Rules(refusals_are_read=False)),
    Mistake(
        "a refusal ends the doubt about an earlier send",
        FALSE_END,
        Rules(doubt_outlives_refusal=False),
    ),
    Mistake("a lost reply is a refusal", FALSE_END, Rules(unknown_is_read=False)),
    Mistake(
        "two of one payment are under way",
        FALSE_END,
        Rules(one_under_way=False),
        bounds=Bounds(crashes=0, faults=1),
    ),
    Mistake(
        "a settlement names no send",
        GIVEN_BACK_TWICE,
        Rules(send_is_compared=False),
        bounds=Bounds(refunds=1, faults=2),
    ),
    Mistake(
        "a webhook takes over what is under way",
        TOLD_WRONG,
        Rules(hints_leave_what_is_under_way=False),
    ),
    Mistake(
        "dead claims have no owner",
        STUCK,
        Rules(dead_claims_have_an_owner=False),
        bounds=Bounds(refunds=1, faults=0),
    ),
    Mistake("nobody is called at the deadline", STUCK, Rules(deadline=False), bounds=UNWILLING),
)
