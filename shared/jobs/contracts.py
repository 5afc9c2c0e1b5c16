"""Every message of ours: one frozen model each, which knows its own name and queue.

Our own messages carry ids and nothing else: no amount, no billing key, no person. Whatever a
message says is checked again against the rows; it may come twice, late or never.
"""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

CHARGE_QUEUE = "billing.charge"
INQUIRY_QUEUE = "billing.inquiry"
EVENT_QUEUE = "billing.event"
SCAN_QUEUE = "billing.scan"

BATCH_SIZE_MAX = 500
Id = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]
Ids = Annotated[tuple[Id, ...], Field(min_length=1, max_length=BATCH_SIZE_MAX)]


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


class RelayEvents(Job):
    """Hand events on that were written but not told."""

    task = "event.relay"
    queue = EVENT_QUEUE


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
