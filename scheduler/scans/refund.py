"""Send messages for refunds that are due, and for those whose outcome is unknown."""

from dataclasses import dataclass
from datetime import timedelta

from shared.clock import Clock
from shared.db import refund_inquiries, refunds
from shared.db.engine import Database
from shared.jobs.contracts import InquireRefunds, SendRefunds
from shared.jobs.enqueue import Enqueue, batches


@dataclass(frozen=True, slots=True)
class DispatchRefunds:
    """Find refunds to be sent and refunds to be asked about; asking goes on during a hold."""

    database: Database
    enqueue: Enqueue
    clock: Clock
    batch_size: int
    rows_max: int
    resend_after: timedelta

    async def __call__(self) -> int:
        """Return how many refunds messages were sent for."""
        now = self.clock.now()
        due = await self.database.run(
            lambda connection: refunds.dispatch_due(
                connection, self.rows_max, now, self.resend_after
            )
        )
        unknown = await self.database.run(
            lambda connection: refund_inquiries.dispatch_due(
                connection, self.rows_max, now, self.resend_after
            )
        )
        await self.enqueue(
            [
                *(SendRefunds(refund_ids=batch) for batch in batches(due, self.batch_size)),
                *(InquireRefunds(refund_ids=batch) for batch in batches(unknown, self.batch_size)),
            ]
        )
        return len(due) + len(unknown)
