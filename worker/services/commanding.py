"""What a command's handler is: one verb, inside the transaction that also keeps its result."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeAlias, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json

C = TypeVar("C")


class CommandRefusedError(Exception):
    """A command was understood and cannot be done; the text says why, and what could.

    The refusal is the command's result: it is kept, told as ``command.refused`` and given again.
    """


# Takes the connection of the transaction, the command and the instant; returns what is told of it.
# It changes rows only: whatever the gateway must do for it is left to a scan.
Handler: TypeAlias = Callable[[AsyncConnection, C, datetime], Awaitable[dict[str, Json]]]
