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


@shared_task(name=contracts.DispatchRefunds.task)
def refund() -> str:
    """Send messages for refunds that are due, and for those that are unknown."""
    with canonical_line() as line:
        refunds = runtime.run(lambda scans: scans.refund())
        return line.outcome(f"dispatched {refunds}")


@shared_task(name=contracts.DispatchRelay.task)
def relay() -> str:
    """Send a relay message while events wait."""
    with canonical_line() as line:
        messages = runtime.run(lambda scans: scans.relay())
        return line.outcome(f"relaying {messages}")


@shared_task(name=contracts.DispatchEndings.task)
def end() -> str:
    """Send messages for subscriptions whose end has come, and follow up what they leave open."""
    with canonical_line() as line:
        subscriptions = runtime.run(lambda scans: scans.end())
        return line.outcome(f"ending {subscriptions}")


@shared_task(name=contracts.DispatchHints.task)
def hints() -> str:
    """Send messages for hints that nobody has looked at."""
    with canonical_line() as line:
        dispatched = runtime.run(lambda scans: scans.hints())
        return line.outcome(f"reading {dispatched}")


@shared_task(name=contracts.AdvanceWindows.task)
def windows() -> str:
    """Have windows prepared, and end those that buyers have left."""
    with canonical_line() as line:
        dispatched = runtime.run(lambda scans: scans.windows())
        return line.outcome(f"advancing {dispatched}")


@shared_task(name=contracts.DispatchRemovals.task)
def remove() -> str:
    """Send messages for billing keys that are to be taken away."""
    with canonical_line() as line:
        keys = runtime.run(lambda scans: scans.remove())
        return line.outcome(f"removing {keys}")
