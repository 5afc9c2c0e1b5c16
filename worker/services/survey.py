"""Look for charges that PortOne is going to make by itself and nobody here has asked it to.

A person at its console may reserve, move back or try again what a buyer of ours pays with. Nobody
races it: what is found is told to a person, once each, and PortOne goes on as it was told to.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import iso
from shared.billing.reservation import ScheduledPayment, ScheduleStatus
from shared.clock import Clock
from shared.db import dead_letters, schedules
from shared.db.engine import Database

log = structlog.get_logger(__name__)

# As far ahead as PortOne lists in one question, which is as far as it is told of here.
_AHEAD: Final = timedelta(days=89)
_TOGETHER: Final = 1_000
_CAUSE: Final = (
    "PortOne is going to charge a buyer of ours by itself, and nobody here has asked it to:"
    " somebody reserved it, or tries it again, at its console"
)


class ScheduleBook(Protocol):
    """Whoever can show all that PortOne is going to charge by itself."""

    def schedules_in(
        self, since: datetime, until: datetime, status: ScheduleStatus | None = None
    ) -> AsyncIterator[ScheduledPayment]:
        """Return every reservation whose instant is of ``[since, until)``, or raise."""


async def untold() -> None:
    """Tell nobody that a survey goes on."""


@dataclass(frozen=True, slots=True)
class SurveySchedules:
    """Find what PortOne is going to charge that is nobody's here."""

    database: Database
    gateway: ScheduleBook
    clock: Clock

    async def __call__(self, alive: Callable[[], Awaitable[None]] = untold) -> int:
        """Return how many were found that nobody was told of before.

        Args:
            alive: Told after every lot that the survey goes on; what it raises ends it.

        Raises:
            GatewayError: PortOne could not say, or not all of it; what was found is told.
        """
        now = self.clock.now()
        found, batch = 0, []
        ahead = self.gateway.schedules_in(now, now + _AHEAD, ScheduleStatus.SCHEDULED)
        async for held in ahead:
            batch.append(held)
            if len(batch) == _TOGETHER:
                found += await self._tell(batch)
                batch = []
                await alive()
        return found + await self._tell(batch)

    async def _tell(self, held: Sequence[ScheduledPayment]) -> int:
        if not held:
            return 0
        return await self.database.run(partial(_write, held=held))


async def _write(connection: AsyncConnection, held: Sequence[ScheduledPayment]) -> int:
    """Tell of those of a lot that are with a buyer of ours and not by us; return how many."""
    strangers = await schedules.strangers(connection, held)
    told = 0
    for each in strangers:
        # Neither the billing key nor anything of the buyer.
        letter = {
            "merchant_uid": each.merchant_uid,
            "amount": each.amount,
            "schedule_at": iso(each.schedule_at),
        }
        if await dead_letters.bury_payment_once(connection, _CAUSE, letter):
            log.error("schedule_unrecognized", **letter)
            told += 1
    return told
