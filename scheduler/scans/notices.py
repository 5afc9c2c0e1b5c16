"""Tell of renewals, ends of free trials and higher prices before they come, each once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.errors import BillingError
from shared.billing.events import Event, EventName, Json
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.notice import Notice, NoticeLeads, change_notice, next_notice
from shared.billing.renewal import NOTHING, Outstanding, RenewalPolicies
from shared.billing.subscription import Subscription
from shared.clock import Clock
from shared.db import notices, outbox, renewals
from shared.db.engine import Database
from shared.db.renewals import DueSubscriptions

log = structlog.get_logger(__name__)

_ROWS_PER_TRANSACTION = 500


@dataclass(frozen=True, slots=True)
class _Lot:
    """Subscriptions with what waits for their renewals, and those that make no sense."""

    countable: Mapping[UUID, Subscription]
    outstanding: Mapping[UUID, Outstanding]
    faulty: dict[UUID, str]


@dataclass(frozen=True, slots=True)
class GiveNotices:
    """Find what is to be announced, and write that it was together with the event that does it."""

    database: Database
    clock: Clock
    policies: RenewalPolicies
    leads: NoticeLeads
    rows_max: int

    async def __call__(self) -> int:
        """Return how many notices were given."""
        given, left = 0, self.rows_max
        while left > 0:
            limit = min(left, _ROWS_PER_TRANSACTION)
            found, told = await self.database.run(partial(self._periods, limit=limit))
            given += told
            left -= limit
            if found < limit:
                break
        left, after = self.rows_max if self.leads.price else 0, 0
        while left > 0:
            limit = min(left, _ROWS_PER_TRANSACTION)
            found, told, after = await self.database.run(
                partial(self._changes, limit=limit, after=after)
            )
            given += told
            left -= limit
            if found < limit:
                break
        return given

    async def _periods(self, connection: AsyncConnection, limit: int) -> tuple[int, int]:
        """Announce the next periods of one lot; return how many were found, and told of."""
        now = self.clock.now()
        lot = await _lot(
            connection, await notices.lock_unannounced(connection, limit, now, self.leads)
        )
        ids = {*lot.countable, *lot.faulty}
        if not ids:
            return 0, 0
        events = []
        for id_, subscription in lot.countable.items():
            outstanding = lot.outstanding.get(id_, NOTHING)
            with _told_apart(lot, id_):
                if notice := next_notice(subscription, self.policies, outstanding):
                    events.append(_period_event(subscription, notice, now))
        _complain(lot)
        await outbox.write(connection, events)
        # Those that make no sense, too: they have been complained of, and are not renewed.
        await notices.note_periods(connection, list(ids))
        return len(ids), len(events)

    async def _changes(
        self, connection: AsyncConnection, limit: int, after: int
    ) -> tuple[int, int, int]:
        """Announce changes of one lot; return how many were found and told of, and the last.

        Only the walk knows which period a change comes with: where that begins later than it is to
        be told of, it is looked at again in time.
        """
        now = self.clock.now()
        due = await notices.lock_changes(connection, limit, now, after)
        if not due:
            return 0, 0, after
        ids = [subscription_id for _, subscription_id in due]
        lot = await _lot(connection, await notices.read(connection, ids))
        events: dict[int, Event] = {}
        later: dict[int, datetime] = {}
        for change_id, id_ in due:
            if id_ in lot.faulty:
                continue
            outstanding = lot.outstanding.get(id_, NOTHING)
            with _told_apart(lot, id_):
                notice = change_notice(lot.countable[id_], self.policies, outstanding, change_id)
                if notice is None:
                    continue
                notice_at = notice.period.start_at - self.leads.price
                if notice_at > now:
                    later[change_id] = notice_at
                else:
                    events[change_id] = _change_event(id_, change_id, notice, now)
        _complain(lot)
        await notices.put_off(connection, later)
        await outbox.write(connection, list(events.values()))
        faulty = [change_id for change_id, id_ in due if id_ in lot.faulty]
        # Where a subscription ends or pauses before, it stays: that may be withdrawn.
        await notices.note_changes(connection, [*events, *faulty], now)
        return len(due), len(events), due[-1][0]


def _period_event(subscription: Subscription, notice: Notice, now: datetime) -> Event:
    data: dict[str, Json] = {"subscription_id": str(subscription.id), **notice.told(now)}
    name = EventName.RENEWAL_UPCOMING
    if subscription.status is SubscriptionStatus.TRIALING:
        name, end_at = EventName.TRIAL_ENDING, subscription.agreement.trial_end_at
        data["trial_end_at"] = end_at.isoformat() if end_at else None
    return Event(name, subscription.id, data)


def _change_event(id_: UUID, change_id: int, notice: Notice, now: datetime) -> Event:
    data = {"subscription_id": str(id_), "change_id": change_id, **notice.told(now)}
    return Event(EventName.PRICE_CHANGE_UPCOMING, id_, data)


async def _lot(connection: AsyncConnection, found: DueSubscriptions) -> _Lot:
    gathered = await renewals.gather(connection, found.countable)
    faulty = {**found.faulty, **gathered.faulty}
    countable = {each.id: each for each in found.countable if each.id not in faulty}
    return _Lot(countable, gathered.of, faulty)


@contextmanager
def _told_apart(lot: _Lot, id_: UUID) -> Iterator[None]:
    """Put a subscription that cannot be counted aside, and go on with the others."""
    try:
        yield
    except BillingError as error:
        lot.faulty[id_] = str(error)


def _complain(lot: _Lot) -> None:
    """Say which rows make no sense."""
    for subscription_id, fault in lot.faulty.items():
        log.error("notice_impossible", subscription_id=str(subscription_id), fault=fault)
