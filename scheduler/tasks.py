"""The scans as Celery tasks: unpack, run one, name the outcome."""

from celery import shared_task

from scheduler.bootstrap import runtime
from shared.jobs import contracts
from shared.jobs.canonical import canonical_line


@shared_task(name=contracts.RenewSubscriptions.task)
def renew() -> str:
    """Open the invoices of periods that have begun."""
    with canonical_line() as line:
        opened = runtime.run(lambda scans: scans.renew())
        return line.outcome(f"opened {opened}")


@shared_task(name=contracts.DispatchInvoices.task)
def dispatch() -> str:
    """Send charge messages for invoices that are due."""
    with canonical_line() as line:
        invoices = runtime.run(lambda scans: scans.dispatch())
        return line.outcome(f"dispatched {invoices}")


@shared_task(name=contracts.DispatchInquiries.task)
def inquire() -> str:
    """Send inquiry messages for attempts that are unknown."""
    with canonical_line() as line:
        attempts = runtime.run(lambda scans: scans.inquire())
        return line.outcome(f"inquiring {attempts}")


@shared_task(name=contracts.DispatchRelay.task)
def relay() -> str:
    """Send a relay message while events wait."""
    with canonical_line() as line:
        messages = runtime.run(lambda scans: scans.relay())
        return line.outcome(f"relaying {messages}")
