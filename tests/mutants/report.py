"""What became of the mutants: a table for people, JSON for machines, one last line for both."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.mutants.hunt import Catch


def last_line(catches: Sequence[Catch]) -> str:
    """Return the line that every run ends with."""
    mutants = [catch for catch in catches if catch.mutant is not None]
    caught = sum(catch.is_right for catch in mutants)
    return f"mutants: caught={caught} of={len(mutants)}"


def show(console: Console, catches: Sequence[Catch]) -> None:
    """Print what became of every mutant and of the code as it is."""
    table = Table(title="planted faults", show_lines=False)
    for heading in ("mutant", "the thought behind it", "shown by", "life", "s"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "s" else "left")
    for catch in catches:
        if catch.mutant is None:
            thought, seen = "", "[red]false alarm[/]" if catch.fault else "nothing, as it should"
            life = f"0-{catch.lives - 1}"
        else:
            thought = catch.mutant.thought
            seen = catch.violation.partition(":")[0] or "[red]survived[/]"
            life = "" if catch.seed is None else f"{catch.seed} of {catch.mutant.lives}"
        table.add_row(catch.name, thought, seen, life, f"{catch.seconds:.1f}")
    console.print(table)
    for catch in catches:
        if catch.fault:
            console.print(f"{catch.name}: {catch.fault}", markup=False, style="red")


def as_json(catches: Sequence[Catch]) -> str:
    """Return the same for machines."""
    return json.dumps(
        [
            {
                "name": catch.name,
                "climate": catch.mutant.climate if catch.mutant else None,
                "seed": catch.seed,
                "violation": catch.violation,
                "lives": catch.lives,
                "seconds": round(catch.seconds, 2),
                "fault": catch.fault,
            }
            for catch in catches
        ],
        ensure_ascii=False,
        indent=2,
    )
