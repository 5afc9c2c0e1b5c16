"""What one pass of the renewal changes for one subscription, as one value.

Periods that have begun are walked through one after the other, each with the terms in force at its
beginning; then the catch-up policy says which of them are billed. Nothing is written here.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

from shared.billing.calendar import Period
from shared.billing.cancellation import Cancellation, CancelWhen
from shared.billing.catch_up import (
    SKIPPED_MAX,
    CatchUpPolicy,
    CaughtUp,
    to_be_billed,
    wait_before,
)
from shared.billing.change import Change
from shared.billing.charge_hours import ChargeHours
from shared.billing.consent import Consent, ConsentPolicy
from shared.billing.gate import Decided, Gate, MissingConsent
from shared.billing.invoice import NewInvoice
from shared.billing.lifecycle import Happening, SubscriptionStatus, moved
from shared.billing.lines import Adjustment, bill
from shared.billing.pause import PauseKeeps
from shared.billing.refund import Requester
from shared.billing.subscription import Subscription

FOR_EVER = datetime.max.replace(tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)


class SkipReason(enum.StrEnum):
    """Why nothing is billed for a period that has begun."""

    CATCH_UP = "elapsed before it was seen: catch-up policy"
    PAUSED = "paused"
    EMPTY = "empty: its zone left the day out"


@dataclass(frozen=True, slots=True)
class RenewalPolicies:
    """What a merchant has decided about renewals.

    Attributes:
        minimum_amount: The least that the gateway charges, in won.
    """

    catch_up: CatchUpPolicy = field(default_factory=CatchUpPolicy)
    consent: ConsentPolicy = field(default_factory=ConsentPolicy)
    hours: ChargeHours = field(default_factory=ChargeHours)
    minimum_amount: int = 0


@dataclass(frozen=True, slots=True)
class Outstanding:
    """What waits for a renewal of a subscription.

    Attributes:
        changes: Those that are pending, in any order.
        adjustments: Those that are open, in any order.
        consents: All that the buyer has given.
    """

    changes: tuple[Change, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()
    consents: tuple[Consent, ...] = ()


NOTHING = Outstanding()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A period that has begun and is not billed."""

    period: Period
    reason: SkipReason


@dataclass(frozen=True, slots=True)
class Step:
    """What the beginning of one period means.

    Attributes:
        after: The subscription as it stands from then on. Its next period is still this one where
            it cannot begin: the subscription ends, or is paused until further notice.
        is_paused: Whether it is left out for a pause.
        decided: The changes that were due with it.
        missing: The consents that were not there.
    """

    period: Period
    after: Subscription
    is_paused: bool = False
    decided: tuple[Decided, ...] = ()
    missing: tuple[MissingConsent, ...] = ()

    @property
    def is_begun(self) -> bool:
        """Whether the subscription goes on to the next period."""
        return self.after.next_period_index > self.period.index

    @property
    def is_owed(self) -> bool:
        """Whether something is to be paid for the period."""
        return self.is_begun and not self.is_paused and not self.period.is_empty


