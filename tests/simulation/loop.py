"""An event loop whose time is virtual and whose order of events is chosen, not suffered.

Only one thing runs at a time. While a statement is under way at PostgreSQL, nothing else moves;
when nothing is under way, whoever waits for a turn is let go on, one at a time, by a choice; when
nobody waits, time jumps to the next timer. A statement that waits for another's lock counts as
standing still, so that whoever holds the lock can go on.
"""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.simulation.process import Process, ProcessDiedError, current_process

# How long a statement may take before it is looked whether it waits for a lock.
_PATIENCE_S = 0.004
# Real seconds without anything that could ever happen.
_STUCK_AFTER_S = 30.0

T = TypeVar("T")

Choose = Callable[[int], int]


class SimulationStuckError(Exception):
    """Nothing is under way, nobody waits for a turn and no timer runs: a wait without an end."""


@dataclass(slots=True)
class Turns:
    """Who may go on next.

    Attributes:
        choose: Takes how many could go on, and says which of them does.
        asked: When each connection last began a statement, by its file descriptor: a number that
            grows. Answers are read in this order, whatever order they come in.
    """

    choose: Choose
    waiting: list[tuple["asyncio.Future[None]", Process | None]] = field(default_factory=list)
    asked: dict[int, int] = field(default_factory=dict)
    _statements: int = 0

    def begin_statement(self, descriptor: int) -> None:
        """Note that a connection begins a statement now."""
        self._statements += 1
        self.asked[descriptor] = self._statements

    async def turn(self) -> None:
        """Wait until it is this task's turn.

        Raises:
            ProcessDiedError: The task's process is dead.
        """
        process = current_process.get()
        if process is not None and not process.alive:
            raise ProcessDiedError
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((future, process))
        await future
        if process is not None and not process.alive:
            raise ProcessDiedError

    def mixed(self, items: list[T]) -> list[T]:
        """Return items in an order that is chosen."""
        left = list(items)
        return [left.pop(self.choose(len(left))) for _ in items]

    def grant(self) -> bool:
        """Let one of those who wait go on; False if nobody can."""
        self.waiting = [item for item in self.waiting if not item[0].done()]
        able = [
            place
            for place, (_, process) in enumerate(self.waiting)
            if process is None or not process.paused
        ]
        if not able:
            return False
        future, _ = self.waiting.pop(able[self.choose(len(able))])
        future.set_result(None)
        return True


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop of virtual seconds, beginning at 0."""

    def __init__(self, turns: Turns, waits_for_locks: Callable[[], int]) -> None:
        """Take who decides, and what counts the statements that wait for a lock."""
        self.now_s = 0.0
        super().__init__(_Selector(self, turns, waits_for_locks))
        # At years of seconds the real resolution would vanish in a float's rounding.
        self._clock_resolution = 1e-6
        self.set_task_factory(_in_its_process)
        self.set_exception_handler(_forgive_the_dead)

    def time(self) -> float:
        """Return the virtual seconds since the beginning."""
        return self.now_s

    def begin_anew(self) -> None:
        """Go back to the beginning, without the timers of the life before."""
        # The loop's own heap of timers, which the stubs leave out.
        self._scheduled.clear()  # type: ignore[attr-defined]
        self.now_s = 0.0


class _Selector(selectors.DefaultSelector):
    """Asked by the loop when it would wait: for the server, for a turn, or for time."""

    def __init__(self, loop: VirtualLoop, turns: Turns, waits_for_locks: Callable[[], int]) -> None:
        super().__init__()
        self._loop = loop
        self._turns = turns
        self._waits_for_locks = waits_for_locks

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            # Something is ready to run: the server's answers are looked at when nothing is.
            return []
        if events := self._answers():
            return events
        if self._turns.grant():
            return []
        if timeout is None:
            return self._last_resort()
        self._loop.now_s += timeout
        return []

    @property
    def _under_way(self) -> int:
        # The loop's own wake-up socket is always registered.
        return len(self.get_map()) - 1

    def _answers(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait until every statement under way is answered or waits for a lock; return one answer.

        One, because whoever reads it goes on to its next turn or commit before the next is read.
        The others stay with the kernel, so that neither how many they are nor in how many pieces
        they came decides anything.
        """
        wait_s = _PATIENCE_S
        while count := self._under_way:
            events = super().select(wait_s)
            if len(events) < count:
                # Counted while nobody is answered: whoever a commit in between lets go is not
                # blocked any more, and comes with those who are answered now.
                blocked = self._waits_for_locks()
                if len(super().select(0)) > len(events) or len(events) + blocked < count:
                    wait_s = min(2 * wait_s, 0.1)
                    continue
            return sorted(events, key=self._asked)[:1]
        return []

    def _asked(self, event: tuple[selectors.SelectorKey, int]) -> tuple[int, int]:
        # Who only connects has not asked anything, and comes first.
        descriptor = event[0].fd
        return self._turns.asked.get(descriptor, 0), descriptor

    def _last_resort(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait in real time, for a thread or for the server to end a deadlock."""
        if events := super().select(_STUCK_AFTER_S):
            return events
        raise SimulationStuckError


def _in_its_process(
    loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
) -> "asyncio.Task[Any]":
    """Create a task and note in which process it runs."""
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    context = options.get("context")
    process = context.get(current_process) if context is not None else current_process.get()
    if process is not None:
        process.tasks.add(task)
        task.add_done_callback(process.tasks.discard)
    return task


def _forgive_the_dead(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Say nothing of tasks that ended with their process."""
    if not isinstance(context.get("exception"), ProcessDiedError):
        loop.default_exception_handler(dict(context))
