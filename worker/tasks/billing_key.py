"""Messages about billing keys."""

from celery import shared_task

from shared.billing.tally import tally
from shared.jobs.canonical import CanonicalLine
from shared.jobs.contracts import RemoveBillingKeys
from worker.bootstrap import runtime
from worker.tasks.intake import intake


@shared_task(name=RemoveBillingKeys.task)
def remove(*args: object, **kwargs: object) -> str:
    """Take billing keys away at the gateway, their reservations first."""
    return intake(RemoveBillingKeys, args, kwargs, _remove)


def _remove(job: RemoveBillingKeys, line: CanonicalLine) -> str:
    line.add(billing_keys=len(job.billing_key_ids))
    return tally(runtime.run(lambda services: services.remove_billing_keys(job.billing_key_ids)))
