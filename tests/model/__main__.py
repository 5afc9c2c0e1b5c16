"""``python -m tests.model``: walk through every state of the models and show what was found."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.model import charge, refund, reservation
from tests.model.checker import Model, Report, check, told
from tests.model.conformance import lives


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    defaults = charge.Bounds()
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--workers", type=int, default=defaults.workers, help="of the charge")
    parser.add_argument("--crashes", type=int, default=defaults.crashes, help="of the charge")
    parser.add_argument("--faults", type=int, default=defaults.faults, help="of the charge")
    parser.add_argument("--declines", type=int, default=defaults.declines, help="until the end")
    parser.add_argument("--states-max", type=int, default=20_000_000, help="give up after so many")
    return parser.parse_args(words)


def _models(arguments: argparse.Namespace) -> list[tuple[str, Model[Any]]]:
    bounds = replace(
        charge.Bounds(),
        workers=arguments.workers,
        crashes=arguments.crashes,
        faults=arguments.faults,
        declines=arguments.declines,
    )
    return [
        *charge.configurations(bounds),
        *lives(),
        *refund.configurations(),
        *reservation.configurations(),
    ]


def main(words: Sequence[str]) -> int:
    """Return 0 if every state was visited and nothing is wrong or stuck."""
    arguments = _arguments(words)
    console = Console()
    table = Table("configuration", "states", "steps", "seconds", "violations", "stuck")
    for column in table.columns[1:]:
        column.justify = "right"
    reports: list[Report] = []
    ways: list[str] = []
    with console.status("walking through the states") as status:
        for name, model in _models(arguments):
            status.update(name)
            report = check(model, states_max=arguments.states_max)
            reports.append(report)
            ways += [f"{name}: {kind}\n{way}" for kind, way in report.traces.items()]
            states = f"{report.states:,}" + ("" if report.complete else " (not all)")
            table.add_row(
                name,
                states,
                f"{report.transitions:,}",
                f"{report.seconds:.1f}",
                str(report.violations),
                str(report.stuck),
            )
    console.print(table)
    for way in ways:
        console.print(way, markup=False, highlight=False)
    print(told(reports))
    is_whole = all(report.complete for report in reports)
    return 0 if is_whole and not ways else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
