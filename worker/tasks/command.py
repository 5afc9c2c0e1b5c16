"""Messages from merchants: one task for every command."""

from collections.abc import Sequence
from typing import Any

from celery import Task, shared_task

from shared.jobs.canonical import CanonicalLine
from shared.jobs.command import Command
from shared.jobs.commands import COMMANDS
from worker.bootstrap import runtime
from worker.tasks.kept import kept


def _task_of(contract: type[Command]) -> Any:
    @shared_task(name=contract.task)
    def work(*args: object, **kwargs: object) -> str:
        return kept(contract, args, kwargs, _work)

    return work


def _work(command: Command, line: CanonicalLine) -> str:
    line.add(command_id=command.command_id)
    return runtime.run(lambda services: services.commands.command(command))


TASKS: Sequence[Task[Any, Any]] = tuple(_task_of(contract) for contract in COMMANDS)
