"""Look at the invariants: queries that must return nothing, whatever else is said to be well."""

from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.clock import Clock
from shared.db import invariant_checks
from shared.db.engine import Database, is_transient
from shared.db.invariant import Bounds, Invariant
from shared.db.invariant_checks import Check, Looked
from shared.db.invariants import INVARIANTS

log = structlog.get_logger(__name__)

# Of many things that are wrong in one way, a line of the log names these.
_NAMED_MAX = 10


@dataclass(frozen=True, slots=True)
class Checked:
    """One look at all of them.

    Attributes:
        looked_at: How many invariants were looked at.
        violated: How many of these find something.
        unanswered: How many the database did not answer.
    """

    looked_at: int
    violated: int
    unanswered: int


@dataclass(frozen=True, slots=True)
class CheckInvariants:
    """Look at every invariant once, and keep what is found.

    What appears is told in the log, once; metrics and ``dalmada doctor`` read what is kept.
    """

    database: Database
    clock: Clock
    bounds: Bounds
    invariants: tuple[Invariant, ...] = INVARIANTS

    async def __call__(self) -> Checked | None:
        """Return what was done, or None while somebody else is looking."""
        return await self.database.run(self._look)

    async def _look(self, connection: AsyncConnection) -> Checked | None:
        if not await invariant_checks.lock(connection):
            return None
        await connection.execute(_BRIEFLY)
        known = await invariant_checks.read(connection)
        now, looked = self.clock.now(), list[Looked]()
        for invariant in self.invariants:
            one = await self._look_at(connection, invariant, known.get(invariant.name), now)
            if one is not None:
                _tell(invariant, one)
                looked.append(one)
        await invariant_checks.write(connection, [one.check for one in looked])
        return Checked(
            len(looked),
            sum(bool(one.check.known) for one in looked),
            len(self.invariants) - len(looked),
        )

    async def _look_at(
        self,
        connection: AsyncConnection,
        invariant: Invariant,
        before: Check | None,
        now: datetime,
    ) -> Looked | None:
        """Return one look; None where the database did not answer, which keeps no other back."""
        try:
            async with connection.begin_nested():
                return await invariant_checks.look(connection, invariant, self.bounds, before, now)
        except DBAPIError as error:
            if is_transient(error):
                raise
            log.error(  # noqa: TRY400 - the statement is known by its name
                "invariant_unanswered", invariant=invariant.name, error=type(error.orig).__name__
            )
            return None


# A look that takes longer than this costs more than it is worth, and is told of as unanswered.
_BRIEFLY = text("SET LOCAL statement_timeout = '5s'")


def _tell(invariant: Invariant, looked: Looked) -> None:
    """Have somebody look at what has appeared, and say when nothing is left of it."""
    if looked.appeared:
        log.error(
            "invariant_violated",
            invariant=invariant.name,
            severity=str(invariant.severity),
            found=len(looked.check.known),
            subjects=[finding.subject for finding in looked.appeared[:_NAMED_MAX]],
            remedy=invariant.remedy,
        )
    elif looked.gone and not looked.check.known:
        log.info("invariant_restored", invariant=invariant.name)
