"""Open the invoice of every period that has begun."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.errors import BillingError
from shared.billing.installation import Proof
from shared.billing.renewal import NOTHING, Renewal, RenewalPolicies, renew
from shared.billing.reserving import ReservationStatus, ReservedPeriod
from shared.clock import Clock
from shared.db import renewals, reserved_periods, stranded
from shared.db.engine import Database
from shared.jobs.marks import NO_MARKS, Marks

log = structlog.get_logger(__name__)

# Rows of one transaction: short locks, so that a settlement never waits for a scan.
_ROWS_PER_TRANSACTION = 500
# A row that cannot be renewed is looked at again after this, and meanwhile blocks nobody.
_POSTPONED_FOR = timedelta(hours=1)
_NOT_REQUESTED = "its period has begun before it was reserved"
_OTHERWISE = "the period is not billed as it was reserved: revoked, before anything else"


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
    # How long PortOne has to book what was reserved.
    settle_delay: timedelta
    marks: Marks = NO_MARKS

    async def __call__(self) -> int:
        """Return how many invoices were opened; at most ``rows_max`` subscriptions are read."""
        # Remembered before the rows are read: see ``standing``.
        proof = await self.marks.proof()
        opened, left = 0, self.rows_max
        while left > 0:
            limit = min(left, _ROWS_PER_TRANSACTION)
            done = await self.database.run(partial(self._renew, limit=limit, proof=proof))
            opened += done.opened
            left -= limit
            if done.found < limit:
                break
        return opened

    async def _renew(self, connection: AsyncConnection, limit: int, proof: Proof) -> Renewed:
        """Renew one lot: invoices, events and the next renewal commit together."""
        now = self.clock.now()
        due = await renewals.lock_due(connection, limit, now, proof)
        gathered = await renewals.gather(connection, due.countable, now)
        awaited = await self._awaited(connection, [each.id for each in due.countable], now)
        # Recalled since the rows were looked at: the next pass leaves them out.
        revoking = {
            id_ for id_, each in awaited.items() if each.status is ReservationStatus.REVOKING
        }
        faulty = {**due.faulty, **gathered.faulty}
        done: list[Renewal] = []
        for subscription in due.countable:
            if subscription.id in faulty or subscription.id in revoking:
                continue
            outstanding = gathered.of.get(subscription.id, NOTHING)
            reservation = awaited.get(subscription.id)
            until = now if reservation is None else reservation.renewed_until(now)
            try:
                renewal = renew(subscription, until, self.policies, outstanding)
            except BillingError as error:
                faulty[subscription.id] = str(error)
                continue
            left = outstanding.adjustments
            if reservation is None or await self._may_begin(connection, renewal, reservation, now):
                renewal = await stranded.billed_as_executed(connection, renewal, reservation, left)
                done.append(renewal)
        if faulty:
            for subscription_id, fault in faulty.items():
                log.error("renewal_impossible", subscription_id=str(subscription_id), fault=fault)
            await renewals.postpone(connection, list(faulty), now + _POSTPONED_FOR)
        opened = await renewals.write(connection, done, now, awaited, self.settle_delay)
        for renewal in done:
            _alert(renewal)
        return Renewed(len(due.countable) + len(due.faulty), opened)

    async def _may_begin(
        self,
        connection: AsyncConnection,
        renewal: Renewal,
        reservation: ReservedPeriod,
        now: datetime,
    ) -> bool:
        """Say whether PortOne's reservation lets a period begin as it is owed, or see to it."""
        if reservation.is_stale(renewal.invoices):
            ids = [reservation.subscription_id]
            await reserved_periods.recall(connection, ids, _OTHERWISE, now)
            return False
        if reservation.is_stranded(renewal.invoices):
            # What comes after its period is decided in the next pass.
            log.error("reservation_stranded", reservation_id=reservation.id)
            await stranded.bill(connection, reservation, self.settle_delay, now)
            return False
        return True

    async def _awaited(
        self, connection: AsyncConnection, ids: Sequence[UUID], now: datetime
    ) -> Mapping[UUID, ReservedPeriod]:
        """Return what PortOne may execute, or has, of subscriptions; what was only planned ends."""
        held = await reserved_periods.hold(connection, ids)
        planned = [id_ for id_, each in held.items() if each.status is ReservationStatus.PLANNED]
        if planned:
            await reserved_periods.recall(connection, planned, _NOT_REQUESTED, now)
        return {id_: each for id_, each in held.items() if id_ not in planned}


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
