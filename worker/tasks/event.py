"""Messages about events."""

from celery import shared_task

from shared.jobs.canonical import CanonicalLine
from shared.jobs.contracts import RelayEvents
from worker.bootstrap import runtime
from worker.tasks.intake import intake


@shared_task(name=RelayEvents.task)
def relay(*args: object, **kwargs: object) -> str:
    """Hand events on that were written but not told."""
    return intake(RelayEvents, args, kwargs, _relay)


def _relay(_job: RelayEvents, _line: CanonicalLine) -> str:
    return f"relayed {runtime.run(lambda services: services.relay_events())}"
