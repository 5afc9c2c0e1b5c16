"""The message that has the invariants looked at."""

from celery import shared_task

from shared.jobs.canonical import CanonicalLine
from shared.jobs.contracts import CheckInvariants
from worker.bootstrap import runtime
from worker.tasks.intake import intake


@shared_task(name=CheckInvariants.task)
def check(*args: object, **kwargs: object) -> str:
    """Look at the invariants, and keep what is found."""
    return intake(CheckInvariants, args, kwargs, _check)


def _check(_: CheckInvariants, line: CanonicalLine) -> str:
    checked = runtime.run(lambda services: services.check_invariants())
    if checked is None:
        return "looked at by another"
    line.add(looked_at=checked.looked_at, unanswered=checked.unanswered)
    return f"violated {checked.violated}"
