"""What the commands ask of the database, each in one transaction."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import Attempt
from shared.billing.events import Json
from shared.billing.invoice import Invoice, InvoiceStatus
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.notice import NoticeLeads
from shared.billing.reserving import CollectBy, ReservationStatus
from shared.billing.subscription import BillingKeyStatus, Subscription
from shared.db import (
    agreement_writes,
    attempts,
    audit,
    backlogs,
    endpoints,
    holds,
    installation,
    invoices,
    letters,
    life_readings,
    outbox,
    payment_readings,
    readings,
    reconciliation_rows,
    reconciliation_runs,
    reservation_readings,
    reserved_periods,
    subscriptions,
)
from shared.db.backlogs import Backlog
from shared.db.letters import Letter
from shared.db.life_readings import Life
from shared.db.payment_readings import PaidPeriod, PaymentCard, RefundCard
from shared.db.readings import BillingKey, KeyCard
from shared.db.reservation_readings import ReservationCard
from shared.db.subscriptions import NewSubscription
from worker.console.endings import RefusedError
from worker.console.health import Vitals
from worker.services.life.collecting import switched

DEAD_LETTERS_SHOWN = 5
# How many changes that are over, and how many consents.
LIFE_SHOWN = 10


@dataclass(frozen=True, slots=True)
class ListedSubscriptions:
    """Subscriptions, newest first, with the status of their billing keys by id."""

    subscriptions: tuple[Subscription, ...]
    key_statuses: dict[int, BillingKeyStatus]


@dataclass(frozen=True, slots=True)
class SubscriptionCard:
    """One subscription with all that belongs to it; its invoices newest first.

    Attributes:
        reservation: What PortOne is to collect of it, or has collected for a period to come.
    """

    subscription: Subscription
    billing_key: BillingKey
    life: Life
    reservation: ReservationCard | None
    invoices: tuple[Invoice, ...]


@dataclass(frozen=True, slots=True)
class ListedInvoices:
    """Invoices, newest first, with the time zone in which each subscription is counted."""

    invoices: tuple[Invoice, ...]
    time_zones: dict[UUID, str]


@dataclass(frozen=True, slots=True)
class InvoiceCard:
    """One invoice with its attempts, oldest first."""

    invoice: Invoice
    attempts: tuple[Attempt, ...]
    time_zone: str


@dataclass(frozen=True, slots=True)
class Ending:
    """What the end of a subscription would be.

    Attributes:
        late_payment: What goes back of a payment that turns out paid after it.
        paid: The period that runs when it ends at once, if it is paid for.
    """

    subscription: Subscription
    billing_key: BillingKey
    cancel_at: datetime
    late_payment: str
    paid: PaidPeriod | None


async def add_subscription(
    connection: AsyncConnection,
    new: NewSubscription,
    collect_by: CollectBy,
    actor: str,
    now: datetime,
) -> None:
    """Add a subscription and note who did; nothing is written if its billing key is dead.

    Raises:
        RefusedError: The key is known and dead.
    """
    if await subscriptions.get(connection, new.id) is not None:
        # An earlier run of this transaction was committed before its connection broke.
        return
    await audit.note(
        connection, actor=actor, action="subscription add", subject=f"subscription {new.id}"
    )
    await subscriptions.add(connection, [new], now)
    if await reserved_periods.switch(connection, new.id, collect_by):
        await outbox.write(connection, [switched(new.id, collect_by, now)])
    terms = new.agreement
    if terms.trial_end_at and terms.buyer_ref and terms.product:
        # Given elsewhere, and given all the same: it is the one that the buyer has had.
        await agreement_writes.take_trial(connection, terms.buyer_ref, terms.product, new.id)
    key = await readings.billing_key_of(connection, new.id)
    if key is not None and key.status is BillingKeyStatus.DEAD:
        raise RefusedError(
            "this billing key is dead: the gateway said that it is not registered any more, so"
            " nothing could be collected with it. Register a new one with the buyer."
        )


async def list_subscriptions(
    connection: AsyncConnection, limit: int, status: SubscriptionStatus | None
) -> ListedSubscriptions:
    """Return the newest subscriptions."""
    found = await subscriptions.newest(connection, limit=limit, status=status)
    keys: Collection[int] = {subscription.billing_key_id for subscription in found}
    return ListedSubscriptions(tuple(found), await readings.key_statuses(connection, keys))


async def show_subscription(
    connection: AsyncConnection, subscription_id: UUID, invoices_max: int
) -> SubscriptionCard:
    """Return one subscription with its key, its life and its newest invoices.

    Raises:
        RefusedError: There is none of this id.
    """
    subscription, billing_key = await _subscription(connection, subscription_id)
    life = await life_readings.life_of(connection, subscription_id, LIFE_SHOWN)
    found = await invoices.newest(connection, limit=invoices_max, subscription_id=subscription_id)
    reserved = await reservation_readings.live(connection, subscription_id)
    return SubscriptionCard(subscription, billing_key, life, reserved, tuple(found))


async def list_invoices(
    connection: AsyncConnection,
    limit: int,
    status: InvoiceStatus | None,
    subscription_id: UUID | None,
) -> ListedInvoices:
    """Return the newest invoices, of one subscription or of all.

    Raises:
        RefusedError: There is no such subscription.
    """
    found = await invoices.newest(
        connection, limit=limit, status=status, subscription_id=subscription_id
    )
    asked = {invoice.subscription_id for invoice in found}
    if subscription_id is not None:
        asked.add(subscription_id)
    zones = await readings.time_zones(connection, asked)
    if subscription_id is not None and subscription_id not in zones:
        raise _no_subscription(subscription_id)
    return ListedInvoices(tuple(found), zones)


async def show_invoice(connection: AsyncConnection, invoice_id: int) -> InvoiceCard:
    """Return one invoice with its attempts.

    Raises:
        RefusedError: There is none of this id.
    """
    invoice = await invoices.get(connection, invoice_id)
    if invoice is None:
        raise RefusedError(
            f"there is no invoice {invoice_id}; `dalmada invoice list` names the newest."
        )
    found = await attempts.of_invoice(connection, invoice_id)
    zones = await readings.time_zones(connection, [invoice.subscription_id])
    return InvoiceCard(invoice, tuple(found), zones[invoice.subscription_id])


async def foresee_ending(
    connection: AsyncConnection,
    subscription_id: UUID,
    told: Mapping[str, Json],
    paid_at: datetime | None,
) -> Ending:
    """Return what the end of a subscription would be, which its command has told.

    Args:
        connection: The transaction.
        subscription_id: The subscription.
        told: What the command told of the end.
        paid_at: When the period runs of which something may go back, or None for none.

    Raises:
        RefusedError: There is none of this id.
    """
    subscription, billing_key = await _subscription(connection, subscription_id)
    paid = None
    if paid_at is not None:
        paid = await payment_readings.paid_period(connection, subscription_id, paid_at)
    cancel_at = datetime.fromisoformat(str(told["cancel_at"]))
    return Ending(subscription, billing_key, cancel_at, str(told["late_payment"]), paid)


async def list_payments(
    connection: AsyncConnection, limit: int, subscription_id: UUID | None
) -> list[PaymentCard]:
    """Return the newest payments, of one subscription or of all.

    Raises:
        RefusedError: There is no such subscription.
    """
    if subscription_id is not None:
        await _subscription(connection, subscription_id)
    return await payment_readings.newest(connection, limit=limit, subscription_id=subscription_id)


async def show_payment(
    connection: AsyncConnection, imp_uid: str
) -> tuple[PaymentCard, list[RefundCard]]:
    """Return one payment with its refunds, oldest first.

    Raises:
        RefusedError: There is none of this id.
    """
    card = await payment_readings.of_imp_uid(connection, imp_uid)
    if card is None:
        raise RefusedError(f"there is no payment {imp_uid}; `dalmada payment list` names them.")
    return card, await payment_readings.refunds_of(connection, card.payment.id)


async def list_reservations(
    connection: AsyncConnection,
    limit: int,
    status: ReservationStatus | None,
    subscription_id: UUID | None,
) -> list[ReservationCard]:
    """Return the newest reservations, of one subscription or of all.

    Raises:
        RefusedError: There is no such subscription.
    """
    if subscription_id is not None:
        await _subscription(connection, subscription_id)
    return await reservation_readings.newest(
        connection, limit=limit, subscription_id=subscription_id, status=status
    )


async def list_keys(
    connection: AsyncConnection, limit: int, status: BillingKeyStatus | None
) -> list[KeyCard]:
    """Return the newest billing keys."""
    return await readings.newest_keys(connection, limit=limit, status=status)


async def show_key(connection: AsyncConnection, key_id: int) -> tuple[KeyCard, list[UUID]]:
    """Return one billing key with the subscriptions that are billed with it.

    Raises:
        RefusedError: There is none of this number.
    """
    card = await readings.key_card(connection, key_id)
    if card is None:
        raise RefusedError(
            f"there is no billing key {key_id}; `dalmada billing-key list` names them."
        )
    return card, await readings.subscriptions_of(connection, key_id)


async def show_letter(connection: AsyncConnection, letter_id: int) -> Letter:
    """Return one dead letter.

    Raises:
        RefusedError: There is none of this number.
    """
    letter = await letters.get(connection, letter_id)
    if letter is None:
        raise RefusedError(
            f"there is no dead letter {letter_id}; `dalmada dead-letter list --all` names them."
        )
    return letter


async def take_vitals(connection: AsyncConnection, now: datetime, leads: NoticeLeads) -> Vitals:
    """Return everything that tells whether billing goes on."""
    due, oldest_at = await invoices.due_backlog(connection, now)
    return Vitals(
        subscriptions=await subscriptions.counts(connection),
        invoices=await invoices.counts(connection),
        attempts_unresolved=await attempts.unresolved_counts(connection),
        refunds_unresolved=await payment_readings.refund_counts(connection),
        renewals_due=await backlogs.renewals_due(connection, now),
        invoices_due=Backlog(due, oldest_at),
        inquiries_due=await backlogs.inquiries_due(connection, now),
        refunds_due=await backlogs.refunds_due(connection, now),
        refund_inquiries_due=await backlogs.refund_inquiries_due(connection, now),
        hints_due=await backlogs.hints_due(connection, now),
        windows_due=await backlogs.windows_due(connection, now),
        removals_due=await backlogs.removals_due(connection),
        endings_due=await backlogs.endings_due(connection, now),
        reservations_due=await backlogs.reservations_due(connection, now),
        pauses_due=await backlogs.pauses_due(connection, now),
        changes_due=await backlogs.changes_due(connection, now),
        notices_due=await backlogs.notices_due(connection, now, leads),
        events_waiting=await backlogs.events_waiting(connection),
        deliveries_due=await backlogs.deliveries_due(connection, now),
        deliveries_given_up=await endpoints.given_up_count(connection),
        endpoints_disabled=await endpoints.failed_count(connection),
        discrepancies_open=await reconciliation_rows.open_count(connection),
        reconciliation_fault=await reconciliation_runs.newest_fault(connection),
        dead_letter_count=await letters.open_count(connection),
        dead_letters=tuple(await letters.newest(connection, limit=DEAD_LETTERS_SHOWN)),
        hold=await holds.current(connection, now),
        installation=await installation.read(connection),
    )


async def _subscription(
    connection: AsyncConnection, subscription_id: UUID
) -> tuple[Subscription, BillingKey]:
    subscription = await subscriptions.get(connection, subscription_id)
    billing_key = await readings.billing_key_of(connection, subscription_id)
    if subscription is None or billing_key is None:
        raise _no_subscription(subscription_id)
    return subscription, billing_key


def _no_subscription(subscription_id: UUID) -> RefusedError:
    return RefusedError(
        f"there is no subscription {subscription_id}; `dalmada subscription list` names them."
    )
