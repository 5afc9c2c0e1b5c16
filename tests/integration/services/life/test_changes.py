"""Changes of what is billed: now by the day, from the next renewal on, or from a date on."""

import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.consent import ConsentPolicy
from shared.jobs.commands import RefundPayment
from shared.jobs.life_commands import (
    AdjustSubscription,
    ChangePrice,
    ChangeSubscription,
    RecordConsent,
    WithdrawChange,
)
from tests.support.agreements import Agreements
from tests.support.billing import MONTHLY, START_AT
from tests.support.book import Ending
from tests.support.living import Living

INSTANT, DAY = timedelta(microseconds=1), timedelta(days=1)
CYCLE = BillingCycle(START_AT, MONTHLY)
FEB_28, MAR_31, APR_30 = (CYCLE.period(index).start_at for index in (1, 2, 3))


def paid(living: Living, **values: Any) -> uuid.UUID:
    """Return a subscription whose first period is paid, ten days later: 17 of 28 are left."""
    id_: uuid.UUID = living.run(living.start(**{"amount": 28_000, **values}))
    living.run(living.tick())
    living.world.clock.instant = START_AT + 10 * DAY
    return id_


def refused(living: Living, id_: uuid.UUID, **values: Any) -> str:
    said = {"subscription_id": id_, "requester": "customer", **values}
    return str(living.run(living.refused(ChangeSubscription, **said)))


def notice_ats(living: Living) -> list[datetime | None]:
    """Return when each change is to be told of, oldest change first."""
    rows = living.run(living.world.rows("SELECT notice_at FROM agreement_changes ORDER BY id"))
    return [row.notice_at for row in rows]


def terms(living: Living, id_: uuid.UUID) -> tuple[int, int, int | None]:
    row = living.run(living.row(id_))
    return row.amount, row.quantity, row.consented_amount


class TestNow:
    def test_the_days_that_are_left_are_credited_and_charged(self, living: Living) -> None:
        id_ = paid(living, tax_free=2_800)
        told = living.run(
            living.change(
                id_, amount=56_000, tax_free=0, order_name="프로 요금제", at_renewal=False
            )
        )
        assert (told["change_id"], len(told["adjustment_ids"])) == (None, 2)
        assert living.run(living.adjustments(id_)) == [
            ("proration_credit", 17_000, 17_000),
            ("proration_charge", 34_000, 34_000),
        ]
        assert terms(living, id_) == (56_000, 1, 56_000)
        (event,) = living.run(living.world.events("subscription.changed"))
        assert (event["before"]["amount"], event["after"]["amount"]) == (28_000, 56_000)
        assert (event["period_index"], event["change_id"]) == (0, None)
        assert living.run(living.go_to(FEB_28)) == ["paid"]
        assert living.run(living.lines(id_))[-1] == [
            ("recurring", 56_000),
            ("proration_charge", 34_000),
            ("proration_credit", -17_000),
        ]
        last = living.run(living.invoices(id_))[-1]
        assert (last.amount, last.tax_free, last.order_name) == (73_000, 0, "프로 요금제")
        assert last.lines[2]["description"] == "슬림 요금제: 17 of 28 days"

    def test_and_back_again_on_one_day_costs_nothing(self, living: Living) -> None:
        id_ = paid(living)
        for amount in (56_001, 28_000, 13_337, 28_000):
            living.run(living.change(id_, amount=amount, at_renewal=False))
        living.run(living.go_to(FEB_28))
        assert living.run(living.invoices(id_))[-1].amount == 28_000

    def test_a_credit_waits_for_later_periods(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.change(id_, amount=2_800, at_renewal=False))
        living.run(living.go_to(FEB_28))
        living.run(living.go_to(MAR_31))
        # 17,000 come back, 1,700 are owed for the same days.
        assert [row.amount for row in living.run(living.invoices(id_))[1:]] == [0, 0]
        assert living.run(living.adjustments(id_))[0] == ("proration_credit", 17_000, 9_700)

    def test_without_proration(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.change(id_, quantity=3, at_renewal=False, prorate=False))
        assert living.run(living.adjustments(id_)) == []
        living.run(living.go_to(FEB_28))
        assert living.run(living.lines(id_))[-1] == [("recurring", 84_000)]

    def test_what_a_discount_took_off_is_not_credited(self, living: Living) -> None:
        """Nor can won be made by changing there and back under one."""
        id_ = living.run(living.start(amount=28_000))
        said = {"description": "첫 달", "percent": 50, "periods": 1}
        living.run(living.do(AdjustSubscription, subscription_id=id_, **said))
        living.run(living.tick())
        living.world.clock.instant = START_AT + 10 * DAY
        living.run(living.change(id_, amount=56_000, at_renewal=False))
        assert living.run(living.adjustments(id_))[1:] == [
            ("proration_credit", 8_500, 8_500),
            ("proration_charge", 17_000, 17_000),
        ]

    def test_what_was_given_back_is_not_credited(self, living: Living) -> None:
        id_ = paid(living)
        (invoice,) = living.run(living.invoices(id_))
        back = {"invoice_id": invoice.id, "amount": "all", "reason": "사과", "requester": "admin"}
        living.run(living.do(RefundPayment, **back))
        living.run(living.change(id_, amount=14_000, at_renewal=False))
        assert living.run(living.adjustments(id_)) == []

    @pytest.mark.parametrize("status", ["void", "uncollectible"])
    def test_what_is_never_paid_is_not_credited(self, living: Living, status: str) -> None:
        id_ = living.run(living.start(amount=28_000))
        living.run(living.world.renew())
        living.run(
            living.world.rows(
                "UPDATE invoices SET status = :status, next_attempt_at = NULL", status=status
            )
        )
        living.world.clock.instant = START_AT + 10 * DAY
        living.run(living.change(id_, amount=56_000, at_renewal=False))
        assert living.run(living.adjustments(id_)) == []

    def test_days_that_stood_still_are_no_days_of_the_period(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.pause(id_, keeps="time"))
        living.world.pass_time(100 * DAY)
        living.run(living.resume(id_))
        living.run(living.change(id_, amount=56_000, at_renewal=False))
        assert living.run(living.adjustments(id_)) == [
            ("proration_credit", 17_000, 17_000),
            ("proration_charge", 34_000, 34_000),
        ]

    @pytest.mark.parametrize(
        ("kst", "unused"),
        [("2026-02-10T23:59:59.999999", 17), ("2026-02-11T00:00:00", 16)],
    )
    def test_a_day_ends_at_a_korean_midnight(self, living: Living, kst: str, unused: int) -> None:
        id_ = paid(living)
        living.world.clock.instant = datetime.fromisoformat(f"{kst}+09:00")
        living.run(living.change(id_, amount=56_000, at_renewal=False))
        assert living.run(living.adjustments(id_))[0][1] == 1_000 * unused


