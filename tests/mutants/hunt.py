"""The hunt: every mutant in a process and a database of its own, some at once."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from deploy.launcher.servers import PostgresServer
from tests.mutants.copies import copy_of
from tests.mutants.mutant import Mutant, PatchError
from tests.simulation.process import ALIKE
from tests.support.databases import fresh_database

# Far beyond what any of them takes; a mutant that hangs is none that was found.
_PATIENCE_S = 400.0


@dataclass(frozen=True, slots=True)
class Catch:
    """What became of one mutant, or of the code as it is.

    Attributes:
        name: The mutant's, or the climate's for the code as it is.
        mutant: None for the code as it is, which must show nothing.
        seed: In which life it was found.
        violation: What was seen.
        fault: Why it was not found, or what the code as it is shows.
    """

    name: str
    mutant: Mutant | None
    seed: int | None
    violation: str
    lives: int
    seconds: float
    fault: str = ""

    @property
    def is_right(self) -> bool:
        """Whether a mutant was found, or the code as it is shows nothing."""
        return not self.fault


@dataclass(frozen=True, slots=True)
class Control:
    """The lives that mutants were or will be looked for in, on the code as it is."""

    climate: str
    lives: int


def controls_of(mutants: Sequence[Mutant]) -> list[Control]:
    """Return the lives that the code as it is must live without a violation."""
    lives: dict[str, int] = {}
    for mutant in mutants:
        lives[mutant.climate] = max(lives.get(mutant.climate, 0), mutant.lives)
    return [Control(climate, count) for climate, count in lives.items()]


def hunt(
    checkout: Path,
    postgres: PostgresServer,
    mutants: Sequence[Mutant],
    *,
    jobs: int,
    said: Callable[[Catch], None] = lambda _: None,
) -> list[Catch]:
    """Return what became of every control and every mutant, in that order.

    Args:
        checkout: The code as it is.
        postgres: Holds the template that databases are copied from.
        mutants: Whom to look for.
        jobs: How many at once.
        said: Hears of each as soon as it is known.
    """
    # The longest first, so that none of them is waited for alone.
    work: list[Control | Mutant] = [*controls_of(mutants), *mutants]
    ranger = Ranger(checkout, postgres)
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(ranger, item): item for item in work}
        try:
            caught: dict[Control | Mutant, Catch] = {}
            for future in as_completed(running):
                caught[running[future]] = future.result()
                said(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            ranger.end()
            raise
    return [caught[item] for item in work]


class Ranger:
    """Starts the processes, and ends those that are left."""

    def __init__(self, checkout: Path, postgres: PostgresServer) -> None:
        """Take the code as it is and the server of the databases."""
        self._checkout = checkout
        self._postgres = postgres
        self._administering = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()

    def __call__(self, item: Control | Mutant) -> Catch:
        """Live the lives of one mutant, or of the code as it is."""
        begun_s = time.monotonic()
        if isinstance(item, Control):
            name, mutant = f"(as it is) {item.climate}", None
        else:
            name, mutant = item.name, item
        try:
            with copy_of(self._checkout, mutant) as folder:
                found = self._live(folder, item)
        except PatchError as error:
            found = {"broke": f"the patch does not fit: {error}"}
        seconds = time.monotonic() - begun_s
        fault = _fault_of(item, found)
        seed = found.get("seed")
        return Catch(
            name,
            mutant,
            seed if isinstance(seed, int) else None,
            str(found.get("violation", "")),
            int(str(found.get("lives", 0))),
            seconds,
            fault,
        )

    def end(self) -> None:
        """End every process of ours that still runs."""
        for process in list(self._running):
            process.kill()

    def _live(self, folder: Path, item: Control | Mutant) -> dict[str, object]:
        migrates = isinstance(item, Mutant) and item.changes_schema
        shows = item.shows if isinstance(item, Mutant) else ()
        with self._database(migrated=not migrates) as url:
            arguments = [
                *("-m", "tests.mutants.prey", "--url", url),
                *("--climate", item.climate, "--lives", str(item.lives)),
                *(f"--show={show}" for show in shows),
                *(["--migrate"] if migrates else []),
            ]
            return self._run(folder, arguments)

    @contextmanager
    def _database(self, *, migrated: bool) -> Iterator[str]:
        # A template is copied by one at a time.
        database = fresh_database(self._postgres, migrated=migrated)
        with self._administering:
            url = database.__enter__()
        try:
            yield url
        finally:
            database.__exit__(None, None, None)

    def _run(self, folder: Path, arguments: Sequence[str]) -> dict[str, object]:
        with TemporaryFile("w+", encoding="utf-8") as errors:
            # It reads from us, and so hears when we end, however that comes.
            with subprocess.Popen(
                [sys.executable, *arguments],
                cwd=folder,
                env={**os.environ, **ALIKE, "PYTHONPATH": str(folder)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as process:
                self._running.add(process)
                watchdog = threading.Timer(_PATIENCE_S, process.kill)
                watchdog.start()
                try:
                    told = process.stdout.read() if process.stdout else ""
                    process.wait()
                finally:
                    watchdog.cancel()
                    process.kill()
                    self._running.discard(process)
            line = told.strip().rpartition("\n")[2]
            if process.returncode != 0 or not line:
                errors.seek(0)
                return {"broke": f"ended with {process.returncode}: {errors.read()[-1500:]}"}
        answer: dict[str, object] = json.loads(line)
        return answer


def _fault_of(item: Control | Mutant, found: dict[str, object]) -> str:
    """Return in words what is wrong with an answer, or nothing."""
    if "broke" in found:
        return str(found["broke"])
    others = found["others"]
    seen = "; ".join(others[:3]) if isinstance(others, list) else ""
    if isinstance(item, Control):
        return f"false alarm: {seen}" if seen else ""
    if found["seed"] is not None:
        return ""
    instead = f"; seen instead: {seen}" if seen else ""
    return f"survived {item.lives} lives of {item.climate}{instead}"
