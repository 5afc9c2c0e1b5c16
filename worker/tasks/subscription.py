"""Messages about subscriptions."""

from celery import shared_task

from shared.billing.tally import tally
from shared.jobs.canonical import CanonicalLine
from shared.jobs.contracts import EndSubscriptions
from worker.bootstrap import runtime
from worker.tasks.intake import intake


@shared_task(name=EndSubscriptions.task)
def end(*args: object, **kwargs: object) -> str:
    """End those of the subscriptions whose time has come, and wind up those that ended."""
    return intake(EndSubscriptions, args, kwargs, _end)


def _end(job: EndSubscriptions, line: CanonicalLine) -> str:
    line.add(subscriptions=len(job.subscription_ids))
    return tally(runtime.run(lambda services: services.end_subscriptions(job.subscription_ids)))
