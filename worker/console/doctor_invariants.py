"""The invariants as an operator looks at them: asked now, and what was found before of the rest."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import invariant_checks
from shared.db.engine import Database, is_transient
from shared.db.invariant import (
    FOUND_MAX,
    Bounds,
    Finding,
    Invariant,
    Stretch,
    find,
    lot_after,
    newest_rows,
)
from shared.db.invariant_checks import Check
from shared.db.invariants import INVARIANTS
from worker.console import session
from worker.console.session import DoctorSettings

# Of a table that is walked, without being asked for all of it: what happened lately.
NEWEST: Final = 20_000
# Rows of one question, which may take ten seconds.
LOT: Final = 50_000
# A walk through every row of tables of many millions takes that long.
_PATIENCE_S: Final = 900.0
_BRIEFLY: Final = text("SET LOCAL statement_timeout = '10s'")


@dataclass(frozen=True, slots=True)
class Answer:
    """What an invariant says.

    Attributes:
        findings: What it finds, ``FOUND_MAX`` at most.
        fault: Why the database did not answer, or None.
        checked_at: When ``invariant.check`` looked at it last, or None while it never has.
    """

    invariant: Invariant
    findings: tuple[Finding, ...]
    fault: str | None
    checked_at: datetime | None

    @property
    def is_well(self) -> bool:
        """Whether it was answered, and finds nothing."""
        return not self.findings and self.fault is None

    @property
    def is_cut(self) -> bool:
        """Whether there may be more than is told."""
        return len(self.findings) >= FOUND_MAX


def bounds_of(settings: DoctorSettings) -> Bounds:
    """Return what the settings say of how long something may take."""
    return Bounds(timedelta(seconds=settings.unknown_deadline_s), settings.consent_required)


def answers(
    settings: DoctorSettings,
    now: datetime,
    *,
    everything: bool,
    asked: Callable[[int], None],
) -> tuple[Answer, ...]:
    """Return the answer of every invariant, and tell ``asked`` after each how many there are.

    Of a table that is walked the newest rows are looked at, and of the others it is told what
    ``invariant.check`` has found; or every row, which takes a while.

    Raises:
        DatabaseFaultError: The database was lost.
    """
    bounds = bounds_of(settings)

    async def work(database: Database) -> tuple[Answer, ...]:
        known = await database.run(invariant_checks.read)
        answered = []
        for invariant in INVARIANTS:
            look = _Look(database, invariant, bounds, now, known.get(invariant.name))
            answered.append(await look.answer(everything=everything))
            asked(len(answered))
        return tuple(answered)

    return session.converse(settings, work, patience_s=_PATIENCE_S)


@dataclass(frozen=True, slots=True)
class _Look:
    """A look at one invariant, in transactions of its own."""

    database: Database
    invariant: Invariant
    bounds: Bounds
    now: datetime
    check: Check | None

    async def answer(self, *, everything: bool) -> Answer:
        """Return what is found, or why the database did not answer this one."""
        found: list[Finding] = []
        fault = None
        try:
            found = await self._found(everything=everything)
        except DBAPIError as error:
            if is_transient(error):
                raise
            fault = str(session.fault_of(error))
        checked_at = self.check.checked_at if self.check else None
        return Answer(self.invariant, tuple(found[:FOUND_MAX]), fault, checked_at)

    async def _found(self, *, everything: bool) -> list[Finding]:
        if self.invariant.walks is None:
            return await self._find()
        if not everything:
            return await self._newest(self.invariant.walks)
        found: list[Finding] = []
        low = 0
        while len(found) < FOUND_MAX:
            lot = await self._lot(self.invariant.walks, low)
            if lot is None:
                break
            found += await self._find(lot)
            low = lot.high
        return found

    async def _lot(self, table: str, low: int) -> Stretch | None:
        return await self.database.run(lambda connection: lot_after(connection, table, low, LOT))

    async def _newest(self, table: str) -> list[Finding]:
        """Return what the newest rows show, and what is known of the others."""
        newest = await self.database.run(lambda connection: newest_rows(connection, table, NEWEST))
        if newest is None:
            return []
        known = [each.finding for each in self.check.known] if self.check else []
        beside = [each for each in known if (each.position or 0) not in newest]
        return [*await self._find(newest), *beside]

    async def _find(self, *stretches: Stretch) -> list[Finding]:
        async def work(connection: AsyncConnection) -> list[Finding]:
            await connection.execute(_BRIEFLY)
            return await find(connection, self.invariant, self.bounds, self.now, stretches)

        return await self.database.run(work)
