"""Open the invoice of every period that has begun."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.errors import BillingError
from shared.billing.renewal import NOTHING, Renewal, RenewalPolicies, renew
from shared.clock import Clock
from shared.db import renewals
from shared.db.engine import Database

log = structlog.get_logger(__name__)

# Rows of one transaction: short locks, so that a settlement never waits for a scan.
_ROWS_PER_TRANSACTION = 500
# A row that cannot be renewed is looked at again after this, and meanwhile blocks nobody.
_POSTPONED_FOR = timedelta(hours=1)


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
    policies: RenewalPolicies
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
        due = await renewals.lock_due(connection, limit, now)
        gathered = await renewals.gather(connection, due.countable, now)
        faulty = {**due.faulty, **gathered.faulty}
        done: list[Renewal] = []
        for subscription in due.countable:
            if subscription.id in faulty:
                continue
            outstanding = gathered.of.get(subscription.id, NOTHING)
            try:
                done.append(renew(subscription, now, self.policies, outstanding))
            except BillingError as error:
                faulty[subscription.id] = str(error)
        if faulty:
            for subscription_id, fault in faulty.items():
                log.error("renewal_impossible", subscription_id=str(subscription_id), fault=fault)
            await renewals.postpone(connection, list(faulty), now + _POSTPONED_FOR)
        opened = await renewals.write(connection, done, now)
        for renewal in done:
            _alert(renewal)
        return Renewed(len(due.countable) + len(due.faulty), opened)


def _alert(renewal: Renewal) -> None:
    """Have somebody look when periods had piled up: whoever scans stood still."""
    if (caught_up := renewal.caught_up) is not None:
        log.error(
            "catch_up_applied",
            subscription_id=str(renewal.before.id),
            policy=str(caught_up.choice),
            billed=caught_up.billed,
            skipped=caught_up.skipped,
            oldest_period_start_at=caught_up.oldest.start_at.isoformat(),
        )
