"""How the life of a subscription looks: its trial, pause, changes, consents, what comes next."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from shared.billing.errors import BillingError
from shared.billing.lifecycle import LIVING
from shared.billing.renewal import Outstanding, Renewal, RenewalPolicies, renew
from shared.billing.reserving import CollectBy
from shared.billing.subscription import Subscription
from worker.console.line_view import lines_document, print_lines
from worker.console.rendering import (
    Json,
    both,
    iso,
    local,
    price,
    print_line,
    print_table,
    won,
)

if TYPE_CHECKING:
    from shared.billing.change import Terms
    from shared.db.life_readings import AdjustmentCard, ChangeCard, ConsentCard, Life

# What handlers tell in won.
_MONEY = frozenset({"charged_later", "next_amount"})
# What they tell of the subscription itself, which is shown as it was and as it will be.
_OF_ITSELF = frozenset({"by", "keeps", "pause_at", "resume_at", "status", "trial_end_at"})

_COLLECTORS = {
    CollectBy.CHARGE: "us",
    CollectBy.RESERVATION: "PortOne, at an instant reserved ahead",
}


def foresee_renewal(
    subscription: Subscription, life: "Life", policies: RenewalPolicies
) -> Renewal | None:
    """Return what the next renewal will change as things stand, or None if none is to come."""
    if subscription.next_renewal_at is None or subscription.status not in LIVING:
        return None
    outstanding = Outstanding(
        life.pending,
        tuple(card.adjustment for card in life.adjustments),
        tuple(card.consent for card in life.consents),
    )
    try:
        period = subscription.agreement.cycle.period(subscription.next_period_index)
        # Where the scheduler stood still, more than one has begun: this is the first of them.
        return renew(subscription, period.start_at, policies, outstanding)
    except (BillingError, OverflowError):
        return None


def cost_of(subscription: Subscription, renewal: Renewal | None) -> str:
    """Return what the next renewal will come to, for people."""
    zone = subscription.agreement.cycle.time_zone
    if renewal is None:
        return "nothing"
    if renewal.ends_at is not None:
        asked = ", ".join(f"{missing.kind} {won(missing.amount)}" for missing in renewal.missing)
        return f"nothing: it ends before, for no consent is given: {asked}"
    for skipped in renewal.skipped:
        return f"nothing: {skipped.reason}"
    for invoice in renewal.invoices:
        return price(invoice.price)
    if subscription.cancel_at is not None:
        return f"nothing: it ends at {local(subscription.cancel_at, zone)}"
    return "nothing"


def life_document(
    subscription: Subscription, life: "Life", policies: RenewalPolicies
) -> dict[str, Json]:
    """Return the life of a subscription for programs."""
    renewal = foresee_renewal(subscription, life, policies)
    return {
        "consented_amount": subscription.consented_amount,
        "dunning_enabled": life.dunning_enabled,
        "collect_by": life.collect_by,
        "changes": [_change_document(card) for card in life.changes],
        "adjustments": [_adjustment_document(card) for card in life.adjustments],
        "consents": [_consent_document(card) for card in life.consents],
        "next_renewal": None if renewal is None else _renewal_document(renewal),
    }


def life_fields(subscription: Subscription, life: "Life") -> dict[str, str]:
    """Return what has a line of its own, for people."""
    zone = subscription.agreement.cycle.time_zone
    fields = {}
    if subscription.agreement.trial_end_at is not None:
        fields["free until"] = both(subscription.agreement.trial_end_at, zone)
    if subscription.pause_at is not None:
        fields["paused from"] = both(subscription.pause_at, zone)
        fields["resumes"] = both(subscription.resume_at, zone)
        fields["a pause keeps"] = f"the {subscription.pause_keeps}"
    fields["agreed to at most"] = won(subscription.consented_amount or 0)
    fields["collected by"] = _COLLECTORS[life.collect_by]
    if not life.dunning_enabled:
        fields["dunning"] = "off: what is declined is not tried again by itself"
    return fields


def print_life(subscription: Subscription, life: "Life", policies: RenewalPolicies) -> None:
    """Print what the next renewal costs line by line, and everything that it depends on."""
    zone = subscription.agreement.cycle.time_zone
    renewal = foresee_renewal(subscription, life, policies)
    for invoice in renewal.invoices if renewal else ():
        print_line("the next renewal, as things stand")
        print_lines(invoice.lines, invoice.price)
    for title, columns, rows in (
        (
            "change",
            ("from", "what", "requester", "status", "message"),
            [_change_row(card, zone) for card in life.changes],
        ),
        (
            "adjustment",
            ("kind", "what for", "given", "left"),
            [_adjustment_row(card) for card in life.adjustments],
        ),
        (
            "consent",
            ("kind", "before", "after", "given", "from"),
            [_consent_row(card, zone) for card in life.consents],
        ),
    ):
        if rows:
            print_line()
            print_table((title, *columns), rows)


def deed_fields(
    told: Mapping[str, Json],
    before: Mapping[str, str],
    after: Mapping[str, str],
    zone: str,
) -> dict[str, str]:
    """Return what a deed is about, for whoever confirms it: how it is, and how it will be."""
    fields = {}
    for name in (*before, *(name for name in after if name not in before)):
        was, will = before.get(name, "-"), after.get(name, "-")
        fields[name] = was if was == will else f"{was} → {will}"
    # Whatever has a number now has it no longer: all was taken back.
    besides = {
        name: value
        for name, value in told.items()
        if name not in _OF_ITSELF and not name.endswith(("_id", "_ids"))
    }
    return fields | told_fields(besides, zone)


def told_fields(told: Mapping[str, Json], zone: str) -> dict[str, str]:
    """Return what a command's result tells, for people."""
    return {
        name.removesuffix("_id").replace("_", " "): _told(name, value, zone)
        for name, value in told.items()
    }


