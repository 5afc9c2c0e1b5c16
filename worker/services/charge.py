"""Collect invoices: claim, send, settle.

1. *Claim*, in one transaction for the whole batch: the attempt is committed before a byte leaves.
2. *Send*, with no transaction open: one POST each, side by side, never repeated.
3. *Settle*, grouped over the endings that have arrived.

A death after the claim leaves attempts ``claimed`` past their lease, which the inquiry owns. A
message delivered again finds nothing due.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import AttemptOrigin, Claim
from shared.billing.collection import after_send, settle
from shared.billing.dunning import KEY_WINDOW
from shared.billing.inquiry import Conflict, NoRecord, PaymentRecord, StillUnresolved, judge
from shared.billing.installation import Proof
from shared.billing.invoice import InvoiceStatus
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.outcome import (
    Declined,
    FaultScope,
    Misconfigured,
    NotSent,
    Outcome,
    Paid,
    Unknown,
)
from shared.billing.rules import CollectionRules
from shared.billing.subscription import BillingKeyStatus
from shared.billing.use_confirmation import UseConfirmation, use_confirmation_on
from shared.clock import Clock
from shared.db import attempts, billing_keys, claims, hints, invoices, remains, subscriptions
from shared.db.claims import DueInvoice
from shared.db.engine import Database
from shared.db.invoices import Closing
from shared.jobs.marks import NO_MARKS, Marks
from worker.services.ports import ChargeGateway, Settle
from worker.services.uncharged import (
    POSTPONED_FOR,
    is_dunning,
    is_lost,
    lost_is_asked_at,
    without_call,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction claimed, and how the other invoices of the message ended."""

    claims: tuple[Claim, ...]
    closed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChargeInvoices:
    """Collect those of the invoices that are due."""

    database: Database
    gateway: ChargeGateway
    settle: Settle
    clock: Clock
    rules: CollectionRules
    minimum_amount: int
    use_confirmation: UseConfirmation
    marks: Marks = NO_MARKS

    async def __call__(self, invoice_ids: Sequence[int]) -> list[str]:
        """Return the name of every ending, for people."""
        # Remembered before the rows are read: see ``standing``.
        proof = await self.marks.proof()
        # Read before the claim is written, so that the fence never outlives the lease.
        claimed_at_s = self.clock.boot_s()
        batch = await self.database.run(
            lambda connection: self._claim(connection, invoice_ids, proof)
        )
        endings = await asyncio.gather(
            *(self._charge(claim, claimed_at_s) for claim in batch.claims)
        )
        return [*batch.closed, *endings]

    async def _claim(
        self, connection: AsyncConnection, invoice_ids: Sequence[int], proof: Proof
    ) -> Batch:
        """Claim what is to be charged and close what is not, in one transaction."""
        now = self.clock.now()
        due = await claims.lock_due(connection, invoice_ids, now, proof)
        chargeable: list[DueInvoice] = []
        closings: list[Closing] = []
        void: list[int] = []
        if due.faulty:
            log.error("charge_impossible", faults=dict(due.faulty))
            await invoices.postpone(connection, due.faulty, now + POSTPONED_FOR)
        workable = await _without_revived(connection, due.workable)
        lost: list[DueInvoice] = []
        for item in await _without_switched_on(connection, workable):
            closing = without_call(item, self.minimum_amount, self.rules, now)
            if closing is None:
                chargeable.append(item)
                continue
            closings.append(closing)
            if closing.status is not InvoiceStatus.OPEN and item.unsettled is not None:
                void.append(item.claim.attempt_id)
            elif is_lost(item):
                lost.append(item)
        # Keys are locked before subscriptions, here as elsewhere.
        timely = await self._timely(connection, chargeable, now)
        await invoices.close_without_call(connection, closings, now)
        await self._ask_on(connection, lost, now)
        if void:
            await claims.void_waiting(connection, void)
        if ends := _ends(due.workable, closings):
            await subscriptions.change_status(connection, ends, now)
        claimed = await claims.write_claims(connection, timely, self.rules.leases, now)
        return Batch(tuple(claimed), tuple(f"{closing.status} unsent" for closing in closings))

    async def _ask_on(
        self, connection: AsyncConnection, lost: Sequence[DueInvoice], now: datetime
    ) -> None:
        """Have the gateway asked on about lost sends that are not sent again, as far as it is."""
        believed = []
        for item in lost:
            look_at = lost_is_asked_at(item, self.rules.inquiry, now)
            if look_at is None:
                believed.append(item.claim.attempt_id)
                continue
            seen = self.rules.inquiry.no_records_needed - 1
            await remains.doubt(connection, item.claim.attempt_id, look_at, seen)
        if believed:
            await remains.believe_silence(connection, believed)

    async def _timely(
        self, connection: AsyncConnection, chargeable: Sequence[DueInvoice], now: datetime
    ) -> Sequence[DueInvoice]:
        """Leave out, for later, what may not be charged at this hour, or not so often."""
        later: dict[int, datetime] = {}
        hours = self.rules.hours
        if hours.binds:
            window = self.rules.leases.send_window
            opens = {origin: hours.of(origin).next_claim(now, window) for origin in AttemptOrigin}
            for item in chargeable:
                at = opens[AttemptOrigin.BUYER if item.is_buyers else AttemptOrigin.SCHEDULE]
                if at > now:
                    later[item.claim.invoice_id] = at
        again = [
            item for item in chargeable if _is_counted(item) and item.claim.invoice_id not in later
        ]
        if again:
            later |= await self._too_often(connection, again, now)
        await invoices.move(connection, later)
        return [item for item in chargeable if item.claim.invoice_id not in later]

    async def _too_often(
        self, connection: AsyncConnection, again: Sequence[DueInvoice], now: datetime
    ) -> dict[int, datetime]:
        """Return when invoices are tried whose method was tried as often as it may be lately."""
        dunning, later = self.rules.dunning, {}
        keys = {item.claim.billing_key_id for item in again}
        tried = await attempts.lately(connection, keys, now - KEY_WINDOW)
        for item in again:
            instants = tried.setdefault(item.claim.billing_key_id, [])
            if len(instants) < dunning.key_attempts_max:
                instants.append(now)
                continue
            at = instants[-dunning.key_attempts_max] + KEY_WINDOW
            ends_at = dunning.grace_ends_at(item.claim.past_due_at)
            later[item.claim.invoice_id] = at if ends_at is None else min(at, ends_at)
        return later

    async def _charge(self, claim: Claim, claimed_at_s: float) -> str:
        """Send one claim and write its ending; whatever fails here is left to the inquiry."""
        now = self.clock.now()
        outcome = await self._send(claim, claimed_at_s, now)
        move = after_send(claim, outcome, self.rules, self.clock.now())
        try:
            await self.settle(move)
        except SQLAlchemyError as error:
            # The attempt stays claimed; after the lease the gateway is asked what it holds.
            log.exception(
                "settlement_failed", attempt_id=claim.attempt_id, error=type(error).__name__
            )
            return "unsettled"
        return move.attempt_status

    async def _send(self, claim: Claim, claimed_at_s: float, now: datetime) -> Outcome:
        if claim.reserved_before is not None:
            taken = await self._taken_elsewhere(claim.reserved_before)
            if taken is not None:
                return taken
        try:
            return await self.gateway.charge(
                claim,
                use_confirmation_on=use_confirmation_on(self.use_confirmation, claim.period, now),
                claimed_at_s=claimed_at_s,
            )
        except Exception as error:
            # A fault of ours in mid-send: money may have moved, so nothing else may be concluded.
            log.exception("send_failed", attempt_id=claim.attempt_id)
            return Unknown(f"{type(error).__name__} in our own code")

    async def _taken_elsewhere(self, merchant_uid: str) -> NotSent | Misconfigured | None:
        """Return why nothing is sent, if what PortOne charged in vain may have been paid since.

        A person at its console, or its recovery, tries again what has failed there. That is not
        raced: what is found paid is kept, and collecting stops; while nobody can say, nothing is
        sent.
        """
        try:
            records = await self.gateway.records_of(merchant_uid)
            if isinstance(records, StillUnresolved):
                return NotSent(f"what PortOne charged before cannot be read: {records.cause}")
            return await self._taken_by(merchant_uid, records)
        except Exception as error:
            # Nothing has left: whatever it is, it is looked again before anything does.
            log.exception("look_before_send_failed", merchant_uid=merchant_uid)
            return NotSent(f"{type(error).__name__} in our own code")

    async def _taken_by(
        self, merchant_uid: str, records: Sequence[PaymentRecord]
    ) -> NotSent | Misconfigured | None:
        named = await self.database.run(
            lambda connection: hints.attempt_named(connection, merchant_uid)
        )
        if named is None:
            return None
        match judge(named.claim.expectation, records):
            case Declined() | NoRecord():
                return None
            case StillUnresolved(cause):
                return NotSent(f"what PortOne charged before has not ended: {cause}")
            case Conflict(cause):
                # A person's, once it has been found so often enough.
                return Misconfigured(cause, FaultScope.REQUEST)
            case Paid() as paid:
                now = self.clock.now()
                await self.settle(settle(named.claim, paid, self.rules.dunning, now))
                return NotSent("PortOne has charged it by itself after all")


