"""Live seeded lives: ``python -m tests.simulation [--seeds 1-60 | --seed 7] [--years N] [--json]``.

Without a choice of seeds a thousand races are lived as well, in lives of 25 each
(``tests/simulation/races.py``); ``--race 7`` lives those of one seed. Ends with one line and with
status 1 if anything was wrong in any life; a seed that fails is named with its policy, what was
wrong, and the command that lives it again.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import replace

from rich.console import Console
from rich.live import Live
from rich.text import Text

from deploy.launcher.guard import close_guard
from deploy.launcher.signals import Interrupted, StopSignals
from tests.simulation.conformity import uncovered
from tests.simulation.crew import Lived, live_all
from tests.simulation.lives import Climate, Verdict
from tests.simulation.races import SUBSCRIPTIONS

# Enough for ten thousand subscription-years with room to spare.
SEEDS = "1-60"
# A thousand races.
RACES = range(1, 41)
_LINE_EVERY_S = 20.0
_DAYS_A_YEAR = 365
_SHOWN = 20
# Every so many lives are laid beside the models, step by step.
_OBSERVED_EVERY = 5


class Tally:
    """What was lived so far."""

    def __init__(self, seeds: int) -> None:
        """Take how many there will be."""
        self.seeds = seeds
        self.lived: list[Lived] = []
        self.began_s = time.monotonic()

    def add(self, lived: Lived) -> None:
        """Take in one life."""
        self.lived.append(lived)

    @property
    def verdicts(self) -> list[Verdict]:
        """Every life that was judged."""
        return [lived.verdict for lived in self.lived if lived.verdict is not None]

    @property
    def lives(self) -> int:
        """How many lives were lived, races left out."""
        return sum(not lived.is_race for lived in self.lived)

    @property
    def races(self) -> int:
        """How many races were lived."""
        judged = [lived for lived in self.lived if lived.is_race and lived.verdict is not None]
        return SUBSCRIPTIONS * len(judged)

    @property
    def years(self) -> float:
        """Subscription-years so far."""
        return sum(verdict.subscription_years for verdict in self.verdicts)

    @property
    def violations(self) -> int:
        """How much was wrong."""
        return sum(len(lived.wrongs) for lived in self.lived)

    @property
    def steps(self) -> set[str]:
        """Every step of the models that rows were seen to take."""
        return {step for verdict in self.verdicts for step in verdict.steps}

    def tell_uncovered(self, console: Console) -> None:
        """List the models' steps that no observed life took."""
        left = uncovered(self.steps)
        console.print(
            f"models: {len(self.steps)} steps were seen in rows, {len(left)} were not",
            highlight=False,
        )
        for step in left:
            console.print(f"  {step}", markup=False, highlight=False)

    @property
    def progress(self) -> str:
        """How far it is, on one line."""
        seconds = time.monotonic() - self.began_s
        return (
            f"simulation {len(self.lived)}/{self.seeds} lives · {self.years:.0f} subscription-years"
            f" · {self.violations} violations · {seconds:.0f} s"
        )

    @property
    def last_line(self) -> str:
        """What it all came to."""
        return (
            f"simulation: seeds={self.lives} subscription_years={self.years:.0f}"
            f" violations={self.violations}"
        )

    def as_json(self) -> dict[str, object]:
        """What it all came to, for programs."""
        return {
            "seeds": self.lives,
            "races": self.races,
            "subscription_years": round(self.years, 1),
            "charges": sum(verdict.charges for verdict in self.verdicts),
            "violations": self.violations,
            "model_steps": sorted(self.steps),
            "seconds": round(time.monotonic() - self.began_s, 1),
            "lives": [
                {
                    "seed": lived.seed,
                    "policy": lived.verdict.policy if lived.verdict else None,
                    "digest": lived.verdict.digest if lived.verdict else None,
                    "wrong": list(lived.wrongs),
                }
                for lived in sorted(self.lived, key=lambda lived: lived.seed)
            ],
        }