@dataclass(frozen=True, slots=True)
class Renewal:
    """All that one pass changes for one subscription.

    Attributes:
        before: The subscription as it was, ``after`` as it is to be written: next period, terms,
            status, consented amount and end.
        invoices: To be opened, oldest first.
        skipped: Periods that are explained instead, oldest first.
        decided: Changes that came into effect or were refused, in order.
        adjustments: Those that were set against an invoice, as they are afterwards.
        missing: Consents that were not there.
        ends_at: From when on the subscription must not go on for want of a consent, or None.
        caught_up: What became of several periods at once, or None where there was one or none.
    """

    before: Subscription
    after: Subscription
    invoices: tuple[NewInvoice, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    decided: tuple[Decided, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()
    missing: tuple[MissingConsent, ...] = ()
    ends_at: datetime | None = None
    caught_up: CaughtUp | None = None

    @property
    def is_converted(self) -> bool:
        """Whether the free trial is over and the subscription goes on."""
        return self.before.status is SubscriptionStatus.TRIALING is not self.after.status

    @property
    def is_paused(self) -> bool:
        """Whether a pause that was asked for has begun."""
        return self.after.status is SubscriptionStatus.PAUSED is not self.before.status

    @property
    def end(self) -> Cancellation | None:
        """The end that is to be written for want of a consent, from ``ends_at`` on."""
        if self.ends_at is None:
            return None
        reason = "the buyer has not consented to the higher price"
        if self.after.status is SubscriptionStatus.TRIALING:
            reason = "the buyer has not consented to be charged after the free trial"
        return Cancellation(CancelWhen.PERIOD_END, reason, Requester.ADMIN)

    @property
    def is_plain(self) -> bool:
        """Whether of the subscription itself nothing changes but its next period."""
        before, after = self.before, self.after
        return (
            after.agreement is before.agreement
            and after.status is before.status
            and after.consented_amount == before.consented_amount
            and self.ends_at is None
        )


def renew(
    subscription: Subscription,
    now: datetime,
    policies: RenewalPolicies,
    outstanding: Outstanding = NOTHING,
) -> Renewal:
    """Return what has to be changed for a subscription at ``now``.

    At most ``SKIPPED_MAX`` periods and the one that runs are decided in one pass. Of a subscription
    whose end or pause has come, what had begun before it is decided as it would have been the
    instant before.

    Raises:
        BillingError: The subscription cannot be counted as its row stands.
    """
    steps = list(islice(walk(subscription, policies.consent, outstanding, now), SKIPPED_MAX + 2))
    is_whole = len(steps) < SKIPPED_MAX + 2
    if not is_whole:
        # Two are left at least, so that the next pass knows that the first of them has elapsed.
        steps = steps[:SKIPPED_MAX]
    owed = {step.period.index: step for step in steps if step.is_owed}
    periods = [step.period for step in owed.values()]
    billed = to_be_billed(periods, policies.catch_up, is_whole=is_whole)
    invoices, adjustments = _invoices(
        [owed[period.index] for period in billed], now, policies, outstanding.adjustments
    )
    last = steps[-1] if steps else None
    caught_up = None
    if len(owed) > 1:
        choice, skipped = policies.catch_up.choice, len(owed) - len(billed)
        caught_up = CaughtUp(choice, len(billed), skipped, periods[0])
    return Renewal(
        before=subscription,
        after=last.after if last else _at_its_beginning(subscription),
        invoices=invoices,
        skipped=_skipped(steps, {period.index for period in billed}),
        decided=tuple(decided for step in steps for decided in step.decided),
        adjustments=adjustments,
        missing=tuple(missing for step in steps for missing in step.missing),
        ends_at=last.period.start_at if last and _is_refused(last) else None,
        caught_up=caught_up,
    )


def walk(
    subscription: Subscription, policy: ConsentPolicy, outstanding: Outstanding, until: datetime
) -> Iterator[Step]:
    """Walk through the periods that have begun at ``until`` and are not decided yet.

    A change comes into effect with the first period that begins at its date or later and is not
    left out for a pause. It stops before the end of the subscription, and with a period that
    cannot begin.
    """
    if subscription.cancel_at is not None:
        until = min(until, subscription.cancel_at - _INSTANT)
    standing = subscription
    pending = sorted(outstanding.changes, key=lambda change: (change.effective_at, change.id))
    period = standing.agreement.cycle.period(standing.next_period_index)
    while period.start_at <= until:
        due = [change for change in pending if change.effective_at <= period.start_at]
        step = _paused(standing, period) or _begun(
            standing, period, policy, outstanding.consents, due
        )
        yield step
        # Where it ends, the next one begins: most walks need to count no further.
        if not step.is_begun or step.period.end_at > until:
            return
        if not step.is_paused:
            pending = pending[len(due) :]
        standing = step.after
        period = standing.agreement.cycle.period(period.index + 1)


def first_attempt_at(
    subscription_id: UUID,
    start_at: datetime,
    now: datetime,
    position: int,
    policies: RenewalPolicies,
) -> datetime | None:
    """Return when an invoice is collected first, or None for at once.

    Args:
        subscription_id: Whose it is; a burst is spread by it.
        start_at: When its period begins.
        now: When it is opened.
        position: How many of the same subscription are opened before it in the same pass.
        policies: How many of one subscription may come due a day, and at which hours.
    """
    due_at = now + wait_before(position, policies.catch_up)
    at = policies.hours.first(subscription_id, start_at, due_at)
    return at if at > now else None


def _paused(standing: Subscription, period: Period) -> Step | None:
    """Return what a pause makes of a period, or None where it is not paused when it begins."""
    if standing.pause_at is None or period.start_at < standing.pause_at:
        return None
    status = standing.status
    if status is not SubscriptionStatus.PAUSED:
        status = moved(status, Happening.PAUSE)
    after = replace(standing, status=status, next_renewal_at=period.start_at)
    if standing.pause_keeps is PauseKeeps.TIME:
        return Step(period, replace(after, next_renewal_at=None), is_paused=True)
    if standing.resume_at is not None and period.start_at >= standing.resume_at:
        # It begins after the pause: whoever ends the pause leaves it to be billed.
        return Step(period, after, is_paused=True)
    after = replace(after, next_period_index=period.index + 1, next_renewal_at=period.end_at)
    return Step(period, after, is_paused=True)


def _begun(
    standing: Subscription,
    period: Period,
    policy: ConsentPolicy,
    consents: Sequence[Consent],
    due: Sequence[Change],
) -> Step:
    """Return what the beginning of a period means that is not paused."""
    is_free = standing.status is SubscriptionStatus.TRIALING
    gate = Gate(policy, consents, is_free, standing.consented_amount or 0)
    passed = gate.passed(standing.agreement, period, due)
    if passed.is_refused:
        after = replace(standing, next_renewal_at=period.start_at, cancel_at=period.start_at)
        return Step(period, after, missing=passed.missing)
    cycle = passed.agreement.cycle
    if cycle is not standing.agreement.cycle:
        period = cycle.period(period.index)
    after = replace(
        standing,
        agreement=passed.agreement,
        status=moved(standing.status, Happening.CONVERT) if is_free else standing.status,
        consented_amount=passed.consented_amount,
        next_period_index=period.index + 1,
        next_renewal_at=period.end_at,
    )
    return Step(period, after, decided=passed.decided, missing=passed.missing)


def _at_its_beginning(subscription: Subscription) -> Subscription:
    """Return a subscription for which nothing was due, with its next period where it begins."""
    period = subscription.agreement.cycle.period(subscription.next_period_index)
    return replace(subscription, next_renewal_at=period.start_at)


def _is_refused(step: Step) -> bool:
    return not step.is_begun and not step.is_paused


def _invoices(
    billed: Sequence[Step],
    now: datetime,
    policies: RenewalPolicies,
    adjustments: Sequence[Adjustment],
) -> tuple[tuple[NewInvoice, ...], tuple[Adjustment, ...]]:
    """Return the invoices of periods, and what they leave of the adjustments."""
    invoices: list[NewInvoice] = []
    left: Mapping[int, Adjustment] = {adjustment.id: adjustment for adjustment in adjustments}
    used: set[int] = set()
    for position, step in enumerate(billed):
        agreement = step.after.agreement
        owed = bill(
            agreement.total,
            agreement.order_name,
            agreement.quantity,
            tuple(left.values()),
            policies.minimum_amount,
        )
        left = {**left, **{adjustment.id: adjustment for adjustment in owed.left}}
        used |= {adjustment.id for adjustment in owed.left}
        invoices.append(
            NewInvoice(
                step.after.id,
                step.period,
                owed.total,
                agreement.order_name,
                owed.lines,
                first_attempt_at(step.after.id, step.period.start_at, now, position, policies),
            )
        )
    return tuple(invoices), tuple(left[id_] for id_ in sorted(used))


def _skipped(steps: Sequence[Step], billed: set[int]) -> tuple[Skipped, ...]:
    skipped = []
    for step in steps:
        if not step.is_begun or step.period.index in billed:
            continue
        reason = SkipReason.CATCH_UP
        if step.is_paused:
            reason = SkipReason.PAUSED
        elif step.period.is_empty:
            reason = SkipReason.EMPTY
        skipped.append(Skipped(step.period, reason))
    return tuple(skipped)
