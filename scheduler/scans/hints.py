"""Send messages for hints that nobody has looked at, those about payments of ours first."""

from dataclasses import dataclass
from datetime import timedelta

from shared.clock import Clock
from shared.db import hints
from shared.db.engine import Database
from shared.jobs.contracts import ReadHints
from shared.jobs.enqueue import Enqueue, batches

# What has been looked at is forgotten after this; it would be read again if it were said again.
_FORGOTTEN_AFTER = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class DispatchHints:
    """Find hints that are due, and have the gateway read.

    Attributes:
        unknown_max: Most of a tick about payments that nobody here has asked for.
    """

    database: Database
    enqueue: Enqueue
    clock: Clock
    batch_size: int
    rows_max: int
    unknown_max: int
    resend_after: timedelta

    async def __call__(self) -> int:
        """Return how many hints messages were sent for."""
        now = self.clock.now()
        due = await self.database.run(
            lambda connection: hints.dispatch_due(
                connection, self.rows_max, self.unknown_max, now, self.resend_after
            )
        )
        await self.enqueue([ReadHints(hint_ids=batch) for batch in batches(due, self.batch_size)])
        await self.database.run(
            lambda connection: hints.forget(connection, now - _FORGOTTEN_AFTER, self.rows_max)
        )
        return len(due)
