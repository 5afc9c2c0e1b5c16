"""A reservation: a charge that the gateway keeps, and makes by itself at an instant.

The gateway charges once, whatever comes of it; a failed one is not tried again by itself, unless
somebody does so in its console. What it says of a reservation is a hint like any other: whether
money moved is told by the payment's own record.
"""

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from shared.billing.inquiry import RecordStatus
from shared.billing.outcome import Misconfigured, NotSent, Throttled, Unknown


class ScheduleStatus(enum.StrEnum):
    """Where a reservation stands, in PortOne's own words; ``executed`` may be paid or failed."""

    SCHEDULED = "scheduled"
    EXECUTED = "executed"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class ScheduledPayment:
    """A reservation as the gateway holds it.

    Attributes:
        merchant_uid: Of the charge that it makes; one reservation at a time is under it.
        customer_uid: The billing key that it charges.
        amount: Won.
        schedule_at: When it is charged, in whole seconds.
        status: A status we do not know is ``scheduled``: it may move money yet.
        payment_status: How the charge stands, None before it was made. One we do not know, and a
            charge of foreign money, is ``ready``, which settles nothing.
        imp_uid: The gateway's id of the charge, None before it was made.
        fail_reason: The gateway's own words, byte for byte.
    """

    merchant_uid: str
    customer_uid: str = field(repr=False)
    amount: int
    schedule_at: datetime
    status: ScheduleStatus
    payment_status: RecordStatus | None = None
    imp_uid: str | None = None
    executed_at: datetime | None = None
    revoked_at: datetime | None = None
    fail_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reserved:
    """The gateway holds the reservation that was asked for, and has not made the charge yet."""

    payment: ScheduledPayment


@dataclass(frozen=True, slots=True)
class ScheduleRefused:
    """The gateway refused a reservation, in words that are known; nothing was reserved.

    Attributes:
        message: The gateway's own words, byte for byte.
        unknown_customer: The billing key is not registered at the gateway.
        is_taken: The ``merchant_uid`` has been paid or cancelled already; it must be read.
    """

    message: str
    unknown_customer: bool = False
    is_taken: bool = False


ScheduleOutcome: TypeAlias = (
    Reserved | ScheduleRefused | NotSent | Throttled | Misconfigured | Unknown
)
