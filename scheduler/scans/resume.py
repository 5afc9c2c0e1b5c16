"""Begin pauses that were asked for, and end those whose day has come."""

from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.errors import BillingError
from shared.clock import Clock
from shared.db import life, pauses
from shared.db.engine import Database
from shared.jobs.contracts import ResumeSubscriptions as ResumeJob

log = structlog.get_logger(__name__)

# Rows of one transaction: short locks, so that a settlement never waits for a scan.
_ROWS_PER_TRANSACTION = 100


@dataclass(frozen=True, slots=True)
class ResumeSubscriptions:
    """Find subscriptions that are to pause or to go on; rows only, and safe to run twice."""

    database: Database
    clock: Clock
    rows_max: int

    async def __call__(self) -> int:
        """Return how many were resumed; at most ``rows_max`` subscriptions are read."""
        found = await self.database.run(
            lambda connection: pauses.due(connection, self.clock.now(), self.rows_max)
        )
        resumed = 0
        for first in range(0, len(found), _ROWS_PER_TRANSACTION):
            lot = found[first : first + _ROWS_PER_TRANSACTION]
            resumed += await self.database.run(partial(self._work, ids=lot))
        return resumed

    async def _work(self, connection: AsyncConnection, ids: list[UUID]) -> int:
        return sum([await self._one(connection, id_) for id_ in ids])

    async def _one(self, connection: AsyncConnection, subscription_id: UUID) -> bool:
        """Move one subscription on, and say whether it goes on.

        What somebody else works on is found again with the next scan, and so is a row that cannot
        be counted: it blocks nobody.
        """
        now = self.clock.now()
        try:
            async with connection.begin_nested():
                held = await life.lock_free(connection, subscription_id)
                if held is None:
                    return False
                if pauses.may_begin(held.subscription, now):
                    await pauses.begin(connection, held.subscription, now)
                elif pauses.is_over(held.subscription, now):
                    await pauses.end(connection, held, now, ResumeJob.task)
                    return True
        except BillingError as error:
            id_, fault = str(subscription_id), str(error)
            log.error("resumption_impossible", subscription_id=id_, fault=fault)  # noqa: TRY400
        return False
