"""What the services need of the gateway, in their own words."""

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from shared.billing.attempt import Claim
from shared.billing.collection import Move
from shared.billing.inquiry import PaymentRecord, StillUnresolved
from shared.billing.outcome import Outcome
from shared.db.outbox import StoredEvent


class ChargeGateway(Protocol):
    """Whoever can charge a claim, once."""

    async def charge(
        self, claim: Claim, *, use_confirmation_on: date | None, claimed_at_s: float
    ) -> Outcome:
        """Send one charge and return how it ended; never sends a second one by itself.

        ``claimed_at_s`` is a reading of ``boot_clock_s`` from before the claim was written; once
        the send window after it is over, nothing may leave.
        """


class RecordsGateway(Protocol):
    """Whoever can say what the gateway holds."""

    async def records_of(self, merchant_uid: str) -> Sequence[PaymentRecord] | StillUnresolved:
        """Return every record under a ``merchant_uid``, oldest first, or why nobody could say."""


class Settle(Protocol):
    """Whoever writes an ending."""

    async def __call__(self, move: Move, /) -> Move:
        """Return the move as written, once it is committed."""


class Publish(Protocol):
    """Whoever tells the world."""

    async def __call__(self, events: Sequence[StoredEvent]) -> None:
        """Publish events in order, at least once."""
