"""All scenarios, several OS processes side by side, each with a database of its own."""

import multiprocessing
import os
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.queues import Queue

from deploy.launcher.postgres import PostgresServer
from tests.crash import coverage
from tests.crash.exhaust import Exhaustion, Result
from tests.crash.scenarios import SCENARIOS
from tests.crash.story import Scenario
from tests.simulation.installation import Host, host_on
from tests.simulation.process import ALIKE
from tests.support.databases import fresh_database


@dataclass(slots=True)
class Report:
    """What became of all of it."""

    results: list[Result] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing was wrong and every step was passed."""
        return not self.uncovered and not any(result.found for result in self.results)

    @property
    def line(self) -> str:
        """The one line at the end."""
        points = sum(result.points for result in self.results)
        pairs = sum(result.pairs for result in self.results)
        found = sum(result.found for result in self.results)
        return f"crash: points={points} pairs={pairs} violations={found}"


def run(
    postgres: PostgresServer,
    scenarios: Sequence[Scenario],
    *,
    points: int | None = None,
    pairs: int | None,
    seed: int,
    jobs: int,
    plainly: bool = False,
    tell: Callable[[Result], None] = lambda _result: None,
) -> Report:
    """Live every life of the scenarios.

    Args:
        postgres: The server on which the lives' databases are made, from its template.
        scenarios: What is lived.
        points: How many different first deaths of each scenario are drawn; None for all there are.
        pairs: How many pairs are drawn, over all scenarios; None for all there are.
        seed: What draws them.
        jobs: How many processes live side by side.
        plainly: Whether every life is lived from its beginning to its end.
        tell: Told of every scenario as it ends.
    """
    report = Report()
    each = None if pairs is None else -(-pairs // len(scenarios))
    os.environ.update(ALIKE)
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        urls: Queue[str] = context.Queue()
        for _ in range(jobs):
            urls.put(stack.enter_context(fresh_database(postgres)))
        pool = stack.enter_context(
            ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(urls,))
        )
        # The longest lives first, so that no process waits long for the other at the end.
        ordered = sorted(scenarios, key=lambda one: (-one.days, -len(one.deeds)))
        futures = [pool.submit(_exhaust, one.name, points, each, seed, plainly) for one in ordered]
        for future in as_completed(futures):
            report.results.append(future.result())
            tell(report.results[-1])
    order = {one.name: number for number, one in enumerate(scenarios)}
    report.results.sort(key=lambda result: order[result.name])
    passed = {place for result in report.results for place in result.places}
    report.uncovered = coverage.faults(passed)
    return report


_hosts = ExitStack()
_host: list[Host] = []


def _begin(urls: "Queue[str]") -> None:
    """Open what all lives of this process are lived on, until the process ends."""
    _host.append(_hosts.enter_context(host_on(urls.get())))


def _exhaust(
    name: str,
    points: int | None,
    pairs: int | None,
    seed: int,
    plainly: bool,
) -> Result:
    (scenario,) = (one for one in SCENARIOS if one.name == name)
    dice = random.Random(f"{seed} {name}")  # noqa: S311 - lives, not secrets
    return Exhaustion(_host[0], scenario, plainly=plainly).run(points, pairs, dice)
