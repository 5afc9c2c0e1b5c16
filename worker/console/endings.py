"""How a command ends when it cannot do what was asked: one message on stderr, never a traceback."""

import functools
from collections.abc import Callable
from typing import ClassVar, ParamSpec, TypeVar

import typer

P = ParamSpec("P")
R = TypeVar("R")


class CommandError(Exception):
    """A command cannot be done; the text says what was wrong and what would be right."""

    exit_status: ClassVar[int]


class RefusedError(CommandError):
    """The command was understood, but what it asks for does not exist or may not be."""

    exit_status = 1


class MisusedError(CommandError):
    """An option or a variable of the environment must be given otherwise."""

    exit_status = 2


class DatabaseFaultError(RefusedError):
    """The database could not be reached, or did not do what it was asked.

    Attributes:
        lost: The connection broke or no answer came, so a change may or may not be written.
    """

    def __init__(self, message: str, *, lost: bool) -> None:
        super().__init__(message)
        self.lost = lost


def ends_in_words(command: Callable[P, R]) -> Callable[P, R]:
    """Print a ``CommandError`` to stderr and end with its exit status."""

    @functools.wraps(command)
    def ending(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except CommandError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(error.exit_status) from None

    return ending
