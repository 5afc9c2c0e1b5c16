"""Send messages for billing keys that are to be taken away."""

from dataclasses import dataclass
from datetime import timedelta

from shared.clock import Clock
from shared.db import billing_keys
from shared.db.engine import Database
from shared.jobs.contracts import RemoveBillingKeys
from shared.jobs.enqueue import Enqueue, batches


@dataclass(frozen=True, slots=True)
class DispatchRemovals:
    """Find billing keys to be taken away, and have the gateway forget them."""

    database: Database
    enqueue: Enqueue
    clock: Clock
    batch_size: int
    rows_max: int
    resend_after: timedelta

    async def __call__(self) -> int:
        """Return how many billing keys messages were sent for."""
        due = await self.database.run(
            lambda connection: billing_keys.dispatch_removals(
                connection, self.rows_max, self.clock.now(), self.resend_after
            )
        )
        await self.enqueue(
            [RemoveBillingKeys(billing_key_ids=batch) for batch in batches(due, self.batch_size)]
        )
        return len(due)