async def _without_revived(
    connection: AsyncConnection, due: Sequence[DueInvoice]
) -> Sequence[DueInvoice]:
    """Leave out invoices whose billing key was registered while they were being locked.

    The look at the key is a moment older than the lock. Taken for dead, such an invoice would wait
    for a method that has come already; left as it is, it is due and comes again.
    """
    waiting = {
        item.claim.billing_key_id
        for item in due
        if item.billing_key_status is not BillingKeyStatus.ACTIVE
    }
    if not waiting:
        return due
    revived = waiting & await billing_keys.alive(connection, waiting)
    return [
        item
        for item in due
        if item.billing_key_status is BillingKeyStatus.ACTIVE
        or item.claim.billing_key_id not in revived
    ]


async def _without_switched_on(
    connection: AsyncConnection, due: Sequence[DueInvoice]
) -> Sequence[DueInvoice]:
    """Leave out invoices for which dunning was switched on while they were being locked.

    The look at the switch is a moment older than the lock, as the one at the key is.
    """
    off = {
        item.claim.subscription_id for item in due if is_dunning(item) and not item.dunning_enabled
    }
    if not off:
        return due
    # Keys are locked before subscriptions: all that are counted by later on, at once.
    await attempts.hold_keys(
        connection, {item.claim.billing_key_id for item in due if _is_counted(item)}
    )
    turned = await subscriptions.with_dunning(connection, off)
    return [
        item for item in due if item.dunning_enabled or item.claim.subscription_id not in turned
    ]


def _is_counted(item: DueInvoice) -> bool:
    """Say whether a charge counts against how often its method is tried, which is in trouble.

    A first attempt does while its subscription is past due: otherwise every further period would
    bring one more. What waits to be sent again is an attempt that has been counted before.
    """
    if item.is_buyers or item.unsettled is not None:
        return False
    return item.is_dunning or item.subscription_status is SubscriptionStatus.PAST_DUE


def _ends(due: Sequence[DueInvoice], closings: Sequence[Closing]) -> dict[UUID, SubscriptionStatus]:
    """Return where the ends of invoices take their subscriptions."""
    subscription_of = {item.claim.invoice_id: item.claim.subscription_id for item in due}
    return {
        subscription_of[closing.invoice_id]: closing.subscription_status
        for closing in closings
        if closing.subscription_status is not None
    }