class TestAnotherIntervalNow:
    def test_a_new_cycle_begins_at_once(self, living: Living) -> None:
        id_ = paid(living)
        now = living.world.clock.now()
        living.run(living.change(id_, amount=280_000, interval="year", at_renewal=False))
        assert living.run(living.tick()) == ["paid"]
        first, second = living.run(living.invoices(id_))
        assert (first.period_end_at, second.period_start_at) == (now, now)
        assert (second.period_index, second.amount) == (1, 280_000 - 17_000)
        assert living.run(living.lines(id_))[1] == [
            ("recurring", 280_000),
            ("proration_credit", -17_000),
        ]
        yearly = BillingCycle(now, Interval(IntervalUnit.YEAR), anchor_index=1)
        row = living.run(living.row(id_))
        assert (row.next_period_index, row.next_renewal_at) == (2, yearly.period(2).start_at)
        (event,) = living.run(living.world.events("subscription.changed"))
        assert (event["period_index"], event["after"]["interval"]) == (1, "year")

    def test_before_the_first_period_nothing_begins_earlier(self, living: Living) -> None:
        id_ = living.run(living.start(anchor_at=START_AT + 7 * DAY))
        living.run(living.change(id_, interval="week", at_renewal=False))
        assert living.run(living.tick()) == []
        living.run(living.go_to(START_AT + 7 * DAY))
        (invoice,) = living.run(living.invoices(id_))
        assert (invoice.period_start_at, invoice.period_end_at) == (
            START_AT + 7 * DAY,
            START_AT + 14 * DAY,
        )

    def test_the_same_price_more_often_takes_a_consent(self, living: Living) -> None:
        id_ = paid(living)
        words = refused(living, id_, interval="week", at_renewal=False)
        assert "has not agreed to 28,000 won" in words
        living.run(living.change(id_, interval="week", at_renewal=False))

    def test_in_a_trial_the_trial_stays_as_long(self, living: Living) -> None:
        trial = {"trial_days": 14, "buyer_ref": "b", "product": "p"}
        id_ = living.run(living.start(**trial))
        living.run(living.change(id_, interval="year", at_renewal=False))
        row = living.run(living.row(id_))
        assert (row.status, row.next_renewal_at) == ("trialing", START_AT + 14 * DAY)
        assert (row.interval_unit, row.consented_amount) == ("year", 0)


