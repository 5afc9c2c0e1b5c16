"""By which terms a period is billed: the changes due with it, as far as they are agreed to.

A charge above what the buyer has agreed to pay, the same one more often, and the first one after a
free period each need a consent; nothing is charged without it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.billing.calendar import Period
from shared.billing.change import Change, changed
from shared.billing.consent import (
    Consent,
    ConsentKind,
    ConsentPolicy,
    WithoutConsent,
    is_given,
)
from shared.billing.refund import Requester
from shared.billing.subscription import Agreement


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of a change that was due with a period.

    Attributes:
        before: The agreement without it, ``after`` the one with it.
        refusal: Why it was refused, or None if it is in effect from this period on.
    """

    change: Change
    period_index: int
    before: Agreement
    after: Agreement
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class MissingConsent:
    """What the buyer would have had to agree to.

    Attributes:
        amount: Won a period.
        change_id: The change that asks for it, or None where the agreement itself does.
    """

    kind: ConsentKind
    amount: int
    period: Period
    change_id: int | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """The terms of one period.

    Attributes:
        agreement: By which it is billed, unless it must not be.
        consented_amount: What the buyer has agreed to pay for a period, with this one.
        decided: The changes that were due, in order.
        is_refused: Whether the period must not be charged at all: the subscription ends before it.
    """

    agreement: Agreement
    consented_amount: int
    decided: tuple[Decided, ...] = ()
    missing: tuple[MissingConsent, ...] = ()
    is_refused: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """What the terms of one period are measured by.

    Attributes:
        is_free: Whether nothing has been charged yet: the period follows a free one.
        consented_amount: What the buyer has agreed to pay for a period, in won.
    """

    policy: ConsentPolicy
    consents: Sequence[Consent]
    is_free: bool
    consented_amount: int

    def passed(self, agreement: Agreement, period: Period, due: Sequence[Change]) -> Passed:
        """Return the terms of a period after the changes that come into effect with it.

        What counts is what the period would be billed by: of several changes, an increase that
        another one takes back needs no consent.
        """
        after, decided = agreement, []
        for change in due:
            before, after = after, changed(after, change.terms, period)
            decided.append(Decided(change, period.index, before, after))
        if self._is_agreed(agreement, after, period, due):
            amount = after.total.amount if due or self.is_free else self.consented_amount
            return Passed(after, amount, tuple(decided))
        return self._one_by_one(agreement, period, due)

    def _one_by_one(self, agreement: Agreement, period: Period, due: Sequence[Change]) -> Passed:
        """Refuse the changes that were not agreed to, or the period, as the policy has it."""
        after, decided, missing = agreement, list[Decided](), list[MissingConsent]()
        for change in due:
            before, wanted = after, changed(after, change.terms, period)
            refusal = None
            if not self._is_agreed(before, wanted, period, [change], than=before.total.amount):
                missing.append(self._missing(wanted, period, change))
                if self.policy.without is WithoutConsent.END:
                    return self._refused(agreement, missing)
                refusal = _refusal(wanted, period)
            else:
                after = wanted
            decided.append(Decided(change, period.index, before, wanted, refusal))
        applied = [each.change for each in decided if each.refusal is None]
        if not self._is_agreed(agreement, after, period, applied):
            missing.append(self._missing(after, period))
            return self._refused(agreement, missing)
        amount = after.total.amount if applied or self.is_free else self.consented_amount
        return Passed(after, amount, tuple(decided), tuple(missing))

    def _is_agreed(
        self,
        before: Agreement,
        after: Agreement,
        period: Period,
        due: Sequence[Change],
        than: int = 0,
    ) -> bool:
        """Say whether the buyer has agreed to the terms after changes, or need not.

        What is asked for without the changes, too (``than``), is not looked at here.
        """
        agreed = max(than, 0 if self.is_free else self.consented_amount)
        amount = after.total.amount
        if amount <= agreed and not (amount and _is_more_often(before, after)):
            return True
        return any(
            is_given(self.policy, self.consents, kind, amount, period.start_at)
            for kind in self._kinds(due)
        )

    def _kinds(self, due: Iterable[Change]) -> tuple[ConsentKind, ...]:
        if self.is_free:
            return (ConsentKind.TRIAL_CONVERSION,)
        if any(change.requester is Requester.CUSTOMER for change in due):
            return ConsentKind.PRICE_INCREASE, ConsentKind.PLAN_CHANGE
        return (ConsentKind.PRICE_INCREASE,)

    def _refused(self, agreement: Agreement, missing: Sequence[MissingConsent]) -> Passed:
        return Passed(agreement, self.consented_amount, missing=tuple(missing), is_refused=True)

    def _missing(
        self, agreement: Agreement, period: Period, change: Change | None = None
    ) -> MissingConsent:
        kind = self._kinds([change] if change else [])[-1]
        return MissingConsent(kind, agreement.total.amount, period, change.id if change else None)


def _is_more_often(before: Agreement, after: Agreement) -> bool:
    """Say whether a period is shorter than it was."""
    if after.cycle is before.cycle:
        return False
    return after.cycle.interval.average < before.cycle.interval.average


def _refusal(agreement: Agreement, period: Period) -> str:
    return (
        f"the buyer has not consented to {agreement.total.amount} won a period from"
        f" {period.start_at.isoformat()} on"
    )
