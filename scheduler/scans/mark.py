"""Raise the database's mark, unless it shows that the database was set back.

The mark is remembered before the database is read, and told after it has been raised and committed:
so whoever remembers one knows of a commit, and what is lost of the database's is seen.
"""

from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.installation import Mark, Standing, set_back_cause, standing
from shared.clock import Clock
from shared.db import installation
from shared.db.engine import Database
from shared.jobs.contracts import ProveDatabase
from shared.jobs.enqueue import Enqueue
from shared.jobs.marks import Marks

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MarkDatabase:
    """Find out what the database is, and mark it, hold it, or have the gateway asked."""

    database: Database
    marks: Marks
    enqueue: Enqueue
    clock: Clock

    async def __call__(self) -> int:
        """Return 1 if the mark was raised, and 0 otherwise.

        Raises:
            MarksUnreachableError: Nobody can say now what was seen: the next tick asks again.
        """
        seen = await self.marks.seen()
        found = await self.database.run(lambda connection: self._mark(connection, seen))
        if found is Standing.DOUBTFUL:
            # Only workers speak to the gateway. Asked again with every tick until one has answered.
            await self.enqueue([ProveDatabase()])
        if not isinstance(found, Mark):
            return 0
        await self.marks.publish(found)
        return 1

    async def _mark(self, connection: AsyncConnection, seen: Mark | None) -> Mark | Standing | None:
        """Return the raised mark, or why it was not raised; None if somebody else has raised it."""
        now = self.clock.now()
        stored = await installation.read(connection)
        if stored is not None and stored.restored_at is not None:
            return Standing.RESTORED
        shown = None if stored is None else stored.mark
        charged = shown is None and await installation.has_charged(connection)
        found = standing(shown, seen, now, has_charged=charged)
        if found is Standing.PROVEN:
            return await installation.mark(connection, shown, now)
        if found is Standing.RESTORED:
            cause = set_back_cause(shown, seen)
            if await installation.hold(connection, cause, now):
                log.error("database_restored", cause=cause)
        return found
