"""Messages about comparing the gateway's book with ours."""

from celery import shared_task

from shared.jobs.canonical import CanonicalLine
from shared.jobs.contracts import ReconcileBooks
from worker.bootstrap import runtime
from worker.tasks.intake import intake


@shared_task(name=ReconcileBooks.task)
def run(*args: object, **kwargs: object) -> str:
    """Compare the gateway's book of yesterday with our rows, unless that is done already."""
    return intake(ReconcileBooks, args, kwargs, _run)


def _run(_job: ReconcileBooks, _line: CanonicalLine) -> str:
    return runtime.run(lambda services: services.reconcile_day())
