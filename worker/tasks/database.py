"""Messages about the database as a whole."""

from celery import shared_task

from shared.jobs.canonical import CanonicalLine
from shared.jobs.contracts import ProveDatabase
from worker.bootstrap import runtime
from worker.tasks.intake import intake


@shared_task(name=ProveDatabase.task)
def prove(*args: object, **kwargs: object) -> str:
    """Ask the gateway whether it holds charges that the database should know and does not."""
    return intake(ProveDatabase, args, kwargs, _prove)


def _prove(_job: ProveDatabase, _line: CanonicalLine) -> str:
    return runtime.run(lambda services: services.prove_database())
