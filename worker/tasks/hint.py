"""Messages about what somebody says the gateway holds."""

from celery import shared_task

from shared.billing.tally import tally
from shared.jobs.canonical import CanonicalLine
from shared.jobs.contracts import ReadHints
from worker.bootstrap import runtime
from worker.tasks.intake import intake


@shared_task(name=ReadHints.task)
def read(*args: object, **kwargs: object) -> str:
    """Look at what somebody says the gateway holds."""
    return intake(ReadHints, args, kwargs, _read)


def _read(job: ReadHints, line: CanonicalLine) -> str:
    line.add(hints=len(job.hint_ids))
    return tally(runtime.run(lambda services: services.read_hints(job.hint_ids)))
