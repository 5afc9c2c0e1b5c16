"""Celery's entry point for workers, and for Flower: queues, signals, start and stop."""

from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_shutdown

from shared.config import load
from shared.jobs.celery_settings import celery_settings
from shared.jobs.quiet import QUIET
from shared.logs import configure

settings = load()
app = Celery(
    "dalmada",
    include=[
        "worker.tasks.attempt",
        "worker.tasks.billing_key",
        "worker.tasks.command",
        "worker.tasks.event",
        "worker.tasks.hint",
        "worker.tasks.invoice",
        "worker.tasks.refund",
        "worker.tasks.subscription",
        "worker.tasks.webhook",
        "worker.tasks.window",
    ],
    set_as_current=True,
    **QUIET,
)
app.conf.update(
    celery_settings(settings),
    worker_consumer="worker.consumer:KeepingConsumer",
)


@setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    configure(settings.log_format, settings.log_level)


@worker_shutdown.connect
def _stop(**_: Any) -> None:
    from worker.bootstrap import runtime  # noqa: PLC0415 - tasks import it, not the entry point

    runtime.stop()
