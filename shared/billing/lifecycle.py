"""The life of a subscription: one table from (status, what happens) to status.

Whoever moves a subscription asks this table; what it does not name cannot happen. The diagram in
``docs/state-machines.md`` is compared with it by a test.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from shared.billing.errors import InvalidTransitionError


class SubscriptionStatus(enum.StrEnum):
    """Where a subscription stands.

    ``trialing``: used and not paid for yet. ``active``: billed on every renewal. ``past_due``: the
    same, with something declined that is still owed. ``paused``: no period begins. ``canceled``:
    never billed again, unless the buyer comes back.
    """

    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    PAUSED = "paused"
    CANCELED = "canceled"


class Happening(enum.StrEnum):
    """What moves a subscription on."""

    CONVERT = "convert"
    DECLINE = "decline"
    RECOVER = "recover"
    PAUSE = "pause"
    RESUME = "resume"
    RESUME_OWING = "resume_owing"
    CANCEL = "cancel"
    REACTIVATE = "reactivate"


_S, _H = SubscriptionStatus, Happening

# What is not in here is refused, or, where it only reports of money, leaves the status as it is.
TRANSITIONS: Final[Mapping[tuple[SubscriptionStatus, Happening], SubscriptionStatus]] = (
    MappingProxyType(
        {
            (_S.TRIALING, _H.CONVERT): _S.ACTIVE,
            (_S.TRIALING, _H.CANCEL): _S.CANCELED,
            (_S.ACTIVE, _H.DECLINE): _S.PAST_DUE,
            (_S.ACTIVE, _H.PAUSE): _S.PAUSED,
            (_S.ACTIVE, _H.CANCEL): _S.CANCELED,
            (_S.PAST_DUE, _H.RECOVER): _S.ACTIVE,
            (_S.PAST_DUE, _H.PAUSE): _S.PAUSED,
            (_S.PAST_DUE, _H.CANCEL): _S.CANCELED,
            (_S.PAUSED, _H.RESUME): _S.ACTIVE,
            (_S.PAUSED, _H.RESUME_OWING): _S.PAST_DUE,
            (_S.PAUSED, _H.CANCEL): _S.CANCELED,
            (_S.CANCELED, _H.REACTIVATE): _S.ACTIVE,
        }
    )
)

# Where a life may begin.
BEGINNINGS: Final = frozenset({SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE})
# Periods begin, and each has a next renewal.
BILLABLE: Final = frozenset(
    {SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE}
)
# Not ended: its billing key is in use, and it can still come to an end.
LIVING: Final = BILLABLE | {SubscriptionStatus.PAUSED}


def moved(status: SubscriptionStatus, happening: Happening) -> SubscriptionStatus:
    """Return where a happening takes a subscription.

    Raises:
        InvalidTransitionError: It cannot happen to one that stands there; the text says when it
            can.
    """
    try:
        return TRANSITIONS[status, happening]
    except KeyError:
        able = " or ".join(sorted(sources(happening)))
        message = f"a subscription that is {status} cannot {happening}: it must be {able}"
        raise InvalidTransitionError(message) from None


def sources(happening: Happening) -> frozenset[SubscriptionStatus]:
    """Return the statuses that a happening moves a subscription out of."""
    return frozenset(status for status, what in TRANSITIONS if what is happening)
