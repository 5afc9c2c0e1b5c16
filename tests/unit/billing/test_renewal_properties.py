"""What holds of every renewal, whatever was changed, paused, credited and not agreed to."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from shared.billing.calendar import BillingCycle, Period
from shared.billing.catch_up import CatchUp, CatchUpPolicy
from shared.billing.consent import ConsentKind, ConsentPolicy
from shared.billing.invoice import NewInvoice
from shared.billing.lifecycle import Happening, SubscriptionStatus, moved
from shared.billing.lines import Adjustment, AdjustmentKind, LineKind
from shared.billing.money import Price
from shared.billing.pause import PauseKeeps
from shared.billing.renewal import Outstanding, Renewal, RenewalPolicies, renew
from shared.billing.subscription import Subscription
from tests.unit.billing import renewals

OUTSTANDING = st.builds(
    Outstanding,
    st.lists(renewals.CHANGES, max_size=4).map(tuple),
    st.lists(renewals.CREDITS | renewals.DISCOUNTS, max_size=4).map(tuple),
    st.lists(renewals.CONSENTS, max_size=4).map(tuple),
)
PASSES = st.lists(renewals.INSTANTS, min_size=1, max_size=8).map(sorted)
BILL_ALL = CatchUpPolicy(CatchUp.BILL_ALL)
Bills: TypeAlias = list[tuple[Period, Price, tuple[object, ...]]]


def carried_on(renewal: Renewal, outstanding: Outstanding) -> tuple[Subscription, Outstanding]:
    """Return what the next pass finds after one has been written."""
    decided = {each.change.id for each in renewal.decided}
    left = {adjustment.id: adjustment for adjustment in renewal.adjustments}
    return renewal.after, replace(
        outstanding,
        changes=tuple(each for each in outstanding.changes if each.id not in decided),
        adjustments=tuple(left.get(each.id, each) for each in outstanding.adjustments),
    )


def resumed(subscription: Subscription, at: datetime) -> Subscription:
    """Return a subscription whose pause ends."""
    cycle, keeps = subscription.agreement.cycle, subscription.pause_keeps
    assert subscription.pause_at is not None
    after = replace(
        subscription,
        status=moved(subscription.status, Happening.RESUME),
        pause_at=None,
        resume_at=None,
        pause_keeps=None,
    )
    if keeps is PauseKeeps.CALENDAR:
        return after
    next_index = subscription.next_period_index
    left = cycle.period(next_index).start_at - subscription.pause_at
    moved_on = BillingCycle(at + left, cycle.interval, cycle.time_zone, next_index)
    agreement = replace(subscription.agreement, cycle=moved_on)
    return replace(after, agreement=agreement, next_renewal_at=moved_on.anchor_at)


def lived(
    subscription: Subscription,
    outstanding: Outstanding,
    passes: list[datetime],
    policies: RenewalPolicies,
) -> list[Renewal]:
    """Return what passes change one after the other; pauses end at their time."""
    done = []
    for now in passes:
        resume_at = subscription.resume_at
        renewal = renew(subscription, now, policies, outstanding)
        subscription, outstanding = carried_on(renewal, outstanding)
        done.append(renewal)
        is_paused = subscription.status is SubscriptionStatus.PAUSED
        if is_paused and resume_at is not None and resume_at <= now:
            subscription = resumed(subscription, resume_at)
    return done


def invoices_of(done: list[Renewal]) -> list[NewInvoice]:
    return [invoice for renewal in done for invoice in renewal.invoices]


@given(renewals.subscriptions(), OUTSTANDING, PASSES, renewals.CATCH_UPS, renewals.POLICIES)
def test_every_period_is_decided_once_and_none_overlaps_or_leaves_a_gap(
    subscription: Subscription,
    outstanding: Outstanding,
    passes: list[datetime],
    catch_up: CatchUpPolicy,
    consent: ConsentPolicy,
) -> None:
    done = lived(subscription, outstanding, passes, RenewalPolicies(catch_up, consent))
    periods = sorted(
        [invoice.period for invoice in invoices_of(done)]
        + [skipped.period for renewal in done for skipped in renewal.skipped],
        key=lambda period: period.index,
    )
    first, last = subscription.next_period_index, done[-1].after.next_period_index
    assert [period.index for period in periods] == list(range(first, last))
    shifted = subscription.pause_keeps is PauseKeeps.TIME
    for period, following in pairwise(periods):
        # A pause that keeps the time moves the periods after it by as long as it lasted.
        pauses = shifted and subscription.pause_at and period.end_at >= subscription.pause_at
        assert period.end_at == following.start_at or (
            pauses and period.end_at < following.start_at
        )
    for renewal in done:
        assert all(invoice.period.start_at <= passes[-1] for invoice in renewal.invoices)


@given(renewals.subscriptions(), OUTSTANDING, PASSES, renewals.POLICIES)
def test_how_often_anybody_looked_makes_no_difference_to_what_is_owed(
    subscription: Subscription,
    outstanding: Outstanding,
    passes: list[datetime],
    consent: ConsentPolicy,
) -> None:
    """Only pauses that end on their own are left out: whoever ends them must look first."""
    standing = replace(subscription, resume_at=None)
    policies = RenewalPolicies(BILL_ALL, consent)

    def bills(done: list[Renewal]) -> Bills:
        return [(each.period, each.price, each.lines) for each in invoices_of(done)]

    often = lived(standing, outstanding, passes, policies)
    once = lived(standing, outstanding, passes[-1:], policies)
    assert bills(often) == bills(once)
    assert often[-1].after == once[-1].after


@given(renewals.subscriptions(), OUTSTANDING, renewals.INSTANTS, renewals.CATCH_UPS)
def test_a_second_pass_at_once_finds_nothing(
    subscription: Subscription,
    outstanding: Outstanding,
    now: datetime,
    catch_up: CatchUpPolicy,
) -> None:
    policies = RenewalPolicies(catch_up)
    first = renew(subscription, now, policies, outstanding)
    standing, waiting = carried_on(first, outstanding)
    if standing.status is SubscriptionStatus.PAUSED or standing.pause_at is not None:
        # Not looked for until the pause is over.
        return
    second = renew(standing, now, policies, waiting)
    assert (second.invoices, second.skipped, second.decided) == ((), (), ())
    assert second.is_plain
    assert second.after == standing


@given(renewals.subscriptions(), OUTSTANDING, PASSES, renewals.CATCH_UPS)
def test_nothing_is_charged_that_was_not_agreed_to(
    subscription: Subscription,
    outstanding: Outstanding,
    passes: list[datetime],
    catch_up: CatchUpPolicy,
) -> None:
    agreed = subscription.consented_amount or 0
    done = lived(subscription, outstanding, passes, RenewalPolicies(catch_up))
    for invoice in invoices_of(done):
        (recurring,) = (line for line in invoice.lines if line.kind is LineKind.RECURRING)
        if recurring.amount <= agreed:
            continue
        assert any(
            each.amount_after >= recurring.amount and each.given_at <= invoice.period.start_at
            for each in outstanding.consents
        )
    if subscription.status is SubscriptionStatus.TRIALING and invoices_of(done):
        first = invoices_of(done)[0]
        converted = any(each.kind is ConsentKind.TRIAL_CONVERSION for each in outstanding.consents)
        assert converted or first.lines[0].amount == 0


@given(renewals.subscriptions(), OUTSTANDING, PASSES, renewals.CATCH_UPS)
def test_every_won_of_a_credit_is_on_an_invoice_or_left(
    subscription: Subscription,
    outstanding: Outstanding,
    passes: list[datetime],
    catch_up: CatchUpPolicy,
) -> None:
    done = lived(subscription, outstanding, passes, RenewalPolicies(catch_up))
    left = {each.id: each for each in outstanding.adjustments}
    for renewal in done:
        left |= {each.id: each for each in renewal.adjustments}
    for given_once in outstanding.adjustments:
        lines = [
            line
            for invoice in invoices_of(done)
            for line in invoice.lines
            if line.adjustment_id == given_once.id
        ]
        rest = left[given_once.id]
        if given_once.kind is AdjustmentKind.DISCOUNT:
            assert (given_once.periods_left or 0) - (rest.periods_left or 0) >= len(lines)
            continue
        used = sum(abs(line.amount) for line in lines)
        assert used + rest.left.amount == given_once.left.amount


def tax_free(price: Price) -> Price:
    return Price(price.amount, price.amount)


@given(st.lists(renewals.CREDITS | renewals.DISCOUNTS, max_size=5), renewals.PRICES)
def test_what_carries_no_vat_carries_none_on_any_invoice(
    adjustments: list[Adjustment], price: Price
) -> None:
    """And the other way round: what is taxed throughout is taxed throughout."""
    for part in (tax_free, lambda price: Price(price.amount)):
        given_ones = [replace(each, left=part(each.left)) for each in adjustments]
        standing = renewals.subscription(price=part(price))
        now = renewals.ANCHOR_AT + timedelta(days=200)
        renewal = renewals.renewed(standing, now, *given_ones)
        assert len(renewal.invoices) == 7
        for invoice in renewal.invoices:
            assert invoice.price == part(invoice.price)
            for line in invoice.lines:
                assert line.tax_free == (line.amount if part is tax_free else 0)
        for left in renewal.adjustments:
            assert left.left == part(left.left)
