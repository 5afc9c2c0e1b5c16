"""What the commands ask of the database, each in one transaction."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import Attempt
from shared.billing.invoice import Invoice, InvoiceStatus
from shared.billing.subscription import BillingKeyStatus, Subscription, SubscriptionStatus
from shared.db import attempts, dead_letters, holds, invoices, readings, subscriptions
from shared.db.readings import BillingKey
from shared.db.subscriptions import NewSubscription
from worker.console.endings import RefusedError
from worker.console.health import Vitals

DEAD_LETTERS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class ListedSubscriptions:
    """Subscriptions, newest first, with the status of their billing keys by id."""

    subscriptions: tuple[Subscription, ...]
    key_statuses: dict[int, BillingKeyStatus]


@dataclass(frozen=True, slots=True)
class SubscriptionCard:
    """One subscription with all that belongs to it; its invoices newest first."""

    subscription: Subscription
    billing_key: BillingKey
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


async def add_subscription(
    connection: AsyncConnection, new: NewSubscription, now: datetime
) -> None:
    """Add a subscription; nothing is written if its billing key is dead.

    Raises:
        RefusedError: The key is known and dead.
    """
    if await subscriptions.get(connection, new.id) is not None:
        # An earlier run of this transaction was committed before its connection broke.
        return
    await subscriptions.add(connection, [new], now)
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
    """Return one subscription with its key and its newest invoices.

    Raises:
        RefusedError: There is none of this id.
    """
    subscription = await subscriptions.get(connection, subscription_id)
    billing_key = await readings.billing_key_of(connection, subscription_id)
    if subscription is None or billing_key is None:
        raise RefusedError(
            f"there is no subscription {subscription_id}; `dalmada subscription list` names them."
        )
    found = await invoices.newest(connection, limit=invoices_max, subscription_id=subscription_id)
    return SubscriptionCard(subscription, billing_key, tuple(found))


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
        raise RefusedError(
            f"there is no subscription {subscription_id}; `dalmada subscription list` names them."
        )
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


async def take_vitals(connection: AsyncConnection, now: datetime) -> Vitals:
    """Return everything that tells whether billing goes on."""
    due, oldest_at = await invoices.due_backlog(connection, now)
    return Vitals(
        subscriptions=await subscriptions.counts(connection),
        invoices=await invoices.counts(connection),
        attempts_unresolved=await attempts.unresolved_counts(connection),
        renewals_due=await readings.renewals_due(connection, now),
        invoices_due=readings.Backlog(due, oldest_at),
        inquiries_due=await readings.inquiries_due(connection, now),
        events_waiting=await readings.events_waiting(connection),
        dead_letter_count=await readings.dead_letter_count(connection),
        dead_letters=tuple(await dead_letters.newest(connection, DEAD_LETTERS_SHOWN)),
        hold=await holds.current(connection, now),
    )
