"""The process's one event loop, to which Celery's synchronous tasks hand their coroutines.

Celery has no asyncio pool yet, so the boundary stays synchronous (``--pool threads``): each task
blocks its thread while its coroutine shares one loop, one connection pool and one HTTP client with
all others. The loop and the services on it begin with the first task, in whichever process that is.
"""

import asyncio
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

    def run(self, work: Callable[[S], Coroutine[Any, Any, R]]) -> R:
        """Run one coroutine on the loop and wait for its result."""
        running = self._ensure()
        return asyncio.run_coroutine_threadsafe(work(running.services), running.loop).result()

    def stop(self) -> None:
        """Close the services and end the loop; harmless if nothing runs."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None and running.pid == os.getpid():
            running.stop()

    def _ensure(self) -> "_Running[S]":
        with self._lock:
            # After a fork the thread is gone, so a child begins anew.
            if self._running is None or self._running.pid != os.getpid():
                self._running = _Running(self._recipe)
            return self._running


class _Running(Generic[S]):
    """What a runtime is while it runs."""

    services: S

    def __init__(self, recipe: Callable[[], AbstractAsyncContextManager[S]]) -> None:
        self.pid = os.getpid()
        self.loop = uvloop.new_event_loop()
        self._resources = AsyncExitStack()
        self._thread = threading.Thread(target=self._serve, name="dalmada-loop", daemon=True)
        self._thread.start()
        try:
            entered = asyncio.run_coroutine_threadsafe(
                self._resources.enter_async_context(recipe()), self.loop
            )
            self.services = entered.result(_START_TIMEOUT_S)
        except BaseException:
            self._end_loop()
            raise

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._resources.aclose(), self.loop).result()
        self._end_loop()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def _end_loop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_START_TIMEOUT_S)
        self.loop.close()
