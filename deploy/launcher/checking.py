"""The commands that check the checkout: env, lint, test, check, audit, sbom, bench and clean."""

import os
import shutil
from collections.abc import Sequence
from typing import NoReturn

from deploy.launcher.context import Context
from deploy.launcher.directories import state_directory
from deploy.launcher.errors import LauncherError
from deploy.launcher.foreground import run_in_foreground
from deploy.launcher.guard import close_guard
from deploy.launcher.lint import run_lint
from deploy.launcher.runfile import current_run

BENCH_MODULE = "tests.bench"
_CACHES = (".pytest_cache", ".mypy_cache", ".ruff_cache", ".import_linter_cache", ".hypothesis")


def env(context: Context) -> int:
    """Make or refresh the environment and nothing else."""
    context.ensure_environment()
    context.terminal.say(f"environment ready: {context.environment.venv}")
    return 0


def lint(context: Context) -> int:
    """Run all static checks."""
    context.ensure_environment()
    return run_lint(context.checkout, context.environment, context.terminal)


def test(context: Context) -> NoReturn:
    """Run the tests; they start the servers they need themselves."""
    context.ensure_environment()
    become(context, _pytest(context.arguments))


def bench(context: Context) -> NoReturn:
    """Measure; the benchmark starts the servers it needs itself."""
    context.ensure_environment()
    become(context, ["-m", BENCH_MODULE, *context.arguments])


def audit(context: Context) -> NoReturn:
    """Ask whether a package of the production lock has a known vulnerability."""
    context.ensure_environment()
    become(context, ["-m", "deploy.audit", *context.arguments])


def sbom(context: Context) -> NoReturn:
    """Write what the production lock holds as a bill of materials."""
    context.ensure_environment()
    become(context, ["-m", "deploy.sbom", *context.arguments])


def check(context: Context) -> int:
    """Run the static checks and then the tests, also when a check has failed."""
    lint_status = lint(context)
    test_status = run_in_foreground(
        "pytest",
        [context.environment.python, *_pytest(context.arguments)],
        env=context.environment.variables(),
        cwd=context.checkout,
    )
    return test_status or lint_status


def _pytest(arguments: Sequence[str]) -> list[str]:
    """Return the call of pytest: a process a core and one for the waits, each with own servers.

    Arguments of the caller come last, so that ``-n 0`` runs everything in one process.
    """
    processes = (os.cpu_count() or 1) + 1
    return ["-m", "pytest", "-n", str(processes), "--dist", "worksteal", *arguments]


def clean(context: Context) -> int:
    """Remove the environment, the caches and what `up` has stored."""
    state = state_directory(context.checkout)
    run = current_run(state)
    if run is not None:
        problem = f"up runs (pid {run.pid}) on what would be removed"
        raise LauncherError(problem, "end it first: make down")
    for name in (".venv", ".dalmada", *_CACHES):
        shutil.rmtree(context.checkout / name, ignore_errors=True)
    for folder, folders, _ in os.walk(context.checkout):
        if "__pycache__" in folders:
            shutil.rmtree(os.path.join(folder, "__pycache__"))  # noqa: PTH118 - os.walk's strings
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
    context.terminal.say("clean: the environment, the caches and up's data are removed")
    return 0


def become(context: Context, arguments: Sequence[str]) -> NoReturn:
    """Go on as the environment's Python, so that signals and exit status are its own."""
    python = str(context.environment.python)
    close_guard()
    os.chdir(context.checkout)
    os.execve(python, [python, *arguments], context.environment.variables())  # noqa: S606 - meant
