"""Every message of ours: one frozen model each, which knows its own name and queue.

Our own messages carry ids and nothing else: no amount, no billing key, no person. Whatever a
message says is checked again against the rows; it may come twice, late or never.
"""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

CHARGE_QUEUE = "billing.charge"
INQUIRY_QUEUE = "billing.inquiry"
REFUND_QUEUE = "billing.refund"
COMMAND_QUEUE = "billing.command"
WEBHOOK_QUEUE = "billing.webhook"
EVENT_QUEUE = "billing.event"
SCAN_QUEUE = "billing.scan"

BATCH_SIZE_MAX = 500
Id = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]
Ids = Annotated[tuple[Id, ...], Field(min_length=1, max_length=BATCH_SIZE_MAX)]
Uuids = Annotated[tuple[UUID, ...], Field(min_length=1, max_length=BATCH_SIZE_MAX)]


class Job(BaseModel):
    """A message with a name and a queue; its fields are the task's keyword arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: ClassVar[str]
    queue: ClassVar[str]


class ChargeInvoices(Job):
    """Collect those of the invoices that are due."""

    task = "invoice.charge"
    queue = CHARGE_QUEUE

    invoice_ids: Ids


class InquireAttempts(Job):
    """Ask the gateway about those of the attempts whose outcome is unknown."""

    task = "attempt.inquire"
    queue = INQUIRY_QUEUE

    attempt_ids: Ids


class ReconcileBooks(Job):
    """Compare the gateway's book of yesterday with our rows, unless that is done already."""

    task = "reconciliation.run"
    queue = INQUIRY_QUEUE


class CheckInvariants(Job):
    """Look at the invariants, and keep what is found."""

    task = "invariant.check"
    queue = INQUIRY_QUEUE


class ForeseeDay(Job):
    """Foresee who will be charged what on the day after, unless that is done already."""

    task = "forecast.make"
    queue = INQUIRY_QUEUE


class ProveDatabase(Job):
    """Ask the gateway whether it holds charges that the database should know and does not."""

    task = "database.prove"
    queue = INQUIRY_QUEUE


class SendRefunds(Job):
    """Send those of the refunds that are due."""

    task = "refund.send"
    queue = REFUND_QUEUE

    refund_ids: Ids


class InquireRefunds(Job):
    """Read the payments of those of the refunds whose outcome is unknown."""

    task = "refund.inquire"
    queue = INQUIRY_QUEUE

    refund_ids: Ids


class ReadHints(Job):
    """Look at what somebody says the gateway holds."""

    task = "hint.read"
    queue = WEBHOOK_QUEUE

    hint_ids: Ids


class PrepareWindows(Job):
    """Register the amounts of payment windows at the gateway before they are opened."""

    task = "window.prepare"
    queue = COMMAND_QUEUE

    window_ids: Uuids


class CloseWindows(Job):
    """Give up payment windows whose time is over, unless the gateway shows that they were used."""

    task = "window.close"
    queue = COMMAND_QUEUE

    window_ids: Uuids


class RemoveBillingKeys(Job):
    """Take billing keys away at the gateway, their reservations first."""

    task = "billing_key.remove"
    queue = COMMAND_QUEUE

    billing_key_ids: Ids


class AdvanceReservations(Job):
    """Request, look at or revoke reservations at PortOne, whichever is the next step of each."""

    task = "reservation.advance"
    queue = INQUIRY_QUEUE

    reservation_ids: Ids


class EndSubscriptions(Job):
    """End those of the subscriptions whose time has come, their reservations first."""

    task = "subscription.end"
    queue = COMMAND_QUEUE

    subscription_ids: Uuids


class RelayEvents(Job):
    """Hand events on that were written but not told."""

    task = "event.relay"
    queue = EVENT_QUEUE


class DeliverEvents(Job):
    """Deliver those of the events that are due at one endpoint, and what follows them there."""

    task = "event.deliver"
    queue = EVENT_QUEUE

    delivery_ids: Ids


class RenewSubscriptions(Job):
    """Open the invoices of periods that have begun."""

    task = "scan.renew"
    queue = SCAN_QUEUE


class DispatchInvoices(Job):
    """Send charge messages for invoices that are due."""

    task = "scan.dispatch"
    queue = SCAN_QUEUE


class DispatchInquiries(Job):
    """Send inquiry messages for attempts that are unknown."""

    task = "scan.inquire"
    queue = SCAN_QUEUE


class DispatchRelay(Job):
    """Send a relay message while events wait."""

    task = "scan.relay"
    queue = SCAN_QUEUE


class DispatchDeliveries(Job):
    """Send messages for events that wait to be delivered to endpoints."""

    task = "scan.deliver"
    queue = SCAN_QUEUE


class DispatchRefunds(Job):
    """Send messages for refunds that are due, and for those that are unknown."""

    task = "scan.refund"
    queue = SCAN_QUEUE


class DispatchHints(Job):
    """Send messages for hints that nobody has looked at."""

    task = "scan.hint"
    queue = SCAN_QUEUE


class AdvanceWindows(Job):
    """Have windows prepared, and end those that buyers have left."""

    task = "scan.window"
    queue = SCAN_QUEUE


class DispatchRemovals(Job):
    """Send messages for billing keys that are to be taken away."""

    task = "scan.remove"
    queue = SCAN_QUEUE


class DispatchEndings(Job):
    """Send messages for subscriptions whose end has come, and follow up what they leave open."""

    task = "scan.end"
    queue = SCAN_QUEUE


class ResumeSubscriptions(Job):
    """Resume paused subscriptions whose day has come."""

    task = "scan.resume"
    queue = SCAN_QUEUE


class DispatchReservations(Job):
    """Plan what PortOne is to collect, and send messages for reservations that are due."""

    task = "scan.reserve"
    queue = SCAN_QUEUE


class MarkDatabase(Job):
    """Raise the database's mark, unless it shows that the database was set back."""

    task = "scan.mark"
    queue = SCAN_QUEUE


class GiveNotices(Job):
    """Tell buyers' merchants of renewals, ends of trials and new prices before they come."""

    task = "scan.notice"
    queue = SCAN_QUEUE


# Those above; what merchants send stands in ``commands``.
JOBS: tuple[type[Job], ...] = tuple(Job.__subclasses__())
