"""Send a relay message while events wait to be told."""

from dataclasses import dataclass

from shared.db import outbox
from shared.db.engine import Database
from shared.jobs.contracts import EVENT_QUEUE, RelayEvents
from shared.jobs.enqueue import Enqueue


@dataclass(frozen=True, slots=True)
class DispatchRelay:
    """Have the outbox emptied; one message at a time is enough, since a relay empties it whole."""

    database: Database
    enqueue: Enqueue

    async def __call__(self) -> int:
        """Return how many messages were sent: 0 or 1."""
        if await self.enqueue.waiting(EVENT_QUEUE):
            return 0
        async with self.database.transaction() as connection:
            if not await outbox.anything_waits(connection):
                return 0
        await self.enqueue([RelayEvents()])
        return 1