class TestAtTheNextRenewal:
    def test_it_waits(self, living: Living) -> None:
        id_ = paid(living)
        told = living.run(living.change(id_, amount=30_000, order_name="프로"))
        assert told["effective_at"] == FEB_28.isoformat()
        assert terms(living, id_) == (28_000, 1, 28_000)
        (event,) = living.run(living.world.events("subscription.change_scheduled"))
        assert (event["change_id"], event["amount"]) == (told["change_id"], 30_000)
        living.run(living.go_to(FEB_28))
        assert living.run(living.lines(id_)) == [[("recurring", 28_000)], [("recurring", 30_000)]]
        assert terms(living, id_) == (30_000, 1, 30_000)

    def test_from_a_date_on(self, living: Living) -> None:
        id_ = paid(living)
        given = {**living.consent(MAR_31 - 25 * DAY - INSTANT)}
        living.world.clock.instant = MAR_31 - 25 * DAY
        living.run(living.world.renew())
        living.run(living.change(id_, amount=30_000, effective_at=MAR_31 - DAY, consent=given))
        living.run(living.go_to(MAR_31 - DAY))
        living.run(living.go_to(MAR_31))
        assert [row.amount for row in living.run(living.invoices(id_))] == [28_000, 28_000, 30_000]

    def test_a_consent_that_will_be_too_old_is_refused_at_once(self, living: Living) -> None:
        id_ = paid(living)
        said = {"amount": 30_000, "effective_at": APR_30, "consent": living.consent()}
        words = refused(living, id_, **said)
        assert f"has not agreed to 30,000 won a period from {APR_30.isoformat()} on" in words
        assert living.run(living.world.rows("SELECT FROM consents")) == []

    def test_it_is_taken_back(self, living: Living) -> None:
        id_ = paid(living)
        told = living.run(living.change(id_, amount=30_000))
        values = {"subscription_id": id_, "change_id": told["change_id"]}
        living.run(living.do(WithdrawChange, **values))
        assert "is withdrawn already" in living.run(living.refused(WithdrawChange, **values))
        living.run(living.go_to(FEB_28))
        assert terms(living, id_) == (28_000, 1, 28_000)
        assert len(living.run(living.world.events("subscription.change_withdrawn"))) == 1

    def test_one_that_was_applied_is_not(self, living: Living) -> None:
        id_, other = paid(living), paid(living, customer_uid="other")
        told = living.run(living.change(id_, amount=27_000))
        values = {"change_id": told["change_id"]}
        words = living.run(living.refused(WithdrawChange, subscription_id=other, **values))
        assert words == f"there is no change {told['change_id']} of subscription {other}"
        living.run(living.go_to(FEB_28))
        words = living.run(living.refused(WithdrawChange, subscription_id=id_, **values))
        assert "is applied already" in words


class TestInAPause:
    def test_terms_change_without_proration(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.pause(id_))
        living.run(living.change(id_, amount=56_000, at_renewal=False))
        assert (terms(living, id_)[0], living.run(living.adjustments(id_))) == (56_000, [])

    @pytest.mark.parametrize("keeps", ["calendar", "time"])
    def test_another_interval_begins_with_the_first_period_after_it(
        self, living: Living, keeps: str
    ) -> None:
        id_ = paid(living)
        living.run(living.pause(id_, keeps=keeps))
        told = living.run(living.change(id_, interval="year", at_renewal=False))
        assert told["change_id"] is not None
        living.world.clock.instant = FEB_28 + DAY
        living.run(living.resume(id_))
        renewal_at = living.run(living.row(id_)).next_renewal_at
        living.run(living.go_to(renewal_at))
        invoice = living.run(living.invoices(id_))[-1]
        yearly = BillingCycle(renewal_at, Interval(IntervalUnit.YEAR))
        assert (invoice.period_start_at, invoice.period_end_at) == (
            renewal_at,
            yearly.period(1).start_at,
        )

    def test_a_change_and_then_a_pause(self, living: Living) -> None:
        """The change comes into effect with the first period after the pause."""
        id_ = paid(living)
        living.run(living.change(id_, amount=30_000))
        living.run(living.pause(id_))
        living.run(living.go_to(FEB_28))
        living.world.clock.instant = FEB_28 + DAY
        living.run(living.resume(id_))
        assert terms(living, id_)[0] == 28_000


