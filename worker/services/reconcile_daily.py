"""Compare the day before, once, and days that were missed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.charge_hours import KST
from shared.billing.daily import DailyTime
from shared.clock import Clock
from shared.db import reconciliation_records as records
from shared.db import reconciliation_runs as runs
from shared.db.engine import Database
from shared.db.reconciliation_runs import Run
from worker.services.reconcile import LEASE, LostRunError, ReconcileBooks, forget
from worker.services.reconcile_report import differing

log = structlog.get_logger(__name__)

_DAY: Final = timedelta(days=1)
# After a longer standstill the days before are compared by hand.
DAYS_MAX: Final = 7

# Says that whoever calls it is alive.
Alive: TypeAlias = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ReconcileDay:
    """Compare the oldest day that is due and not compared; a message that comes twice finds none.

    Attributes:
        at: From when on the day before is due, or None where that is switched off.
    """

    database: Database
    reconcile: ReconcileBooks
    clock: Clock
    at: DailyTime | None
    survey: Callable[[Alive], Awaitable[int]]

    async def __call__(self) -> str:
        """Return the name of the ending, for people."""
        now = self.clock.now()
        at = self.at
        if at is None:
            return "off"
        run = await self.database.run(
            lambda connection: self._begin(connection, self._last_day(at, now), now)
        )
        if run is None:
            # A process may have died between the end of a run and this.
            left = await self.database.run(lambda connection: records.left_behind(connection, now))
            await forget(self.database, left)
            return "nothing due"
        # First, since whoever dies in between is brought back by the run that is not done.
        try:
            await self._look_ahead(run)
        except LostRunError:
            log.warning("reconciliation_lost", run_id=run.id)
            return "lost"
        report = await self.reconcile(run)
        if report is None:
            return "failed"
        found = differing(report)
        if found:
            log.error("reconciliation_differs", run_id=run.id, differences=found)
        return f"{found} differing"

    async def _look_ahead(self, run: Run) -> None:
        """Look for what PortOne is going to charge by itself; the next day it is looked again.

        Raises:
            LostRunError: It took so long that another process has begun the run anew.
        """

        async def alive() -> None:
            lease_until = self.clock.now() + LEASE
            if not await self.database.run(
                lambda connection: runs.keep_alive(connection, run, lease_until)
            ):
                raise LostRunError

        try:
            await self.survey(alive)
        except LostRunError:
            raise
        except Exception as error:  # noqa: BLE001 - the day is compared all the same
            log.warning("survey_failed", cause=str(error) or type(error).__name__)
        await alive()

    @staticmethod
    def _last_day(at: DailyTime, now: datetime) -> datetime:
        """Return the end of the newest day that is due."""
        due_at = at.latest(now)
        return due_at.astimezone(KST).replace(hour=0, minute=0)

    async def _begin(
        self, connection: AsyncConnection, last: datetime, now: datetime
    ) -> Run | None:
        earliest = last - (DAYS_MAX - 1) * _DAY
        days = await runs.days(connection, earliest, now)
        # Before the first day that was ever compared nothing was missed.
        until = max(days.first or last, earliest)
        while until in days.taken:
            until += _DAY
        if until > last:
            return None
        run = await runs.begin_daily(connection, until - _DAY, until, now, LEASE)
        if run is not None and days.newest is not None and days.newest < until - _DAY:
            log.error(
                "reconciliation_days_skipped",
                since=days.newest.astimezone(KST).isoformat(),
                until=run.since.astimezone(KST).isoformat(),
                days=(run.since - days.newest) // _DAY,
            )
        return run
