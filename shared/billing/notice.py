"""What buyers are told before it happens: a renewal, the end of a free trial, a higher price."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from shared.billing.calendar import Period
from shared.billing.catch_up import SKIPPED_MAX
from shared.billing.consent import ConsentPolicy
from shared.billing.events import Json
from shared.billing.lines import Bill, bill
from shared.billing.renewal import FOR_EVER, Outstanding, RenewalPolicies, Step, walk
from shared.billing.subscription import Agreement, Subscription


@dataclass(frozen=True, slots=True)
class NoticeLeads:
    """How long before it comes something is told; nothing at all turns a notice off.

    What comes is the first period that is billed so, as with consents, whose time is counted from
    the same instant: of a higher price, not the date from which on it may come.
    """

    renewal: timedelta = timedelta(days=3)
    trial: timedelta = timedelta(days=7)
    price: timedelta = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Notice:
    """What a period to come will be billed by, so far as it is known.

    Attributes:
        before: The agreement as it stands, ``after`` the one that the period is billed by.
        bill: What will be charged, if nothing more changes.
        is_consent_needed: Whether the buyer must agree to it.
        is_consent_missing: Whether that has not been done.
        consent_valid_for: How long before the period begins a consent may have been given.
    """

    period: Period
    before: Agreement
    after: Agreement
    bill: Bill
    is_consent_needed: bool
    is_consent_missing: bool
    consent_valid_for: timedelta

    def told(self, now: datetime) -> dict[str, Json]:
        """Return what the event of a notice says, whatever it is about.

        ``amount`` is what will be charged, ``amount_after`` what a period costs by the agreement,
        which is what a consent must name; one that is needed counts if it was given from
        ``consent_from`` until ``consent_until``.
        """
        begins_at, needed = self.period.start_at, self.is_consent_needed
        first_at = begins_at - self.consent_valid_for
        return {
            "period_index": self.period.index,
            "renews_at": begins_at.isoformat(),
            "order_name": self.after.order_name,
            "amount": self.bill.total.amount,
            "tax_free": self.bill.total.tax_free,
            "lines": [asdict(line) for line in self.bill.lines],
            "amount_before": self.before.total.amount,
            "amount_after": self.after.total.amount,
            "consent_needed": needed,
            "consent_missing": self.is_consent_missing,
            "consent_from": first_at.isoformat() if needed else None,
            "consent_until": begins_at.isoformat() if needed else None,
            "at": now.isoformat(),
        }


def next_notice(
    subscription: Subscription, policies: RenewalPolicies, outstanding: Outstanding
) -> Notice | None:
    """Return what will be billed next, or None if nothing will.

    Raises:
        BillingError: The subscription cannot be counted as its row stands.
    """
    return _notice(subscription, policies, outstanding, lambda _: True)


def change_notice(
    subscription: Subscription, policies: RenewalPolicies, outstanding: Outstanding, change_id: int
) -> Notice | None:
    """Return what the first period will be billed by that a change concerns, or None without one.

    Raises:
        BillingError: The subscription cannot be counted as its row stands.
    """
    seen = False

    def concerns(step: Step) -> bool:
        nonlocal seen
        seen = seen or any(decided.change.id == change_id for decided in step.decided)
        return seen

    return _notice(subscription, policies, outstanding, concerns)


def _notice(
    subscription: Subscription,
    policies: RenewalPolicies,
    outstanding: Outstanding,
    concerns: Callable[[Step], bool],
) -> Notice | None:
    """Return the notice of the first period to be paid for that concerns it.

    It is looked for as though the buyer agreed to everything: that is what is told. Credits are
    set against the periods before it first.
    """
    left = {adjustment.id: adjustment for adjustment in outstanding.adjustments}
    policy = policies.consent
    agreeing = replace(policy, required=False)
    for step in islice(walk(subscription, agreeing, outstanding, FOR_EVER), SKIPPED_MAX):
        is_meant = concerns(step)
        if not step.is_owed:
            continue
        after = step.after.agreement
        owed = bill(
            after.total,
            after.order_name,
            after.quantity,
            tuple(left.values()),
            policies.minimum_amount,
        )
        if is_meant:
            unagreed = replace(outstanding, consents=())
            needed = _is_missing(subscription, policy, unagreed, step.period)
            missing = needed and _is_missing(subscription, policy, outstanding, step.period)
            before = subscription.agreement
            return Notice(step.period, before, after, owed, needed, missing, policy.valid_for)
        left |= {adjustment.id: adjustment for adjustment in owed.left}
    return None


def _is_missing(
    subscription: Subscription, policy: ConsentPolicy, outstanding: Outstanding, period: Period
) -> bool:
    """Say whether a consent is missing for a period to come, or for one before it."""
    steps = islice(walk(subscription, policy, outstanding, period.start_at), SKIPPED_MAX)
    return any(step.missing for step in steps)
