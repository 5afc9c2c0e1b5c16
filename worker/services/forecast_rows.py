"""What is due of subscriptions, row by row: pure decisions, by the rules of renewals and claims."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.billing.attempt import AttemptOrigin, AttemptStatus
from shared.billing.charge_hours import ChargeHours
from shared.billing.forecast import Expected, Missing, Outlook, Why
from shared.billing.invoice import InvoiceStatus, NewInvoice
from shared.billing.lines import LineKind
from shared.billing.money import Collectability, Price, collectability, minimum_amount_text
from shared.billing.renewal import Outstanding, Renewal, RenewalPolicies
from shared.billing.rules import CollectionRules
from shared.billing.subscription import BillingKeyStatus
from shared.db.claims import DueInvoice
from shared.db.forecast_readings import Faulty, Standing
from worker.services.forecast_walk import ahead
from worker.services.uncharged import without_call


@dataclass(frozen=True, slots=True)
class ForecastRules:
    """The settings that decide over what is charged, as the processes have them."""

    renewals: RenewalPolicies
    collection: CollectionRules

    @property
    def minimum_amount(self) -> int:
        """The least that the gateway charges, in won."""
        return self.renewals.minimum_amount

    @property
    def hours(self) -> ChargeHours:
        """When charges may be made."""
        return self.collection.hours


def of_renewals(
    standing: Standing,
    outstanding: Outstanding,
    rules: ForecastRules,
    now: datetime,
    until: datetime,
) -> Iterator[Expected]:
    """Return what will be due of invoices that renewals are still to open.

    Raises:
        BillingError: The subscription cannot be counted as its row stands.
    """
    walk = ahead(
        standing.subscription,
        outstanding,
        rules.renewals,
        now,
        until,
        is_billed=standing.is_billed,
    )
    for at, renewal in walk:
        yield from _refused(renewal, at)
        for invoice in renewal.invoices:
            expected = _opened(standing, renewal, invoice, at, rules)
            if expected.at < until:
                yield expected


def of_invoice(
    item: DueInvoice, cancel_at: datetime | None, rules: ForecastRules, now: datetime
) -> Expected:
    """Return what will become of an open invoice when it is due."""
    claim = item.claim
    due_at = max(item.due_at, now)
    origin = AttemptOrigin.BUYER if item.is_buyers else AttemptOrigin.SCHEDULE
    closing = without_call(item, rules.minimum_amount, rules.collection, due_at)
    at = due_at
    if closing is None:
        window = rules.collection.leases.send_window
        at = rules.hours.of(origin).next_claim(due_at, window)
        # A grace period may end while the hours are closed.
        closing = without_call(item, rules.minimum_amount, rules.collection, at)
    outlook, note = Outlook.CHARGED, None
    if cancel_at is not None and cancel_at <= at:
        outlook, note = Outlook.VOID, f"the subscription ends at {cancel_at.isoformat()}"
    elif closing is not None:
        outlook, note = _OUTLOOKS[closing.status], closing.message
    return Expected(
        claim.subscription_id,
        claim.period.index,
        at,
        claim.price,
        _why(item),
        outlook,
        note,
        claim.invoice_id,
    )


def of_faulty(faulty: Faulty, now: datetime) -> Expected:
    """Return that nobody can say what is due of a subscription, or of an invoice of its."""
    return Expected(
        faulty.id,
        faulty.period_index,
        max(faulty.due_at or now, now),
        Price(0),
        Why.RENEWAL if faulty.invoice_id is None else Why.OPENED,
        Outlook.FAULTY,
        faulty.fault,
        faulty.invoice_id,
    )


def in_order(rows: Iterable[Expected]) -> list[Expected]:
    """Return rows in order, one for each period: an invoice that is there goes before."""
    kept: dict[tuple[object, int], Expected] = {}
    for row in rows:
        if row.order not in kept or row.invoice_id is not None:
            kept[row.order] = row
    return sorted(kept.values(), key=lambda row: row.order)


def _opened(
    standing: Standing,
    renewal: Renewal,
    invoice: NewInvoice,
    opened_at: datetime,
    rules: ForecastRules,
) -> Expected:
    """Return what is due of an invoice that is about to be opened."""
    index, first = invoice.period.index, renewal.invoices[0]
    window = rules.collection.leases.send_window
    at = rules.hours.next_claim(invoice.next_attempt_at or opened_at, window)
    outlook, note = _first_outlook(standing, invoice.price, rules.minimum_amount)
    cancel_at = standing.subscription.cancel_at
    if cancel_at is not None and cancel_at <= at:
        outlook, note = Outlook.VOID, f"the subscription ends at {cancel_at.isoformat()}"
    why = Why.RENEWAL
    if renewal.is_converted and invoice is first:
        why = Why.CONVERSION
    elif renewal.caught_up is not None:
        why = Why.CATCH_UP
    return Expected(
        invoice.subscription_id,
        index,
        at,
        invoice.price,
        why,
        outlook,
        note,
        lines=tuple(
            (line.kind, line.amount)
            for line in invoice.lines
            if line.kind is not LineKind.RECURRING
        ),
        changes=tuple(
            each.change.id
            for each in renewal.decided
            if each.refusal is None and each.period_index == index
        ),
        missing=tuple(
            Missing(each.kind, each.amount, each.change_id)
            for each in renewal.missing
            if each.period.index == index
        ),
    )


def _refused(renewal: Renewal, at: datetime) -> Iterator[Expected]:
    """Return the period that does not begin for want of a consent."""
    if renewal.ends_at is None or not renewal.missing:
        return
    missing = renewal.missing[-1]
    yield Expected(
        renewal.before.id,
        missing.period.index,
        at,
        Price(missing.amount),
        Why.RENEWAL,
        Outlook.ENDS,
        "the buyer has not consented: the subscription ends",
        missing=tuple(
            Missing(each.kind, each.amount, each.change_id)
            for each in renewal.missing
            if each.period.index == missing.period.index
        ),
    )


def _first_outlook(
    standing: Standing, price: Price, minimum_amount: int
) -> tuple[Outlook, str | None]:
    """Return what a first claim makes of an invoice."""
    match collectability(price, minimum_amount):
        case Collectability.SETTLE_WITHOUT_CALL:
            return Outlook.SETTLED, None
        case Collectability.BELOW_MINIMUM:
            return Outlook.UNCOLLECTIBLE, minimum_amount_text(minimum_amount)
        case Collectability.CHARGE:
            pass
    if standing.key_status is not BillingKeyStatus.ACTIVE:
        text = f"the billing key is {standing.key_status}: waits for a new payment method"
        return Outlook.WAITS, text
    return Outlook.CHARGED, None


def _why(item: DueInvoice) -> Why:
    if item.is_buyers:
        return Why.BUYER
    if item.unsettled is AttemptStatus.WAITING:
        return Why.AGAIN
    return Why.RETRY if item.claim.number > 1 else Why.OPENED


_OUTLOOKS: Final = {
    InvoiceStatus.OPEN: Outlook.WAITS,
    InvoiceStatus.PAID: Outlook.SETTLED,
    InvoiceStatus.UNCOLLECTIBLE: Outlook.UNCOLLECTIBLE,
    InvoiceStatus.VOID: Outlook.VOID,
}
