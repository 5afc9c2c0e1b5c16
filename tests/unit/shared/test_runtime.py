"""The process's loop: one for all threads, built once, ended cleanly, begun anew after a fork."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from shared.runtime import Runtime

THREADS = 16
PATIENCE_S = 10.0


@dataclass
class Services:
    """What a recipe built, on which loop, and whether it is closed."""

    loop: asyncio.AbstractEventLoop
    pid: int = field(default_factory=os.getpid)
    is_closed: bool = False


@dataclass
class Recipe:
    """Builds services; may be slow, or fail."""

    built: list[Services] = field(default_factory=list)
    failures: int = 0
    door: threading.Event | None = None
    fails_to_close: bool = False

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Services]:
        """Build, lend and close."""
        if self.door is not None:
            self.entered.set()
            await asyncio.to_thread(self.door.wait, PATIENCE_S)
        if self.failures:
            self.failures -= 1
            raise ConnectionRefusedError("the database is away")
        services = Services(asyncio.get_running_loop())
        self.built.append(services)
        yield services
        services.is_closed = True
        if self.fails_to_close:
            raise ConnectionResetError("closing failed")

    entered: threading.Event = field(default_factory=threading.Event)


async def look(services: Services) -> tuple[Services, asyncio.AbstractEventLoop]:
    return services, asyncio.get_running_loop()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "dalmada-loop"]


def become(condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> bool:
    """Wait until something is so, or for so long."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.005)
    return True


@pytest.fixture
def recipe() -> Recipe:
    return Recipe()


@pytest.fixture
def runtime(recipe: Recipe) -> Iterator[Runtime[Services]]:
    made = Runtime(recipe)
    yield made
    recipe.fails_to_close = False
    made.stop()


def test_nothing_is_built_before_the_first_use(recipe: Recipe, runtime: Runtime[Services]) -> None:
    assert (recipe.built, threads()) == ([], [])
    runtime.run(look)
    assert (len(recipe.built), len(threads())) == (1, 1)


def test_many_threads_share_one_loop_and_its_services(
    recipe: Recipe, runtime: Runtime[Services]
) -> None:
    start = threading.Barrier(THREADS)

    def task() -> tuple[Services, asyncio.AbstractEventLoop]:
        start.wait(PATIENCE_S)
        return runtime.run(look)

    with ThreadPoolExecutor(THREADS) as pool:
        seen = [future.result() for future in [pool.submit(task) for _ in range(THREADS)]]
    assert len(recipe.built) == 1
    assert all(services is recipe.built[0] for services, _ in seen)
    assert {id(loop) for _, loop in seen} == {id(recipe.built[0].loop)}


def test_what_threads_hand_over_runs_side_by_side(runtime: Runtime[Services]) -> None:
    arrived: list[int] = []
    everybody = asyncio.Event()

    async def meet(services: Services) -> int:
        arrived.append(len(arrived))
        if len(arrived) == THREADS:
            everybody.set()
        await asyncio.wait_for(everybody.wait(), PATIENCE_S)
        return services.pid

    with ThreadPoolExecutor(THREADS) as pool:
        pids = list(pool.map(lambda _: runtime.run(meet), range(THREADS)))
    assert pids == [os.getpid()] * THREADS


def test_an_error_reaches_the_thread_that_asked_and_no_other(runtime: Runtime[Services]) -> None:
    async def fail(_services: Services) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        runtime.run(fail)
    assert runtime.run(look)


