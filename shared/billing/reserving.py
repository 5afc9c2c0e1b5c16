"""The protocol of a reservation: a charge that PortOne makes by itself when its instant comes.

    planned ──▶ claimed ──▶ reserved ──▶ collected        its period begins: an attempt takes over
       ▲           │           │
       │           ▼           ├──▶ revoking ──▶ revoked  nothing of it can be executed any more
       └──────── unknown ──────┘        │
                                        └──▶ executed ──▶ collected
                                                │
                                                └──▶ returning ──▶ collected

The rules of a charge hold here, too. A request for a reservation is committed before it leaves, and
one whose outcome is unknown is read, never repeated under another ``merchant_uid``. While a
reservation may still be executed nobody else collects its period: who wants it otherwise has it
revoked, and waits until PortOne says that it is.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, TypeAlias
from uuid import UUID

from shared.billing.calendar import Period
from shared.billing.errors import InvalidPolicyError
from shared.billing.inquiry import StillUnresolved
from shared.billing.invoice import NewInvoice
from shared.billing.money import Price
from shared.billing.reservation import (
    ScheduledPayment,
)
from shared.billing.subscription import Buyer


class CollectBy(enum.StrEnum):
    """Who makes the charges of a subscription: we, or PortOne at an instant reserved ahead."""

    CHARGE = "charge"
    RESERVATION = "reservation"


class ReservationStatus(enum.StrEnum):
    """Where a reservation stands, and who moves it on.

    ``planned``, ``claimed``, ``unknown``, ``reserved``, ``revoking``: the reservation scan, and
    the renewal once the period begins. ``executed``: the renewal, the end of the subscription, or
    the scan where a pause keeps the period from coming. ``returning``: the scan, which gives back
    what was paid. The others are ends: ``collected`` has become an attempt, whose inquiry reads the
    result.
    """

    PLANNED = "planned"
    CLAIMED = "claimed"
    UNKNOWN = "unknown"
    RESERVED = "reserved"
    REVOKING = "revoking"
    EXECUTED = "executed"
    RETURNING = "returning"
    COLLECTED = "collected"
    REVOKED = "revoked"
    REFUSED = "refused"


# A reservation that PortOne holds, or may hold, or has executed for a period that is not billed.
LIVE: Final = frozenset(
    {
        ReservationStatus.PLANNED,
        ReservationStatus.CLAIMED,
        ReservationStatus.UNKNOWN,
        ReservationStatus.RESERVED,
        ReservationStatus.REVOKING,
        ReservationStatus.EXECUTED,
    }
)
# What is looked at again at an instant of its own.
LOOKED_AT: Final = LIVE | {ReservationStatus.RETURNING}
# Of what PortOne is to be asked.
ASKED_ABOUT: Final = LIVE - {ReservationStatus.PLANNED, ReservationStatus.EXECUTED}
# What has become an attempt, which is asked about like any other.
ATTEMPTED: Final = frozenset({ReservationStatus.RETURNING, ReservationStatus.COLLECTED})
# What has to be revoked before anything else may collect its period.
REVOCABLE: Final = frozenset(
    {ReservationStatus.CLAIMED, ReservationStatus.UNKNOWN, ReservationStatus.RESERVED}
)

RESERVATION_BEGINNINGS: Final = frozenset({ReservationStatus.PLANNED})
RESERVATION_TRANSITIONS: Final[Mapping[ReservationStatus, frozenset[ReservationStatus]]] = (
    MappingProxyType(
        {
            ReservationStatus.PLANNED: frozenset(
                {ReservationStatus.CLAIMED, ReservationStatus.REVOKED}
            ),
            ReservationStatus.CLAIMED: frozenset(
                {
                    ReservationStatus.RESERVED,
                    ReservationStatus.UNKNOWN,
                    ReservationStatus.PLANNED,
                    ReservationStatus.REFUSED,
                    ReservationStatus.REVOKING,
                    ReservationStatus.EXECUTED,
                    ReservationStatus.COLLECTED,
                }
            ),
            ReservationStatus.UNKNOWN: frozenset(
                {
                    ReservationStatus.RESERVED,
                    ReservationStatus.PLANNED,
                    ReservationStatus.REVOKING,
                    ReservationStatus.EXECUTED,
                    ReservationStatus.COLLECTED,
                }
            ),
            ReservationStatus.RESERVED: frozenset(
                {
                    ReservationStatus.REVOKING,
                    ReservationStatus.REVOKED,
                    ReservationStatus.EXECUTED,
                    ReservationStatus.COLLECTED,
                }
            ),
            ReservationStatus.REVOKING: frozenset(
                {ReservationStatus.REVOKED, ReservationStatus.EXECUTED}
            ),
            ReservationStatus.EXECUTED: ATTEMPTED,
            ReservationStatus.RETURNING: frozenset({ReservationStatus.COLLECTED}),
        }
    )
)

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ReservePolicy:
    """When the next period is reserved.

    Attributes:
        ahead: How long before it is to be collected.
        lead_min: How much of that must be left: what would be later is charged by us instead.
        look_every: How often PortOne is asked whether a reservation still stands as it was made.
    """

    ahead: timedelta = timedelta(days=3)
    lead_min: timedelta = timedelta(hours=1)
    look_every: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        """Refuse a policy under which nothing would ever be reserved."""
        if not timedelta(0) < self.lead_min < self.ahead or self.look_every <= timedelta(0):
            message = (
                f"reservations must be made longer ahead ({self.ahead}) than the least lead"
                f" ({self.lead_min}), and looked at after more than nothing"
            )
            raise InvalidPolicyError(message)


@dataclass(frozen=True, slots=True)
class ReservedPeriod:
    """The period of a reservation that lives, for whoever decides about the period."""

    id: int
    subscription_id: UUID
    period: Period
    price: Price
    order_name: str
    schedule_at: datetime
    status: ReservationStatus

    def renewed_until(self, now: datetime) -> datetime:
        """Return up to when the renewal may look ahead while this reservation lives.

        PortOne collects the period in time whether or not we are there to see it, so it is billed
        as it would have been in time, and what came after it in the next pass.
        """
        return min(now, self.period.end_at - _INSTANT)

    def is_stale(self, invoices: Sequence[NewInvoice]) -> bool:
        """Say whether it must be revoked before its period may be billed as it is owed.

        Of what PortOne has executed already nothing can be revoked.
        """
        if self.status not in REVOCABLE:
            return False
        owed = {invoice.period.index: invoice.price for invoice in invoices}
        return owed.get(self.period.index) != self.price

    def is_executed_otherwise(self, invoices: Sequence[NewInvoice]) -> bool:
        """Say whether PortOne has charged another price for its period than is owed by now."""
        owed = {invoice.period.index: invoice.price for invoice in invoices}
        price = owed.get(self.period.index)
        return self.status is ReservationStatus.EXECUTED and price not in {None, self.price}

    def is_stranded(self, invoices: Sequence[NewInvoice]) -> bool:
        """Say whether PortOne has executed it for a period of which nothing is owed."""
        owed = {invoice.period.index for invoice in invoices}
        return self.status is ReservationStatus.EXECUTED and self.period.index not in owed


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation of ours as its row stands, for whoever speaks with PortOne about it.

    Attributes:
        schedule_at: When PortOne is to charge; a whole second, no earlier than the period begins.
        send_number: Which request for it this is about; every later write names it.
        claimed_at: When the last request was committed to; None before the first.
        looks: How often PortOne was asked since, and ``no_records`` how many of these, one after
            the other, it knew of none.
    """

    id: int
    subscription_id: UUID
    billing_key_id: int
    period: Period
    merchant_uid: str
    customer_uid: str = field(repr=False)
    price: Price
    order_name: str
    buyer: Buyer = field(repr=False)
    schedule_at: datetime
    status: ReservationStatus
    send_number: int = 0
    claimed_at: datetime | None = None
    looks: int = 0
    no_records: int = 0

    def stands_as(self, held: ScheduledPayment) -> bool:
        """Say whether PortOne holds what was asked for."""
        return (held.merchant_uid, held.customer_uid, held.amount, held.schedule_at) == (
            self.merchant_uid,
            self.customer_uid,
            self.price.amount,
            self.schedule_at,
        )


@dataclass(frozen=True, slots=True)
class ReservationMove:
    """What one answer changes of a reservation, refused if it has moved on since.

    Attributes:
        reservation: As it stood when PortOne was asked.
        by_others: Whether somebody at PortOne's console has changed it.
        hold_until: Until when nothing at all may be sent to the gateway, or None.
    """

    reservation: Reservation
    status: ReservationStatus
    look_at: datetime | None = None
    looks: int = 0
    no_records: int = 0
    message: str | None = None
    by_others: bool = False
    hold_until: datetime | None = None


Held: TypeAlias = ScheduledPayment | StillUnresolved | None
