"""Have payment windows prepared, and those closed that buyers have left."""

from dataclasses import dataclass
from datetime import timedelta

from shared.clock import Clock
from shared.db import windows
from shared.db.engine import Database
from shared.jobs.contracts import CloseWindows, PrepareWindows
from shared.jobs.enqueue import Enqueue, batches


@dataclass(frozen=True, slots=True)
class AdvanceWindows:
    """Find windows whose next step is due, and have it taken."""

    database: Database
    enqueue: Enqueue
    clock: Clock
    batch_size: int
    rows_max: int
    resend_after: timedelta

    async def __call__(self) -> int:
        """Return how many windows messages were sent for."""
        due = await self.database.run(
            lambda connection: windows.dispatch_due(
                connection, self.rows_max, self.clock.now(), self.resend_after
            )
        )
        await self.enqueue(
            [
                *(
                    PrepareWindows(window_ids=batch)
                    for batch in batches(due.to_prepare, self.batch_size)
                ),
                *(
                    CloseWindows(window_ids=batch)
                    for batch in batches(due.to_close, self.batch_size)
                ),
            ]
        )
        return len(due.to_prepare) + len(due.to_close)
