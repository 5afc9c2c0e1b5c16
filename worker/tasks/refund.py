"""Messages about refunds."""

from celery import shared_task

from shared.billing.tally import tally
from shared.jobs.canonical import CanonicalLine
from shared.jobs.contracts import InquireRefunds, SendRefunds
from worker.bootstrap import runtime
from worker.tasks.intake import intake


@shared_task(name=SendRefunds.task)
def send(*args: object, **kwargs: object) -> str:
    """Send those of the refunds that are due."""
    return intake(SendRefunds, args, kwargs, _send)


def _send(job: SendRefunds, line: CanonicalLine) -> str:
    line.add(refunds=len(job.refund_ids))
    return tally(runtime.run(lambda services: services.send_refunds(job.refund_ids)))


@shared_task(name=InquireRefunds.task)
def inquire(*args: object, **kwargs: object) -> str:
    """Read the payments of those of the refunds whose outcome is unknown."""
    return intake(InquireRefunds, args, kwargs, _inquire)


def _inquire(job: InquireRefunds, line: CanonicalLine) -> str:
    line.add(refunds=len(job.refund_ids))
    return tally(runtime.run(lambda services: services.inquire_refunds(job.refund_ids)))
