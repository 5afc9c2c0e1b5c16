"""Ask the gateway whether it holds charges that the database should know and does not.

Asked when nobody remembers the mark of the database: the broker was emptied, and the processes were
started anew. Then only the gateway's book is left that was not set back with the database.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from shared.billing.inquiry import SCHEDULED_CHARGE, PaymentRecord
from shared.billing.installation import Mark, Standing, standing
from shared.billing.merchant_uid import parse
from shared.billing.recovery import CLOCKS_AGREE, is_lost
from shared.clock import Clock
from shared.db import installation, lost_charges
from shared.db.engine import Database
from shared.jobs.marks import Marks, MarksUnreachableError
from worker.services.ports import BookGateway

log = structlog.get_logger(__name__)

# Records of the gateway that are compared with the rows by one statement.
_COMPARED_AT_ONCE = 500
_NOBODY_CAN_SAY = "nobody can say"


@dataclass(frozen=True, slots=True)
class ProveDatabase:
    """Read what the gateway booked since the last mark; prove the database, or hold it."""

    database: Database
    gateway: BookGateway
    marks: Marks
    clock: Clock

    async def __call__(self) -> str:
        """Return what was found, for people.

        It is asked with every tick until somebody has answered: once at a time is enough.
        """
        async with installation.alone(self.database.engine, installation.PROOF_LOCK) as is_ours:
            return await self._prove() if is_ours else "asked already"

    async def _prove(self) -> str:
        try:
            seen = await self.marks.seen()
        except MarksUnreachableError:
            return _NOBODY_CAN_SAY
        shown = await self.database.run(installation.read)
        if shown is None:
            return "never marked"
        if shown.restored_at is not None:
            return Standing.RESTORED
        now = self.clock.now()
        found = standing(shown.mark, seen, now, has_charged=True)
        if found is not Standing.DOUBTFUL:
            return found
        return await self._ask(shown.mark)

    async def _ask(self, mark: Mark) -> str:
        """Ask the gateway; prove the database by its answer, or hold it."""
        try:
            lost = await self._lost(mark)
        except Exception as error:
            # The scan asks again; until somebody can say, nothing is charged.
            log.exception("database_not_proven", error=type(error).__name__)
            return _NOBODY_CAN_SAY
        if lost is None:
            # As of now, and no more: what comes later is for the marks to tell.
            await self.marks.publish(replace(mark, at=self.clock.now()))
            return Standing.PROVEN
        cause = f"the gateway holds {lost.merchant_uid}, which the rows do not know"
        await self.database.run(
            lambda connection: installation.hold(connection, cause, self.clock.now())
        )
        log.error("database_restored", cause=cause)
        return Standing.RESTORED

    async def _lost(self, mark: Mark) -> PaymentRecord | None:
        """Return a charge that the gateway booked since a mark and the rows do not know, if any."""
        since = mark.at - CLOCKS_AGREE
        until = self.clock.now() + CLOCKS_AGREE
        together: list[PaymentRecord] = []
        async for record in self.gateway.payments_in(since, until):
            if parse(record.merchant_uid) is None:
                continue
            together.append(record)
            if len(together) == _COMPARED_AT_ONCE:
                if (lost := await self._unknown_of(together)) is not None:
                    return lost
                together = []
        return await self._unknown_of(together)

    async def _unknown_of(self, records: Sequence[PaymentRecord]) -> PaymentRecord | None:
        uids = [record.merchant_uid for record in records]
        executed = [each.merchant_uid for each in records if each.usage == SCHEDULED_CHARGE]
        # First: what becomes an attempt meanwhile is then found among those.
        requested = await self.database.run(
            lambda connection: lost_charges.reserved(connection, executed)
        )
        known = await self.database.run(lambda connection: lost_charges.known(connection, uids))
        for record in records:
            uid = record.merchant_uid
            if is_lost(record, known.get(uid), is_requested=uid in requested):
                return record
        return None