class TestBesideTheRenewal:
    """A period has begun, and nobody has billed it yet."""

    @pytest.mark.parametrize("interval", ["month", "year"])
    def test_it_is_billed_by_the_new_terms(self, living: Living, interval: str) -> None:
        id_ = paid(living)
        living.world.clock.instant = FEB_28 + timedelta(seconds=3)
        given = living.consent(FEB_28 - DAY)
        told = living.run(
            living.change(id_, amount=30_000, interval=interval, at_renewal=False, consent=given)
        )
        assert told["effective_at"] == FEB_28.isoformat()
        assert living.run(living.tick()) == ["paid"]
        last = living.run(living.invoices(id_))[-1]
        assert (last.period_start_at, last.amount) == (FEB_28, 30_000)
        assert living.run(living.adjustments(id_)) == []


class TestAHigherPrice:
    def test_without_a_consent_is_refused(self, living: Living) -> None:
        id_ = paid(living)
        for at_renewal in (True, False):
            words = refused(living, id_, amount=28_001, at_renewal=at_renewal)
            assert "the buyer has not agreed to 28,001 won" in words
        words = refused(living, id_, quantity=2, requester="admin", at_renewal=False)
        assert "the buyer has not agreed to 56,000 won" in words
        assert terms(living, id_) == (28_000, 1, 28_000)

    def test_with_one_that_was_recorded(self, living: Living) -> None:
        id_ = paid(living)
        said = {"kind": "price_increase", "amount_after": 30_000, "consent": living.consent()}
        living.run(living.do(RecordConsent, subscription_id=id_, **said))
        living.world.pass_time(DAY)
        living.run(
            living.change(id_, amount=30_000, at_renewal=False, requester="admin", consent=None)
        )
        assert terms(living, id_) == (30_000, 1, 30_000)

    def test_by_the_merchant_later_is_told_ahead(self, living: Living) -> None:
        id_ = paid(living)
        said = {"requester": "admin", "consent": None, "effective_at": APR_30}
        living.run(living.change(id_, amount=30_000, **said))
        living.run(living.change(id_, amount=20_000, **said))
        assert notice_ats(living) == [APR_30 - 30 * DAY, None]

    def test_told_ahead_is_before_its_first_period_and_not_before_its_date(
        self, living: Living
    ) -> None:
        """A consent is counted from the period: who agrees on the day of the notice is in time."""
        id_ = paid(living)
        said = {"requester": "admin", "consent": None, "effective_at": MAR_31 + 2 * DAY}
        living.run(living.change(id_, amount=30_000, **said))
        assert notice_ats(living) == [APR_30 - 30 * DAY]

    def test_and_never_before_now(self, living: Living) -> None:
        id_ = paid(living)
        said = {"requester": "admin", "consent": None, "effective_at": FEB_28 - DAY}
        living.run(living.change(id_, amount=30_000, **said))
        assert notice_ats(living) == [living.world.clock.now()]

    def test_nor_at_all_where_that_is_switched_off(self, living: Living) -> None:
        living.rules = replace(living.rules, price_notice=timedelta(0))
        id_ = paid(living, product="slim")
        said = {"requester": "admin", "consent": None, "effective_at": APR_30}
        living.run(living.change(id_, amount=30_000, **said))
        living.run(living.do(ChangePrice, product="slim", amount=31_000, effective_at=APR_30))
        assert notice_ats(living) == [None, None]

    def test_a_price_that_rises_again_after_a_lower_one_is_told_ahead(self, living: Living) -> None:
        """What was agreed to by then is the lower one."""
        id_ = paid(living)
        living.run(living.change(id_, amount=20_000))
        said = {"requester": "admin", "consent": None, "effective_at": APR_30}
        living.run(living.change(id_, amount=28_000, **said))
        assert notice_ats(living) == [None, APR_30 - 30 * DAY]

    def test_another_interval_to_come_leaves_when_to_whoever_tells_of_it(
        self, living: Living
    ) -> None:
        id_ = paid(living, interval="year")
        living.run(
            living.change(id_, interval="month", amount=2_000, requester="admin", consent=None)
        )
        year = BillingCycle(START_AT, Interval(IntervalUnit.YEAR)).period(1).start_at
        said = {"requester": "admin", "consent": None, "effective_at": year + 3 * DAY}
        living.run(living.change(id_, amount=3_000, **said))
        assert notice_ats(living)[-1] == year + 3 * DAY - 30 * DAY

    @pytest.mark.parametrize(
        ("kind", "days"), [("price_increase", 30), ("plan_change", 30), ("sign_up", None)]
    )
    def test_a_consent_answers_until_when_it_counts(
        self, living: Living, kind: str, days: int | None
    ) -> None:
        """Whoever gives one too early for the period sees it at once."""
        id_ = paid(living)
        said = {"kind": kind, "amount_after": 30_000, "consent": living.consent()}
        told = living.run(living.do(RecordConsent, subscription_id=id_, **said))
        until = days and (living.world.clock.now() + days * DAY).isoformat()
        assert told["valid_until"] == until
        (event,) = living.run(living.world.events("consent.given"))
        assert event["valid_until"] == until
        (row,) = living.run(living.world.rows("SELECT payment_method FROM consents"))
        assert row.payment_method is None

    def test_needs_none_where_another_law_applies(self, living: Living) -> None:
        living.rules = replace(living.rules, consent=ConsentPolicy(required=False))
        id_ = paid(living)
        living.run(living.change(id_, amount=30_000, at_renewal=False, consent=None))
        said = {"kind": "price_increase", "amount_after": 1, "consent": living.consent()}
        told = living.run(living.do(RecordConsent, subscription_id=id_, **said))
        assert told["valid_until"] is None

    def test_a_lower_one_is_not_agreed_to_for_more_again(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.change(id_, amount=10_000, at_renewal=False, consent=None))
        assert "has not agreed to 28,000" in refused(
            living, id_, amount=28_000, at_renewal=False, consent=None
        )


