"""Work what others ask for: once, with its first result kept, and never lost to a fault of ours."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.errors import BillingError
from shared.billing.events import Event, EventName, Json
from shared.clock import Clock
from shared.db import commands, dead_letters, outbox
from shared.db.engine import Database, is_transient
from shared.jobs.command import Command
from shared.jobs.commands import ReceiveWebhook
from shared.jobs.contracts import Job
from worker.services.commanding import CommandRefusedError, Handler

log = structlog.get_logger(__name__)

DONE, REFUSED, SEEN, CONFLICTING, PARKED = "done", "refused", "seen before", "conflicting", "parked"

# A fault may be a race that the next try does not meet; what fails again and again is for a person.
_PAUSES_S = (0.2, 1.0)
_FRAMES_TOLD = 4


@dataclass(frozen=True, slots=True)
class Unworked:
    """A message that nobody works.

    Attributes:
        message: The whole message, or a text that is the beginning of one; only a whole one can be
            sent again.
        command_id: Its sender's name for it, if it can be read.
        told_as: The event that says so.
    """

    task: str
    cause: str
    message: Mapping[str, object] | str = field(repr=False)
    command_id: str | None
    told_as: EventName


@dataclass(frozen=True, slots=True)
class CommandDesk:
    """Works commands, each in one transaction that changes rows only, and webhooks."""

    database: Database
    clock: Clock
    handlers: Mapping[type[Command], Handler[Any]]
    receive_webhook: Callable[[ReceiveWebhook], Awaitable[str]]

    async def command(self, command: Command) -> str:
        """Work a command and name the ending; one that was seen before changes nothing.

        Raises:
            DBAPIError: The database stayed away; the command is as if it had not come.
        """

        async def work(connection: AsyncConnection) -> str:
            known = await commands.begin(
                connection, command.command_id, command.task, command.digest
            )
            if known is None:
                return await self._work(connection, command)
            if (known.task, known.digest) == (command.task, command.digest):
                return SEEN
            return await self._conflict(connection, command, known.task)

        return await self._carefully(command, lambda: self.database.run(work))

    async def webhook(self, webhook: ReceiveWebhook) -> str:
        """Take a webhook in and name the ending.

        Raises:
            DBAPIError: The database stayed away; the webhook is as if it had not come.
        """
        return await self._carefully(webhook, lambda: self.receive_webhook(webhook))

    async def bury(self, unworked: Unworked) -> None:
        """Keep a message that is not worked, for a person to look at, and tell of it."""

        async def work(connection: AsyncConnection) -> None:
            await dead_letters.bury_message(
                connection, unworked.task, unworked.cause, unworked.message
            )
            data: dict[str, Json] = {
                "command_id": unworked.command_id,
                "task": unworked.task,
                "cause": unworked.cause,
                "at": self.clock.now().isoformat(),
            }
            await outbox.write(connection, [Event(unworked.told_as, None, data)])

        await self.database.run(work)

    async def _work(self, connection: AsyncConnection, command: Command) -> str:
        """Have the command's handler do it, and keep and tell what came of it."""
        now = self.clock.now()
        data: dict[str, Json] = {"command_id": command.command_id, "task": command.task}
        try:
            # What a handler wrote before it refused is taken back.
            async with connection.begin_nested():
                told = await self.handlers[type(command)](connection, command, now)
        except (BillingError, CommandRefusedError) as error:
            ending, name = REFUSED, EventName.COMMAND_REFUSED
            data["error"] = str(error)
            result: dict[str, Json] = {"status": ending, "error": str(error)}
        else:
            ending, name = DONE, EventName.COMMAND_DONE
            data["result"] = told
            result = {"status": ending, "result": told}
        await commands.finish(connection, command.command_id, result)
        await outbox.write(connection, [Event(name, None, {**data, "at": now.isoformat()})])
        return ending

    async def _conflict(self, connection: AsyncConnection, command: Command, first: str) -> str:
        """Tell that a command_id means something else already; its first result stays."""
        cause = (
            f"this command_id came before, with another content or task ({first}):"
            " a command of its own needs an id of its own"
        )
        data: dict[str, Json] = {
            "command_id": command.command_id,
            "task": command.task,
            "error": cause,
            "at": self.clock.now().isoformat(),
        }
        await dead_letters.bury_message(connection, command.task, cause, message_of(command))
        await outbox.write(connection, [Event(EventName.COMMAND_REFUSED, None, data)])
        return CONFLICTING

    async def _carefully(self, job: Job, work: Callable[[], Awaitable[str]]) -> str:
        """Do what a message asks for; after a few faults of ours keep it instead."""
        for pause_s in (*_PAUSES_S, None):
            try:
                return await work()
            except Exception as error:
                if is_transient(error):
                    raise
                # The words may quote what the message says, so the place must do.
                kind, where = type(error).__name__, _where(error)
                log.error("message_faulted", task=job.task, error=kind, where=where)  # noqa: TRY400
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        cause = f"a fault of ours kept it from being worked: {kind}"
        message = message_of(job)
        id_ = job.command_id if isinstance(job, Command) else None
        await self.bury(Unworked(job.task, cause, message, id_, EventName.COMMAND_PARKED))
        return PARKED


def message_of(job: Job) -> dict[str, object]:
    """Return a message in the form in which dead letters keep it, to be sent again."""
    return {"queue": job.queue, "args": [], "kwargs": job.model_dump(mode="json")}


def _where(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_TOLD:]
    return [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
