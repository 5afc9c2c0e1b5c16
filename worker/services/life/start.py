"""Begin to bill a buyer: at once, from a date on, or after a free trial."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.consent import ConsentKind
from shared.billing.events import Json, iso
from shared.billing.lines import AdjustmentKind
from shared.billing.money import Price
from shared.billing.subscription import (
    Agreement,
    BillingKeyStatus,
    Buyer,
    require_customer_uid,
)
from shared.db import agreement_writes, billing_keys, subscriptions
from shared.db.agreement_writes import NewAdjustment
from shared.db.subscriptions import NewSubscription
from shared.jobs.life_commands import StartSubscription
from worker.services.commanding import CommandRefusedError
from worker.services.life.consenting import consent_of, keep
from worker.services.life.rules import LifeRules

# A command that comes again after its reply was lost names the same subscription.
_COMMANDS: Final = UUID("5f0d8a3e-6c1b-4f57-9a52-0e4f7a1c9d36")
# With these nothing can be collected, now or later.
_GONE: Final = frozenset(
    {BillingKeyStatus.DEAD, BillingKeyStatus.DELETING, BillingKeyStatus.DELETED}
)


@dataclass(frozen=True, slots=True)
class Start:
    """Handle ``subscription.start``."""

    rules: LifeRules

    async def __call__(
        self, connection: AsyncConnection, command: StartSubscription, now: datetime
    ) -> dict[str, Json]:
        """Write the subscription, or refuse it in words; the first period is left to the scan.

        A billing key that the buyer has still to register is waited for; one that is not known is
        taken for registered elsewhere.
        """
        agreement = _agreement(command, now)
        setup = Price(command.setup_amount, command.setup_tax_free)
        self.rules.require_collectable(agreement.total)
        self.rules.require_collectable(_together(agreement.total, setup))
        id_ = command.subscription_id or uuid5(_COMMANDS, command.command_id)
        buyer = Buyer(command.buyer_name, command.buyer_email, command.buyer_tel)
        customer_uid = require_customer_uid(command.customer_uid)
        await _add(connection, NewSubscription(id_, customer_uid, buyer, agreement), now)
        await _require_alive(connection, customer_uid)
        if agreement.trial_end_at is not None and self.rules.trial_once:
            await _take_trial(connection, id_, agreement)
        if setup.amount:
            described = command.setup_description or agreement.order_name
            new = NewAdjustment(id_, AdjustmentKind.SETUP, described, setup)
            await agreement_writes.adjust(connection, [new], command.command_id)
        if command.consent is not None:
            amounts = (None, agreement.total.amount)
            new_consent = consent_of(
                id_, command.consent, ConsentKind.SIGN_UP, amounts, None, command.command_id
            )
            await keep(connection, self.rules.consent, new_consent, now)
        first = agreement.cycle.period(agreement.first_period_index)
        return {
            "subscription_id": str(id_),
            "status": "trialing" if agreement.trial_end_at else "active",
            "trial_end_at": iso(agreement.trial_end_at),
            "first_period_index": first.index,
            "first_period_at": first.start_at.isoformat(),
        }


def _agreement(command: StartSubscription, now: datetime) -> Agreement:
    interval = Interval(command.interval, command.interval_count)
    trial_end_at = _trial_end_at(command, now)
    anchor_at = command.anchor_at or now
    if trial_end_at is not None:
        anchor_at = max(trial_end_at, anchor_at)
    cycle = BillingCycle(anchor_at, interval, command.time_zone)
    if cycle.index_at(now) > 0:
        message = (
            f"anchor_at {cycle.anchor_at.isoformat()} lies more than a period back: give the start"
            " of the period that runs, or of one to come"
        )
        raise CommandRefusedError(message)
    return Agreement(
        Price(command.amount, command.tax_free),
        command.order_name,
        cycle,
        quantity=command.quantity,
        product=command.product,
        buyer_ref=command.buyer_ref,
        trial_end_at=trial_end_at,
    )


def _trial_end_at(command: StartSubscription, now: datetime) -> datetime | None:
    """Return when the free trial ends; its days are those of the subscription's zone."""
    if command.trial_days is not None:
        days = BillingCycle(now, Interval(IntervalUnit.DAY, command.trial_days), command.time_zone)
        return days.period(1).start_at
    if command.trial_end_at is None:
        return None
    if command.trial_end_at <= now:
        message = f"trial_end_at {command.trial_end_at.isoformat()} has passed: leave the trial out"
        raise CommandRefusedError(message)
    return command.trial_end_at.astimezone(UTC)


def _together(one: Price, other: Price) -> Price:
    return Price(one.amount + other.amount, one.tax_free + other.tax_free)


async def _add(connection: AsyncConnection, new: NewSubscription, now: datetime) -> None:
    """Add the subscription, unless there is one of its id."""
    try:
        async with connection.begin_nested():
            await subscriptions.add(connection, [new], now)
    except IntegrityError as error:
        if await subscriptions.get(connection, new.id) is None:
            raise
        message = f"there is a subscription {new.id} already: leave subscription_id out"
        raise CommandRefusedError(message) from error


async def _require_alive(connection: AsyncConnection, customer_uid: str) -> None:
    """Refuse a billing key that is gone; nobody takes it away while it is held."""
    key = await billing_keys.lock(connection, customer_uid)
    if key is not None and key.status in _GONE:
        message = (
            f"the billing key is {key.status}, so nothing could be collected with it: have the"
            " buyer register one, with billing_key.register"
        )
        raise CommandRefusedError(message)


async def _take_trial(connection: AsyncConnection, id_: UUID, agreement: Agreement) -> None:
    """Give the one trial that a buyer has of a product."""
    if agreement.buyer_ref is None or agreement.product is None:
        message = (
            "a free trial is given once a buyer and product (DALMADA_TRIAL_ONCE): give buyer_ref"
            " and product"
        )
        raise CommandRefusedError(message)
    if not await agreement_writes.take_trial(
        connection, agreement.buyer_ref, agreement.product, id_
    ):
        message = (
            f"this buyer has had a free trial of {agreement.product} (DALMADA_TRIAL_ONCE): start"
            " without one"
        )
        raise CommandRefusedError(message)