class TestTheEnd:
    def test_stopping_closes_what_was_built(
        self, recipe: Recipe, runtime: Runtime[Services]
    ) -> None:
        runtime.run(look)
        runtime.stop()
        assert recipe.built[0].is_closed
        assert recipe.built[0].loop.is_closed()
        assert threads() == []

    def test_it_begins_anew_after_stopping(
        self, recipe: Recipe, runtime: Runtime[Services]
    ) -> None:
        for _ in range(3):
            runtime.run(look)
            runtime.stop()
        assert [services.is_closed for services in recipe.built] == [True] * 3

    def test_stopping_what_does_not_run_is_harmless(
        self, recipe: Recipe, runtime: Runtime[Services]
    ) -> None:
        runtime.stop()
        runtime.run(look)
        runtime.stop()
        runtime.stop()
        assert len(recipe.built) == 1

    def test_services_that_fail_to_close_leave_no_thread_behind(
        self, recipe: Recipe, runtime: Runtime[Services]
    ) -> None:
        recipe.fails_to_close = True
        runtime.run(look)
        with pytest.raises(ConnectionResetError):
            runtime.stop()
        loop = recipe.built[0].loop
        try:
            assert become(lambda: not threads(), timeout_s=0.3)
        finally:
            if not loop.is_closed():
                loop.call_soon_threadsafe(loop.stop)
                assert become(lambda: not threads())
                loop.close()

    def test_whoever_is_under_way_hears_of_the_end(self, runtime: Runtime[Services]) -> None:
        begun = threading.Event()
        heard: list[BaseException | None] = []

        async def wait(_services: Services) -> None:
            begun.set()
            await asyncio.Event().wait()

        def task() -> None:
            try:
                runtime.run(wait)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it was heard
                heard.append(error)

        thread = threading.Thread(target=task, daemon=True)
        thread.start()
        assert begun.wait(PATIENCE_S)
        runtime.stop()
        thread.join(0.3)
        assert heard


class TestFailureToBuild:
    def test_it_is_told_to_whoever_asked_and_the_next_tries_again(
        self, recipe: Recipe, runtime: Runtime[Services]
    ) -> None:
        recipe.failures = 2
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError, match="away"):
                runtime.run(look)
            assert threads() == []
        assert runtime.run(look)
        assert len(recipe.built) == 1

    def test_threads_that_ask_together_each_hear_or_succeed(
        self, recipe: Recipe, runtime: Runtime[Services]
    ) -> None:
        recipe.failures = 3

        def task(_: int) -> str:
            try:
                runtime.run(look)
            except ConnectionRefusedError:
                return "heard"
            return "done"

        with ThreadPoolExecutor(THREADS) as pool:
            endings = sorted(pool.map(task, range(THREADS)))
        assert endings == ["done"] * (THREADS - 3) + ["heard"] * 3
        assert len(threads()) == 1

    def test_stopping_after_it_is_harmless(
        self, recipe: Recipe, runtime: Runtime[Services]
    ) -> None:
        recipe.failures = 1
        with pytest.raises(ConnectionRefusedError):
            runtime.run(look)
        runtime.stop()


def in_a_child(work: Callable[[], bool], timeout_s: float) -> bool:
    """Return whether ``work`` ended well, in time, in a fork of this process."""
    pid = os.fork()
    if not pid:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    ended: list[int] = []

    def is_over() -> bool:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            ended.append(os.waitstatus_to_exitcode(status))
        return bool(found)

    if not become(is_over, timeout_s):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return ended == [0]


class TestForks:
    def test_a_child_begins_anew(self, recipe: Recipe, runtime: Runtime[Services]) -> None:
        runtime.run(look)

        def work() -> bool:
            services, loop = runtime.run(look)
            runtime.stop()
            is_new = services.pid == os.getpid() and loop is services.loop
            return is_new and len(recipe.built) == 2 and services.is_closed

        assert in_a_child(work, PATIENCE_S)
        services, _ = runtime.run(look)
        assert services is recipe.built[0]
        assert not services.is_closed

    def test_a_child_that_only_stops_closes_nothing_of_its_parent(
        self, recipe: Recipe, runtime: Runtime[Services]
    ) -> None:
        runtime.run(look)

        def work() -> bool:
            runtime.stop()
            return not recipe.built[0].is_closed

        assert in_a_child(work, PATIENCE_S)

    def test_a_child_of_a_process_that_is_just_building_begins_anew(
        self, recipe: Recipe, runtime: Runtime[Services]
    ) -> None:
        recipe.door = threading.Event()
        builder = threading.Thread(target=lambda: runtime.run(look))
        builder.start()
        assert recipe.entered.wait(PATIENCE_S)

        def work() -> bool:
            recipe.door = None
            return runtime.run(look)[0].pid == os.getpid()

        try:
            assert in_a_child(work, 1.0)
        finally:
            recipe.door.set()
            builder.join(PATIENCE_S)
