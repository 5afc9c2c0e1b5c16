"""Celery's entry point for workers, and for Flower: queues, signals, start and stop."""

import threading
from typing import Any

import structlog
from celery import Celery
from celery.signals import setup_logging, worker_ready, worker_shutdown

from shared.config import load
from shared.jobs.celery_settings import celery_settings
from shared.jobs.contracts import CHARGE_QUEUE
from shared.jobs.quiet import QUIET
from shared.logs import configure

log = structlog.get_logger(__name__)
settings = load()
app = Celery(
    "dalmada",
    include=[
        "worker.tasks.attempt",
        "worker.tasks.billing_key",
        "worker.tasks.command",
        "worker.tasks.database",
        "worker.tasks.event",
        "worker.tasks.forecast",
        "worker.tasks.hint",
        "worker.tasks.invariant",
        "worker.tasks.invoice",
        "worker.tasks.reconciliation",
        "worker.tasks.refund",
        "worker.tasks.reservation",
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


@worker_ready.connect
def _check_channels(sender: Any, **_: Any) -> None:
    """Have the channels looked at beside the work, where charges are taken from a queue."""
    if CHARGE_QUEUE in sender.app.amqp.queues.consume_from:
        threading.Thread(target=_look_at_channels, name="dalmada-channels", daemon=True).start()


def _look_at_channels() -> None:
    from worker.bootstrap import runtime  # noqa: PLC0415 - as below

    try:
        runtime.run(lambda services: services.check_channels())
    except Exception as error:  # noqa: BLE001 - whatever it is, charges do not wait for it
        log.warning("channels_not_checked", cause=type(error).__name__)


@worker_shutdown.connect
def _stop(**_: Any) -> None:
    from worker.bootstrap import runtime  # noqa: PLC0415 - tasks import it, not the entry point

    runtime.stop()
