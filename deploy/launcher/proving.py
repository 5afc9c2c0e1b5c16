"""The commands that prove the claim: crash, simulation, mutants, chaos and simulate.

Each starts the servers it needs itself, ends with one line and exits non-zero on a violation.
"""

from typing import NoReturn

from deploy.launcher.checking import become
from deploy.launcher.context import Context


def crash(context: Context) -> NoReturn:
    """Let a process die at every point and every pair of points, and recover."""
    _prove(context, "tests.crash")


def simulation(context: Context) -> NoReturn:
    """Live through seeded years on a test clock."""
    _prove(context, "tests.simulation")


def mutants(context: Context) -> NoReturn:
    """Plant faults in the code, each of which must be caught."""
    _prove(context, "tests.mutants")


def chaos(context: Context) -> NoReturn:
    """Break real processes, servers and connections under load."""
    _prove(context, "tests.chaos")


def simulate(context: Context) -> NoReturn:
    """Live a merchant's years on a test clock, and audit the ledger."""
    _prove(context, "deploy.timetravel")


def _prove(context: Context, module: str) -> NoReturn:
    context.ensure_environment()
    become(context, ["-m", module, *context.arguments])
