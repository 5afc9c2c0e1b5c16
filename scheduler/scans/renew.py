"""Open the invoice of every period that has begun."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.catch_up import CatchUpPolicy, Renewals, due_renewals
from shared.billing.errors import BillingError
from shared.billing.events import Event, EventName
from shared.billing.invoice import NewInvoice
from shared.billing.lines import bill
from shared.billing.subscription import Subscription
from shared.clock import Clock
from shared.db import invoices, outbox, subscriptions
from shared.db.engine import Database

log = structlog.get_logger(__name__)

# Rows of one transaction: short locks, so that a settlement never waits for a scan.
_ROWS_PER_TRANSACTION = 500
# A row that cannot be renewed is looked at again after this, and meanwhile blocks nobody.
_POSTPONED_FOR = timedelta(hours=1)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Renewed:
    """What one transaction did."""

    found: int
    opened: int


@dataclass(frozen=True, slots=True)
class RenewSubscriptions:
    """Find subscriptions whose next period has begun; open its invoice and move them on."""

    database: Database
    clock: Clock
    policy: CatchUpPolicy
    rows_max: int

    async def __call__(self) -> int:
        """Return how many invoices were opened; at most ``rows_max`` subscriptions are read."""
        opened, left = 0, self.rows_max
        while left > 0:
            limit = min(left, _ROWS_PER_TRANSACTION)
            done = await self.database.run(partial(self._renew, limit=limit))
            opened += done.opened
            left -= limit
            if done.found < limit:
                break
        return opened

    async def _renew(self, connection: AsyncConnection, limit: int) -> Renewed:
        """Renew one lot: invoices, events and the next renewal commit together."""
        now = self.clock.now()
        due = await subscriptions.lock_due(connection, limit, now)
        faulty = dict(due.faulty)
        new: list[NewInvoice] = []
        events: list[Event] = []
        next_periods: dict[UUID, tuple[int, datetime]] = {}
        for subscription in due.countable:
            try:
                renewals, next_start_at = _renewals(subscription, now, self.policy)
            except BillingError as error:
                faulty[subscription.id] = str(error)
                continue
            new.extend(_new_invoices(subscription, renewals))
            events.extend(_skip_events(subscription, renewals, now))
            next_periods[subscription.id] = renewals.next_index, next_start_at
        if faulty:
            for subscription_id, fault in faulty.items():
                log.error("renewal_impossible", subscription_id=str(subscription_id), fault=fault)
            await subscriptions.postpone(connection, list(faulty), now + _POSTPONED_FOR)
        opened = await invoices.open_new(connection, new, now)
        await outbox.write(connection, events)
        if next_periods:
            await subscriptions.advance(connection, next_periods)
        return Renewed(len(due.countable) + len(due.faulty), len(opened))


def _renewals(
    subscription: Subscription, now: datetime, policy: CatchUpPolicy
) -> tuple[Renewals, datetime]:
    """Return what is renewed now, and when the period after it begins.

    Of a subscription whose end has come, what had begun before the end is decided as it would have
    been the instant before.
    """
    cycle, until = subscription.agreement.cycle, now
    if subscription.cancel_at is not None:
        until = min(now, subscription.cancel_at - _INSTANT)
    renewals = due_renewals(cycle, subscription.next_period_index, until, policy)
    return renewals, cycle.period(renewals.next_index).start_at


def _new_invoices(subscription: Subscription, renewals: Renewals) -> list[NewInvoice]:
    agreement = subscription.agreement
    owed = bill(agreement.total, agreement.order_name, agreement.quantity)
    return [
        NewInvoice(subscription.id, period, owed.total, agreement.order_name, owed.lines)
        for period in renewals.billed
    ]


def _skip_events(subscription: Subscription, renewals: Renewals, now: datetime) -> list[Event]:
    """Explain every period that is not billed."""
    return [
        Event(
            EventName.PERIOD_SKIPPED,
            subscription.id,
            {
                "period_index": period.index,
                "period_start_at": period.start_at.isoformat(),
                "period_end_at": period.end_at.isoformat(),
                "reason": "elapsed before it was seen: catch-up policy",
                "at": now.isoformat(),
            },
        )
        for period in renewals.skipped
    ]
