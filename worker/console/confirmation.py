"""Before anything changes: what is about to be done is shown, and somebody says yes."""

import sys
from collections.abc import Mapping

import typer

from worker.console.endings import MisusedError, RefusedError
from worker.console.rendering import visible


def require_somebody(*, yes: bool) -> None:
    """Refuse to go on where nobody has said yes and nobody can be asked.

    Raises:
        MisusedError: There is no terminal, and no ``--yes``.
    """
    if not yes and not sys.stdin.isatty():
        raise MisusedError(
            "this changes something, and nobody can be asked here: look at what it is about, then"
            " say --yes."
        )


def confirm(what: str, fields: Mapping[str, str], *, yes: bool, as_json: bool) -> None:
    """Show what is about to be done, and ask unless it was said already.

    Both go to stderr: stdout belongs to the answer. For a program that has said yes nothing is
    shown.

    Raises:
        RefusedError: The answer is no.
    """
    if yes and as_json:
        return
    width = max(map(len, fields), default=0)
    lines = [f"  {name:<{width}}  {value}" for name, value in fields.items()]
    typer.echo("\n".join(visible(line) for line in (f"{what}:", *lines)), err=True)
    if not yes and not _agrees():
        raise RefusedError("not done: nothing was changed.")


def _agrees() -> bool:
    """Ask; whoever does not say yes has said no."""
    # Not `typer.confirm`: it writes a blank to stdout.
    typer.echo("Do this? [y/N] ", nl=False, err=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
