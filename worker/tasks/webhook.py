"""Messages about what PortOne says."""

from celery import shared_task

from shared.jobs.canonical import CanonicalLine
from shared.jobs.commands import ReceiveWebhook
from worker.bootstrap import runtime
from worker.tasks.kept import kept


@shared_task(name=ReceiveWebhook.task)
def receive(*args: object, **kwargs: object) -> str:
    """Note that a payment is to be looked at."""
    return kept(ReceiveWebhook, args, kwargs, _receive)


def _receive(webhook: ReceiveWebhook, line: CanonicalLine) -> str:
    line.add(imp_uid=webhook.imp_uid)
    return runtime.run(lambda services: services.commands.webhook(webhook))
