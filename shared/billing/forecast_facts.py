"""What is known of one period on a day: what was foreseen, what was charged, what was told."""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from shared.billing.attempt import AttemptOrigin, AttemptStatus
from shared.billing.events import EventName
from shared.billing.forecast import Day, Expected, Outlook
from shared.billing.invoice import InvoiceStatus
from shared.billing.subscription import BillingKeyStatus

# Clocks of ours agree to within a minute, and a transaction that was under way is over by then.
MARGIN: Final = timedelta(minutes=2)


class Reason(enum.StrEnum):
    """What became of one period on the day, beside what was foreseen."""

    AS_FORESEEN = "as_foreseen"
    DECLINED = "declined"
    UNDER_WAY = "under_way"
    NEW = "new"
    CANCELED = "canceled"
    PAUSED = "paused"
    RESUMED = "resumed"
    CHANGED = "changed"
    ADJUSTED = "adjusted"
    CONSENT = "consent"
    REACTIVATED = "reactivated"
    SKIPPED = "skipped"
    PAID_BEFORE = "paid_before"
    BY_BUYER = "by_buyer"
    TRIED_AGAIN = "tried_again"
    NEW_METHOD = "new_method"
    NO_METHOD = "no_method"
    DUNNING = "dunning"
    GIVEN_UP = "given_up"
    PUT_OFF = "put_off"
    LATE = "late"
    BY_A_PERSON = "by_a_person"
    CORRECTED = "corrected"
    SETTINGS = "settings"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt at an invoice.

    Attributes:
        at: When the gateway took the money, or else when the attempt was last sent.
    """

    number: int
    status: AttemptStatus
    at: datetime
    amount: int
    origin: AttemptOrigin = AttemptOrigin.SCHEDULE
    send_number: int = 1
    settled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Bill:
    """The invoice of a period as it stands.

    Attributes:
        begins_at: When its period begins.
        is_stopped: Whether a person has been called, and nothing more is sent.
    """

    id: int
    status: InvoiceStatus
    amount: int
    begins_at: datetime
    next_attempt_at: datetime | None
    past_due_at: datetime | None
    is_stopped: bool = False
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A subscription as it stands."""

    key_status: BillingKeyStatus
    dunning_enabled: bool
    next_period_index: int
    next_renewal_at: datetime | None
    cancel_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """An event of the subscription, or of its billing key, since the forecast was made.

    Attributes:
        period_index: Of which period it tells, or None if of none.
    """

    name: EventName
    at: datetime
    period_index: int | None = None
    invoice_id: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known of one period.

    Attributes:
        expected: What was foreseen of it: on the day, or between the forecast and the day.
        tries: Every attempt at its invoice, oldest first.
        told: Since the forecast was made, oldest first.
    """

    subscription_id: UUID
    period_index: int
    expected: Expected | None
    bill: Bill | None
    tries: tuple[Try, ...]
    subscriber: Subscriber
    told: tuple[Told, ...] = ()

    def is_due_on(self, day: Day) -> bool:
        """Say whether a charge was foreseen of a day."""
        expected = self.expected
        return (
            expected is not None and expected.outlook is Outlook.CHARGED and day.holds(expected.at)
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What an explanation is asked for.

    Attributes:
        made_at: When the forecast was made.
        settings_differ: Whether the settings are others than those of the forecast.
    """

    day: Day
    made_at: datetime
    settings_differ: bool = False

    @property
    def since(self) -> datetime:
        """From when on something may have happened that the forecast did not know."""
        return self.made_at - MARGIN


@dataclass(frozen=True, slots=True)
class Explained:
    """What became of one period on the day.

    Attributes:
        foreseen: What was to be charged on the day, in won, and ``collected`` what was paid.
        because: For people.
    """

    subscription_id: UUID
    period_index: int
    reason: Reason
    foreseen: int
    collected: int
    because: str
