"""What an operator does: once, by the handlers of merchants' commands, and written down."""

import os
import pwd
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast
from uuid import uuid4

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.errors import BillingError
from shared.billing.events import Json
from shared.clock import WallClock
from shared.db import audit, readings
from shared.db.engine import Database
from shared.jobs.command import Command
from worker.console import session
from worker.console.endings import DatabaseFaultError, MisusedError, RefusedError
from worker.console.session import ConsoleSettings
from worker.services.command_desk import REFUSED, CommandDesk
from worker.services.commanding import CommandRefusedError, Handler
from worker.services.hints import ReceiveWebhooks

C = TypeVar("C", bound=Command)
L = TypeVar("L")

# Fields of commands whose option is called otherwise.
_OPTIONS = {
    "anchor_at": "anchor",
    "description": "for",
    "effective_at": "from",
    "given_at": "consent-at",
    "evidence": "consent-evidence",
    "interval": "every",
    "interval_count": "count",
    "invoice_id": "invoice",
    "order_name": "name",
    "payment_method": "consent-payment-method",
    "setup_description": "setup-name",
    "shown": "consent-shown",
    "time_zone": "zone",
    "trial_end_at": "trial-end",
}


@dataclass(frozen=True, slots=True)
class Deed:
    """A command that an operator gives.

    Attributes:
        action: The console's command, for example ``payment refund``.
        subject: What it is done to, for example ``payment imp_1``.
        reason: Why, in the operator's words.
        handler: What works it; a merchant's command has the one that works the merchant's.
    """

    action: str
    subject: str
    reason: str | None
    command: Command
    handler: Handler[Any]


def command_of(contract: type[C], **values: object) -> C:
    """Return a command of the operator's, under an id that nobody else has.

    Raises:
        MisusedError: A value is not what the command takes.
    """
    try:
        return contract.model_validate({"command_id": f"console-{uuid4()}", **values})
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise MisusedError(
            "\n".join(f"{_option(fault['loc'])}{fault['msg']}." for fault in faults)
        ) from None


async def foresee(connection: AsyncConnection, deed: Deed, now: datetime) -> dict[str, Json]:
    """Return what the handler would tell, and take everything back that it wrote.

    Raises:
        RefusedError: The handler refuses.
    """

    async def nothing(_: Mapping[str, Json]) -> None:
        return None

    told, _ = await foresee_with(connection, deed, now, nothing)
    return told


async def foresee_with(
    connection: AsyncConnection,
    deed: Deed,
    now: datetime,
    look: Callable[[Mapping[str, Json]], Awaitable[L]],
) -> tuple[dict[str, Json], L]:
    """Return what the handler would tell, and what would be seen then; take back what it wrote.

    Raises:
        RefusedError: The handler refuses.
    """
    savepoint = await connection.begin_nested()
    try:
        told = await deed.handler(connection, deed.command, now)
        seen = await look(told)
    except (BillingError, CommandRefusedError) as error:
        await savepoint.rollback()
        raise _refused(str(error)) from None
    # Whatever else is raised ends the caller's transaction, and this with it.
    await savepoint.rollback()
    return told, seen


def do(settings: ConsoleSettings, deed: Deed) -> dict[str, Json]:
    """Have a command worked once, whatever becomes of the connection, and return its result.

    Who did it and why is written in the transaction that does it.

    Raises:
        RefusedError: It was refused, and nothing changed.
        DatabaseFaultError: It says where to look if nobody knows whether it was done.
    """
    begun = False

    async def work(connection: AsyncConnection, command: Command, now: datetime) -> dict[str, Json]:
        nonlocal begun
        begun = True
        told = await deed.handler(connection, command, now)
        await _note(connection, deed, told)
        return told

    async def give(database: Database) -> Mapping[str, Json] | None:
        clock = WallClock()
        handlers = {type(deed.command): work}
        desk = CommandDesk(database, clock, handlers, ReceiveWebhooks(database, clock))
        await desk.command(deed.command)
        return await database.run(
            lambda connection: readings.result_of(connection, deed.command.command_id)
        )

    try:
        result = session.converse(settings, give)
    except DatabaseFaultError as fault:
        if not (begun and fault.lost):
            raise
        raise DatabaseFaultError(
            f"{fault}\nWhether it was done is not known: before you ask for it again, see whether"
            f" `dalmada audit list --json` names command {deed.command.command_id}.",
            lost=True,
        ) from None
    if result is None:
        raise RefusedError(
            "a fault of ours kept it from being done: nothing was changed, and it is kept as a dead"
            " letter; `dalmada dead-letter list` names it."
        )
    if result["status"] == REFUSED:
        raise _refused(str(result["error"]))
    told = cast("Mapping[str, Json]", result["result"])
    return {"command_id": deed.command.command_id, **told}


async def _note(connection: AsyncConnection, deed: Deed, told: Mapping[str, Json]) -> None:
    # The parameters are kept with the window, not with who asked for it.
    ids = {name: value for name, value in told.items() if name != "parameters"}
    await audit.note(
        connection,
        actor=actor(),
        action=deed.action,
        subject=deed.subject,
        reason=deed.reason,
        details={"command_id": deed.command.command_id, **ids},
    )


def actor() -> str:
    """Return who runs this process, as the operating system knows them, and where."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    if uid == 0 and (caller := os.environ.get("SUDO_USER")):
        name = f"{caller} as {name}"
    return f"{name}@{socket.gethostname()}"


def _option(place: tuple[int | str, ...]) -> str:
    """Name the option that a field of a command comes from; a fault of the whole has none."""
    if not place:
        return ""
    # A consent is one field of a command, and an option for each of its parts.
    field = str(place[-1] if place[0] == "consent" else place[0])
    return f"--{_OPTIONS.get(field, field).replace('_', '-')}: "


def _refused(words: str) -> RefusedError:
    return RefusedError(words if words.endswith(".") else f"{words}.")
