"""Live through years in a minute: ``python -m deploy.timetravel --years 2``."""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog
from rich.console import Console

from deploy.launcher.children import Child
from deploy.launcher.directories import scratch_directory
from deploy.launcher.errors import LauncherError
from deploy.live import LiveView
from deploy.timetravel import part
from deploy.timetravel.gateway import CHECKOUT
from deploy.timetravel.ledger import table_of
from deploy.timetravel.machine import StuckError
from deploy.timetravel.outcome import Outcome, together

_SHOWN_MAX: Final = 20
_SUBSCRIPTIONS_MAX: Final = 100_000
_YEARS_MAX: Final = 20.0
_STEP_HOURS_MAX: Final = 24 * 31.0
_PROCESSES_MAX: Final = 16
_POLL_S: Final = 0.25
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
# The ledger's columns take so much; a terminal decides for itself.
_WIDTH: Final = 120


def main(arguments: Sequence[str] | None = None) -> int:
    """Live, print the ledger and the last line; 1 if anything was violated."""
    options = _parser().parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        if options.part is not None:
            return part.run(options)
        return _live(options)
    except LauncherError as error:
        print(f"simulate: {error.problem}\n{error.remedy}", file=sys.stderr)
        return 2
    except StuckError as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _live(options: argparse.Namespace) -> int:
    """Have the parts lived side by side, and report on all of them."""
    console = Console(highlight=False, stderr=options.json)
    if not console.is_terminal:
        console.width = _WIDTH
    started_s = time.monotonic()
    outcome = together(_parts(options, console))
    seconds = round(time.monotonic() - started_s, 1)
    if options.json:
        print(json.dumps({**outcome.as_json(), "seconds": seconds}, ensure_ascii=False))
    else:
        _report(console, outcome, seconds, options.seed)
    print(outcome.line, flush=True)
    return 1 if outcome.violations else 0


def _parts(options: argparse.Namespace, console: Console) -> list[Outcome]:
    options.processes = min(options.processes, options.subscriptions)
    with scratch_directory() as scratch:
        children = [
            Child(
                f"part {number + 1}",
                [sys.executable, "-m", "deploy.timetravel", *_passed_on(options, number)],
                log=scratch / f"part-{number}.log",
                env=dict(os.environ),
                cwd=CHECKOUT,
            )
            for number in range(options.processes)
        ]
        try:
            for child in children:
                child.start()
            _watch(console, children)
            return [_outcome_of(child) for child in children]
        finally:
            for child in children:
                if child.is_alive:
                    child.stop()


def _passed_on(options: argparse.Namespace, number: int) -> list[str]:
    names = ("years", "subscriptions", "seed", "step", "processes")
    said = [word for name in names for word in (f"--{name}", str(getattr(options, name)))]
    return [*said, "--part", str(number)]


def _watch(console: Console, children: Sequence[Child]) -> None:
    """Show how far they are until all have ended."""
    with LiveView(console, refreshes_per_s=4, line_every_s=10) as view:
        while any(child.is_alive for child in children):
            line = "simulate: " + min(map(_progress, children))
            view.show(partial(str, line), partial(str, line))
            time.sleep(_POLL_S)


def _progress(child: Child) -> str:
    """Return the last day that a part has told."""
    days = [line for line in child.tail() if _DAY.fullmatch(line)]
    return days[-1] if days else "0000-00-00"


def _outcome_of(child: Child) -> Outcome:
    """Return what a part told when it ended well.

    Raises:
        LauncherError: It ended otherwise; the text has its last words.
    """
    if child.wait(10) != 0:
        raise child.death()
    return Outcome.of_json(json.loads(child.output().splitlines()[-1]))


def _report(console: Console, outcome: Outcome, seconds: float, seed: int) -> None:
    console.print(table_of(outcome.ledger))
    commands = ", ".join(f"{name} {count}" for name, count in sorted(outcome.commands.items()))
    console.print(f"commands: {commands}")
    console.print(
        f"{outcome.charges:,} records in the gateway's book, {outcome.events:,} events told,"
        f" {outcome.looks:,} looks, {seconds:.0f} s, seed {seed}"
    )
    for sentence in outcome.violations[:_SHOWN_MAX]:
        console.print(f"[red]{sentence}[/]")
    if len(outcome.violations) > _SHOWN_MAX:
        console.print(f"[red]and {len(outcome.violations) - _SHOWN_MAX} more[/]")


def _number(
    kind: type[int] | type[float], least: float, most: float
) -> Callable[[str], int | float]:
    def read(said: str) -> int | float:
        try:
            value = kind(said)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            message = f"must be a number from {least:g} to {most:g}, not {said!r}"
            raise argparse.ArgumentTypeError(message)
        return value

    return read


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="simulate",
        description=(
            "Lives through years on a test clock: the real scans, services and tables on an empty"
            " PostgreSQL, against the sandbox in a process of its own. The lives are dealt out to"
            " as many processes as there are cores, each with an installation of its own."
        ),
        epilog=(
            "The last line counts every period that began once: paid, in dunning (its invoice is"
            " still being collected), or skipped, which takes in what is uncollectible or void;"
            " each of these is explained by an event. A violation is a period without an end or"
            " with two, an overlap, a gap, a wrong day, a sum that the gateway's book contradicts,"
            " or a period paid twice. Exit status: 1 if there is one, 0 if not."
        ),
    )
    add = parser.add_argument
    add("--years", type=_number(float, 0.01, _YEARS_MAX), default=2.0, help="how long (2)")
    whole = _number(int, 1, _SUBSCRIPTIONS_MAX)
    add("--subscriptions", type=whole, default=1_000, help="how many (1000)")
    add("--seed", type=_number(int, 0, 2**32), default=1, help="the same seed, the same lives (1)")
    add(
        "--step",
        type=_number(float, 0.01, _STEP_HOURS_MAX),
        default=72.0,
        help="how many hours lie between two looks at least (72)",
    )
    add(
        "--processes",
        type=_number(int, 1, _PROCESSES_MAX),
        default=max(1, min(_PROCESSES_MAX, os.cpu_count() or 1)),
        help="how many installations live side by side (one a core)",
    )
    add("--json", action="store_true", help="the ledger for machines, in one line before the last")
    add("--part", type=int, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
