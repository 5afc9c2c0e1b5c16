"""Send messages for subscriptions whose end has come, and for what ended ones left under way."""

from dataclasses import dataclass
from datetime import timedelta

from shared.clock import Clock
from shared.db import endings
from shared.db.engine import Database
from shared.jobs.contracts import EndSubscriptions
from shared.jobs.enqueue import Enqueue, batches


@dataclass(frozen=True, slots=True)
class DispatchEndings:
    """Find subscriptions to be ended or wound up, and have that done."""

    database: Database
    enqueue: Enqueue
    clock: Clock
    batch_size: int
    rows_max: int
    resend_after: timedelta

    async def __call__(self) -> int:
        """Return how many subscriptions messages were sent for."""
        due = await self.database.run(
            lambda connection: endings.dispatch_due(
                connection, self.rows_max, self.clock.now(), self.resend_after
            )
        )
        await self.enqueue(
            [EndSubscriptions(subscription_ids=batch) for batch in batches(due, self.batch_size)]
        )
        return len(due)
