"""The process's one event loop, to which Celery's synchronous tasks hand their coroutines.

Celery has no asyncio pool yet, so the boundary stays synchronous (``--pool threads``): each task
blocks its thread while its coroutine shares one loop, one connection pool and one HTTP client with
all others. The loop and the services on it begin with the first task, in whichever process that is.
"""

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Generic, TypeVar

import uvloop

S = TypeVar("S")
R = TypeVar("R")

_START_TIMEOUT_S = 30.0


class Runtime(Generic[S]):
    """A loop in a thread of its own, with the services that live on it."""

    def __init__(self, recipe: Callable[[], AbstractAsyncContextManager[S]]) -> None:
        """Take the recipe of the services; nothing is built before the first use."""
        self._recipe = recipe
        self._lock = threading.Lock()
        self._running: _Running[S] | None = None
        os.register_at_fork(after_in_child=self._begin_anew)

    def run(self, work: Callable[[S], Coroutine[Any, Any, R]]) -> R:
        """Run one coroutine on the loop and wait for its result."""
        running = self._ensure()
        return asyncio.run_coroutine_threadsafe(work(running.services), running.loop).result()

    def stop(self) -> None:
        """Close the services and end the loop; harmless if nothing runs."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            running.stop()

    def _begin_anew(self) -> None:
        """Forget, in a child, the thread that it did not inherit and the lock that nobody opens."""
        self._lock = threading.Lock()
        self._running = None

    def _ensure(self) -> "_Running[S]":
        with self._lock:
            if self._running is None:
                self._running = _Running(self._recipe)
            return self._running


class _Running(Generic[S]):
    """What a runtime is while it runs."""

    services: S

    def __init__(self, recipe: Callable[[], AbstractAsyncContextManager[S]]) -> None:
        self.loop = uvloop.new_event_loop()
        self._resources = AsyncExitStack()
        self._thread = threading.Thread(target=self._serve, name="dalmada-loop", daemon=True)
        self._thread.start()
        try:
            entered = asyncio.run_coroutine_threadsafe(
                self._resources.enter_async_context(recipe()), self.loop
            )
            self.services = entered.result(_START_TIMEOUT_S)
            _spare_the_collector()
        except BaseException:
            self._end_loop()
            raise

    def stop(self) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self._wind_up(), self.loop).result()
        finally:
            self._end_loop()

    async def _wind_up(self) -> None:
        """Cancel what is under way, so that its threads hear of the end, and close the services."""
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._resources.aclose()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def _end_loop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_START_TIMEOUT_S)
        self.loop.close()


def _spare_the_collector() -> None:
    """Take what lives as long as the process out of the garbage collector's rounds.

    Modules and services are hundreds of thousands of objects; walking them again and again took a
    fifth of what a charge costs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
