"""The charge model without one of its rules or assumptions, and what goes wrong then.

A model that finds nothing proves nothing unless it finds what is there: each of these must be
found. The first five are whole designs that one meets in the field.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.model.charge import (
    COUNTED_TWICE,
    EARLY,
    FALSE_END,
    NEW_NUMBER,
    PAID_TWICE,
    Bounds,
    Charge,
    Rules,
    UnknownIs,
    World,
)
from tests.model.checker import STUCK
from tests.support.book import DuplicatePolicy

NEVER_REUSABLE = World(DuplicatePolicy.NEVER_REUSABLE)
REFUSED_IF_PAID = World(DuplicatePolicy.REFUSED_IF_PAID)
FEW = Bounds(crashes=1, faults=1)
NO_TROUBLE = Bounds(crashes=0, faults=0)
A_FAULT = Bounds(crashes=0, faults=1)
AN_END = Bounds(crashes=0, faults=1, cancellations=1)


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is left out, and by what it must be found."""

    name: str
    found: str
    rules: Rules = field(default_factory=Rules)
    world: World = field(default_factory=World)
    bounds: Bounds = FEW

    @property
    def model(self) -> Charge:
        """The model without it."""
        return Charge(self.rules, self.world, self.bounds)


DESIGNS: Sequence[Mistake] = (
    Mistake(
        "A: a lock in the transaction, a new uid for every try, a lost reply is tried again",
        PAID_TWICE,
        Rules(claim_is_committed=False, fresh_uids=True, unknown=UnknownIs.SENT_AGAIN),
        NEVER_REUSABLE,
    ),
    Mistake(
        "B: a stale lock is let go blindly, a new uid for every try",
        PAID_TWICE,
        Rules(fresh_uids=True, stale_claims_are_asked=False),
        NEVER_REUSABLE,
    ),
    Mistake(
        "C: one uid an attempt, a lost reply is a decline",
        PAID_TWICE,
        Rules(unknown=UnknownIs.DECLINED, stale_claims_are_asked=False),
        NEVER_REUSABLE,
    ),
    Mistake(
        "D: asked at once, nothing found, a new uid",
        PAID_TWICE,
        Rules(settle_delay=False, silences=1, silence_keeps_uid=False),
        NEVER_REUSABLE,
    ),
    Mistake(
        "E: asked at once, nothing found, the same uid",
        PAID_TWICE,
        Rules(settle_delay=False, silences=1),
    ),
)

RULES: Sequence[Mistake] = (
    Mistake("no fence", PAID_TWICE, Rules(fence=False), bounds=NO_TROUBLE),
    Mistake("the fence begins with the commit", PAID_TWICE, Rules(fence_before_claim=False)),
    Mistake("two may claim one send", PAID_TWICE, Rules(one_claims=False)),
    Mistake("dunning does not wait", EARLY, Rules(due_is_checked=False), REFUSED_IF_PAID),
    Mistake(
        "the lease is shorter than the time-out", PAID_TWICE, Rules(lease_covers_timeout=False)
    ),
    Mistake("no settle delay", PAID_TWICE, Rules(settle_delay=False)),
    Mistake("one silence is believed", PAID_TWICE, Rules(silences=1)),
    Mistake("no gap between two silences", PAID_TWICE, Rules(gap=False)),
    Mistake("a settlement names no send", PAID_TWICE, Rules(send_is_compared=False)),
    Mistake(
        "a settlement asks for no status",
        COUNTED_TWICE,
        Rules(status_is_compared=False),
        bounds=NO_TROUBLE,
    ),
    Mistake("a lost reply is a decline", FALSE_END, Rules(unknown=UnknownIs.DECLINED)),
    Mistake("a lost reply is sent again", PAID_TWICE, Rules(unknown=UnknownIs.SENT_AGAIN)),
    Mistake(
        "silence makes a new number", NEW_NUMBER, Rules(silence_keeps_uid=False), REFUSED_IF_PAID
    ),
    Mistake("every send has a uid of its own", PAID_TWICE, Rules(fresh_uids=True), REFUSED_IF_PAID),
    Mistake("a duplicate is a decline", FALSE_END, Rules(duplicate_is_read=False), REFUSED_IF_PAID),
    Mistake("a stale claim is let go", PAID_TWICE, Rules(stale_claims_are_asked=False)),
    Mistake("dead claims have no owner", STUCK, Rules(dead_claims_have_an_owner=False)),
    Mistake("lost messages are gone", STUCK, Rules(lost_messages_come_again=False), bounds=A_FAULT),
    Mistake("an end forgets a lost send", STUCK, Rules(asks_on=False), REFUSED_IF_PAID, AN_END),
    Mistake(
        "a dead key forgets a lost send",
        STUCK,
        Rules(asks_on=False),
        REFUSED_IF_PAID,
        Bounds(crashes=0, faults=1, key_deaths=1),
    ),
    Mistake(
        "nobody is called at the deadline", STUCK, Rules(deadline=False), NEVER_REUSABLE, A_FAULT
    ),
)

ASSUMPTIONS: Sequence[Mistake] = (
    Mistake(
        "the gateway books after the settle delay",
        PAID_TWICE,
        world=World(finishes_in_time=False),
    ),
    Mistake("clocks disagree by more than the lease", PAID_TWICE, world=World(clocks_agree=False)),
    Mistake(
        "look-ups lag while nothing burns a uid",
        PAID_TWICE,
        world=World(lag_is_short=False),
    ),
    Mistake(
        "look-ups hide a decline, and then a payment",
        PAID_TWICE,
        world=World(DuplicatePolicy.REFUSED_IF_PAID, declines_show=False),
        bounds=Bounds(crashes=0, faults=2),
    ),
    Mistake(
        "a hidden payment is not refused as a duplicate",
        STUCK,
        world=World(DuplicatePolicy.REFUSED_IF_PAID, refuses_first=False),
        bounds=A_FAULT,
    ),
    Mistake(
        "look-ups hide a payment until nobody asks any more",
        STUCK,
        world=World(DuplicatePolicy.REFUSED_IF_PAID, last_silence_is_true=False),
        bounds=AN_END,
    ),
)
