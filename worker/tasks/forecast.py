"""Messages about what is foreseen."""

from celery import shared_task

from shared.jobs.canonical import CanonicalLine
from shared.jobs.contracts import ForeseeDay
from worker.bootstrap import runtime
from worker.tasks.intake import intake


@shared_task(name=ForeseeDay.task)
def make(*args: object, **kwargs: object) -> str:
    """Foresee who will be charged what on the day after, unless that is done already."""
    return intake(ForeseeDay, args, kwargs, _make)


def _make(_job: ForeseeDay, _line: CanonicalLine) -> str:
    return runtime.run(lambda services: services.foresee_day())