class TestWhatBringsAHigherPriceNearer:
    """It was put off until its first period; what moves that has it looked at again."""

    def test_another_interval_at_once(self, living: Living) -> None:
        id_ = paid(living, interval="year")
        said = {"requester": "admin", "consent": None, "effective_at": APR_30}
        living.run(living.change(id_, amount=40_000, **said))
        now = living.world.clock.now()
        year = BillingCycle(START_AT, Interval(IntervalUnit.YEAR)).period(1).start_at
        assert notice_ats(living) == [year - 30 * DAY]
        living.run(living.change(id_, interval="month", at_renewal=False))
        assert notice_ats(living) == [now]
        living.run(living.tick())
        assert living.run(Agreements(living.world).notices(renewal_days=0)) == 0
        (notice_at,) = notice_ats(living)
        assert notice_at == BillingCycle(now, MONTHLY).period(3).start_at - 30 * DAY

    def test_another_interval_to_come(self, living: Living) -> None:
        id_ = paid(living, interval="year")
        said = {"requester": "admin", "consent": None}
        living.run(living.change(id_, amount=40_000, effective_at=APR_30, **said))
        living.run(living.change(id_, interval="month", effective_at=MAR_31, **said))
        assert notice_ats(living)[0] == living.world.clock.now()

    def test_a_longer_interval_that_is_taken_back(self, living: Living) -> None:
        id_ = paid(living)
        said = {"requester": "admin", "consent": None}
        longer = living.run(living.change(id_, interval="year", effective_at=MAR_31, **said))
        effective_at, scan = APR_30 - 10 * DAY, Agreements(living.world)
        living.run(living.change(id_, amount=40_000, effective_at=effective_at, **said))
        living.run(living.go_to(FEB_28))
        living.world.clock.instant = effective_at - 30 * DAY
        assert living.run(scan.notices(renewal_days=0)) == 0
        year = BillingCycle(MAR_31, Interval(IntervalUnit.YEAR)).period(1).start_at
        assert notice_ats(living)[1] == year - 30 * DAY
        withdraw = {"subscription_id": id_, "change_id": longer["change_id"]}
        living.run(living.do(WithdrawChange, **withdraw))
        assert living.run(scan.notices(renewal_days=0)) == 0
        assert notice_ats(living)[1] == APR_30 - 30 * DAY

    def test_a_return(self, living: Living) -> None:
        id_ = paid(living, interval="year")
        said = {"requester": "admin", "consent": None, "effective_at": APR_30}
        living.run(living.change(id_, amount=40_000, **said))
        living.run(living.cancel(id_))
        living.run(living.tick())
        living.run(living.tick())
        now = living.world.clock.now()
        living.run(living.reactivate(id_))
        assert notice_ats(living) == [now]


