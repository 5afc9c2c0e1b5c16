"""`dalmada simulate`: years of a merchant's subscriptions on a test clock, in a minute."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

# What travels is no part of an installation: it brings a sandbox and a database of its own.
_CHECKOUT = Path(__file__).resolve().parents[2]
_TRAVELLER = Path("deploy", "timetravel", "__main__.py")


def simulate(
    *,
    years: Annotated[float, typer.Option(help="How many years to live through.")] = 2.0,
    subscriptions: Annotated[int, typer.Option(help="How many subscriptions.")] = 1_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same lives.")] = 1,
    step: Annotated[
        float | None, typer.Option(help="How many hours lie between two looks at least.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the ledger as JSON, before the last line.")
    ] = False,
) -> None:
    """Live through years on a test clock, print the ledger, and audit it.

    The real scans, services and tables on an empty PostgreSQL of its own, against the sandbox in
    a process of its own: nothing that the environment names is touched. Exit status 1 if a period
    has no end or two, was paid twice, or a sum differs from the gateway's book.
    """
    if not (_CHECKOUT / _TRAVELLER).is_file():
        typer.echo(
            "`dalmada simulate` needs a checkout: its sandbox and servers are no part of an"
            " installation. Clone the repository and run `make simulate` there.",
            err=True,
        )
        raise typer.Exit(2)
    arguments = ["--years", str(years), "--subscriptions", str(subscriptions), "--seed", str(seed)]
    arguments += [] if step is None else ["--step", str(step)]
    arguments += ["--json"] if as_json else []
    command = [sys.executable, "-m", "deploy.timetravel", *arguments]
    raise typer.Exit(subprocess.run(command, cwd=_CHECKOUT, check=False).returncode)  # noqa: S603
