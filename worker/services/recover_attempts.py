"""Write the lost attempts of one billing period again, and settle what the gateway says of them.

One after the other, as they were made: a number is given after a definite decline and never
otherwise, so what a later one shows is looked at when the earlier have ended. Every step is a
transaction of its own and may be repeated: whoever dies anywhere begins again from the rows.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import UNSETTLED, AttemptStatus, Question
from shared.billing.collection import after_inquiry
from shared.billing.errors import BillingError
from shared.billing.inquiry import SCHEDULED_CHARGE, PaymentRecord, StillUnresolved
from shared.billing.merchant_uid import ATTEMPT_NUMBER_MAX, ChargeName, merchant_uid
from shared.billing.recovery import followed, judge_lost
from shared.billing.renewal import NOTHING, Renewal, RenewalPolicies, renew
from shared.billing.reserving import ReservationStatus, ReservedPeriod
from shared.billing.rules import CollectionRules
from shared.billing.subscription import Subscription
from shared.clock import Clock
from shared.db import (
    claims,
    hints,
    invoices,
    lost_charges,
    remains,
    renewals,
    reserved_periods,
    stranded,
)
from shared.db.engine import Database
from shared.db.hints import NamedAttempt
from shared.db.lost_charges import FoundInvoice, LostAttempt
from worker.services.ports import RecoveryGateway, Settle

log = structlog.get_logger(__name__)

# How far behind a subscription may be: a day's interval for nearly three years.
_PERIODS_MAX: Final = 1_000
# Until then a written attempt is ours to settle; if we die before, the ordinary inquiry takes it.
_OURS_FOR: Final = timedelta(hours=1)
_STOPPED: Final = "the gateway holds more than one charge of it, and one of them needs a person"
_OUTDATED: Final = "made before the database was restored"


class UnfinishedError(Exception):
    """Nobody can say now what became of something: the recovery must be run again."""


@dataclass(frozen=True, slots=True)
class AdoptedPeriod:
    """What became of the lost attempts of a period.

    Attributes:
        is_known: Whether the period is billed here at all.
        written: How many attempts were written.
        opened: How many invoices had to be opened for it.
        parked: Whether a person must look at one of the attempts.
    """

    is_known: bool
    written: int = 0
    opened: int = 0
    parked: bool = False


NOBODYS: Final = AdoptedPeriod(is_known=False)


@dataclass(frozen=True, slots=True)
class AdoptAttempts:
    """Bring the attempts of one period up to what the gateway holds."""

    database: Database
    gateway: RecoveryGateway
    settle: Settle
    clock: Clock
    rules: CollectionRules
    policies: RenewalPolicies

    async def __call__(self, name: ChargeName, listed: Collection[int]) -> AdoptedPeriod:
        """Adopt every attempt at a period: those listed, any between them, and any that follow.

        Args:
            name: Of any attempt at the period.
            listed: The numbers of which the gateway's book shows a record.

        Raises:
            UnfinishedError: The gateway cannot say, or a charge has not ended there.
        """
        opened, hindrance = await self.database.run(partial(self._open, name=name))
        if hindrance is not None:
            raise UnfinishedError(f"{_uid(name)}: {hindrance}")
        found = await self.database.run(partial(lost_charges.invoice_of, name=name))
        if found is None:
            return NOBODYS
        last = max([found.last, *listed])
        number = written = 0
        while number < last:
            number += 1
            if number == last and await self._records(_numbered(name, number + 1)):
                last += 1
            if _is_settled(found, number):
                continue
            this = _numbered(name, number)
            records = await self._records(this)
            if number in listed and not records:
                message = f"{_uid(this)}: in the gateway's book, and not shown by itself"
                raise UnfinishedError(message)
            status, is_new = await self._adopt(found.id, this, records, is_last=number == last)
            written += is_new
            if status is AttemptStatus.PARKED:
                await self._stop(found.id, last, is_more=number < last)
                return AdoptedPeriod(is_known=True, written=written, opened=opened, parked=True)
        return AdoptedPeriod(is_known=True, written=written, opened=opened)

    async def _open(self, connection: AsyncConnection, name: ChargeName) -> tuple[int, str | None]:
        """Open the invoices up to a period, each as the scan would have when it began.

        Not all at once: what is decided of several periods that are found together would leave out
        some that were charged. Returns how many were opened, and what keeps the next one.
        """
        opened, now = 0, self.clock.now()
        for _ in range(_PERIODS_MAX):
            subscription = await _locked(connection, name)
            if subscription is None or subscription.next_period_index > name.period_index:
                break
            at = subscription.next_renewal_at
            if at is None or at > now:
                break
            gathered = await renewals.gather(connection, [subscription], at)
            outstanding = gathered.of.get(subscription.id, NOTHING)
            renewal = renew(subscription, at, self.policies, outstanding)
            if gathered.faulty:
                break
            delay = self.rules.leases.settle_delay
            reserved = await _reserved(connection, subscription)
            if reserved is not None and reserved.is_stranded(renewal.invoices):
                # What comes after its period is decided in the next turn.
                log.error("reservation_stranded", reservation_id=reserved.id)
                await stranded.bill(connection, reserved, delay, now)
                opened += 1
                continue
            if renewal.after.next_period_index == subscription.next_period_index:
                break
            if reserved is not None and _is_outdated(reserved, renewal):
                await reserved_periods.recall(connection, [subscription.id], _OUTDATED, now)
                reserved = await _reserved(connection, subscription)
            if reserved is not None and reserved.status is ReservationStatus.REVOKING:
                return opened, "a reservation of the period is being revoked"
            renewal = await stranded.billed_as_executed(
                connection, renewal, reserved, outstanding.adjustments
            )
            held = {} if reserved is None else {subscription.id: reserved}
            opened += await renewals.write(connection, [renewal], now, held, delay)
        return opened, None

    async def _records(self, name: ChargeName) -> Sequence[PaymentRecord]:
        """Return what the gateway holds of an attempt, oldest first."""
        if name.attempt_number > ATTEMPT_NUMBER_MAX:
            return ()
        answer = await self.gateway.records_of(_uid(name))
        if isinstance(answer, StillUnresolved):
            raise UnfinishedError(f"{_uid(name)}: {answer.cause}")
        return [record for record in answer if not record.is_registration]

    async def _adopt(
        self,
        invoice_id: int,
        name: ChargeName,
        records: Sequence[PaymentRecord],
        *,
        is_last: bool,
    ) -> tuple[AttemptStatus | None, bool]:
        """Settle one attempt by what the gateway holds; return how it stands, and if it is new.

        One of which neither the rows nor the gateway know anything moved no money: its number is
        passed.
        """
        known = await self.database.run(partial(self._known, name=name))
        is_new = False
        if known is None:
            work = partial(self._write, invoice_id=invoice_id, name=name, records=records)
            is_new = await self.database.run(work)
            if not records:
                return None, False
            known = await self.database.run(partial(self._known, name=name))
            if known is None:
                raise UnfinishedError(f"{_uid(name)}: another attempt has not ended")
        if known.status not in UNSETTLED or (is_last and not records):
            # What only the gateway's silence speaks of is the ordinary inquiry's.
            return known.status, is_new
        rules = self.rules if is_last else replace(self.rules, dunning=followed(self.rules.dunning))
        # Neither we nor the gateway can still be working on it: one look is enough.
        seen = self.rules.inquiry.no_records_needed - 1
        question = Question(known.claim, 0, seen, held_by_gateway=False)
        finding = judge_lost(known.claim.expectation, records)
        await self.settle(after_inquiry(question, finding, rules, self.clock.now()))
        return await self._ended(name, is_last=is_last), is_new

    async def _known(self, connection: AsyncConnection, name: ChargeName) -> NamedAttempt | None:
        """Return an attempt as the rows show it, one that waits handed back to the inquiry."""
        known = await hints.attempt_named(connection, _uid(name))
        if known is None or known.status is not AttemptStatus.WAITING:
            return known
        inquire_at = self.clock.now() + _OURS_FOR
        await remains.doubt(connection, known.claim.attempt_id, inquire_at, 0)
        return replace(known, status=AttemptStatus.UNKNOWN)

    async def _write(
        self,
        connection: AsyncConnection,
        invoice_id: int,
        name: ChargeName,
        records: Sequence[PaymentRecord],
    ) -> bool:
        """Write an attempt, or pass its number where the gateway holds nothing of it."""
        now = self.clock.now()
        await lost_charges.invoice_of(connection, name)
        if not records:
            await lost_charges.pass_number(connection, invoice_id, name.attempt_number)
            return False
        first = records[0]
        lost = LostAttempt(
            name,
            _uid(name),
            first.customer_uid,
            first.started_at or first.paid_at or now,
            first.usage == SCHEDULED_CHARGE,
        )
        return await lost_charges.write(connection, invoice_id, lost, now, now + _OURS_FOR)

    async def _ended(self, name: ChargeName, *, is_last: bool) -> AttemptStatus | None:
        """Return how an attempt stands after it was settled, by whomever."""

        async def work(connection: AsyncConnection) -> AttemptStatus | None:
            known = await hints.attempt_named(connection, _uid(name))
            if known is not None and known.status is AttemptStatus.WAITING and not is_last:
                # The gateway knows nothing of it, and a later one was made: it moved no money.
                await claims.void_waiting(connection, [known.claim.attempt_id])
                return AttemptStatus.VOID
            return None if known is None else known.status

        status = await self.database.run(work)
        if status in {AttemptStatus.CLAIMED, AttemptStatus.UNKNOWN}:
            raise UnfinishedError(f"{_uid(name)}: the charge has not ended at the gateway")
        return status

    async def _stop(self, invoice_id: int, last: int, *, is_more: bool) -> None:
        """Leave an invoice to a person, whose decision about one attempt must not make another."""

        async def work(connection: AsyncConnection) -> None:
            await lost_charges.pass_number(connection, invoice_id, last)
            if is_more:
                await invoices.stop_collecting(connection, [invoice_id], _STOPPED)

        await self.database.run(work)


async def _locked(connection: AsyncConnection, name: ChargeName) -> Subscription | None:
    """Return the subscription of an attempt, locked; None too where its row makes no sense."""
    try:
        return await lost_charges.lock_subscription(connection, name.subscription_id)
    except BillingError:
        log.exception("renewal_impossible", subscription_id=str(name.subscription_id))
        return None


async def _reserved(
    connection: AsyncConnection, subscription: Subscription
) -> ReservedPeriod | None:
    """Return what lives of a reservation of the next period, locked."""
    held = await reserved_periods.hold(connection, [subscription.id])
    reserved = held.get(subscription.id)
    is_next = reserved is not None and reserved.period.index == subscription.next_period_index
    return reserved if is_next else None


def _is_outdated(reserved: ReservedPeriod, renewal: Renewal) -> bool:
    """Say whether a period that begins is not to be collected as it was reserved."""
    return reserved.status is ReservationStatus.PLANNED or reserved.is_stale(renewal.invoices)


def _is_settled(found: FoundInvoice, number: int) -> bool:
    attempt = found.attempts.get(number)
    return attempt is not None and attempt[0] not in UNSETTLED


def _numbered(name: ChargeName, number: int) -> ChargeName:
    return replace(name, attempt_number=number)


def _uid(name: ChargeName) -> str:
    return merchant_uid(name.subscription_id, name.period_index, name.attempt_number)
