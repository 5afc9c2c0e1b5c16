"""The renewals to come of one subscription, by the very rules that will decide them.

Time goes from one happening to the next: a period begins, a pause begins, a pause is over. What is
overdue happens at once, as it will with the next look of the scheduler.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import Final

from shared.billing.lifecycle import BILLABLE, Happening, SubscriptionStatus, moved
from shared.billing.lines import Adjustment
from shared.billing.pause import PauseKeeps, resumed
from shared.billing.renewal import Outstanding, Renewal, RenewalPolicies, renew
from shared.billing.subscription import Subscription
from shared.db import pauses

# More happenings of one subscription than these lie in no month: a daily one has a beginning and
# the end of a pause a day, and an outage is caught up with in a few passes.
_HAPPENINGS_MAX: Final = 1_000
# What is written down by then has lower numbers.
_FIRST_ID: Final = 2**62


@dataclass(frozen=True, slots=True)
class _Walker:
    """Where the walk has come to.

    Attributes:
        is_billed: Whether the last period that was decided has an invoice.
    """

    subscription: Subscription
    outstanding: Outstanding
    is_billed: bool


def ahead(
    subscription: Subscription,
    outstanding: Outstanding,
    policies: RenewalPolicies,
    now: datetime,
    until: datetime,
    *,
    is_billed: bool,
) -> Iterator[tuple[datetime, Renewal]]:
    """Return what renewals before ``until`` will write, each with its instant.

    Raises:
        BillingError: The subscription cannot be counted as its row stands.
    """
    walker, ids, at = _Walker(subscription, outstanding, is_billed), count(_FIRST_ID), now
    for _ in range(_HAPPENINGS_MAX):
        coming = _next(walker.subscription)
        if coming is None or max(coming[0], at) >= until:
            return
        at = max(coming[0], at)
        match coming[1]:
            case Happening.PAUSE:
                walker = replace(walker, subscription=_paused(walker.subscription))
            case Happening.RESUME:
                walker = _resumed(walker, at, ids)
            case _:
                renewal = renew(walker.subscription, at, policies, walker.outstanding)
                if renewal.after == walker.subscription:
                    return
                yield at, renewal
                walker = _renewed(walker, renewal)


def _next(subscription: Subscription) -> tuple[datetime, Happening | None] | None:
    """Return what happens next and when, a renewal as None; the pause first where both do."""
    status, cancel_at = subscription.status, subscription.cancel_at
    next_at, pause_at = subscription.next_renewal_at, subscription.pause_at
    coming: list[tuple[datetime, Happening | None]] = []
    if pause_at is not None and pauses.may_begin(subscription, pause_at):
        coming.append((pause_at, Happening.PAUSE))
    resume_at = subscription.resume_at
    if resume_at is not None and pauses.is_over(subscription, resume_at):
        coming.append((resume_at, Happening.RESUME))
    is_paused = status is SubscriptionStatus.PAUSED
    if next_at is not None and (status in BILLABLE or is_paused):
        ends_before = cancel_at is not None and next_at >= cancel_at
        goes_on = is_paused and resume_at is not None and next_at >= resume_at
        if not ends_before and not goes_on:
            coming.append((next_at, None))
    return min(coming, key=lambda each: each[0], default=None)


def _paused(subscription: Subscription) -> Subscription:
    """Return a subscription whose pause has begun, as ``pauses.begin`` writes it."""
    keeps_time = subscription.pause_keeps is PauseKeeps.TIME
    return replace(
        subscription,
        status=moved(subscription.status, Happening.PAUSE),
        next_renewal_at=None if keeps_time else subscription.next_renewal_at,
    )


def _resumed(walker: _Walker, now: datetime, ids: Iterator[int]) -> _Walker:
    """Return a subscription whose pause is over, and what is owed for it, as ``pauses.end`` does.

    Whether it owes something from before makes no difference to what is billed.
    """
    before = walker.subscription
    at = pauses.resumed_at(before, now)
    back = resumed(
        before.agreement.cycle,
        before.next_period_index,
        before.pause_keeps or PauseKeeps.CALENDAR,
        before.pause_at or at,
        at,
        is_billed=walker.is_billed,
    )
    after = replace(
        before,
        agreement=replace(before.agreement, cycle=back.cycle),
        status=moved(before.status, Happening.RESUME),
        next_period_index=back.next_index,
        next_renewal_at=back.next_renewal_at,
        pause_at=None,
        resume_at=None,
        pause_keeps=None,
    )
    owed = tuple(
        Adjustment(next(ids), each.kind, each.description, each.price)
        for each in pauses.owed_for(before, back.used, at)
        if each.price.amount
    )
    left = (*walker.outstanding.adjustments, *owed)
    is_billed = walker.is_billed and back.next_index == before.next_period_index
    return _Walker(after, replace(walker.outstanding, adjustments=left), is_billed)


def _renewed(walker: _Walker, renewal: Renewal) -> _Walker:
    """Return a subscription after a renewal, and what that leaves for the next one."""
    decided = {each.change.id for each in renewal.decided}
    used = {each.id: each for each in renewal.adjustments}
    outstanding = walker.outstanding
    left = (used.get(each.id, each) for each in outstanding.adjustments)
    last = renewal.after.next_period_index - 1
    return _Walker(
        renewal.after,
        replace(
            outstanding,
            changes=tuple(each for each in outstanding.changes if each.id not in decided),
            adjustments=tuple(each for each in left if each.is_open),
        ),
        any(invoice.period.index == last for invoice in renewal.invoices),
    )
