"""Send messages for events that wait to be delivered to endpoints."""

from dataclasses import dataclass
from datetime import timedelta

from shared.clock import Clock
from shared.db import deliveries
from shared.db.engine import Database
from shared.jobs.contracts import DeliverEvents
from shared.jobs.enqueue import Enqueue


@dataclass(frozen=True, slots=True)
class DispatchDeliveries:
    """Find what is due at every endpoint, a few at each, and have it delivered.

    A message is of one endpoint only, so that nobody waits for a slower one.
    """

    database: Database
    enqueue: Enqueue
    clock: Clock
    under_way_max: int
    resend_after: timedelta

    async def __call__(self) -> int:
        """Return how many deliveries messages were sent for."""
        now = self.clock.now()
        rooms = await self.database.run(
            lambda connection: deliveries.rooms(
                connection, self.under_way_max, now, self.resend_after
            )
        )
        jobs = []
        for room in rooms:
            due = await self.database.run(
                lambda connection, room=room: deliveries.dispatch_to(  # type: ignore[misc]
                    connection, room, now, self.resend_after
                )
            )
            if due:
                jobs.append(DeliverEvents(delivery_ids=tuple(due)))
        await self.enqueue(jobs)
        return sum(len(job.delivery_ids) for job in jobs)
