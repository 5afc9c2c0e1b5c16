"""One mutant's process: lives the seeds of a climate on the code of its own folder.

Prints one line of JSON when it ends; ends early when whoever started it is gone.
"""

import argparse
import importlib
import json
import os
import re
import sys
import threading
import traceback
from pathlib import Path
from types import ModuleType

import deploy.sandbox
import scheduler
import shared
import worker
from shared.db import migrate
from tests.mutants.climates import CLIMATES
from tests.mutants.traps import Trap, open_trap

HERE = Path(__file__).resolve().parents[2]
_TRACE_LINES = 12


class StrayCodeError(Exception):
    """What would be lived on is not the code of this folder."""


def require_own_code(modules: tuple[ModuleType, ...], folder: Path = HERE) -> None:
    """Refuse to judge a mutant by code that is not its own.

    Raises:
        StrayCodeError: Naming the module and where it comes from.
    """
    for module in modules:
        file = module.__file__ or ""
        if not Path(file).resolve().is_relative_to(folder):
            raise StrayCodeError(f"{module.__name__} comes from {file}, not from {folder}")


def hunt_in(trap: Trap, seeds: range, shows: tuple[str, ...]) -> dict[str, object]:
    """Live one seed after the other until one of the awaited violations is seen.

    Without any awaited, every violation is one too many, and all seeds are lived.
    """
    lived = 0
    others: list[str] = []
    for seed in seeds:
        lived += 1
        violations = trap(seed)
        for violation in violations:
            if any(re.search(show, violation) for show in shows):
                return {"seed": seed, "violation": violation, "lives": lived, "others": others}
        others += [f"seed {seed}: {violation}" for violation in violations]
    return {"seed": None, "violation": "", "lives": lived, "others": others}


def main() -> int:
    """Return 0 when every seed was lived or the mutant was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--climate", required=True, choices=sorted(CLIMATES))
    parser.add_argument("--lives", type=int, required=True)
    parser.add_argument("--show", action="append", default=[])
    parser.add_argument("--migrate", action="store_true")
    given = parser.parse_args()
    threading.Thread(target=_die_with_the_parent, daemon=True).start()
    services = importlib.import_module("worker.services.charge")
    require_own_code((shared, scheduler, worker, deploy.sandbox, services))
    if given.migrate:
        migrate.upgrade(given.url)
    try:
        with open_trap(given.url, CLIMATES[given.climate]) as trap:
            found = hunt_in(trap, range(given.lives), tuple(given.show))
    except Exception:  # noqa: BLE001 - whatever it is, the parent must hear of it
        found = {"broke": "".join(traceback.format_exc().splitlines(keepends=True)[-_TRACE_LINES:])}
    print(json.dumps(found), flush=True)
    return 0


def _die_with_the_parent() -> None:
    # Nobody writes there: it ends when the other end is closed.
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
