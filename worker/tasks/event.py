"""Messages about events."""

from celery import shared_task

from shared.billing.tally import tally
from shared.jobs.canonical import CanonicalLine
from shared.jobs.contracts import DeliverEvents, RelayEvents
from worker.bootstrap import runtime
from worker.tasks.intake import intake


@shared_task(name=RelayEvents.task)
def relay(*args: object, **kwargs: object) -> str:
    """Hand events on that were written but not told."""
    return intake(RelayEvents, args, kwargs, _relay)


def _relay(_job: RelayEvents, _line: CanonicalLine) -> str:
    return f"relayed {runtime.run(lambda services: services.relay_events())}"


@shared_task(name=DeliverEvents.task)
def deliver(*args: object, **kwargs: object) -> str:
    """Deliver those of the events that are due at one endpoint, and what follows them there."""
    return intake(DeliverEvents, args, kwargs, _deliver)


def _deliver(job: DeliverEvents, line: CanonicalLine) -> str:
    line.add(deliveries=len(job.delivery_ids))
    return tally(runtime.run(lambda services: services.deliver_events(job.delivery_ids)))
