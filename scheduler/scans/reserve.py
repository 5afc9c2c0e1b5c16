"""Plan the reservations of periods to come, and have every one that is due taken its next step."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.errors import BillingError
from shared.billing.invoice import NewInvoice
from shared.billing.renewal import NOTHING, RenewalPolicies, renew
from shared.billing.reserving import ReservePolicy
from shared.billing.subscription import Subscription
from shared.clock import Clock
from shared.db import renewals, reservation_plans, reservations
from shared.db.engine import Database
from shared.db.renewals import Gathered
from shared.db.reservation_plans import Plan
from shared.jobs.contracts import AdvanceReservations
from shared.jobs.enqueue import Enqueue, batches

log = structlog.get_logger(__name__)

# Rows of one transaction: short locks, so that a settlement never waits for a scan.
_ROWS_PER_TRANSACTION = 500


@dataclass(frozen=True, slots=True)
class ReservePeriods:
    """Find what PortOne is to collect by itself, plan it, and have every next step taken."""

    database: Database
    enqueue: Enqueue
    clock: Clock
    batch_size: int
    rows_max: int
    resend_after: timedelta
    policies: RenewalPolicies
    policy: ReservePolicy

    async def __call__(self) -> int:
        """Return how many reservations messages were sent for."""
        left = self.rows_max
        while left > 0:
            limit = min(left, _ROWS_PER_TRANSACTION)
            found = await self.database.run(partial(self._plan, limit=limit))
            left -= limit
            if found < limit:
                break
        due = await self.database.run(
            lambda connection: reservations.dispatch_due(
                connection, self.rows_max, self.clock.now(), self.resend_after
            )
        )
        await self.enqueue(
            [AdvanceReservations(reservation_ids=batch) for batch in batches(due, self.batch_size)]
        )
        return len(due)

    async def _plan(self, connection: AsyncConnection, limit: int) -> int:
        """Plan one lot by what each period will cost as things stand; return how many were seen."""
        now = self.clock.now()
        due = await reservation_plans.lock_unreserved(connection, limit, now, self.policy)
        gathered = await renewals.gather(connection, due.countable)
        plans: list[Plan] = []
        for subscription in due.countable:
            if subscription.id in gathered.faulty:
                continue
            try:
                plan = self._plan_of(subscription, gathered)
            except BillingError as error:
                # Its renewal will say so, and hold it up; nothing is reserved meanwhile.
                log.warning(
                    "reservation_impossible",
                    subscription_id=str(subscription.id),
                    fault=str(error),
                )
                continue
            if plan is not None:
                plans.append(plan)
        await reservation_plans.plan(connection, plans, now)
        await reservation_plans.looked_at(connection, due.countable, now)
        return len(due.countable) + len(due.faulty)

    def _plan_of(self, subscription: Subscription, gathered: Gathered) -> Plan | None:
        """Return what is to be reserved of the next period, or None where nothing is."""
        start_at = subscription.next_renewal_at
        key_id = subscription.billing_key_id
        if start_at is None:
            return None
        outstanding = gathered.of.get(subscription.id, NOTHING)
        renewal = renew(subscription, start_at, self.policies, outstanding)
        for invoice in renewal.invoices:
            if invoice.period.index == subscription.next_period_index:
                if invoice.price.amount < max(self.policies.minimum_amount, 1):
                    return None
                return Plan(invoice, key_id, _whole_second(invoice))
        return None


def _whole_second(invoice: NewInvoice) -> datetime:
    """Return when PortOne is to charge: it knows whole seconds only, and none too early."""
    at = invoice.next_attempt_at or invoice.period.start_at
    return datetime.fromtimestamp(math.ceil(at.timestamp()), UTC)
