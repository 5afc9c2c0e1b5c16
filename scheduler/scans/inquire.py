"""Send inquiry messages for attempts whose outcome is unknown."""

from dataclasses import dataclass
from datetime import timedelta

from shared.clock import Clock
from shared.db import inquiries
from shared.db.engine import Database
from shared.jobs.contracts import InquireAttempts
from shared.jobs.enqueue import Enqueue, batches


@dataclass(frozen=True, slots=True)
class DispatchInquiries:
    """Find attempts past their lease and settle delay, and have the gateway asked about them."""

    database: Database
    enqueue: Enqueue
    clock: Clock
    batch_size: int
    rows_max: int
    resend_after: timedelta

    async def __call__(self) -> int:
        """Return how many attempts messages were sent for."""
        due = await self.database.run(
            lambda connection: inquiries.dispatch_due(
                connection, self.rows_max, self.clock.now(), self.resend_after
            )
        )
        await self.enqueue(
            [InquireAttempts(attempt_ids=batch) for batch in batches(due, self.batch_size)]
        )
        return len(due)
