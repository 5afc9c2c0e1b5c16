"""Break everything for a while: ``python -m tests.chaos --seconds 60 --seed 1 [--json]``.

Ends with one line and with status 1 if anything was charged twice, missed or stuck, or if a fault
that was planned could not be applied. The same seed makes the same plan.
"""

import argparse
import json
import random
import sys

from rich.console import Console

from deploy.launcher.errors import LauncherError
from deploy.launcher.guard import close_guard
from deploy.launcher.signals import Interrupted, StopSignals
from tests.chaos.run import Options, run

_SEEDS = 10_000


def main(arguments: list[str] | None = None) -> int:
    """Run once; the process's exit status."""
    given = _parser().parse_args(arguments)
    seed = random.SystemRandom().randrange(_SEEDS) if given.seed is None else given.seed
    console = Console(stderr=given.json)
    with StopSignals() as signals:
        try:
            report = run(Options(seed, given.seconds, given.calm_seconds, given.batch), console)
        except Interrupted as interrupted:
            console.print(f"chaos: seed={seed} stopped by {interrupted}")
            return interrupted.status
        except LauncherError as error:
            console.print(f"chaos: seed={seed}: {error}", highlight=False)
            return error.status
        finally:
            signals.stopping()
            close_guard()
    report.show(console)
    print(json.dumps(report.as_json(), ensure_ascii=False) if given.json else report.last_line)
    return 0 if report.is_clean else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it lasts (60)")
    parser.add_argument("--seed", type=int, help="which plan; drawn and told if it is left out")
    parser.add_argument(
        "--calm-seconds",
        type=float,
        default=180.0,
        help="how long everything may take to come to its end afterwards (180)",
    )
    parser.add_argument("--batch", type=int, default=3, help="subscriptions a tick (3)")
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    return parser


if __name__ == "__main__":
    sys.exit(main())
