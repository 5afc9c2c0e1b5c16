"""Celery's part of a simulated worker: the real task functions, called as Celery calls them.

A task is synchronous and hands its coroutine to the process's loop. Here it runs in a greenlet of
the simulation's loop, so that handing over means waiting there.
"""

import importlib
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from unittest.mock import patch

from celery import Celery, Task
from celery._state import _task_stack  # type: ignore[attr-defined]  # the stubs leave it out
from celery.exceptions import Reject
from sqlalchemy.util import await_only, greenlet_spawn

import scheduler.bootstrap
import worker.bootstrap
from scheduler.bootstrap import Scans
from tests.simulation.broker import Broker, Message
from tests.simulation.seam import Seam, current_job
from worker.bootstrap import Services

current_services: ContextVar[Services | Scans] = ContextVar("current_services")

_MODULES = (
    *("attempt", "billing_key", "command", "event", "forecast", "hint", "invariant"),
    *("invoice", "reconciliation", "refund", "reservation", "subscription", "webhook", "window"),
)


@contextmanager
def tasks_in_simulation() -> Iterator[None]:
    """Have every task wait on the simulation's loop for its coroutine."""

    def run(make: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        return await_only(make(current_services.get()))

    with (
        patch.object(worker.bootstrap.runtime, "run", run),
        patch.object(scheduler.bootstrap.runtime, "run", run),
    ):
        yield


def _registered() -> dict[str, Task[Any, Any]]:
    for module in (*(f"worker.tasks.{name}" for name in _MODULES), "scheduler.tasks"):
        importlib.import_module(module)
    app = Celery("simulation", broker="memory://", set_as_current=False)
    app.finalize()
    return dict(app.tasks)


_TASKS = _registered()


async def work(message: Message, broker: Broker, seam: Seam, faults: list[str]) -> None:
    """Work one message and acknowledge it, before or after, as the settings say."""
    current_job.set(message.task)
    if not broker.acks_late:
        broker.acknowledge(message.tag)
    try:
        await greenlet_spawn(_call, _TASKS[message.task], message)
    except Reject as rejection:
        if rejection.requeue:  # type: ignore[attr-defined]  # the stubs leave it out
            broker.give_back(message.tag)
            return
    except Exception as error:  # noqa: BLE001 - Celery acknowledges a failed task too
        faults.append(f"{message.task}: {error!r}")
    await seam.at("acknowledge", "before", message.task)
    broker.acknowledge(message.tag)
    await seam.at("acknowledge", "after", message.task)


def _call(task: Task[Any, Any], message: Message) -> object:
    _task_stack.push(task)
    task.push_request(
        id=message.tag,
        args=[],
        kwargs=dict(message.kwargs),
        called_directly=False,
        delivery_info={"redelivered": message.redelivered, "routing_key": message.queue},
        properties={"delivery_tag": message.tag},
    )
    try:
        return task.run(**message.kwargs)
    finally:
        task.pop_request()
        _task_stack.pop()
