"""Many lives over several operating-system processes, each with a database of its own."""

import multiprocessing
import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.queues import Queue
from queue import Empty
from typing import Any

from deploy.launcher.servers import temporary_servers
from tests.simulation.installation import host_on
from tests.simulation.lives import Climate, Verdict, live
from tests.simulation.process import ALIKE
from tests.simulation.races import race
from tests.support.databases import fresh_database, make_template

_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Lived:
    """What became of a seed; a life that the simulation itself could not end has no verdict."""

    seed: int
    verdict: Verdict | None
    fault: str = ""
    is_race: bool = False

    @property
    def wrongs(self) -> tuple[str, ...]:
        """Everything that was wrong."""
        return (self.fault,) if self.verdict is None else self.verdict.violations


def live_all(
    seeds: Sequence[int], climate: Climate, jobs: int, races: Sequence[int] = ()
) -> Iterator[Lived]:
    """Live the lives and the races of seeds, in any order, and yield what became of each."""
    os.environ.update(ALIKE)
    context = multiprocessing.get_context("spawn")
    todo, done = context.Queue(), context.Queue()
    for seed in seeds:
        todo.put((seed, False))
    for seed in races:
        todo.put((seed, True))
    for _ in range(jobs):
        todo.put(None)
    with temporary_servers() as servers, ExitStack() as undo:
        make_template(servers.postgres)
        crew = []
        for _ in range(jobs):
            url = undo.enter_context(fresh_database(servers.postgres))
            process = context.Process(target=_work, args=(url, climate, todo, done), daemon=True)
            process.start()
            crew.append(process)
        left = len(seeds) + len(races)
        while left:
            try:
                yield done.get(timeout=_LOOK_EVERY_S)
                left -= 1
            except Empty:
                if not any(process.is_alive() for process in crew) and done.empty():
                    message = f"{left} lives were not lived: their processes are gone"
                    raise RuntimeError(message) from None
        for process in crew:
            process.join()


def _work(url: str, climate: Climate, todo: "Queue[Any]", done: "Queue[Any]") -> None:
    """Live one life after another until there is none left."""
    # Nothing is asked of the environment: every setting of ours is said by the life.
    for name in [name for name in os.environ if name.startswith("DALMADA_")]:
        del os.environ[name]
    with host_on(url) as host:
        while (item := todo.get()) is not None:
            seed, is_race = item
            try:
                verdict = race(host, seed) if is_race else live(host, seed, climate)
                done.put(Lived(seed, verdict, is_race=is_race))
            except Exception:  # noqa: BLE001 - a life that cannot be lived is a finding too
                done.put(Lived(seed, None, traceback.format_exc(), is_race))
                return