class TestRefused:
    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"amount": 5}, "최소 결제 금액은 10원입니다."),
            ({"amount": 2**53 - 1, "quantity": 2}, "is the most that can be billed"),
            ({}, "must name a price, a quantity, an order name or an interval"),
            ({"amount": 28_000, "at_renewal": False}, "is billed by these terms already"),
            ({"amount": 1_000, "effective_at": START_AT}, "has passed"),
            ({"order_name": " "}, "order name must not be empty"),
        ],
    )
    def test_in_words(self, living: Living, values: dict[str, Any], words: str) -> None:
        id_ = paid(living)
        assert words in refused(living, id_, **values)

    def test_the_tax_free_part_is_not_forgotten(self, living: Living) -> None:
        id_ = paid(living, tax_free=28_000)
        assert "28,000 won are tax-free: say how much" in refused(living, id_, amount=20_000)
        living.run(living.change(id_, amount=20_000, tax_free=20_000, at_renewal=False))


class TestTheProductsPrice:
    def test_it_changes_for_everybody_who_lives(self, living: Living) -> None:
        ids = [
            living.run(living.start(customer_uid=f"key-{n}", product=product, quantity=n))
            for n, product in ((1, "slim"), (2, "slim"), (3, "pro"), (4, "slim"))
        ]
        living.run(living.tick())
        living.run(living.cancel(ids[3], "period_end"))
        said = {"product": "slim", "amount": 33_000, "effective_at": MAR_31}
        told = living.run(living.do(ChangePrice, **said))
        assert told == {"product": "slim", "effective_at": MAR_31.isoformat(), "changes": 2}
        rows = living.run(living.world.rows("SELECT * FROM agreement_changes ORDER BY id"))
        assert {row.subscription_id for row in rows} == set(ids[:2])
        assert {(row.amount, row.requester, row.notice_at) for row in rows} == {
            (33_000, "admin", MAR_31 - 30 * DAY)
        }
        events = living.run(living.world.events("subscription.change_scheduled"))
        assert [event["change_id"] for event in events] == [row.id for row in rows]
        assert {event["effective_at"] for event in events} == {MAR_31.isoformat()}

    @pytest.mark.parametrize("until_then", [20_000, 40_000])
    def test_it_changes_what_costs_as_much_today_and_something_else_by_then(
        self, living: Living, until_then: int
    ) -> None:
        """A change that comes before it would leave it at the other price for ever."""
        id_ = living.run(living.start(product="slim"))
        living.run(living.tick())
        living.run(living.do(ChangePrice, product="slim", amount=until_then, effective_at=FEB_28))
        said = {"product": "slim", "amount": 30_000, "effective_at": MAR_31}
        assert living.run(living.do(ChangePrice, **said))["changes"] == 1
        # Who pays less until then has agreed to that alone, and is told.
        told_at = MAR_31 - 30 * DAY if until_then < 30_000 else None
        assert notice_ats(living)[1] == told_at
        for at in (FEB_28, MAR_31):
            living.world.clock.instant = at - DAY
            said = {"kind": "price_increase", "amount_after": 40_000, "consent": living.consent()}
            living.run(living.do(RecordConsent, subscription_id=id_, **said))
            living.run(living.go_to(at))
        amounts = [row.amount for row in living.run(living.invoices(id_))]
        assert amounts == [30_000, until_then, 30_000]

    def test_what_comes_after_it_is_left_alone(self, living: Living) -> None:
        living.run(living.start(product="slim"))
        living.run(living.do(ChangePrice, product="slim", amount=20_000, effective_at=APR_30))
        said = {"product": "slim", "amount": 30_000, "effective_at": MAR_31}
        assert "costs anything else" in living.run(living.refused(ChangePrice, **said))

    def test_who_pays_less_need_not_be_told_ahead(self, living: Living) -> None:
        living.run(living.start(product="slim"))
        living.run(living.do(ChangePrice, product="slim", amount=20_000, effective_at=MAR_31))
        (row,) = living.run(living.world.rows("SELECT notice_at FROM agreement_changes"))
        assert row.notice_at is None

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"amount": 9}, "최소 결제 금액은 10원입니다."),
            ({"amount": 2**53 - 1}, "is the most that can be billed"),
            ({"effective_at": START_AT}, "has passed"),
            ({"product": "other"}, "no living subscription of 'other' costs anything else"),
            ({"amount": 30_000}, "no living subscription of 'slim' costs anything else"),
        ],
    )
    def test_or_is_refused(self, living: Living, values: dict[str, Any], words: str) -> None:
        for quantity in (1, 2):
            living.run(living.start(product="slim", quantity=quantity))
        said = {"product": "slim", "amount": 20_000, "effective_at": MAR_31, **values}
        assert words in living.run(living.refused(ChangePrice, **said))
        assert living.run(living.world.rows("SELECT FROM agreement_changes")) == []


