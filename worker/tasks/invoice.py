"""Messages about invoices."""

from celery import shared_task

from shared.billing.tally import tally
from shared.jobs.canonical import CanonicalLine
from shared.jobs.contracts import ChargeInvoices
from worker.bootstrap import runtime
from worker.tasks.intake import intake


@shared_task(name=ChargeInvoices.task)
def charge(*args: object, **kwargs: object) -> str:
    """Collect those of the invoices that are due."""
    return intake(ChargeInvoices, args, kwargs, _charge)


def _charge(job: ChargeInvoices, line: CanonicalLine) -> str:
    line.add(invoices=len(job.invoice_ids))
    return tally(runtime.run(lambda services: services.charge_invoices(job.invoice_ids)))
