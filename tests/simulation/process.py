"""A simulated process: its tasks die together, at once, and nothing of theirs is tidied up."""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

# What the operating system's processes are started with in which lives are lived: without it a set
# of words has another order in each.
ALIKE = {"PYTHONHASHSEED": "0"}


class ProcessDiedError(BaseException):
    """The process is gone; no handler of ours may catch it."""


@dataclass(eq=False, slots=True)
class Process:
    """One process of an installation.

    Attributes:
        skew_s: By how much its clock is ahead of the simulation's.
        paused: It stands still (SIGSTOP): nothing of it goes on, and its memory stays.
        in_statement: Its tasks that wait for the server. PostgreSQL does not notice a client's
            death in mid-statement either: they end when they are answered.
    """

    name: str
    skew_s: float = 0.0
    alive: bool = True
    paused: bool = False
    tasks: "set[asyncio.Task[Any]]" = field(default_factory=set)
    in_statement: "set[asyncio.Task[Any]]" = field(default_factory=set)

    def die(self) -> None:
        """End it like SIGKILL: whatever its tasks hold in memory is gone."""
        self.alive = False
        self.paused = False
        dying = asyncio.current_task()
        # In the order in which they began: a set's own order is another one in every run.
        for task in sorted(self.tasks, key=lambda task: int(task.get_name().partition("-")[2])):
            if task is not dying and task not in self.in_statement:
                task.cancel()


current_process: ContextVar[Process | None] = ContextVar("current_process", default=None)
