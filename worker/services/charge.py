"""Collect invoices: claim, send, settle.

1. *Claim*, in one transaction for the whole batch: the attempt is committed before a byte leaves.
2. *Send*, with no transaction open: one POST each, side by side, never repeated.
3. *Settle*, grouped over the endings that have arrived.

A death after the claim leaves attempts ``claimed`` past their lease, which the inquiry owns. A
message delivered again finds nothing due.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import AttemptOrigin, AttemptStatus, Claim
from shared.billing.collection import after_send, status_after
from shared.billing.dunning import KEY_WINDOW, DunningPolicy
from shared.billing.events import Event, EventName
from shared.billing.invoice import InvoiceStatus
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.money import Collectability, collectability, minimum_amount_text
from shared.billing.outcome import Outcome, Unknown
from shared.billing.rules import CollectionRules
from shared.billing.subscription import BillingKeyStatus
from shared.billing.use_confirmation import UseConfirmation, use_confirmation_on
from shared.clock import Clock
from shared.db import attempts, billing_keys, claims, invoices, subscriptions
from shared.db.claims import DueInvoice
from shared.db.engine import Database
from shared.db.invoices import Closing
from worker.services.ports import ChargeGateway, Settle

log = structlog.get_logger(__name__)

# A row that cannot be charged is looked at again after this, and meanwhile blocks nobody.
_POSTPONED_FOR = timedelta(hours=1)


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

    async def __call__(self, invoice_ids: Sequence[int]) -> list[str]:
        """Return the name of every ending, for people."""
        # Read before the claim is written, so that the fence never outlives the lease.
        claimed_at_s = self.clock.boot_s()
        batch = await self.database.run(lambda connection: self._claim(connection, invoice_ids))
        endings = await asyncio.gather(
            *(self._charge(claim, claimed_at_s) for claim in batch.claims)
        )
        return [*batch.closed, *endings]

    async def _claim(self, connection: AsyncConnection, invoice_ids: Sequence[int]) -> Batch:
        """Claim what is to be charged and close what is not, in one transaction."""
        now = self.clock.now()
        due = await claims.lock_due(connection, invoice_ids, now)
        chargeable: list[DueInvoice] = []
        closings: list[Closing] = []
        void: list[int] = []
        if due.faulty:
            log.error("charge_impossible", faults=dict(due.faulty))
            await invoices.postpone(connection, due.faulty, now + _POSTPONED_FOR)
        workable = await _without_revived(connection, due.workable)
        for item in await _without_switched_on(connection, workable):
            closing = without_call(item, self.minimum_amount, self.rules.dunning, now)
            if closing is None:
                chargeable.append(item)
                continue
            closings.append(closing)
            if closing.status is not InvoiceStatus.OPEN and item.unsettled is not None:
                void.append(item.claim.attempt_id)
        # Keys are locked before subscriptions, here as elsewhere.
        timely = await self._timely(connection, chargeable, now)
        await invoices.close_without_call(connection, closings, now)
        if void:
            await claims.void_waiting(connection, void)
        if ends := _ends(due.workable, closings):
            await subscriptions.change_status(connection, ends, now)
        claimed = await claims.write_claims(connection, timely, self.rules.leases, now)
        return Batch(tuple(claimed), tuple(f"{closing.status} unsent" for closing in closings))

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
            item for item in chargeable if _is_dunning(item) and item.claim.invoice_id not in later
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
        item.claim.subscription_id for item in due if _is_dunning(item) and not item.dunning_enabled
    }
    if not off:
        return due
    turned = await subscriptions.with_dunning(connection, off)
    return [
        item for item in due if item.dunning_enabled or item.claim.subscription_id not in turned
    ]


def _is_dunning(item: DueInvoice) -> bool:
    """Say whether a charge would be one more try of ours with a method that was refused."""
    return item.is_dunning and not item.is_buyers


def _ends(due: Sequence[DueInvoice], closings: Sequence[Closing]) -> dict[UUID, SubscriptionStatus]:
    """Return where the ends of invoices take their subscriptions."""
    subscription_of = {item.claim.invoice_id: item.claim.subscription_id for item in due}
    return {
        subscription_of[closing.invoice_id]: closing.subscription_status
        for closing in closings
        if closing.subscription_status is not None
    }


def without_call(  # noqa: PLR0911 - a decision table, one row a return
    item: DueInvoice, minimum_amount: int, dunning: DunningPolicy, now: datetime
) -> Closing | None:
    """Return how a due invoice ends, or stops, without the gateway; None if it is to be charged.

    Money first: an attempt that may have moved money blocks every other conclusion.
    """
    claim = item.claim
    if item.unsettled not in {None, AttemptStatus.WAITING}:
        return Closing(
            claim.invoice_id, InvoiceStatus.OPEN, f"an attempt is {item.unsettled}", None
        )
    if item.subscription_status is SubscriptionStatus.CANCELED:
        return _canceled(claim, now)
    match collectability(claim.price, minimum_amount):
        case Collectability.SETTLE_WITHOUT_CALL:
            event = _event(EventName.INVOICE_PAID, claim, now)
            return Closing(claim.invoice_id, InvoiceStatus.PAID, None, event)
        case Collectability.BELOW_MINIMUM:
            text = minimum_amount_text(minimum_amount)
            event = _event(EventName.INVOICE_UNCOLLECTIBLE, claim, now, message=text)
            return Closing(claim.invoice_id, InvoiceStatus.UNCOLLECTIBLE, text, event)
        case Collectability.CHARGE:
            pass
    if dunning.is_over(claim.past_due_at, now) and not (item.is_buyers or claim.unknown_since):
        return _given_up(claim, dunning, now)
    if item.billing_key_status is not BillingKeyStatus.ACTIVE:
        text = f"the billing key is {item.billing_key_status}: waits for a new payment method"
        return _waiting(claim, text, dunning, now)
    return _switched_off(item, dunning, now)


def _given_up(claim: Claim, dunning: DunningPolicy, now: datetime) -> Closing:
    """Return the end of an invoice whose grace period is over."""
    text = "not paid within the grace period"
    event = _event(
        EventName.INVOICE_UNCOLLECTIBLE, claim, now, declines=claim.declines, message=text
    )
    return Closing(
        claim.invoice_id,
        InvoiceStatus.UNCOLLECTIBLE,
        text,
        event,
        subscription_status=status_after(dunning.terminal_action),
    )


def _waiting(claim: Claim, text: str, dunning: DunningPolicy, now: datetime) -> Closing:
    """Return the stop of an invoice that is past due, until its grace period ends."""
    past_due_at = claim.past_due_at or now
    ends_at = dunning.grace_ends_at(past_due_at)
    # In doubt it does not end with its grace period: whoever gives a new method sends it again.
    at = None if ends_at is None or ends_at <= now else ends_at
    return Closing(
        claim.invoice_id,
        InvoiceStatus.OPEN,
        text,
        None,
        next_attempt_at=at,
        past_due_at=past_due_at,
    )


def _switched_off(item: DueInvoice, dunning: DunningPolicy, now: datetime) -> Closing | None:
    """Return the stop of an invoice that is not tried again by itself, or None if it is.

    A setting that is changed tells no row of it, so what it stops is looked at again and again; a
    subscription's switch makes due what it had stopped.
    """
    if not _is_dunning(item) or (dunning.enabled and item.dunning_enabled):
        return None
    what = "for this subscription" if dunning.enabled else "by the settings"
    text = (
        f"dunning is switched off {what}: waits for the buyer, for a new payment method, or for"
        " dunning to be switched on"
    )
    stopped = _waiting(item.claim, text, dunning, now)
    if dunning.enabled:
        return replace(stopped, planned_attempt_at=item.claim.planned_attempt_at or item.due_at)
    look_at = now + _POSTPONED_FOR
    return replace(stopped, next_attempt_at=min(stopped.next_attempt_at or look_at, look_at))


def _canceled(claim: Claim, now: datetime) -> Closing:
    """Return how an invoice of a canceled subscription ends, unless a send of it was lost."""
    if claim.unknown_since is not None:
        # Nothing is sent any more, which might bring a payment to light: the gateway is asked on.
        text = "the subscription is canceled: a send that was lost is looked for"
        return Closing(claim.invoice_id, InvoiceStatus.OPEN, text, None)
    event = _event(EventName.INVOICE_VOIDED, claim, now)
    return Closing(claim.invoice_id, InvoiceStatus.VOID, "the subscription is canceled", event)


def _event(name: EventName, claim: Claim, at: datetime, **data: str | int) -> Event:
    return Event(
        name,
        claim.subscription_id,
        {
            "invoice_id": claim.invoice_id,
            "period_index": claim.period.index,
            "amount": claim.price.amount,
            "tax_free": claim.price.tax_free,
            "at": at.isoformat(),
            **data,
        },
    )
