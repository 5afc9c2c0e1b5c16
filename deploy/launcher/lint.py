"""Runs every static check, shows what failed, and closes with one table."""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.launcher.environment import Environment
from deploy.launcher.terminal import Terminal

_LOCKS = ("requirements.lock", "requirements-dev.lock")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one check ended; `output` is what it had to say."""

    passed: bool
    output: str


@dataclass(frozen=True, slots=True)
class Check:
    """One named check."""

    name: str
    run: Callable[[], Outcome]


def run_lint(checkout: Path, environment: Environment, terminal: Terminal) -> int:
    """Run all checks, also after one has failed; 0 when every one passed, else 1."""
    rows: list[tuple[str, bool, float]] = []
    for check in checks(checkout, environment):
        started_at = time.monotonic()
        outcome = check.run()
        rows.append((check.name, outcome.passed, time.monotonic() - started_at))
        if not outcome.passed:
            terminal.block(f"--- {check.name}\n{outcome.output.rstrip()}")
    width = max(len(name) for name, _, _ in rows)
    for name, passed, seconds in rows:
        terminal.block(f"  {name:<{width}}  {'passed' if passed else 'FAILED'}  {seconds:5.1f} s")
    failed = sum(not passed for _, passed, _ in rows)
    terminal.say(f"lint: {len(rows) - failed} passed, {failed} failed")
    return 1 if failed else 0


def checks(checkout: Path, environment: Environment) -> list[Check]:
    """All checks, the quick ones first."""

    def tool(name: str, command: str, *arguments: str) -> Check:
        argv = [str(environment.tool(command)), *arguments]
        return Check(name, lambda: _run(argv, checkout, environment))

    yaml = yaml_files(checkout)
    return [
        tool("ruff check", "ruff", "check", "."),
        tool("ruff format", "ruff", "format", "--check", "."),
        tool("mypy", "mypy"),
        tool("import contracts", "lint-imports"),
        tool("codespell", "codespell"),
        # Named one by one: left to itself it would also read the environment's files.
        tool("yamllint", "yamllint", "--strict", *yaml) if yaml else _nothing("yamllint"),
        tool("validate-pyproject", "validate-pyproject", "pyproject.toml"),
        Check("locks hold no address", lambda: locks_hold_no_address(checkout)),
    ]


def yaml_files(checkout: Path) -> list[str]:
    """The checkout's own YAML files, none from hidden folders."""
    found = []
    for folder, folders, files in os.walk(checkout):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(folder).relative_to(checkout)
        found += [str(inside / name) for name in files if name.endswith((".yaml", ".yml"))]
    return sorted(found)


def locks_hold_no_address(checkout: Path) -> Outcome:
    """The locks must install from wherever a machine is set up to install from."""
    faults = []
    for name in _LOCKS:
        text = (checkout / name).read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), start=1):
            if "://" in line:
                faults.append(f"{name}:{number}: an address in a lock: {line.strip()}")
    return Outcome(not faults, "\n".join(faults))


def _nothing(name: str) -> Check:
    return Check(name, lambda: Outcome(passed=True, output=""))


def _run(argv: Sequence[str], checkout: Path, environment: Environment) -> Outcome:
    try:
        done = subprocess.run(
            argv,
            cwd=checkout,
            env=environment.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        return Outcome(passed=False, output=f"{argv[0]} is not installed: run `make clean`")
    return Outcome(done.returncode == 0, done.stdout)
