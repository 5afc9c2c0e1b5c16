"""Messages about payment attempts."""

from celery import shared_task

from shared.billing.tally import tally
from shared.jobs.canonical import CanonicalLine
from shared.jobs.contracts import InquireAttempts
from worker.bootstrap import runtime
from worker.tasks.intake import intake


@shared_task(name=InquireAttempts.task)
def inquire(*args: object, **kwargs: object) -> str:
    """Ask the gateway about those of the attempts whose outcome is unknown."""
    return intake(InquireAttempts, args, kwargs, _inquire)


def _inquire(job: InquireAttempts, line: CanonicalLine) -> str:
    line.add(attempts=len(job.attempt_ids))
    return tally(runtime.run(lambda services: services.inquire_attempts(job.attempt_ids)))
