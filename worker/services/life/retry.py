"""Take in a buyer's wish to pay an invoice at once; the charge itself comes with a claim."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import AttemptOrigin, AttemptStatus
from shared.billing.charge_hours import ChargeHours
from shared.billing.dunning import DunningPolicy
from shared.billing.events import Event, EventName, Json
from shared.billing.invoice import InvoiceStatus
from shared.billing.lifecycle import LIVING
from shared.billing.subscription import BillingKeyStatus
from shared.db import attempts, outbox, retries
from shared.db.retries import Owed
from shared.jobs.life_commands import RetryInvoice
from worker.services.commanding import CommandRefusedError

_DAY = timedelta(days=1)
_ENDED = {
    InvoiceStatus.PAID: "it is paid already",
    InvoiceStatus.UNCOLLECTIBLE: "it was given up, which is final: ask for its amount with"
    " payment.request",
    InvoiceStatus.VOID: "it is void: nothing is owed",
}
_UNDER_WAY = {
    AttemptStatus.CLAIMED: "a charge is under way: wait for its outcome",
    AttemptStatus.UNKNOWN: "a charge was made and its outcome is being looked for: wait for it, so"
    " that nobody pays twice",
    AttemptStatus.PARKED: "a charge was made and a person is finding out what became of it: wait"
    " for that, so that nobody pays twice",
}


@dataclass(frozen=True, slots=True)
class TryInvoice:
    """Handle ``invoice.retry``: the buyer is charged at once, which uses up no step of ours.

    Attributes:
        dunning: How often a buyer may try within a day.
        hours: A buyer's wish waits for maintenance and for nothing else of it.
    """

    dunning: DunningPolicy = field(default_factory=DunningPolicy)
    hours: ChargeHours = field(default_factory=ChargeHours)

    async def __call__(
        self, connection: AsyncConnection, command: RetryInvoice, now: datetime
    ) -> dict[str, Json]:
        """Make an invoice due, or refuse it in words.

        Raises:
            CommandRefusedError: It is unknown, has ended, is being charged, cannot be charged, or
                was tried too often.
        """
        owed = await retries.lock(connection, command.invoice_id)
        if owed is None:
            message = f"there is no invoice {command.invoice_id}"
            raise CommandRefusedError(message)
        if (why := _refusal(owed, now)) is not None:
            message = f"invoice {owed.invoice_id} cannot be tried: {why}"
            raise CommandRefusedError(message)
        tries = await attempts.buyers_tries(connection, owed.invoice_id, now - _DAY)
        if tries >= self.dunning.retries_max:
            message = (
                f"invoice {owed.invoice_id} was tried by its buyer {tries} times within a day, and"
                f" {self.dunning.retries_max} are the most: try again tomorrow, or change the"
                " payment method"
            )
            raise CommandRefusedError(message)
        at = self.hours.of(AttemptOrigin.BUYER).next(now)
        await retries.ask(connection, owed.invoice_id, at, now)
        await outbox.write(connection, [_asked(owed, now)])
        return {"invoice_id": owed.invoice_id, "next_attempt_at": at.isoformat()}


def _refusal(  # noqa: PLR0911 - a decision table, one row a return
    owed: Owed, now: datetime
) -> str | None:
    """Return why an invoice is not charged on its buyer's wish, or None if it is."""
    if owed.status is not InvoiceStatus.OPEN:
        return _ENDED[owed.status]
    if owed.collection_stopped:
        return "the buyer's money came another way: a person is looking at it"
    if owed.subscription_status not in LIVING or (owed.cancel_at and owed.cancel_at <= now):
        return "its subscription has ended: nothing more of it is collected"
    if owed.unsettled in _UNDER_WAY:
        return _UNDER_WAY[owed.unsettled]
    if owed.billing_key_status is not BillingKeyStatus.ACTIVE:
        return (
            f"the billing key is {owed.billing_key_status}: register or change the payment method,"
            " which charges it at once"
        )
    if owed.retry_asked_at is not None:
        return f"it was asked for at {owed.retry_asked_at.isoformat()} and is about to be charged"
    return None


def _asked(owed: Owed, now: datetime) -> Event:
    data: dict[str, Json] = {
        "invoice_id": owed.invoice_id,
        "period_index": owed.period_index,
        "amount": owed.price.amount,
        "tax_free": owed.price.tax_free,
        "at": now.isoformat(),
    }
    return Event(EventName.INVOICE_RETRY_ASKED, owed.subscription_id, data)