class TestAdjustments:
    def test_a_credit_and_a_discount(self, living: Living) -> None:
        id_ = paid(living, amount=30_000, tax_free=3_000)
        told = living.run(
            living.do(AdjustSubscription, subscription_id=id_, description="사과", credit=10_000)
        )
        assert told["next_amount"] == 20_000
        said = {"description": "봄", "percent": 10, "periods": 1}
        living.run(living.do(AdjustSubscription, subscription_id=id_, **said))
        living.run(living.go_to(FEB_28))
        living.run(living.go_to(MAR_31))
        assert living.run(living.lines(id_))[1:] == [
            [("recurring", 30_000), ("discount", -3_000), ("credit", -10_000)],
            [("recurring", 30_000)],
        ]
        assert [row.tax_free for row in living.run(living.invoices(id_))] == [3_000, 1_700, 3_000]
        events = living.run(living.world.events("subscription.adjusted"))
        assert [event["kind"] for event in events] == ["credit", "discount"]
        assert "사과" not in str(events)

    @pytest.mark.parametrize(
        ("values", "next_amount"),
        [({"credit": 29_995}, 10), ({"credit": 60_000}, 0)],
    )
    def test_none_leaves_what_cannot_be_charged(
        self, living: Living, values: dict[str, Any], next_amount: int
    ) -> None:
        id_ = paid(living, amount=30_000)
        said = {"subscription_id": id_, "description": "사과", **values}
        done = living.run(living.do(AdjustSubscription, **said))
        assert done["next_amount"] == next_amount

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"percent": 100}, "a discount of 100 percent is a free trial"),
            ({"discount": 30_000}, "a period of 30,000 won would cost nothing by its discounts"),
            ({"discount": 40_000}, "a period of 30,000 won would cost nothing"),
            # Nine won are less than the gateway charges.
            ({"discount": 29_991}, "a period of 30,000 won would cost nothing"),
        ],
    )
    def test_a_discount_that_makes_a_period_free_is_refused(
        self, living: Living, values: dict[str, Any], words: str
    ) -> None:
        """What follows would be the full price after a free period, without a consent."""
        id_ = paid(living, amount=30_000)
        said = {"subscription_id": id_, "description": "이벤트", "periods": 1, **values}
        refusal = living.run(living.refused(AdjustSubscription, **said))
        assert words in refusal
        assert "trial_days" in refusal
        assert living.run(living.adjustments(id_)) == []

    def test_several_discounts_together_count_and_a_credit_does_not(self, living: Living) -> None:
        id_ = paid(living, amount=30_000)
        said = {"subscription_id": id_, "description": "이벤트"}
        living.run(living.do(AdjustSubscription, credit=60_000, **said))
        living.run(living.do(AdjustSubscription, discount=20_000, periods=2, **said))
        words = living.run(living.refused(AdjustSubscription, discount=10_000, periods=1, **said))
        assert "would cost nothing by its discounts" in words
        living.run(living.do(AdjustSubscription, discount=9_000, periods=1, **said))

    def test_a_discount_counts_at_a_price_to_come(self, living: Living) -> None:
        id_ = paid(living, amount=30_000)
        living.run(living.change(id_, amount=10_000, effective_at=MAR_31))
        said = {"subscription_id": id_, "description": "이벤트", "periods": 3}
        words = living.run(living.refused(AdjustSubscription, discount=10_000, **said))
        assert "a period of 10,000 won would cost nothing" in words
        living.run(living.do(AdjustSubscription, discount=9_000, **said))

    @pytest.mark.parametrize("at_renewal", [True, False])
    def test_no_price_falls_below_the_discounts(self, living: Living, at_renewal: bool) -> None:
        id_ = paid(living, amount=30_000)
        said = {"subscription_id": id_, "description": "이벤트", "periods": 1}
        living.run(living.do(AdjustSubscription, discount=10_000, **said))
        words = refused(living, id_, amount=10_000, at_renewal=at_renewal)
        assert "a period of 10,000 won would cost nothing by its discounts" in words
        living.run(living.change(id_, amount=10_010, at_renewal=at_renewal))


