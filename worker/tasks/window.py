"""Messages about payment windows."""

from celery import shared_task

from shared.billing.tally import tally
from shared.jobs.canonical import CanonicalLine
from shared.jobs.contracts import CloseWindows, PrepareWindows
from worker.bootstrap import runtime
from worker.tasks.intake import intake


@shared_task(name=PrepareWindows.task)
def prepare(*args: object, **kwargs: object) -> str:
    """Register the amounts of payment windows at the gateway before they are opened."""
    return intake(PrepareWindows, args, kwargs, _prepare)


def _prepare(job: PrepareWindows, line: CanonicalLine) -> str:
    line.add(windows=len(job.window_ids))
    return tally(runtime.run(lambda services: services.prepare_windows(job.window_ids)))


@shared_task(name=CloseWindows.task)
def close(*args: object, **kwargs: object) -> str:
    """Give up payment windows whose time is over, unless the gateway shows that they were used."""
    return intake(CloseWindows, args, kwargs, _close)


def _close(job: CloseWindows, line: CanonicalLine) -> str:
    line.add(windows=len(job.window_ids))
    return tally(runtime.run(lambda services: services.close_windows(job.window_ids)))
