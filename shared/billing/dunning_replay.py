"""What another dunning policy would have made of invoices that were declined in the past.

History tells when a means was refused and when it paid, and nothing of the time in between. Two
things are assumed, and everything else is left open:

    a means that was refused at some instant would have been refused at every earlier one, from
    the first refusal on;

    a means that paid would have paid at every later instant.

So of an attempt between the last refusal and the payment, or after the last refusal of an invoice
that was never paid, nobody can say how it would have ended: it is counted as possible and never as
recovered.
"""

import enum
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.billing.attempt import AttemptStatus
from shared.billing.charge_hours import ChargeHours
from shared.billing.dunning import AwaitGrace, DunningPolicy, TryAgain, after_decline


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt of the past that has ended.

    Attributes:
        is_buyers: Whether the buyer asked for it, or had changed the method for it: no schedule
            made it what it was.
    """

    at: datetime
    status: AttemptStatus
    fail_reason: str | None = None
    is_buyers: bool = False


@dataclass(frozen=True, slots=True)
class Declined:
    """The history of an invoice whose first attempt was declined, oldest first."""

    invoice_id: int
    amount: int
    tries: tuple[Tried, ...]

    @property
    def paid(self) -> Tried | None:
        """The attempt that paid it, or None."""
        return next((each for each in self.tries if each.status is AttemptStatus.PAID), None)


class Replayed(enum.StrEnum):
    """What would have become of an invoice.

    ``recovered``: an attempt of the policy falls on or after the payment. ``by_buyer``: the buyer
    paid it by a deed of their own, before the policy would have given up. ``possible``: an attempt
    falls into a time of which nothing is known. ``lost``: it was paid, and the policy would have
    given up before. ``unpaid``: it was not paid, and no attempt would have come later than those
    that were made. ``open``: the policy would still be trying.
    """

    RECOVERED = "recovered"
    BY_BUYER = "by_buyer"
    POSSIBLE = "possible"
    LOST = "lost"
    UNPAID = "unpaid"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Fate:
    """What would have become of one invoice.

    Attributes:
        attempts: How many attempts of ours it would have taken, the first one included.
        paid_at: When it would have been paid, if that can be told.
    """

    of: Declined
    ending: Replayed
    attempts: int
    paid_at: datetime | None = None


@dataclass(slots=True)
class Comparison:
    """Sums over many invoices: as it was, and as it would have been."""

    invoices: int = 0
    amount: int = 0
    paid: int = 0
    paid_amount: int = 0
    attempts: int = 0
    waits: list[timedelta] = field(default_factory=list)
    endings: Counter[Replayed] = field(default_factory=Counter)
    amounts: Counter[Replayed] = field(default_factory=Counter)
    replayed_attempts: int = 0
    replayed_waits: list[timedelta] = field(default_factory=list)

    def add(self, fate: Fate) -> None:
        """Count one invoice."""
        first_at, paid = fate.of.tries[0].at, fate.of.paid
        self.invoices += 1
        self.amount += fate.of.amount
        self.attempts += sum(not each.is_buyers for each in fate.of.tries)
        if paid is not None:
            self.paid += 1
            self.paid_amount += fate.of.amount
            self.waits.append(paid.at - first_at)
        self.endings[fate.ending] += 1
        self.amounts[fate.ending] += fate.of.amount
        self.replayed_attempts += fate.attempts
        if fate.paid_at is not None:
            self.replayed_waits.append(fate.paid_at - first_at)


def compare(
    histories: Iterable[Declined], policy: DunningPolicy, hours: ChargeHours, now: datetime
) -> Comparison:
    """Return what a policy would have made of declined invoices, beside what became of them."""
    comparison = Comparison()
    for history in histories:
        comparison.add(replay(history, policy, hours, now))
    return comparison


def replay(history: Declined, policy: DunningPolicy, hours: ChargeHours, now: datetime) -> Fate:
    """Return what a policy would have made of one invoice, as far as its history tells.

    How often one payment method may be tried within 30 days is left out: it depends on all that
    is owed with it.
    """
    first, paid = history.tries[0], history.paid
    attempts, at, is_possible = 1, first.at, False
    ends_at: datetime | None = None
    while True:
        text = _refused_before(history.tries, at)
        step = after_decline(policy, attempts, at, policy.class_of(text), first.at)
        if not isinstance(step, TryAgain):
            ends_at = step.until if isinstance(step, AwaitGrace) else at
            break
        at = hours.next(step.at)
        if paid is not None and paid.at <= at:
            if paid.is_buyers:
                return Fate(history, Replayed.BY_BUYER, attempts, paid.at)
            return Fate(history, Replayed.RECOVERED, attempts + 1, at)
        if at > now:
            return Fate(history, _unless(is_possible, Replayed.OPEN), attempts)
        attempts += 1
        if _died_before(history.tries, at):
            ends_at = policy.grace_ends_at(first.at)
            break
        is_possible = is_possible or not any(
            each.at >= at for each in history.tries if each.status is not AttemptStatus.PAID
        )
    if paid is not None and paid.is_buyers and (ends_at is None or paid.at <= ends_at):
        return Fate(history, Replayed.BY_BUYER, attempts, paid.at)
    ending = Replayed.UNPAID if paid is None else Replayed.LOST
    return Fate(history, _unless(is_possible, ending), attempts)


def _unless(is_possible: bool, ending: Replayed) -> Replayed:  # noqa: FBT001 - one word
    return Replayed.POSSIBLE if is_possible else ending


def _refused_before(tries: Sequence[Tried], at: datetime) -> str | None:
    """Return the words of the last refusal by then."""
    refused = [each for each in tries if each.status is not AttemptStatus.PAID and each.at <= at]
    return refused[-1].fail_reason


def _died_before(tries: Sequence[Tried], at: datetime) -> bool:
    """Say whether the method was known to be dead by then."""
    return any(each.status is AttemptStatus.METHOD_DEAD and each.at <= at for each in tries)