class TestOfAPeriodThatIsNotPaid:
    """The running period is open: what it is collected by does not change."""

    @pytest.fixture
    def owing(self, living: Living) -> uuid.UUID:
        """A subscription whose first charge was declined a day ago."""
        id_: uuid.UUID = living.run(living.start(amount=28_000))
        living.world.gateway.script.append(Ending.DECLINED)
        living.run(living.tick())
        living.world.clock.instant = START_AT + DAY
        return id_

    @pytest.mark.parametrize("values", [{"amount": 56_000}, {"interval": "week"}])
    def test_days_that_may_never_be_paid_are_not_credited(
        self, living: Living, owing: uuid.UUID, values: dict[str, Any]
    ) -> None:
        """A credit would stay where the invoice is given up."""
        said = {"at_renewal": False, "consent": living.consent(), **values}
        words = refused(living, owing, **said)
        assert "the running period is not paid yet" in words
        assert "set prorate to false" in words
        assert living.run(living.adjustments(owing)) == []

    def test_they_are_once_it_is_paid(self, living: Living, owing: uuid.UUID) -> None:
        living.run(living.go_to(START_AT + 7 * DAY))
        (invoice,) = living.run(living.invoices(owing))
        assert invoice.status == "paid"
        living.run(living.change(owing, amount=56_000, at_renewal=False))
        assert [kind for kind, _, _ in living.run(living.adjustments(owing))] == [
            "proration_credit",
            "proration_charge",
        ]

    @pytest.mark.parametrize("said", [{"at_renewal": False, "prorate": False}, {}])
    def test_without_proration_and_at_the_renewal_it_is_done(
        self, living: Living, owing: uuid.UUID, said: dict[str, Any]
    ) -> None:
        living.run(living.change(owing, amount=56_000, **said))
        assert living.run(living.adjustments(owing)) == []
        (invoice,) = living.run(living.invoices(owing))
        assert (invoice.amount, invoice.status) == (28_000, "open")


class TestAfterAPauseThatSkippedABeginning:
    """The rest of the period is charged with the next invoice, and no invoice runs."""

    @pytest.fixture
    def back(self, living: Living) -> uuid.UUID:
        """A subscription that came back ten days after a period had begun in its pause."""
        id_ = paid(living, amount=30_000)
        living.run(living.pause(id_))
        living.run(living.go_to(MAR_31))
        living.world.clock.instant = MAR_31 + 10 * DAY
        assert living.run(living.resume(id_))["charged_later"] == 19_000
        return id_

    @pytest.mark.parametrize(
        ("values", "recurring"),
        [({"amount": 60_000}, 60_000), ({"interval": "week", "amount": 7_000}, 7_000)],
    )
    def test_a_change_at_once_waits_and_no_day_is_charged_twice(
        self, living: Living, back: uuid.UUID, values: dict[str, Any], recurring: int
    ) -> None:
        consent = living.consent()
        told = living.run(living.change(back, at_renewal=False, consent=consent, **values))
        assert (told["effective_at"], told["adjustment_ids"]) == (APR_30.isoformat(), [])
        assert told["change_id"] is not None
        assert living.run(living.tick()) == []
        assert living.run(living.go_to(APR_30)) == ["paid"]
        assert living.run(living.lines(back))[1:] == [
            [("recurring", recurring), ("proration_charge", 19_000)]
        ]

    def test_once_that_is_charged_it_comes_at_once_again(
        self, living: Living, back: uuid.UUID
    ) -> None:
        living.run(living.go_to(APR_30))
        told = living.run(living.change(back, amount=15_000, at_renewal=False))
        assert (told["change_id"], len(told["adjustment_ids"])) == (None, 2)
