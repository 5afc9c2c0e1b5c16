"""``python -m tests.mutants``: plant every fault, and fail if the lives do not show it."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.launcher.servers import temporary_servers
from tests.mutants.catalogue import MUTANTS
from tests.mutants.hunt import Catch, controls_of, hunt
from tests.mutants.mutant import Mutant
from tests.mutants.report import as_json, last_line, show
from tests.support.databases import make_template

CHECKOUT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Return 0 if every mutant was caught and the code as it is showed nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="this mutant; repeatable")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (2)")
    parser.add_argument("--json", action="store_true", help="what became of each, as JSON")
    given = parser.parse_args()
    mutants = _chosen(parser, given.only)
    progress_console = Console(stderr=True)
    with temporary_servers() as servers:
        make_template(servers.postgres)
        count = len(mutants) + len(controls_of(mutants))
        with _progress(progress_console, count) as said:
            catches = hunt(CHECKOUT, servers.postgres, mutants, jobs=given.jobs, said=said)
    if given.json:
        print(as_json(catches))
    else:
        show(Console(), catches)
    print(last_line(catches))
    return 0 if all(catch.is_right for catch in catches) else 1


def _chosen(parser: argparse.ArgumentParser, only: Sequence[str] | None) -> list[Mutant]:
    """Return the mutants that are asked for; a name nobody bears ends the program."""
    known = {mutant.name: mutant for mutant in MUTANTS}
    if unknown := [name for name in only or () if name not in known]:
        parser.error(f"no mutant is called {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in only] if only else list(MUTANTS)


@contextmanager
def _progress(console: Console, count: int) -> Iterator[Callable[[Catch], None]]:
    """Yield whom to tell of each catch: a bar on a terminal, a line for each elsewhere."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as progress:
        task = progress.add_task("mutants", total=count)

        def said(catch: Catch) -> None:
            progress.update(task, advance=1, description=catch.name)
            if not console.is_terminal:
                ended = catch.fault or ("caught" if catch.mutant else "clean")
                told = f"{progress.tasks[task].completed:.0f}/{count} {catch.name}: {ended}"
                console.print(told, markup=False, highlight=False)

        yield said


if __name__ == "__main__":
    sys.exit(main())
