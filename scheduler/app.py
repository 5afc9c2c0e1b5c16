"""Celery's entry point for beat and for the worker of the scan queue."""

from typing import Any

from celery import Celery
from celery.signals import beat_init, setup_logging, worker_shutdown

from scheduler.timetable import timetable
from shared.config import load
from shared.jobs.celery_settings import celery_settings
from shared.jobs.quiet import QUIET
from shared.logs import configure

settings = load()
app = Celery("dalmada-scheduler", include=["scheduler.tasks"], set_as_current=True, **QUIET)
app.conf.update(celery_settings(settings), beat_schedule=timetable(settings))


@setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    configure(settings.log_format, settings.log_level)


@worker_shutdown.connect
def _stop(**_: Any) -> None:
    from scheduler.bootstrap import runtime  # noqa: PLC0415 - tasks import it, not the entry point

    runtime.stop()


@beat_init.connect
def _beat_starts(**_: Any) -> None:
    configure(settings.log_format, settings.log_level)
