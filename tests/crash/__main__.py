"""``python -m tests.crash``: let a process die at every point and every pair of points.

Ends with one line, ``crash: points=… pairs=… violations=…``, and with status 1 if anything was
wrong or a step of the code was passed by no life.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.launcher.servers import temporary_servers
from tests.crash.exhaust import Result, trace
from tests.crash.run import Report, run
from tests.crash.scenarios import SCENARIOS
from tests.crash.story import Scenario
from tests.simulation.installation import host_on
from tests.support.databases import fresh_database, make_template


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and return the exit status."""
    options = _options(argv)
    scenarios = [one for one in SCENARIOS if options.scenario in {None, one.name}]
    if not scenarios:
        names = "\n  ".join(one.name for one in SCENARIOS)
        print(f"there is no scenario {options.scenario!r}; there are\n  {names}", file=sys.stderr)
        return 2
    # What people read goes beside what machines read.
    console = Console(stderr=options.json)
    with temporary_servers() as servers:
        make_template(servers.postgres)
        if options.die is not None:
            with fresh_database(servers.postgres) as url:
                return _replay(url, scenarios[0], options.die, console)
        with _progress(console, len(scenarios)) as tell:
            report = run(
                servers.postgres,
                scenarios,
                pairs=options.pairs,
                seed=options.seed,
                jobs=options.jobs,
                plainly=options.plainly,
                tell=tell,
            )
    if options.scenario is not None:
        # One life alone passes few of the steps.
        report.uncovered.clear()
    _show(report, console)
    if options.json:
        print(json.dumps(_json(report), ensure_ascii=False))
    print(report.line)
    return 0 if report.clean else 1


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("tests.crash", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the report as JSON as well")
    parser.add_argument("--pairs", type=_pairs, default=None, help="all, or how many to draw")
    parser.add_argument("--seed", type=int, default=1, help="what draws the pairs")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side")
    parser.add_argument("--scenario", help="this one only")
    parser.add_argument("--die", type=_deaths, help="live one life with these deaths: 12,40")
    plainly = "live every life from its beginning to its end, which finds the same and takes longer"
    parser.add_argument("--plainly", action="store_true", help=plainly)
    options = parser.parse_args(argv)
    if options.die is not None and options.scenario is None:
        parser.error("--die needs --scenario: points are numbered within one")
    return options


def _pairs(said: str) -> int | None:
    return None if said == "all" else int(said)


def _deaths(said: str) -> tuple[int, ...]:
    return tuple(int(part) for part in said.split(",") if part)


@contextmanager
def _progress(console: Console, count: int) -> Iterator[Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("lives", total=count)

        def tell(result: Result) -> None:
            bar.update(task, advance=1, description=result.name)
            if not console.is_terminal:
                told = f"{result.name}: {result.pairs} pairs, {result.found} violations"
                console.print(f"{bar.tasks[task].completed:.0f}/{count} {told}", markup=False)

        yield tell


def _replay(url: str, scenario: Scenario, deaths: Sequence[int], console: Console) -> int:
    """Live one life and print every point of it."""
    with host_on(url) as host:
        random.seed(0)
        lived = trace(host, scenario, deaths)
    for number, (at_s, point) in enumerate(lived.trace):
        mark = "✝" if number in deaths else " "
        console.print(f"{mark}{number:4} {at_s:10.1f}s  {point}", highlight=False, markup=False)
    for wrong in lived.wrong:
        console.print(f"wrong: {wrong}", markup=False)
    return 1 if lived.wrong else 0


def _show(report: Report, console: Console) -> None:
    table = Table("scenario", *(("points", "pairs", "lives", "anew", "lives/s", "violations")))
    for result in report.results:
        pace = f"{result.lives / max(result.seconds, 0.001):.1f}"
        numbers = (result.points, result.pairs, result.lives, result.anew, pace, result.found)
        table.add_row(result.name, *(str(number) for number in numbers))
    console.print(table)
    for result in report.results:
        for violation in result.violations:
            deaths = ",".join(str(death) for death in violation.deaths)
            console.print(f"{result.name} --die {deaths}", style="bold", markup=False)
            for at in violation.at:
                console.print(f"  died at {at}", markup=False)
            for wrong in violation.wrong:
                console.print(f"  {wrong}", markup=False)
    for step in report.uncovered:
        console.print(step, style="bold", markup=False)


def _json(report: Report) -> dict[str, Any]:
    results = [asdict(result) for result in report.results]
    for result in results:
        result["places"] = len(result["places"])
    return {"results": results, "uncovered": report.uncovered, "clean": report.clean}


if __name__ == "__main__":
    sys.exit(main())
