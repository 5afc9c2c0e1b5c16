"""Messages about reservations."""

from celery import shared_task

from shared.billing.tally import tally
from shared.jobs.canonical import CanonicalLine
from shared.jobs.contracts import AdvanceReservations
from worker.bootstrap import runtime
from worker.tasks.intake import intake


@shared_task(name=AdvanceReservations.task)
def advance(*args: object, **kwargs: object) -> str:
    """Request, look at or revoke reservations at PortOne, whichever is the next step of each."""
    return intake(AdvanceReservations, args, kwargs, _advance)


def _advance(job: AdvanceReservations, line: CanonicalLine) -> str:
    line.add(reservations=len(job.reservation_ids))
    return tally(runtime.run(lambda services: services.advance_reservations(job.reservation_ids)))
