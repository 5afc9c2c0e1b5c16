"""Take the next step of payment windows: have them prepared, or give up what buyers have left.

A webhook is sent once and may be lost, and a browser may be closed too early. So before a window is
given up, the gateway is asked whether the buyer has used it after all.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.hint import HINT_POLICY, HintPolicy
from shared.billing.inquiry import RecordStatus, StillUnresolved
from shared.billing.window import (
    Prepared,
    Window,
    WindowStatus,
    expired,
    refused,
    requested,
)
from shared.clock import Clock
from shared.db import hints, outbox, windows
from shared.db.engine import Database
from shared.db.hints import Said
from worker.services.hint_reading import ReadHints
from worker.services.hints import FOUND
from worker.services.ports import KeyGateway, RecordsGateway

log = structlog.get_logger(__name__)

# The next look at a window whose step could not be taken.
_AGAIN_AFTER = timedelta(seconds=30)
_LEFT = "the buyer did not use the window in time"
# Something happened in the window; which it was, the reading says.
_USED = frozenset({RecordStatus.PAID, RecordStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class PrepareWindows:
    """Register the amounts of windows at the gateway, then hand them to the merchant's page."""

    database: Database
    gateway: KeyGateway
    clock: Clock

    async def __call__(self, window_ids: Sequence[UUID]) -> list[str]:
        """Return the name of every ending, for people."""
        found = await _due(self.database, window_ids, self.clock.now())
        waiting = [window for window in found if window.status is WindowStatus.REQUESTED]
        return list(await asyncio.gather(*(self._prepare(window) for window in waiting)))

    async def _prepare(self, window: Window) -> str:
        try:
            answer = await self.gateway.prepare(window.merchant_uid, window.price.amount)
        except Exception as error:
            log.exception("window_not_prepared", window_id=str(window.id))
            answer = StillUnresolved(f"{type(error).__name__} in our own code")
        return await self.database.run(lambda connection: self._write(connection, window, answer))

    async def _write(
        self, connection: AsyncConnection, window: Window, answer: Prepared | StillUnresolved
    ) -> str:
        now = self.clock.now()
        if isinstance(answer, StillUnresolved):
            await windows.postpone(connection, window.id, answer.cause, now + _AGAIN_AFTER)
            return "later"
        if answer.refusal is not None:
            if await windows.fail(connection, window.id, answer.refusal, now):
                await outbox.write(connection, [refused(window, answer.refusal, now)])
            return "refused"
        prepared = await windows.make_ready(connection, window.id)
        if prepared is not None:
            event = requested(prepared.window, prepared.parameters, now)
            await outbox.write(connection, [event])
        return "ready"


@dataclass(frozen=True, slots=True)
class CloseWindows:
    """Give up windows whose time is over, unless the gateway shows that they were used.

    Attributes:
        patience: How long after its time a window is kept open for a gateway that cannot say.
    """

    database: Database
    gateway: RecordsGateway
    read_hints: ReadHints
    clock: Clock
    patience: timedelta
    policy: HintPolicy = HINT_POLICY

    async def __call__(self, window_ids: Sequence[UUID]) -> list[str]:
        """Return the name of every ending, for people."""
        now = self.clock.now()
        found = await _due(self.database, window_ids, now)
        late = [window for window in found if window.expires_at <= now]
        return list(await asyncio.gather(*(self._close(window) for window in late)))

    async def _close(self, window: Window) -> str:
        # What was never handed out cannot have been used; what has expired before its time was.
        if window.status is not WindowStatus.REQUESTED:
            undecided = await self._look(window)
            if undecided is not None and self.clock.now() < window.expires_at + self.patience:
                until = self.clock.now() + _AGAIN_AFTER
                await self.database.run(
                    lambda connection: windows.postpone(connection, window.id, undecided, until)
                )
                return "later"
        return await self.database.run(lambda connection: self._expire(connection, window))

    async def _look(self, window: Window) -> str | None:
        """Confirm a window that was used; return why that cannot be said, or None if it can."""
        try:
            answer = await self.gateway.records_of(window.merchant_uid)
        except Exception as error:
            log.exception("window_not_looked_for", window_id=str(window.id))
            return f"{type(error).__name__} in our own code"
        if isinstance(answer, StillUnresolved):
            return answer.cause
        used = [record.imp_uid for record in answer if record.status in _USED]
        if not used:
            return None
        hint_ids = await self.database.run(lambda connection: self._store(connection, window, used))
        await self.read_hints(hint_ids)
        async with self.database.transaction() as connection:
            pending = await hints.is_pending(connection, hint_ids)
        return "the gateway shows a payment that is being read" if pending else None

    async def _store(
        self, connection: AsyncConnection, window: Window, imp_uids: Sequence[str]
    ) -> list[int]:
        now = self.clock.now()
        stored = [
            await hints.store(
                connection,
                Said(imp_uid, FOUND, window.merchant_uid),
                now,
                self.policy.again_after,
            )
            for imp_uid in imp_uids
        ]
        return [hint_id for hint_id in stored if hint_id is not None]

    async def _expire(self, connection: AsyncConnection, window: Window) -> str:
        now = self.clock.now()
        if window.status is WindowStatus.EXPIRED:
            await windows.look_no_more(connection, window.id)
            return "looked at"
        if not await windows.expire(connection, window.id, _LEFT, now):
            return "used"
        await outbox.write(connection, [expired(window, _LEFT, now)])
        return "expired"


async def _due(database: Database, window_ids: Sequence[UUID], now: datetime) -> list[Window]:
    return await database.run(lambda connection: windows.due(connection, window_ids, now))
