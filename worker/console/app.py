"""The command line's entrance: `dalmada` and what it can be asked.

Whatever is heavy (SQLAlchemy, psycopg, pydantic-settings, redis) is imported by a command when it
runs, so that help and mistakes of typing answer at once.
"""

import io
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from worker.console import (
    audit,
    billing_key,
    dead_letter,
    doctor,
    dunning,
    endpoint,
    forecast,
    invoice,
    life,
    payment,
    price,
    reconcile,
    recover,
    reservation,
    simulate,
    status,
    subscription,
)

DISTRIBUTION = "dalmada"
_PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    # Typer's own tracebacks would show local values, and one of them may be a billing key.
    pretty_exceptions_enable=False,
)
app.add_typer(subscription.app, name="subscription")
# Without a name: its commands stand beside those of `subscription`.
subscription.app.add_typer(life.app)
app.add_typer(price.app, name="price")
app.add_typer(invoice.app, name="invoice")
app.add_typer(payment.app, name="payment")
app.add_typer(reservation.app, name="reservation")
app.add_typer(billing_key.app, name="billing-key")
app.add_typer(dead_letter.app, name="dead-letter")
app.add_typer(endpoint.app, name="endpoint")
app.add_typer(reconcile.app, name="reconcile")
app.add_typer(dunning.app, name="dunning")
app.add_typer(forecast.app, name="forecast")
app.add_typer(audit.app, name="audit")
app.command()(status.status)
app.command()(doctor.doctor)
app.command()(recover.recover)
app.command()(simulate.simulate)


def _print_version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"{DISTRIBUTION} {_version()}")
        raise typer.Exit


@app.callback()
def _dalmada(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            is_eager=True,
            callback=lambda asked: _print_version(asked=asked),
        ),
    ] = False,
) -> None:
    """See and steer the subscriptions that Dalmada bills.

    The environment names the servers: DALMADA_DATABASE_URL for every command, DALMADA_REDIS_URL
    for `status`, `doctor` and `dead-letter requeue`. With --json a command prints exactly one JSON
    document: instants are ISO 8601 in UTC, money is whole won.

    Who changed what, and why, is kept: `audit list` shows it. Whatever changes something that
    exists is shown first and asks; where there is no terminal it needs --yes.

    Exit status: 0 done; 1 not found, refused or out of reach, or `status` or `doctor`
    found something that needs a person; 2 the command or the environment must be given otherwise.
    """


def _version() -> str:
    """Return the version of this checkout, or of the installed distribution."""
    import tomllib  # noqa: PLC0415 - only --version pays for it
    from importlib import metadata  # noqa: PLC0415

    try:
        project = tomllib.loads(_PYPROJECT.read_text("utf-8"))["project"]
    except (OSError, KeyError):
        project = {}
    if project.get("name") == DISTRIBUTION:
        return str(project["version"])
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown: neither installed nor run from its folder"


def main() -> None:
    """Run the console on this process's arguments."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show Korean gets escapes instead of a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # What it says of a connection that broke, our own error says in words.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    app(prog_name=DISTRIBUTION)