def terms_text(terms: "Terms") -> str:
    """Return in words what of an agreement changes."""
    parts = []
    if terms.price is not None:
        parts.append(f"{price(terms.price)} each")
    if terms.quantity is not None:
        parts.append(f"quantity {terms.quantity}")
    if terms.order_name is not None:
        parts.append(terms.order_name)
    if terms.interval is not None:
        parts.append(f"every {terms.interval.count} {terms.interval.unit}")
    return ", ".join(parts)


def _told(name: str, value: Json, zone: str) -> str:
    match value:
        case None:
            text = "-"
        case bool():
            text = "yes" if value else "no"
        case int() if name in _MONEY:
            text = won(value)
        case str() if name.endswith(("_at", "_until")):
            text = both(datetime.fromisoformat(value), zone)
        case Mapping():
            text = ", ".join(f"{key} {_told(key, part, zone)}" for key, part in value.items())
        case list() | tuple():
            text = ", ".join(_told(name, part, zone) for part in value) or "-"
        case _:
            text = str(value)
    return text


def _renewal_document(renewal: Renewal) -> dict[str, Json]:
    """Return what the next renewal will change; what needs a consent that is not there is named."""
    document: dict[str, Json] = {
        "period_index": renewal.before.next_period_index,
        "ends_at": iso(renewal.ends_at),
        "skipped": next((str(skipped.reason) for skipped in renewal.skipped), None),
        "consents_missing": [
            {"kind": missing.kind, "amount": missing.amount, "change_id": missing.change_id}
            for missing in renewal.missing
        ],
        "amount": None,
        "tax_free": None,
        "lines": None,
    }
    for invoice in renewal.invoices:
        document |= {
            "amount": invoice.price.amount,
            "tax_free": invoice.price.tax_free,
            "lines": lines_document(invoice.lines),
        }
    return document


def _change_document(card: "ChangeCard") -> dict[str, Json]:
    change = card.change
    terms = change.terms
    return {
        "id": change.id,
        "status": card.status,
        "effective_at": iso(change.effective_at),
        "amount": None if terms.price is None else terms.price.amount,
        "tax_free": None if terms.price is None else terms.price.tax_free,
        "quantity": terms.quantity,
        "order_name": terms.order_name,
        "interval_unit": None if terms.interval is None else terms.interval.unit,
        "interval_count": None if terms.interval is None else terms.interval.count,
        "requester": change.requester,
        "noticed_at": iso(card.noticed_at),
        "applied_index": card.applied_index,
        "message": card.message,
    }


def _adjustment_document(card: "AdjustmentCard") -> dict[str, Json]:
    adjustment = card.adjustment
    return {
        "id": adjustment.id,
        "kind": adjustment.kind,
        "description": adjustment.description,
        "amount": card.given.amount,
        "tax_free": card.given.tax_free,
        "amount_left": adjustment.left.amount,
        "tax_free_left": adjustment.left.tax_free,
        "percent": adjustment.percent,
        "periods_left": adjustment.periods_left,
    }


def _consent_document(card: "ConsentCard") -> dict[str, Json]:
    return {
        "id": card.id,
        "kind": card.consent.kind,
        "amount_before": card.amount_before,
        "amount_after": card.consent.amount_after,
        "effective_at": iso(card.effective_at),
        "given_at": iso(card.consent.given_at),
    }


def _change_row(card: "ChangeCard", zone: str) -> tuple[str, ...]:
    change = card.change
    return (
        str(change.id),
        local(change.effective_at, zone),
        terms_text(change.terms),
        change.requester,
        card.status,
        card.message or "-",
    )


def _adjustment_row(card: "AdjustmentCard") -> tuple[str, ...]:
    adjustment = card.adjustment
    given = price(card.given)
    left = price(adjustment.left)
    if adjustment.percent is not None:
        given = f"{adjustment.percent} %"
    if adjustment.periods_left is not None:
        left = f"{adjustment.periods_left} periods"
    return (
        str(adjustment.id),
        adjustment.kind.replace("_", " "),
        adjustment.description,
        given,
        left,
    )


def _consent_row(card: "ConsentCard", zone: str) -> tuple[str, ...]:
    return (
        str(card.id),
        card.consent.kind.replace("_", " "),
        "-" if card.amount_before is None else won(card.amount_before),
        won(card.consent.amount_after),
        local(card.consent.given_at, zone),
        local(card.effective_at, zone),
    )
