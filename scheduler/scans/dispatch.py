"""Send charge messages for invoices that are due, and again for those whose message was lost."""

from dataclasses import dataclass
from datetime import timedelta

from shared.clock import Clock
from shared.db import invoices
from shared.db.engine import Database
from shared.jobs.contracts import CHARGE_QUEUE, ChargeInvoices
from shared.jobs.enqueue import Enqueue, batches
from shared.jobs.marks import NO_MARKS, Marks


@dataclass(frozen=True, slots=True)
class DispatchInvoices:
    """Mark due invoices, commit, then publish: a death in between costs time, no charge.

    Attributes:
        batch_size: Invoice ids a message.
        rows_max: Invoices a tick.
        queued_batches_max: Charge messages that may wait; with more, workers are behind and
            further messages would only grow old and be sent again.
    """

    database: Database
    enqueue: Enqueue
    clock: Clock
    batch_size: int
    rows_max: int
    queued_batches_max: int
    resend_after: timedelta
    marks: Marks = NO_MARKS

    async def __call__(self) -> int:
        """Return how many invoices messages were sent for."""
        room = self.queued_batches_max - await self.enqueue.waiting(CHARGE_QUEUE)
        limit = min(self.rows_max, room * self.batch_size)
        if limit <= 0:
            return 0
        proof = await self.marks.proof()
        due = await self.database.run(
            lambda connection: invoices.dispatch_due(
                connection, limit, self.clock.now(), self.resend_after, proof
            )
        )
        await self.enqueue(
            [ChargeInvoices(invoice_ids=batch) for batch in batches(due, self.batch_size)]
        )
        return len(due)
