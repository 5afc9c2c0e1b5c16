"""Single rules of a renewal; what holds of all of them stands in ``test_renewal_properties``."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pytest

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.catch_up import CatchUp, CatchUpPolicy
from shared.billing.consent import Consent, ConsentKind, ConsentPolicy, is_given, valid_until
from shared.billing.errors import InvalidTransitionError
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.money import Price
from shared.billing.notice import change_notice, next_notice
from shared.billing.pause import PauseKeeps
from shared.billing.refund import Requester
from shared.billing.renewal import Outstanding, Renewal, RenewalPolicies, first_attempt_at
from tests.unit.billing import made
from tests.unit.billing.renewals import (
    ANCHOR_AT,
    DAILY,
    DAY,
    END,
    KEEP,
    MONTHLY,
    UNASKED,
    change,
    consent,
    credit,
    renewed,
    subscription,
    trial,
)

CYCLE: Final = BillingCycle(ANCHOR_AT, MONTHLY)
INSTANT: Final = timedelta(microseconds=1)
SECOND_AT: Final = CYCLE.period(1).start_at
THIRD_AT: Final = CYCLE.period(2).start_at
BOTH: Final = pytest.mark.parametrize("policy", [KEEP, END], ids=["keep", "end"])


def amounts(renewal: Renewal) -> list[int]:
    return [invoice.price.amount for invoice in renewal.invoices]


class TestConsents:
    @BOTH
    def test_an_increase_that_another_change_takes_back_needs_none(
        self, policy: ConsentPolicy
    ) -> None:
        """Nobody is ever billed by it."""
        increase, decrease = change(SECOND_AT, 12_000), change(SECOND_AT, 9_000)
        renewal = renewed(subscription(), SECOND_AT, increase, decrease, consent_policy=policy)
        assert amounts(renewal) == [9_900, 9_000]
        assert [decided.refusal for decided in renewal.decided] == [None, None]
        assert renewal.missing == ()

    def test_of_several_changes_those_are_refused_that_ask_for_more(self) -> None:
        increase, name = change(SECOND_AT, 12_000), change(SECOND_AT, name="라이트")
        renewal = renewed(subscription(), SECOND_AT, increase, name)
        assert amounts(renewal) == [9_900, 9_900]
        assert [invoice.order_name for invoice in renewal.invoices] == ["달마다 한 달", "라이트"]
        assert [bool(decided.refusal) for decided in renewal.decided] == [True, False]

    @BOTH
    def test_what_was_lowered_once_is_an_increase_when_it_comes_back(
        self, policy: ConsentPolicy
    ) -> None:
        lowered, raised = change(SECOND_AT, 100), change(THIRD_AT, 9_900)
        renewal = renewed(subscription(), THIRD_AT, lowered, raised, consent_policy=policy)
        assert amounts(renewal) == ([9_900, 100, 100] if policy is KEEP else [9_900, 100])
        assert renewal.after.consented_amount == 100
        assert renewal.ends_at == (None if policy is KEEP else THIRD_AT)

    @pytest.mark.parametrize(
        ("interval", "is_more"),
        [
            (Interval(IntervalUnit.WEEK), True),
            (Interval(IntervalUnit.DAY, 30), True),
            (Interval(IntervalUnit.DAY, 31), False),
            (Interval(IntervalUnit.YEAR), False),
        ],
    )
    def test_the_same_price_more_often_is_an_increase(
        self, interval: Interval, is_more: bool
    ) -> None:
        more_often = change(SECOND_AT, interval=interval)
        assert bool(renewed(subscription(), SECOND_AT, more_often).missing) == is_more
        agreed = consent(ConsentKind.PRICE_INCREASE, 9_900, SECOND_AT)
        renewal = renewed(subscription(), SECOND_AT, more_often, agreed)
        assert renewal.missing == ()
        assert renewal.after.agreement.cycle == BillingCycle(SECOND_AT, interval, "Asia/Seoul", 1)

    def test_nothing_more_often_is_still_nothing(self) -> None:
        free = subscription(price=Price(0))
        renewal = renewed(free, SECOND_AT, change(SECOND_AT, interval=DAILY))
        assert renewal.missing == ()

    @BOTH
    def test_a_price_that_was_never_agreed_to_and_has_no_change_to_refuse_ends_it(
        self, policy: ConsentPolicy
    ) -> None:
        standing = replace(subscription(), consented_amount=None)
        renewal = renewed(standing, ANCHOR_AT, consent_policy=policy)
        assert (renewal.invoices, renewal.ends_at) == ((), ANCHOR_AT)
        assert renewal.end is not None
        assert renewal.end.requester is Requester.ADMIN
        assert [missing.change_id for missing in renewal.missing] == [None]

    def test_periods_before_the_end_are_billed(self) -> None:
        renewal = renewed(
            subscription(), THIRD_AT + 90 * DAY, change(THIRD_AT, 12_000), consent_policy=END
        )
        assert amounts(renewal) == [9_900, 9_900]
        assert renewal.ends_at == renewal.after.cancel_at == THIRD_AT
        assert renewal.after.next_period_index == 2
        assert renewal.decided == ()

    @pytest.mark.parametrize(
        ("given_at", "is_good"),
        [
            (THIRD_AT - 30 * DAY, True),
            (THIRD_AT - 30 * DAY - timedelta(microseconds=1), False),
            (THIRD_AT, True),
            (THIRD_AT + timedelta(microseconds=1), False),
        ],
    )
    def test_a_consent_is_measured_by_its_period_however_late_anybody_looks(
        self, given_at: datetime, is_good: bool
    ) -> None:
        agreed = consent(ConsentKind.PRICE_INCREASE, 12_000, given_at)
        for late in (0 * DAY, 45 * DAY):
            renewal = renewed(
                subscription(next_index=2), THIRD_AT + late, change(SECOND_AT, 12_000), agreed
            )
            assert amounts(renewal)[0] == (12_000 if is_good else 9_900)

    def test_a_price_agreed_to_in_time_stays_though_its_first_period_is_not_billed(self) -> None:
        """Seed 41: nobody looked for months, and the latest period alone was billed."""
        agreed = consent(ConsentKind.PRICE_INCREASE, 12_000, SECOND_AT - DAY)
        renewal = renewed(
            subscription(next_index=1),
            SECOND_AT + 70 * DAY,
            change(SECOND_AT, 12_000),
            agreed,
            catch_up=CatchUpPolicy(CatchUp.BILL_LATEST),
        )
        assert [skipped.period.index for skipped in renewal.skipped] == [1, 2]
        assert amounts(renewal) == [12_000]
        assert renewal.missing == ()

    def test_where_none_is_required_a_trial_converts_by_itself(self) -> None:
        renewal = renewed(trial(), ANCHOR_AT, consent_policy=UNASKED)
        assert renewal.is_converted
        assert renewal.after.consented_amount == 9_900


class TestPauses:
    def test_what_began_before_it_is_decided_as_it_would_have_been_then(self) -> None:
        """The one that ran when the pause began is billed, though it has elapsed since."""
        standing = subscription(pause_at=SECOND_AT, pause_keeps=PauseKeeps.CALENDAR)
        latest = CatchUpPolicy(CatchUp.BILL_LATEST)
        renewal = renewed(standing, THIRD_AT + 40 * DAY, catch_up=latest)
        assert [invoice.period.index for invoice in renewal.invoices] == [0]
        assert [skipped.period.index for skipped in renewal.skipped] == [1, 2, 3]
        assert {skipped.reason for skipped in renewal.skipped} == {"paused"}
        assert renewal.caught_up is None

    def test_of_one_that_has_begun_what_began_before_it_is_still_billed(self) -> None:
        """A pause at once, while the scan had not looked yet."""
        standing = subscription(
            status=SubscriptionStatus.PAUSED,
            pause_at=ANCHOR_AT + DAY,
            pause_keeps=PauseKeeps.CALENDAR,
        )
        renewal = renewed(standing, SECOND_AT)
        assert [invoice.period.index for invoice in renewal.invoices] == [0]
        assert [skipped.period.index for skipped in renewal.skipped] == [1]
        assert not renewal.is_paused

    def test_a_free_trial_cannot_pause(self) -> None:
        standing = trial(pause_at=ANCHOR_AT, pause_keeps=PauseKeeps.TIME)
        with pytest.raises(InvalidTransitionError, match="trialing cannot pause"):
            renewed(standing, ANCHOR_AT)


def test_what_nothing_is_due_for_is_put_where_it_begins() -> None:
    """It was postponed while its row made no sense."""
    standing = subscription(next_index=1, next_renewal_at=ANCHOR_AT)
    renewal = renewed(standing, ANCHOR_AT)
    assert renewal.after.next_renewal_at == SECOND_AT
    assert renewal.is_plain


def test_an_invoice_that_comes_alone_is_collected_at_once() -> None:
    policies = RenewalPolicies(CatchUpPolicy(CatchUp.BILL_ALL, 2))
    at = [
        first_attempt_at(made.SUBSCRIPTION_ID, ANCHOR_AT, ANCHOR_AT, position, policies)
        for position in range(5)
    ]
    assert at == [None, None, ANCHOR_AT + DAY, ANCHOR_AT + DAY, ANCHOR_AT + 2 * DAY]


class TestNotices:
    def test_nothing_is_told_where_nothing_comes(self) -> None:
        ending = subscription(cancel_at=ANCHOR_AT)
        assert next_notice(ending, RenewalPolicies(consent=KEEP), Outstanding()) is None

    def test_a_change_that_is_known_of_no_more_is_not_told_of(self) -> None:
        assert (
            change_notice(
                subscription(cancel_at=THIRD_AT), RenewalPolicies(consent=KEEP), Outstanding(), 1
            )
            is None
        )

    def test_what_ends_before_for_want_of_a_consent_is_missing_one(self) -> None:
        first, second = change(SECOND_AT, 12_000), change(THIRD_AT, name="라이트")
        waits = Outstanding((first, second), (credit(500),))
        notice = change_notice(subscription(), RenewalPolicies(consent=END), waits, second.id)
        assert notice is not None
        assert notice.is_consent_missing
        assert (notice.bill.total.amount, notice.after.order_name) == (12_000, "라이트")
        assert notice.before.total.amount == 9_900

    @pytest.mark.parametrize("days", [7, 30])
    def test_it_says_from_when_until_when_a_consent_counts(self, days: int) -> None:
        raised = change(SECOND_AT + DAY, 12_000)
        policy = ConsentPolicy(valid_for=days * DAY)
        policies, waits = RenewalPolicies(consent=policy), Outstanding((raised,))
        notice = change_notice(subscription(), policies, waits, raised.id)
        assert notice is not None
        told = notice.told(ANCHOR_AT)
        first_at = THIRD_AT - days * DAY
        assert (told["consent_from"], told["consent_until"]) == (
            first_at.isoformat(),
            THIRD_AT.isoformat(),
        )
        kind = ConsentKind.PRICE_INCREASE
        assert valid_until(policy, kind, first_at) == THIRD_AT
        for given_at, counts in ((first_at, True), (first_at - INSTANT, False)):
            given = (Consent(kind, 12_000, given_at),)
            assert is_given(policy, given, kind, 12_000, THIRD_AT) == counts

    def test_it_says_neither_where_none_is_needed(self) -> None:
        notice = next_notice(subscription(), RenewalPolicies(consent=KEEP), Outstanding())
        assert notice is not None
        told = notice.told(ANCHOR_AT)
        assert (told["consent_from"], told["consent_until"]) == (None, None)

    def test_a_consent_at_sign_up_and_one_nobody_asks_for_count_until_no_time(self) -> None:
        assert valid_until(KEEP, ConsentKind.SIGN_UP, ANCHOR_AT) is None
        assert valid_until(UNASKED, ConsentKind.PRICE_INCREASE, ANCHOR_AT) is None
