"""The launcher's command line."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.launcher.context import Context
from deploy.launcher.environment import Environment
from deploy.launcher.errors import LauncherError
from deploy.launcher.guard import close_guard
from deploy.launcher.signals import Interrupted, StopSignals
from deploy.launcher.terminal import Terminal

CHECKOUT = Path(__file__).resolve().parents[2]

# Name -> module and what the help says; modules are imported only for the command that is run.
_COMMANDS = {
    "demo": ("running", "start everything, run the demo, end everything"),
    "up": ("running", "start everything on lasting data and keep it running"),
    "down": ("running", "end what `up` keeps running"),
    "run": ("running", "run a command beside a private PostgreSQL and Valkey: run -- COMMAND"),
    "test": ("checking", "run the tests: test [PYTEST ARGUMENTS]"),
    "lint": ("checking", "run all static checks"),
    "check": ("checking", "lint, then test"),
    "bench": ("checking", "measure: bench [ARGUMENTS]"),
    "audit": ("checking", "look for known vulnerabilities: audit [PIP-AUDIT ARGUMENTS]"),
    "sbom": ("checking", "write what the image is made of: sbom [FILE]"),
    "crash": ("proving", "die at every point and pair of points: crash [ARGUMENTS]"),
    "simulation": ("proving", "live through seeded years: simulation [ARGUMENTS]"),
    "mutants": ("proving", "plant faults, each must be caught: mutants [ARGUMENTS]"),
    "chaos": ("proving", "break real processes under load: chaos [ARGUMENTS]"),
    "simulate": ("proving", "live a merchant's years on a test clock: simulate [ARGUMENTS]"),
    "env": ("checking", "make or refresh .venv and nothing else"),
    "clean": ("checking", "remove .venv, caches and stored data"),
}
_PASSING_ON = frozenset(
    {"test", "check", "bench", "audit", "sbom", "run"}
    | {"crash", "simulation", "mutants", "chaos", "simulate"}
)
_MIN_PYTHON = (3, 11)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit status."""
    terminal = Terminal()
    with StopSignals() as signals:
        try:
            return _run(sys.argv[1:] if argv is None else argv, terminal, signals)
        except LauncherError as error:
            signals.stopping()
            terminal.say(error.problem)
            if error.remedy:
                terminal.block(error.remedy)
            return error.status
        except Interrupted as interrupted:
            terminal.say(f"stopped by {interrupted}")
            return interrupted.status
        finally:
            signals.stopping()
            # The last resort for whatever an error on the way may have left.
            close_guard()


def _run(argv: Sequence[str], terminal: Terminal, signals: StopSignals) -> int:
    own, passed_on = _split(argv)
    options = _parser().parse_args(own)
    if options.system_servers:
        # As a variable, since tests and benchmarks start their servers in processes of their own.
        os.environ["DALMADA_SYSTEM_SERVERS"] = "1"
    context = Context(
        checkout=CHECKOUT,
        environment=Environment(CHECKOUT, terminal),
        terminal=terminal,
        signals=signals,
        arguments=passed_on,
        sync=options.sync,
        migrate=options.migrate,
    )
    module = importlib.import_module(f"deploy.launcher.{_COMMANDS[options.command][0]}")
    command: Callable[[Context], int] = getattr(module, options.command)
    return command(context)


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our own arguments, and those after a command that passes its arguments on."""
    for position, argument in enumerate(argv):
        if argument in _COMMANDS:
            if argument not in _PASSING_ON:
                break
            rest = list(argv[position + 1 :])
            if argument == "run":
                # Up to the dashes they are ours.
                dashes = rest.index("--") if "--" in rest else len(rest)
                return [*argv[: position + 1], *rest[:dashes]], rest[dashes + 1 :]
            return list(argv[: position + 1]), rest
    return list(argv), []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="local.py",
        description="Runs Dalmada on this machine; needs Python 3.11 or newer and nothing else.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(
            ["commands:", *(f"  {name:<10} {text}" for name, (_, text) in _COMMANDS.items())]
        ),
    )
    parser.add_argument("command", choices=_COMMANDS, metavar="COMMAND", help="see below")
    parser.add_argument(
        "--system-servers",
        action="store_true",
        help="prefer the system's PostgreSQL and Redis to those of the wheels",
    )
    parser.add_argument(
        "--no-sync",
        dest="sync",
        action="store_false",
        help="take the environment as it is",
    )
    parser.add_argument(
        "--no-migrate",
        dest="migrate",
        action="store_false",
        help="run: leave the database empty",
    )
    return parser
