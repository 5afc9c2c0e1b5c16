"""`make bench`: ours and the plain Celery design, measured side by side in one run.

Round after round, one side after the other, so that a machine that drifts drifts for both. No
figure is printed before every charge of the run has been found correct.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.launcher.children import Child
from deploy.launcher.directories import make_directory, state_directory
from deploy.launcher.environment import Environment
from deploy.launcher.errors import LauncherError
from deploy.launcher.servers import temporary_servers
from deploy.launcher.signals import Interrupted, StopSignals
from deploy.launcher.terminal import Terminal
from shared.clock import WallClock
from shared.config import Settings
from tests.bench import report
from tests.bench.correctness import IncorrectError
from tests.bench.cpu import is_measurable
from tests.bench.machine import description
from tests.bench.rounds import Figures, Task, play
from tests.bench.side import AMOUNT, CHECKOUT, ORDER_NAME, Side, Stage
from tests.bench.side_ours import Ours
from tests.bench.side_plain import Plain
from tests.support.databases import make_template
from tests.support.sandbox import IMP_KEY, IMP_SECRET, SandboxControl

SIDES: tuple[Side, ...] = (Ours(), Plain())

_CHARGES, _CHARGES_QUICK, _CHARGES_MIN = 8_000, 1_000, 100
# The plain design is so much slower that it would need minutes for as many charges.
_PLAIN_SHARE, _PLAIN_CHARGES_MIN = 0.04, 80
_READY_TIMEOUT_S = 60.0
_LOG_WIDTH = 120
# What the bench sets itself, and what changes nothing in the work.
_OWN_SETTINGS = frozenset(
    {
        *("database_url", "redis_url", "portone_base_url", "portone_imp_key"),
        *("portone_imp_secret", "state_dir"),
    }
)


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line."""

    charges: int
    rounds: int
    latency_ms: float
    prints_json: bool
    plants_double_charge: bool

    def charges_of(self, side: Side) -> int:
        """Return how many charges a round of this side has."""
        if side.name == "ours":
            return self.charges
        return max(_PLAIN_CHARGES_MIN, round(self.charges * _PLAIN_SHARE))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if anything was charged wrongly or broke."""
    options = _options(argv)
    console = Console(stderr=options.prints_json, highlight=False)
    if not console.is_terminal:
        # A log has no width; the table has.
        console.width = _LOG_WIDTH
    if not is_measurable():
        console.print("bench: needs Linux, whose kernel tells each process's CPU time in /proc")
        return 2
    with StopSignals() as signals:
        try:
            return _run(options, console)
        except IncorrectError as error:
            console.print(f"bench: no figures, {error}", style="red", markup=False)
        except LauncherError as error:
            console.print(f"bench: {error}", style="red", markup=False)
        except Interrupted as interrupted:
            console.print(f"bench: stopped by {interrupted}")
            return interrupted.status
        finally:
            signals.stopping()
    return 1


def _options(argv: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--charges", type=int, help=f"of ours in a round ({_CHARGES})")
    parser.add_argument("--rounds", type=int, help="of each side (3)")
    parser.add_argument("--latency-ms", type=float, default=200.0, help="of the gateway (200)")
    parser.add_argument("--json", action="store_true", help="print all that was measured as JSON")
    parser.add_argument("--quick", action="store_true", help="one short round: does it still work?")
    parser.add_argument(
        "--plant-double-charge",
        action="store_true",
        help="charge a buyer once more behind our back, to see that no figure is printed then",
    )
    given = parser.parse_args(argv)
    charges = given.charges or (_CHARGES_QUICK if given.quick else _CHARGES)
    rounds = given.rounds or (1 if given.quick else 3)
    if charges < _CHARGES_MIN or rounds < 1 or not 0 <= given.latency_ms <= 10_000:
        parser.error(f"at least {_CHARGES_MIN} charges, 1 round, and a latency from 0 to 10,000 ms")
    return Options(charges, rounds, given.latency_ms, given.json, given.plant_double_charge)


def _run(options: Options, console: Console) -> int:
    started_at = WallClock().now()
    name = f"{started_at:%Y%m%d-%H%M%S}-{os.getpid()}"
    folder = state_directory(CHECKOUT) / "bench" / name
    logs = make_directory(folder / "logs")
    try:
        with _stage(logs, console) as stage:
            machine = description(stage.servers)
            for name, value in machine.items():
                console.print(f"{name:>10}  {value}", soft_wrap=True)
            results = _rounds(options, stage, console)
    except (IncorrectError, LauncherError):
        console.print(f"The processes' logs are in {logs}", soft_wrap=True)
        raise
    shutil.rmtree(logs)
    conditions = {
        "started_at": started_at.isoformat(),
        "latency_ms": options.latency_ms,
        "rounds": options.rounds,
        "settings": _settings_given(),
    }
    document = report.as_json(machine, conditions, results)
    path = folder / "result.json"
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    console.print(report.table(results, {side.name: side.label for side in SIDES}))
    console.print(report.conditions_text(conditions))
    console.print(report.verdict(results))
    console.print(f"All figures: {path}", soft_wrap=True)
    if options.prints_json:
        print(json.dumps(document, ensure_ascii=False))
    print(report.last_line(results), flush=True)
    return 0


def _settings_given() -> dict[str, str]:
    """Return our settings that the environment changes; what the bench sets itself left out."""
    names = {f"DALMADA_{name.upper()}" for name in Settings.model_fields.keys() - _OWN_SETTINGS}
    names.add("DALMADA_CHARGE_WORKERS")
    return {name: os.environ[name] for name in sorted(names & os.environ.keys())}


@contextmanager
def _stage(logs: Path, console: Console) -> Iterator[Stage]:
    """Start what both sides use, and end it again."""
    with ExitStack() as running:
        with console.status("starting PostgreSQL, Valkey and the sandbox"):
            servers = running.enter_context(temporary_servers(durable=True, logs=logs))
            make_template(servers.postgres)
            child = _sandbox(logs)
            running.callback(child.stop)
            child.start()
            found = child.wait_for_log(r"^sandbox: (http://\S+)$", timeout_s=_READY_TIMEOUT_S)
            sandbox = running.enter_context(SandboxControl(found[1]))
        yield Stage(servers, sandbox, child, logs)


def _sandbox(logs: Path) -> Child:
    environment = Environment(CHECKOUT, Terminal())
    return Child(
        "sandbox",
        [
            environment.python,
            *("-m", "deploy.sandbox", "--host", "127.0.0.1", "--port", "0"),
            *("--imp-key", IMP_KEY, "--imp-secret", IMP_SECRET),
        ],
        log=logs / "sandbox.log",
        env=environment.variables(),
        cwd=CHECKOUT,
    )


def _rounds(options: Options, stage: Stage, console: Console) -> dict[str, list[Figures]]:
    """Play all rounds, one side after the other; say how each went."""
    results: dict[str, list[Figures]] = {side.name: [] for side in SIDES}
    for number in range(1, options.rounds + 1):
        for side in SIDES:
            task = Task(
                options.charges_of(side),
                options.latency_ms,
                _charge_behind_our_back if options.plants_double_charge else None,
            )
            title = f"round {number} of {options.rounds}, {side.name}"
            figures = _play(stage, side, task, title, console)
            results[side.name].append(figures)
            # Not a word about speed yet: a later round may still turn out to be wrong.
            console.print(f"{title}: {figures.charges:,} charges correct")
    return results


def _play(stage: Stage, side: Side, task: Task, title: str, console: Console) -> Figures:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        bar = progress.add_task(title, total=task.charges)
        return play(stage, side, task, lambda paid: progress.update(bar, completed=paid))


def _charge_behind_our_back(stage: Stage) -> None:
    """Charge a buyer once more, as nobody of ours may."""
    with httpx.Client(base_url=stage.sandbox.url, timeout=30, trust_env=False) as client:
        credentials = {"imp_key": IMP_KEY, "imp_secret": IMP_SECRET}
        answer = client.post("/users/getToken", json=credentials).raise_for_status().json()
        body: dict[str, Any] = {
            "customer_uid": stage.sandbox.paid()[0]["customer_uid"],
            "merchant_uid": "planted",
            "amount": AMOUNT,
            "name": ORDER_NAME,
        }
        token = answer["response"]["access_token"]
        client.post(
            "/subscribe/payments/again", json=body, headers={"Authorization": f"Bearer {token}"}
        ).raise_for_status()


if __name__ == "__main__":
    sys.exit(main())
