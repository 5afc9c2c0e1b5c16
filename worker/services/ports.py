"""What the services need of the gateway, in their own words."""

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import Protocol

from shared.billing.attempt import Claim
from shared.billing.collection import Move
from shared.billing.delivery import Answer
from shared.billing.inquiry import PaymentRecord, StillUnresolved
from shared.billing.outcome import Outcome
from shared.billing.refund import RefundClaim, RefundOutcome, Requester
from shared.billing.refunding import RefundMove
from shared.billing.reservation import ScheduledPayment, ScheduleOutcome, ScheduleStatus
from shared.billing.reserving import Reservation
from shared.billing.window import KeyHeld, Prepared
from shared.db.deliveries import Parcel
from shared.db.outbox import StoredEvent


class ChargeGateway(Protocol):
    """Whoever can charge a claim, once."""

    async def charge(
        self, claim: Claim, *, use_confirmation_on: date | None, claimed_at_s: float
    ) -> Outcome:
        """Send one charge and return how it ended; never sends a second one by itself.

        ``claimed_at_s`` is a reading of ``Clock.boot_s`` from before the claim was written; once
        the send window after it is over, nothing may leave.
        """

    async def records_of(self, merchant_uid: str) -> Sequence[PaymentRecord] | StillUnresolved:
        """Return every record under a ``merchant_uid``, oldest first, or why nobody could say."""


class RecordsGateway(Protocol):
    """Whoever can say what the gateway holds."""

    async def records_of(self, merchant_uid: str) -> Sequence[PaymentRecord] | StillUnresolved:
        """Return every record under a ``merchant_uid``, oldest first, or why nobody could say."""

    async def scheduled(self, merchant_uid: str) -> ScheduledPayment | StillUnresolved | None:
        """Return a reservation, None if the gateway knows of none, or why nobody could say."""


class Settle(Protocol):
    """Whoever writes an ending."""

    async def __call__(self, move: Move, /) -> Move:
        """Return the move as written, once it is committed."""


class SettleRefund(Protocol):
    """Whoever writes the ending of a refund."""

    async def __call__(self, move: RefundMove, /) -> RefundMove:
        """Return the move as written, once it is committed."""


class Publish(Protocol):
    """Whoever tells the world."""

    async def __call__(self, events: Sequence[StoredEvent]) -> None:
        """Publish events in order, at least once."""


class PostEvent(Protocol):
    """Whoever hands an event to a merchant's endpoint."""

    async def __call__(self, parcel: Parcel, now: datetime, /) -> Answer:
        """Post one event once, signed at this instant, and return what the endpoint answered."""


class CountDeliveries(Protocol):
    """Whoever counts how often a message came back without an end."""

    async def begin(self, tag: str) -> int:
        """Return how many deliveries of a message that came back have begun since one ended."""

    async def end(self, tag: str) -> None:
        """Forget the deliveries of a message, for whoever worked it lives."""


class ReservationGateway(Protocol):
    """Whoever can be asked to charge by itself at an instant, to say so, and to let it be."""

    async def schedule(
        self, reservation: Reservation, *, use_confirmation_on: date | None, claimed_at_s: float
    ) -> ScheduleOutcome:
        """Request one reservation and return how it ended; never requests a second by itself."""

    async def scheduled(self, merchant_uid: str) -> ScheduledPayment | StillUnresolved | None:
        """Return a reservation, None if the gateway knows of none, or why nobody could say."""

    async def revoke_schedules(
        self, customer_uid: str, merchant_uids: Sequence[str] | None = None
    ) -> StillUnresolved | None:
        """Revoke reservations of a billing key, all or those named; None once none waits."""


class RefundGateway(Protocol):
    """Whoever can give money back, and show what became of it."""

    async def refund(self, claim: RefundClaim, *, claimed_at_s: float) -> RefundOutcome:
        """Send one refund and return how it ended; never sends a second one by itself."""

    async def payment(self, imp_uid: str) -> PaymentRecord | StillUnresolved | None:
        """Return a payment, None if the gateway says there is none, or why nobody could say."""


class KeyGateway(Protocol):
    """Whoever keeps billing keys and what is planned with them."""

    async def payment(self, imp_uid: str) -> PaymentRecord | StillUnresolved | None:
        """Return a payment, None if the gateway says there is none, or why nobody could say."""

    async def key(self, customer_uid: str) -> KeyHeld | StillUnresolved | None:
        """Return a billing key, None if the gateway holds none, or why nobody could say."""

    async def delete_key(
        self, customer_uid: str, *, reason: str, requester: Requester
    ) -> StillUnresolved | None:
        """Delete a billing key; None once the gateway holds it no more."""

    async def revoke_schedules(self, customer_uid: str) -> StillUnresolved | None:
        """Revoke every reservation of a billing key; None once there is none."""

    async def prepare(self, merchant_uid: str, amount: int) -> Prepared | StillUnresolved:
        """Register the amount of a window beforehand; harmless to repeat."""


class BookGateway(Protocol):
    """Whoever can show all that the gateway booked."""

    def payments_in(self, since: datetime, until: datetime) -> AsyncIterator[PaymentRecord]:
        """Return every payment whose status is of ``[since, until)``, or raise in the midst."""


class RecoveryGateway(Protocol):
    """Whoever can show all that the gateway booked and will book, and what of it goes on."""

    def payments_in(self, since: datetime, until: datetime) -> AsyncIterator[PaymentRecord]:
        """Return every payment whose status is of ``[since, until)``, or raise in the midst."""

    def schedules_in(
        self, since: datetime, until: datetime, status: ScheduleStatus | None = None
    ) -> AsyncIterator[ScheduledPayment]:
        """Return every reservation whose instant is of ``[since, until)``, or raise."""

    async def records_of(self, merchant_uid: str) -> Sequence[PaymentRecord] | StillUnresolved:
        """Return every record under a ``merchant_uid``, oldest first, or why nobody could say."""

    async def payment(self, imp_uid: str) -> PaymentRecord | StillUnresolved | None:
        """Return a payment, None if the gateway says there is none, or why nobody could say."""

    async def revoke_schedules(
        self, customer_uid: str, merchant_uids: Sequence[str] | None = None
    ) -> StillUnresolved | None:
        """Revoke reservations of a billing key, all or those named; None once none waits."""
