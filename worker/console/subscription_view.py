"""How subscriptions look: one JSON document for programs, tables and lines for people."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.billing.calendar import BillingCycle, Interval, Period
from shared.billing.cancellation import RefundChoice, refund_of, unused_days
from shared.billing.errors import BillingError
from shared.billing.merchant_uid import merchant_uid
from shared.billing.renewal import RenewalPolicies
from shared.billing.subscription import Agreement, BillingKeyStatus, Subscription
from worker.console.buyers import masked_document, masked_fields
from worker.console.invoice_view import invoice_document, print_invoices
from worker.console.life_view import (
    cost_of,
    foresee_renewal,
    life_document,
    life_fields,
    print_life,
)
from worker.console.rendering import (
    Json,
    both,
    iso,
    local,
    price,
    print_fields,
    print_json,
    print_line,
    print_more,
    print_table,
    won,
)
from worker.console.reservation_view import reservation_document, reservation_text
from worker.console.terms import first_merchant_uid

if TYPE_CHECKING:
    from shared.jobs.commands import CancelSubscription
    from worker.console.queries import Ending, ListedSubscriptions, SubscriptionCard

_PERIODS_SHOWN = 3


def write_added(subscription_id: UUID, agreement: Agreement) -> None:
    """Print what was added, for programs."""
    first_at = agreement.cycle.period(agreement.first_period_index).start_at
    print_json(
        {
            "id": str(subscription_id),
            **_terms_document(agreement),
            "first_period_index": agreement.first_period_index,
            "first_renewal_at": iso(first_at),
            "first_renewal_local": first_at.astimezone(
                ZoneInfo(agreement.cycle.time_zone)
            ).isoformat(),
            "first_merchant_uid": first_merchant_uid(subscription_id, agreement),
        }
    )


def print_added(subscription_id: UUID, agreement: Agreement, now: datetime) -> None:
    """Print what was added, for people."""
    first_at = agreement.cycle.period(agreement.first_period_index).start_at
    print_fields(
        {
            "subscription": str(subscription_id),
            **terms_fields(agreement),
            "first period": str(agreement.first_period_index),
            "first renewal": both(first_at, agreement.cycle.time_zone)
            + (", which is due now" if first_at <= now else ""),
            "first merchant_uid": first_merchant_uid(subscription_id, agreement),
        }
    )


def write_list(found: "ListedSubscriptions", limit: int) -> None:
    """Print at most ``limit`` subscriptions for programs, and whether there are more."""
    print_json(
        {
            "subscriptions": [
                _document(item, found.key_statuses[item.billing_key_id])
                for item in found.subscriptions[:limit]
            ],
            "more": len(found.subscriptions) > limit,
        }
    )


def print_list(found: "ListedSubscriptions", limit: int) -> None:
    """Print at most ``limit`` subscriptions as a table."""
    print_table(
        ("subscription", "status", "amount", "every", "order name", "next renewal", "billing key"),
        (
            (
                str(item.id),
                item.status,
                won(item.agreement.total.amount),
                every(item.agreement.cycle.interval),
                item.agreement.order_name,
                local(item.next_renewal_at, item.agreement.cycle.time_zone),
                found.key_statuses[item.billing_key_id],
            )
            for item in found.subscriptions[:limit]
        ),
    )
    if len(found.subscriptions) > limit:
        print_more(limit)


def write_card(card: "SubscriptionCard", limit: int, policies: RenewalPolicies) -> None:
    """Print a subscription with at most ``limit`` invoices, for programs."""
    key = card.billing_key
    print_json(
        {
            **_document(card.subscription, key.status),
            **life_document(card.subscription, card.life, policies),
            "billing_key": {"status": key.status, **masked_document(key)},
            "next_periods": [
                {
                    "index": period.index,
                    "start_at": iso(period.start_at),
                    "end_at": iso(period.end_at),
                    "first_merchant_uid": merchant_uid(card.subscription.id, period.index, 1),
                }
                for period in _next_periods(card.subscription)
            ],
            "reservation": (
                None if card.reservation is None else reservation_document(card.reservation)
            ),
            "invoices": [invoice_document(invoice) for invoice in card.invoices[:limit]],
            "more_invoices": len(card.invoices) > limit,
        }
    )


def print_card(card: "SubscriptionCard", limit: int, policies: RenewalPolicies) -> None:
    """Print a subscription with at most ``limit`` invoices, for people."""
    subscription, key = card.subscription, card.billing_key
    cycle = subscription.agreement.cycle
    print_fields(
        {
            "subscription": str(subscription.id),
            "status": subscription.status,
            **terms_fields(subscription.agreement),
            **life_fields(subscription, card.life),
            **_renewal_fields(card, policies),
            "ends": both(subscription.cancel_at, cycle.time_zone),
            "billing key": key.status,
            **masked_fields(key),
            "added": both(subscription.created_at, cycle.time_zone),
        }
    )
    print_life(subscription, card.life, policies)
    print_line()
    print_table(
        ("next period", "from", "until", "first merchant_uid"),
        (
            (
                str(period.index),
                local(period.start_at, cycle.time_zone),
                local(period.end_at, cycle.time_zone),
                merchant_uid(subscription.id, period.index, 1),
            )
            for period in _next_periods(subscription)
        ),
    )
    print_line()
    if not card.invoices:
        print_line("No invoice was opened yet.")
        return
    print_invoices(card.invoices[:limit], {subscription.id: cycle.time_zone})
    if len(card.invoices) > limit:
        print_line(
            f"Only the newest {limit} are shown; `dalmada invoice list --subscription"
            f" {subscription.id}` shows more."
        )


def summary_fields(card: "SubscriptionCard", policies: RenewalPolicies) -> dict[str, str]:
    """Return in few lines how a subscription stands, to be compared with how it will."""
    subscription = card.subscription
    zone = subscription.agreement.cycle.time_zone
    return {
        "subscription": str(subscription.id),
        "status": subscription.status,
        **terms_fields(subscription.agreement),
        **life_fields(subscription, card.life),
        **masked_fields(card.billing_key),
        "ends": both(subscription.cancel_at, zone),
        **_renewal_fields(card, policies),
    }


def _renewal_fields(card: "SubscriptionCard", policies: RenewalPolicies) -> dict[str, str]:
    subscription = card.subscription
    renewal = foresee_renewal(subscription, card.life, policies)
    zone = subscription.agreement.cycle.time_zone
    fields = {
        "next renewal": both(subscription.next_renewal_at, zone),
        "it costs": cost_of(subscription, renewal),
    }
    if card.reservation is not None:
        fields["at PortOne"] = reservation_text(card.reservation)
    return fields


def ending_fields(ending: "Ending", command: "CancelSubscription") -> dict[str, str]:
    """Return what an end is about, for whoever confirms it."""
    zone = ending.subscription.agreement.cycle.time_zone
    return {
        "subscription": str(ending.subscription.id),
        "status": ending.subscription.status,
        **terms_fields(ending.subscription.agreement),
        **masked_fields(ending.billing_key),
        "ends": both(ending.cancel_at, zone),
        **(
            {"instead of": both(ending.subscription.cancel_at, zone)}
            if ending.subscription.cancel_at is not None
            else {}
        ),
        "goes back": _goes_back(ending, command.refund),
        "paid late": f"{ending.late_payment} of what is under way at the end and turns out paid",
        "reason": command.reason,
        "requester": command.requester,
    }


def write_ended(result: Mapping[str, Json]) -> None:
    """Print what was asked for, for programs."""
    print_json(result)


def print_ended(result: Mapping[str, Json], ending: "Ending") -> None:
    """Print what was asked for, for people."""
    cancel_at = datetime.fromisoformat(str(result["cancel_at"]))
    print_fields(
        {
            "subscription": str(result["subscription_id"]),
            "ends": both(cancel_at, ending.subscription.agreement.cycle.time_zone),
            "refund": str(result["refund"]),
            "late payment": str(result["late_payment"]),
            "command": str(result["command_id"]),
        }
    )


def _goes_back(ending: "Ending", choice: RefundChoice) -> str:
    paid = ending.paid
    if choice is RefundChoice.NONE or paid is None:
        nothing_paid = "" if choice is RefundChoice.NONE else ": the period that runs is not paid"
        return f"nothing{nothing_paid}"
    zone = ending.subscription.agreement.cycle.time_zone
    part = refund_of(choice, paid.paid, paid.left, paid.period, zone, ending.cancel_at)
    unused, days = unused_days(paid.period, zone, ending.cancel_at)
    of = f"of {won(paid.paid.amount)} paid, {won(paid.left.amount)} left"
    share = f", {unused} of {days} days unused" if choice is RefundChoice.PRO_RATA else ""
    return f"{won(0) if part is None else price(part)} {of}{share}"


def _document(subscription: Subscription, key_status: BillingKeyStatus) -> dict[str, Json]:
    return {
        "id": str(subscription.id),
        "status": subscription.status,
        **_terms_document(subscription.agreement),
        "next_period_index": subscription.next_period_index,
        "next_renewal_at": iso(subscription.next_renewal_at),
        "pause_at": iso(subscription.pause_at),
        "resume_at": iso(subscription.resume_at),
        "pause_keeps": subscription.pause_keeps,
        "cancel_at": iso(subscription.cancel_at),
        "billing_key_status": key_status,
        "created_at": iso(subscription.created_at),
    }


def _terms_document(agreement: Agreement) -> dict[str, Json]:
    return {
        "amount": agreement.price.amount,
        "tax_free": agreement.price.tax_free,
        "quantity": agreement.quantity,
        "order_name": agreement.order_name,
        "product": agreement.product,
        "buyer_ref": agreement.buyer_ref,
        "interval_unit": agreement.cycle.interval.unit,
        "interval_count": agreement.cycle.interval.count,
        "anchor_at": iso(agreement.cycle.anchor_at),
        "time_zone": agreement.cycle.time_zone,
        "trial_end_at": iso(agreement.trial_end_at),
    }


def terms_fields(agreement: Agreement) -> dict[str, str]:
    """Return what is agreed, for people; what most agreements have not is left out."""
    cycle = agreement.cycle
    fields = {"order name": agreement.order_name, "amount": price(agreement.price)}
    if agreement.quantity > 1:
        fields["quantity"] = f"{agreement.quantity}, {price(agreement.total)} in all"
    if agreement.product is not None:
        fields["product"] = agreement.product
    if agreement.buyer_ref is not None:
        fields["buyer_ref"] = agreement.buyer_ref
    return fields | {
        "every": every(cycle.interval),
        "anchor": both(cycle.anchor_at, cycle.time_zone),
    }


def every(interval: Interval) -> str:
    """Return an interval for people."""
    return interval.unit if interval.count == 1 else f"{interval.count} {interval.unit}s"


def _next_periods(subscription: Subscription) -> Iterator[Period]:
    """Yield the periods that will be billed next: none once canceled, fewer at the calendar's end.

    A period that no ``merchant_uid`` can name is never billed either.
    """
    if subscription.next_renewal_at is None:
        return
    cycle: BillingCycle = subscription.agreement.cycle
    first = subscription.next_period_index
    for index in range(first, first + _PERIODS_SHOWN):
        try:
            merchant_uid(subscription.id, index, 1)
            yield cycle.period(index)
        except (BillingError, OverflowError):
            return
