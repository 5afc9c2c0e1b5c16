"""Do for many what arrives for one: what comes within a few milliseconds is worked together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Grouping(Generic[T, R]):
    """Collects items and hands them, at most ``size_max`` at a time, to one piece of work.

    The first item waits ``linger_s`` for company and never for the slowest; a group under way does
    not hold up the next.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        linger_s: float = 0.005,
        size_max: int = 500,
    ) -> None:
        """Take work that returns one result for each item, in order."""
        self._work = work
        self._linger_s = linger_s
        self._size_max = size_max
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, item: T) -> R:
        """Return the result for one item, once its group is done."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, future))
        if len(self._waiting) >= self._size_max:
            self._begin()
        elif self._timer is None:
            self._timer = loop.call_later(self._linger_s, self._begin)
        return await future

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        group, self._waiting = self._waiting, []
        if group:
            task = asyncio.get_running_loop().create_task(self._finish(group))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _finish(self, group: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._work([item for item, _ in group])
            for (_, future), result in zip(group, results, strict=True):
                if not future.done():
                    future.set_result(result)
        except asyncio.CancelledError:
            for _, future in group:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - every waiter must hear of it, whatever it is
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
