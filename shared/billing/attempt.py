"""One try to collect an invoice, under one ``merchant_uid``.

    claimed ──▶ paid | declined | method_dead          the gateway spoke: settled, for ever
       │
       ├──▶ waiting ──▶ claimed                        nothing moved: the same uid goes out again
       │       ▲
       └──▶ unknown ──▶ paid | declined                the inquiry reads what the gateway holds
               │
               └──▶ parked                             a person decides; a dead letter says so

    waiting ──▶ void | unknown                         the subscription was canceled meanwhile

A new attempt, with a new number and a new ``merchant_uid``, is made after a *definite* decline
only. ``claimed`` past its lease is ``unknown`` by our own death, and has the same owner. An end of
the subscription voids what certainly moved no money; a send that was lost is asked about again.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final
from uuid import UUID

from shared.billing.calendar import Period
from shared.billing.errors import InvalidPolicyError
from shared.billing.inquiry import Expectation
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.money import Price
from shared.billing.subscription import Buyer


class AttemptStatus(enum.StrEnum):
    """Where a payment attempt stands, and who moves it on.

    ``claimed``: the worker that claimed it, or after the lease the inquiry.
    ``waiting``: the dispatch scan, which sends it again when its invoice is due.
    ``unknown``: the inquiry. ``parked``: a person. The others are ends.
    """

    CLAIMED = "claimed"
    WAITING = "waiting"
    UNKNOWN = "unknown"
    PARKED = "parked"
    PAID = "paid"
    DECLINED = "declined"
    METHOD_DEAD = "method_dead"
    VOID = "void"


class AttemptOrigin(enum.StrEnum):
    """On whose wish an attempt is made."""

    SCHEDULE = "schedule"
    BUYER = "buyer"


UNSETTLED = frozenset(
    {
        AttemptStatus.CLAIMED,
        AttemptStatus.WAITING,
        AttemptStatus.UNKNOWN,
        AttemptStatus.PARKED,
    }
)
INQUIRABLE = frozenset({AttemptStatus.CLAIMED, AttemptStatus.UNKNOWN})

# Every attempt begins with its claim. What is not named here is an end, or cannot follow. That
# money came ends all waiting, whatever it waits for.
ATTEMPT_BEGINNINGS: Final = frozenset({AttemptStatus.CLAIMED})
ATTEMPT_TRANSITIONS: Final[Mapping[AttemptStatus, frozenset[AttemptStatus]]] = MappingProxyType(
    {
        AttemptStatus.CLAIMED: frozenset(
            {
                AttemptStatus.PAID,
                AttemptStatus.DECLINED,
                AttemptStatus.METHOD_DEAD,
                AttemptStatus.WAITING,
                AttemptStatus.UNKNOWN,
                AttemptStatus.PARKED,
            }
        ),
        AttemptStatus.WAITING: frozenset(
            {
                AttemptStatus.CLAIMED,
                AttemptStatus.UNKNOWN,
                AttemptStatus.VOID,
                AttemptStatus.PAID,
            }
        ),
        AttemptStatus.UNKNOWN: frozenset(
            {
                AttemptStatus.PAID,
                AttemptStatus.DECLINED,
                AttemptStatus.METHOD_DEAD,
                AttemptStatus.WAITING,
                AttemptStatus.PARKED,
            }
        ),
        AttemptStatus.PARKED: frozenset(
            {AttemptStatus.UNKNOWN, AttemptStatus.VOID, AttemptStatus.PAID}
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Leases:
    """The times that keep two sends of one attempt apart.

    A send begins within ``send_window`` of its claim and ends within ``total_timeout`` of its
    beginning, so nothing of ours is under way when the ``lease`` is over; whatever the gateway
    still works on is given ``settle_delay`` more before anyone concludes from its silence.

    Attributes:
        send_window: From the claim, how long the request may still leave.
        total_timeout: The longest a request may take, connection included.
        lease: How long a claim holds; longer than both together.
        settle_delay: How long after the lease the gateway may still book (PortOne publishes no
            bound; minutes are an assumption on the safe side).
    """

    send_window: timedelta
    total_timeout: timedelta
    lease: timedelta
    settle_delay: timedelta

    def __post_init__(self) -> None:
        """Refuse a lease that a living request could outlast."""
        if self.lease <= self.send_window + self.total_timeout:
            message = (
                f"the lease ({self.lease}) must be longer than the send window"
                f" ({self.send_window}) and the total timeout ({self.total_timeout}) together"
            )
            raise InvalidPolicyError(message)
        if min(self.send_window, self.total_timeout, self.settle_delay) <= timedelta(0):
            message = "send window, total timeout and settle delay must be longer than nothing"
            raise InvalidPolicyError(message)


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that this process alone may send, until its lease is over.

    ``send_number`` counts the sends of the attempt: every later write names it, so a process that
    was paused and comes back can settle nothing that has been claimed again since.

    Attributes:
        origin: On whose wish the attempt is made.
        past_due_at: Since when its invoice is past due, or None while it is not.
        planned_attempt_at: When our own schedule had the next attempt planned as the buyer asked
            for this one, or None where nothing was planned.
        reserved_for: When PortOne was to make the charge by itself, or None where it was not.
        reserved_before: The ``merchant_uid`` of an attempt before it that PortOne made by itself
            and that was declined; somebody at its console may have it tried again.
    """

    attempt_id: int
    invoice_id: int
    subscription_id: UUID
    billing_key_id: int
    period: Period
    number: int
    send_number: int
    merchant_uid: str
    customer_uid: str
    price: Price
    order_name: str
    buyer: Buyer
    declines: int
    claimed_at: datetime
    subscription_status: SubscriptionStatus
    unknown_since: datetime | None = None
    origin: AttemptOrigin = AttemptOrigin.SCHEDULE
    past_due_at: datetime | None = None
    planned_attempt_at: datetime | None = None
    reserved_for: datetime | None = None
    reserved_before: str | None = None

    @property
    def in_doubt_since(self) -> datetime:
        """Since when nobody has known whether money moved, over every send since then."""
        return self.unknown_since or self.claimed_at

    @property
    def expectation(self) -> Expectation:
        """What the gateway's record must say to be of this attempt."""
        is_reserved = self.reserved_for is not None
        return Expectation(self.merchant_uid, self.price.amount, self.customer_uid, is_reserved)

    def __repr__(self) -> str:
        """Name the attempt by its id only: the billing key is a secret."""
        return f"Claim(attempt_id={self.attempt_id}, send_number={self.send_number})"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt as it stands, for people to read."""

    id: int
    invoice_id: int
    number: int
    send_number: int
    merchant_uid: str
    status: AttemptStatus
    imp_uid: str | None
    message: str | None
    claimed_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Question:
    """An attempt whose outcome only the gateway can tell.

    Attributes:
        claim: The attempt and its last send.
        inquiries: How often the gateway was asked about this send.
        no_records: How many of these, one after the other, found nothing.
        held_by_gateway: The gateway refused the send as a duplicate, so finding nothing proves
            nothing.
    """

    claim: Claim
    inquiries: int
    no_records: int
    held_by_gateway: bool
