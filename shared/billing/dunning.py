"""What follows a definite decline: new attempts on a schedule, then an end."""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from shared.billing.errors import InvalidPolicyError


class TerminalAction(enum.StrEnum):
    """What happens to the subscription when the last attempt is declined."""

    CANCEL = "cancel"
    LEAVE_PAST_DUE = "leave_past_due"


@dataclass(frozen=True, slots=True)
class DunningPolicy:
    """Delays between a decline and the next attempt, and the end.

    Attributes:
        delays: One delay for each further attempt; empty means one attempt only.
        terminal_action: What happens after the last decline.
    """

    delays: tuple[timedelta, ...] = (timedelta(days=2), timedelta(days=5), timedelta(days=7))
    terminal_action: TerminalAction = TerminalAction.LEAVE_PAST_DUE

    def __post_init__(self) -> None:
        """Refuse a delay that would charge again at once."""
        if any(delay <= timedelta(0) for delay in self.delays):
            message = "every dunning delay must be longer than nothing"
            raise InvalidPolicyError(message)


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Collect again, with a new attempt, at an instant."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No attempt is left; the invoice is uncollectible."""

    action: TerminalAction


DunningStep: TypeAlias = TryAgain | GiveUp


def after_decline(policy: DunningPolicy, declines: int, now: datetime) -> DunningStep:
    """Return what follows the ``declines``-th definite decline of an invoice.

    Args:
        policy: The schedule in force.
        declines: How many attempts at this invoice were declined, this one included.
        now: The instant of the decline.
    """
    if declines < 1:
        message = f"declines counts the one just seen: 1 or more, not {declines}"
        raise InvalidPolicyError(message)
    if declines <= len(policy.delays):
        return TryAgain(now + policy.delays[declines - 1])
    return GiveUp(policy.terminal_action)
