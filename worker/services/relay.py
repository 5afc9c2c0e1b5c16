"""Hand events on in the order in which they were written, at least once.

To the stream at once; for merchants' endpoints, as rows that are worked at each endpoint's pace.
"""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.clock import Clock
from shared.db import deliveries, outbox
from shared.db.engine import Database
from worker.services.ports import Publish

# Bounds one message's work; what is left is taken up by the next scan.
_ROUNDS_MAX = 20


@dataclass(frozen=True, slots=True)
class RelayEvents:
    """Publish what was not told yet, then mark it; a death in between tells it again."""

    database: Database
    publish: Publish
    clock: Clock
    rows_max: int

    async def __call__(self) -> int:
        """Return how many events were published."""
        relayed = 0
        for _ in range(_ROUNDS_MAX):
            count = await self.database.run(self._relay)
            relayed += count
            if count < self.rows_max:
                break
        return relayed

    async def _relay(self, connection: AsyncConnection) -> int:
        events = await outbox.unrelayed(connection, self.rows_max)
        if events:
            await self.publish(events)
            ids, now = [event.id for event in events], self.clock.now()
            await outbox.mark_relayed(connection, ids, now)
            await deliveries.fan_out(connection, ids, now)
        return len(events)