def main(arguments: list[str] | None = None) -> int:
    """Live them all; the process's exit status."""
    given = _parser().parse_args(arguments)
    seeds, races = _chosen(given)
    climate = Climate(observed_every=_OBSERVED_EVERY)
    if given.years:
        climate = replace(climate, days=round(given.years * _DAYS_A_YEAR))
    console = Console(stderr=given.json)
    tally = Tally(len(seeds) + len(races))
    with StopSignals() as signals:
        try:
            jobs = min(given.jobs, len(seeds) + len(races))
            _show(tally, live_all(seeds, climate, jobs, races), console, given)
        except Interrupted as interrupted:
            console.print(f"{tally.progress}, stopped by {interrupted}", highlight=False)
            return interrupted.status
        finally:
            signals.stopping()
            close_guard()
    if tally.steps:
        tally.tell_uncovered(console)
    if tally.races:
        wrong = sum(len(lived.wrongs) for lived in tally.lived if lived.is_race)
        console.print(f"races: interleavings={tally.races} violations={wrong}", highlight=False)
    if given.json:
        print(json.dumps(tally.as_json(), ensure_ascii=False))
    else:
        print(tally.last_line)
    return 1 if tally.violations else 0


def _chosen(given: argparse.Namespace) -> tuple[list[int], list[int]]:
    """Return the seeds of the lives and of the races that were asked for."""
    if given.race is not None:
        return [], [given.race]
    if given.seed is not None:
        return [given.seed], []
    return _seeds(given.seeds or SEEDS), [] if given.seeds else list(RACES)


def _show(
    tally: Tally, lives: Iterable[Lived], console: Console, given: argparse.Namespace
) -> None:
    """Take lives in as they come, and say how far it is."""
    line_at_s = 0.0
    screen = Live(console=console, refresh_per_second=4) if console.is_terminal else None
    if screen:
        screen.start()
    try:
        for lived in lives:
            tally.add(lived)
            if lived.wrongs or given.trace:
                _tell(lived, console, given)
            if screen:
                screen.update(Text(tally.progress))
            elif time.monotonic() >= line_at_s:
                line_at_s = time.monotonic() + _LINE_EVERY_S
                console.print(tally.progress, highlight=False)
    finally:
        if screen:
            screen.stop()


def _tell(lived: Lived, console: Console, given: argparse.Namespace) -> None:
    """Say what was wrong in a life, and how it is lived again."""
    if given.trace and lived.verdict:
        for note in lived.verdict.notes:
            console.print(note, markup=False, highlight=False)
    policy = lived.verdict.policy if lived.verdict else "not judged"
    kind = "race" if lived.is_race else "seed"
    console.print(
        f"{kind} {lived.seed} ({policy}): {len(lived.wrongs)} violations", highlight=False
    )
    for wrong in lived.wrongs[:_SHOWN]:
        console.print(f"  {wrong}", markup=False, highlight=False)
    if lived.wrongs:
        years = f" --years {given.years:g}" if given.years else ""
        console.print(
            f"  again: python -m tests.simulation --{kind} {lived.seed}{years} --trace",
            highlight=False,
        )


def _seeds(said: str) -> list[int]:
    first, _, last = said.partition("-")
    try:
        seeds = list(range(int(first), int(last or first) + 1))
    except ValueError:
        seeds = []
    if not seeds:
        message = f"--seeds takes a number or two, as in 1-60, not {said!r}"
        raise SystemExit(message)
    return seeds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", help=f"which lives, from-to ({SEEDS}, and the races)")
    parser.add_argument("--seed", type=int, help="one life alone")
    parser.add_argument("--race", type=int, help="the races of one seed alone")
    parser.add_argument("--years", type=float, help="how long a life is (2)")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side (2)")
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    parser.add_argument("--trace", action="store_true", help="tell what happened in each life")
    return parser


if __name__ == "__main__":
    sys.exit(main())
