"""Whether a buyer has agreed to what is about to be charged.

Since 14 February 2025 a charge after a free period, and one at a higher price, needs a consent of
its own, given within the thirty days before (Act on the Consumer Protection in Electronic Commerce,
article 13 (6), and article 20-2 of its decree); without one the contract must end before it.
``docs/consent.md`` names the sources, and what is assumed where they are silent.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.billing.errors import InvalidPolicyError


class ConsentKind(enum.StrEnum):
    """What was agreed to."""

    SIGN_UP = "sign_up"
    TRIAL_CONVERSION = "trial_conversion"
    PRICE_INCREASE = "price_increase"
    PLAN_CHANGE = "plan_change"


class WithoutConsent(enum.StrEnum):
    """What follows where a higher price was not agreed to."""

    END = "end"
    KEEP_PRICE = "keep_price"


@dataclass(frozen=True, slots=True)
class Consent:
    """What the buyer agreed to, as far as a charge needs it; ``amount_after`` is won a period."""

    kind: ConsentKind
    amount_after: int
    given_at: datetime


@dataclass(frozen=True, slots=True)
class ConsentPolicy:
    """When a consent is asked for, and how long it is good.

    Attributes:
        required: Whether anything is asked for at all; only where another law applies, not.
        valid_for: How long before what it is about a consent may have been given.
        without: What follows a price that was not agreed to; a free period always ends.
    """

    required: bool = True
    valid_for: timedelta = timedelta(days=30)
    without: WithoutConsent = WithoutConsent.KEEP_PRICE

    def __post_init__(self) -> None:
        """Refuse a consent that is never good."""
        if self.valid_for <= timedelta(0):
            message = "a consent must be good for longer than nothing"
            raise InvalidPolicyError(message)


# What was agreed to at sign-up is no consent to what comes later.
_LAPSING = frozenset(
    {ConsentKind.TRIAL_CONVERSION, ConsentKind.PRICE_INCREASE, ConsentKind.PLAN_CHANGE}
)


def valid_until(policy: ConsentPolicy, kind: ConsentKind, given_at: datetime) -> datetime | None:
    """Return the last instant at which a period may begin that a consent counts for.

    None where no such consent is asked for.
    """
    if not policy.required or kind not in _LAPSING:
        return None
    return given_at + policy.valid_for


def is_given(
    policy: ConsentPolicy,
    consents: Iterable[Consent],
    kind: ConsentKind,
    amount: int,
    effective_at: datetime,
) -> bool:
    """Say whether a charge of ``amount`` won a period from ``effective_at`` on was agreed to.

    A consent to another amount is none, unless to a higher one; one given too early, or after the
    fact, is none either.
    """
    if not policy.required:
        return True
    return any(
        consent.kind is kind
        and consent.amount_after >= amount
        and effective_at - policy.valid_for <= consent.given_at <= effective_at
        for consent in consents
    )
