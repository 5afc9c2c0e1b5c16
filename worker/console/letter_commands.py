"""What an operator may do with a dead letter, as commands that the console alone gives."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json
from shared.billing.refund import require_reason
from shared.db.letters import Resolution
from shared.jobs.command import Command, Reason
from shared.jobs.contracts import Id
from worker.services import letters
from worker.services.letters import Parcel


class RequeueLetter(Command):
    """Have the subject of a letter taken up again."""

    task: ClassVar[str] = "dead_letter.requeue"
    # No worker works it.
    queue: ClassVar[str] = ""

    letter_id: Id
    reason: Reason | None = None


class DiscardLetter(Command):
    """Put a letter away, and give up what it left undecided."""

    task: ClassVar[str] = "dead_letter.discard"
    queue: ClassVar[str] = ""

    letter_id: Id
    reason: Reason


@dataclass(frozen=True, slots=True)
class Requeue:
    """Handle ``dead_letter.requeue``.

    A message is published before it is written that the letter was taken up. If the process dies
    in between, the letter waits as before, and the message may be published twice: that is
    harmless, for a command is known by its ``command_id``, a webhook by what it says, and our own
    by the rows. The other way round the message would be lost, and nobody would know.

    Attributes:
        publish: Whoever publishes a message; None only looks whether there is one to publish.
        settle_delay: How long after a lease the gateway may still book.
    """

    publish: Callable[[Parcel], Awaitable[None]] | None
    settle_delay: timedelta

    async def __call__(
        self, connection: AsyncConnection, command: RequeueLetter, now: datetime
    ) -> dict[str, Json]:
        """Take the letter up; whoever else is about to waits, and is then refused."""
        if command.reason is not None:
            require_reason(command.reason)
        parcel = await letters.requeue(connection, command.letter_id, self.settle_delay, now)
        if parcel is not None and self.publish is not None:
            await self.publish(parcel)
        return {
            "letter_id": command.letter_id,
            "resolution": Resolution.REQUEUED,
            "published": None if parcel is None else parcel.task,
        }


async def discard(
    connection: AsyncConnection, command: DiscardLetter, now: datetime
) -> dict[str, Json]:
    """Handle ``dead_letter.discard``."""
    require_reason(command.reason)
    letter = await letters.discard(connection, command.letter_id, now)
    return {
        "letter_id": letter.id,
        "resolution": Resolution.DISCARDED,
        "attempt_id": letter.attempt_id,
        "refund_id": letter.refund_id,
    }
