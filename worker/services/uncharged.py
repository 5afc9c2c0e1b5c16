"""How due invoices end, or stop, without the gateway being asked for money: pure decisions."""

from dataclasses import replace
from datetime import datetime, timedelta

from shared.billing.attempt import AttemptStatus, Claim
from shared.billing.cancellation import look_again_at
from shared.billing.collection import status_after
from shared.billing.dunning import DunningPolicy
from shared.billing.events import Event, EventName
from shared.billing.invoice import InvoiceStatus
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.money import Collectability, collectability, minimum_amount_text
from shared.billing.rules import CollectionRules, InquiryPolicy
from shared.billing.subscription import BillingKeyStatus
from shared.db.claims import DueInvoice
from shared.db.invoices import Closing

# A row that cannot be charged is looked at again after this, and meanwhile blocks nobody.
POSTPONED_FOR = timedelta(hours=1)


def is_dunning(item: DueInvoice) -> bool:
    """Say whether a charge would be one more try of ours with a method that was refused."""
    return item.is_dunning and not item.is_buyers


def is_lost(item: DueInvoice) -> bool:
    """Say whether a send was lost of an attempt that waits, while its subscription lives.

    Of one that is canceled its end takes care.
    """
    waits = item.unsettled is AttemptStatus.WAITING and item.claim.unknown_since is not None
    return waits and item.subscription_status is not SubscriptionStatus.CANCELED


def lost_is_asked_at(item: DueInvoice, policy: InquiryPolicy, now: datetime) -> datetime | None:
    """Return when the gateway is asked about a lost send that is not sent again, or None."""
    doubt_since = item.claim.unknown_since
    return doubt_since and look_again_at(doubt_since, now, policy)


def without_call(
    item: DueInvoice, minimum_amount: int, rules: CollectionRules, now: datetime
) -> Closing | None:
    """Return how a due invoice ends, or stops, without the gateway; None if it is to be charged.

    A send that was lost would come to light by being sent again. Where nothing is sent, the gateway
    is asked on instead; once it has been silent for long enough, no money moved.
    """
    closing = _decided(item, minimum_amount, rules.dunning, now)
    if closing is None or not is_lost(item):
        return closing
    if lost_is_asked_at(item, rules.inquiry, now) is not None:
        text = f"a send that was lost is looked for, before anything else: {closing.message}"
        return replace(
            closing, status=InvoiceStatus.OPEN, message=text, event=None, next_attempt_at=None
        )
    believed = replace(item, claim=replace(item.claim, unknown_since=None))
    return _decided(believed, minimum_amount, rules.dunning, now)


def _decided(  # noqa: PLR0911 - a decision table, one row a return
    item: DueInvoice, minimum_amount: int, dunning: DunningPolicy, now: datetime
) -> Closing | None:
    """Return how a due invoice ends, or stops, if no lost send of it is to be asked about.

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
    # The buyer's own wish does not end with the grace period: a new method sends it again.
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
    subscription's switch makes due what it had stopped. An attempt that waits is none of it: it is
    sent again, switched off or not.
    """
    if not is_dunning(item) or (dunning.enabled and item.dunning_enabled):
        return None
    what = "for this subscription" if dunning.enabled else "by the settings"
    text = (
        f"dunning is switched off {what}: waits for the buyer, for a new payment method, or for"
        " dunning to be switched on"
    )
    stopped = _waiting(item.claim, text, dunning, now)
    if dunning.enabled:
        return replace(stopped, planned_attempt_at=item.claim.planned_attempt_at or item.due_at)
    look_at = now + POSTPONED_FOR
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
