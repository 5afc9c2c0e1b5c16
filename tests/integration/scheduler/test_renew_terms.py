"""The renewal scan, where more than the next period changes: terms, consents, trials, pauses."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from shared.billing.calendar import BillingCycle
from shared.billing.consent import ConsentPolicy, WithoutConsent
from tests.support.agreements import Agreements
from tests.support.billing import MONTHLY, START_AT, World
from tests.support.endings import Ends

DAY = timedelta(days=1)
# The second period begins with the last day of February, nine in Korea.
SECOND_AT = datetime(2026, 2, 28, tzinfo=UTC)
THIRD_AT = datetime(2026, 3, 31, tzinfo=UTC)
END = ConsentPolicy(without=WithoutConsent.END)


@pytest.fixture
def agreements(world: World) -> Agreements:
    """Rows that wait for renewals."""
    return Agreements(world)


def one(world: World, **agreement: Any) -> uuid.UUID:
    (id_,) = world.run(world.subscribe(**agreement))
    return id_


def trial(world: World, days: int = 7, **said: Any) -> uuid.UUID:
    end_at = START_AT + days * DAY
    return one(world, trial_end_at=end_at, cycle=BillingCycle(end_at, MONTHLY), **said)


def renew_at(world: World, at: datetime) -> int:
    world.clock.instant = at
    return world.run(world.renew())


def amounts(agreements: Agreements, id_: uuid.UUID) -> list[int]:
    return [row.amount for row in agreements.world.run(agreements.invoices(id_))]


class TestChanges:
    def test_one_comes_into_effect_with_the_first_period_that_begins_then(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world)
        world.run(agreements.change(id_, START_AT + DAY, amount=7_000, order_name="라이트"))
        renew_at(world, START_AT)
        assert world.run(agreements.changes()) == [("pending", None)]
        renew_at(world, SECOND_AT)
        assert amounts(agreements, id_) == [9_900, 7_000]
        assert world.run(agreements.changes()) == [("applied", 1)]
        row = world.run(agreements.subscription(id_))
        assert (row.amount, row.order_name, row.consented_amount) == (7_000, "라이트", 7_000)
        (told,) = world.run(world.events("subscription.changed"))
        assert (told["period_index"], told["before"]["amount"], told["after"]["amount"]) == (
            1,
            9_900,
            7_000,
        )
        names = world.run(agreements.names())
        assert names[-2:] == ["subscription.changed", "invoice.opened"]
        renew_at(world, THIRD_AT)
        assert amounts(agreements, id_) == [9_900, 7_000, 7_000]
        assert len(world.run(world.events("subscription.changed"))) == 1

    def test_several_come_into_effect_in_order(self, world: World, agreements: Agreements) -> None:
        id_ = one(world, price=30_000)
        world.run(agreements.change(id_, START_AT + 2 * DAY, amount=5_000))
        world.run(agreements.change(id_, START_AT + DAY, amount=6_000, quantity=2))
        renew_at(world, START_AT)
        renew_at(world, SECOND_AT)
        assert amounts(agreements, id_) == [30_000, 10_000]
        assert world.run(agreements.changes()) == [("applied", 1), ("applied", 1)]
        told = world.run(world.events("subscription.changed"))
        assert [event["after"]["amount"] for event in told] == [6_000, 5_000]

    def test_another_interval_counts_from_its_first_period(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world)
        change = agreements.change(id_, SECOND_AT, interval_unit="week", interval_count=2)
        world.run(change)
        world.run(agreements.agree(id_, "price_increase", 9_900, START_AT))
        renew_at(world, START_AT)
        renew_at(world, SECOND_AT)
        renew_at(world, SECOND_AT + 14 * DAY)
        row = world.run(agreements.subscription(id_))
        assert (row.anchor_at, row.anchor_index) == (SECOND_AT, 1)
        assert (row.next_period_index, row.next_renewal_at) == (3, SECOND_AT + 28 * DAY)
        found = world.run(agreements.invoices(id_))
        assert [invoice.period_index for invoice in found] == [0, 1, 2]
        assert found[0].period_end_at == found[1].period_start_at
        assert found[1].period_end_at == found[2].period_start_at == SECOND_AT + 14 * DAY

    def test_after_an_outage_each_period_has_the_terms_of_its_beginning(
        self, world: World, agreements: Agreements
    ) -> None:
        """And what came into effect with a period that is skipped is in effect."""
        id_ = one(world)
        world.run(agreements.change(id_, SECOND_AT, amount=7_000))
        world.run(agreements.change(id_, THIRD_AT, order_name="라이트"))
        assert renew_at(world, THIRD_AT) == 1
        (invoice,) = world.run(agreements.invoices(id_))
        assert (invoice.period_index, invoice.amount, invoice.order_name) == (2, 7_000, "라이트")
        assert world.run(agreements.changes()) == [("applied", 1), ("applied", 2)]

    def test_one_that_makes_no_sense_holds_up_its_subscription_only(
        self, world: World, agreements: Agreements
    ) -> None:
        id_, other = world.run(world.subscribe(2))
        change = agreements.change(id_, START_AT, interval_unit="year", interval_count=9_000)
        world.run(change)
        assert world.run(world.renew()) == 1
        assert amounts(agreements, other) == [9_900]
        row = world.run(agreements.subscription(id_))
        assert (row.next_period_index, row.next_renewal_at) == (0, START_AT + timedelta(hours=1))
        assert world.run(agreements.changes()) == [("pending", None)]


class TestConsents:
    @pytest.mark.parametrize("days", [0, 30])
    def test_an_increase_that_was_agreed_to_is_charged(
        self, world: World, agreements: Agreements, days: int
    ) -> None:
        id_ = one(world)
        world.run(agreements.change(id_, SECOND_AT, amount=12_000))
        world.run(agreements.agree(id_, "price_increase", 12_000, SECOND_AT - days * DAY))
        renew_at(world, START_AT)
        renew_at(world, SECOND_AT)
        assert amounts(agreements, id_) == [9_900, 12_000]
        assert world.run(agreements.subscription(id_)).consented_amount == 12_000
        assert world.run(world.events("consent.missing")) == []

    @pytest.mark.parametrize(
        ("kind", "amount", "days"),
        [
            pytest.param("price_increase", 12_000, 31, id="too early"),
            pytest.param("price_increase", 11_999, 1, id="to less"),
            pytest.param("sign_up", 12_000, 1, id="to something else"),
            pytest.param("plan_change", 12_000, 1, id="to a change of the buyer's own"),
        ],
    )
    def test_what_was_not_agreed_to_is_billed_at_the_old_price(
        self, world: World, agreements: Agreements, kind: str, amount: int, days: int
    ) -> None:
        id_ = one(world)
        change_id = world.run(agreements.change(id_, SECOND_AT, amount=12_000))
        world.run(agreements.agree(id_, kind, amount, SECOND_AT - days * DAY))
        renew_at(world, START_AT)
        renew_at(world, SECOND_AT)
        renew_at(world, THIRD_AT)
        assert amounts(agreements, id_) == [9_900, 9_900, 9_900]
        assert world.run(agreements.changes()) == [("refused", None)]
        (row,) = world.run(world.rows("SELECT message FROM agreement_changes"))
        assert "12000 won" in row.message
        (refused,) = world.run(world.events("subscription.change_refused"))
        assert (refused["change_id"], refused["message"]) == (change_id, row.message)
        (missing,) = world.run(world.events("consent.missing"))
        assert (missing["kind"], missing["amount"]) == ("price_increase", 12_000)
        assert missing["effective_at"] == SECOND_AT.isoformat()

    def test_a_change_of_the_buyers_own_takes_a_consent_of_its_own(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world)
        world.run(agreements.change(id_, SECOND_AT, amount=12_000, requester="customer"))
        world.run(agreements.agree(id_, "plan_change", 12_000, START_AT))
        renew_at(world, START_AT)
        renew_at(world, SECOND_AT)
        assert amounts(agreements, id_) == [9_900, 12_000]

    def test_or_the_subscription_ends_before_the_higher_price(
        self, world: World, agreements: Agreements
    ) -> None:
        world.consent = END
        id_ = one(world)
        world.run(agreements.change(id_, SECOND_AT, amount=12_000))
        renew_at(world, START_AT)
        assert renew_at(world, SECOND_AT) == 0
        row = world.run(agreements.subscription(id_))
        assert (row.cancel_at, row.next_renewal_at, row.next_period_index) == (
            SECOND_AT,
            SECOND_AT,
            1,
        )
        assert (row.cancel_requester, row.cancel_refund, row.cancel_late_payment) == (
            "admin",
            "none",
            "none",
        )
        names = world.run(agreements.names())
        assert names[-2:] == ["consent.missing", "subscription.cancellation_scheduled"]
        assert world.run(world.renew()) == 0
        assert world.run(Ends(world).end_all()) == ["closed"]
        assert world.run(agreements.subscription(id_)).status == "canceled"
        assert amounts(agreements, id_) == [9_900]

    def test_where_none_is_required_none_is_asked_for(
        self, world: World, agreements: Agreements
    ) -> None:
        world.consent = ConsentPolicy(required=False)
        id_ = one(world)
        world.run(agreements.change(id_, START_AT, amount=12_000))
        renew_at(world, START_AT)
        assert amounts(agreements, id_) == [12_000]


class TestTrials:
    def test_nothing_is_billed_before_the_end_and_a_consent_converts(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = trial(world)
        world.run(agreements.agree(id_, "trial_conversion", 9_900, START_AT + DAY))
        assert renew_at(world, START_AT + 7 * DAY - timedelta(microseconds=1)) == 0
        assert world.run(agreements.subscription(id_)).status == "trialing"
        assert renew_at(world, START_AT + 7 * DAY) == 1
        row = world.run(agreements.subscription(id_))
        assert (row.status, row.consented_amount, row.next_period_index) == ("active", 9_900, 1)
        (told,) = world.run(world.events("subscription.converted"))
        assert (told["period_index"], told["amount"]) == (0, 9_900)
        names = world.run(agreements.names())
        assert names == ["subscription.converted", "invoice.opened"]

    @pytest.mark.parametrize("policy", WithoutConsent)
    @pytest.mark.parametrize("kind", [None, "sign_up"])
    def test_without_one_the_subscription_ends_with_the_trial(
        self, world: World, agreements: Agreements, policy: WithoutConsent, kind: str | None
    ) -> None:
        world.consent = ConsentPolicy(without=policy)
        id_ = trial(world)
        if kind is not None:
            world.run(agreements.agree(id_, kind, 9_900, START_AT))
        assert renew_at(world, START_AT + 7 * DAY) == 0
        row = world.run(agreements.subscription(id_))
        assert (row.status, row.cancel_at) == ("trialing", START_AT + 7 * DAY)
        assert "free trial" in row.cancel_reason
        (missing,) = world.run(world.events("consent.missing"))
        assert (missing["kind"], missing["amount"]) == ("trial_conversion", 9_900)
        assert world.run(Ends(world).end_all()) == ["closed"]
        row = world.run(agreements.subscription(id_))
        assert (row.status, row.canceled_at) == ("canceled", START_AT + 7 * DAY)
        assert world.run(agreements.invoices(id_)) == []

    def test_what_costs_nothing_afterwards_needs_none(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = trial(world, price=0)
        assert renew_at(world, START_AT + 7 * DAY) == 1
        assert world.run(agreements.subscription(id_)).status == "active"

    def test_a_higher_price_after_the_trial_is_refused_and_the_old_one_is_good(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = trial(world)
        world.run(agreements.change(id_, START_AT, amount=12_000))
        world.run(agreements.agree(id_, "trial_conversion", 9_900, START_AT + DAY))
        assert renew_at(world, START_AT + 7 * DAY) == 1
        assert amounts(agreements, id_) == [9_900]
        assert world.run(agreements.changes()) == [("refused", None)]
        assert world.run(agreements.subscription(id_)).status == "active"


class TestAdjustments:
    def test_a_discount_is_given_for_its_periods(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world, price=10_000, tax_free=1_000)
        world.run(agreements.adjust(id_, "discount", percent=30, periods=2))
        world.run(agreements.adjust(id_, "discount", 2_000, periods=1))
        for at in (START_AT, SECOND_AT, THIRD_AT):
            renew_at(world, at)
        found = world.run(agreements.invoices(id_))
        assert [(row.amount, row.tax_free) for row in found] == [
            (5_000, 500),
            (7_000, 700),
            (10_000, 1_000),
        ]
        assert [line["kind"] for line in found[0].lines] == ["recurring", "discount", "discount"]
        assert [line["amount"] for line in found[1].lines] == [10_000, -3_000]
        left = world.run(world.rows("SELECT amount_left, periods_left FROM adjustments"))
        assert [tuple(row) for row in left] == [(0, 0), (0, 0)]

    def test_a_credit_is_carried_over_to_the_next_period(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world, price=10_000)
        adjustment_id = world.run(agreements.adjust(id_, "credit", 13_000))
        renew_at(world, START_AT)
        (row,) = world.run(world.rows("SELECT amount_left FROM adjustments"))
        assert row.amount_left == 3_000
        renew_at(world, SECOND_AT)
        renew_at(world, THIRD_AT)
        assert amounts(agreements, id_) == [0, 7_000, 10_000]
        first = world.run(agreements.invoices(id_))[0]
        assert first.lines[1]["adjustment_id"] == adjustment_id
        assert world.run(world.charge_all()) == ["paid unsent", "paid", "paid"]

    def test_what_is_charged_beside_the_agreement_is_charged_once(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world, price=10_000)
        world.run(agreements.adjust(id_, "proration_charge", 2_500))
        renew_at(world, START_AT)
        renew_at(world, SECOND_AT)
        assert amounts(agreements, id_) == [12_500, 10_000]

    def test_periods_that_are_skipped_use_up_nothing(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world, price=10_000)
        world.run(agreements.adjust(id_, "discount", percent=50, periods=1))
        assert renew_at(world, THIRD_AT) == 1
        assert amounts(agreements, id_) == [5_000]

    def test_scans_at_once_use_a_credit_once(self, world: World, agreements: Agreements) -> None:
        ids = world.run(world.subscribe(20, price=10_000))
        for id_ in ids:
            world.run(agreements.adjust(id_, "credit", 4_000))
        processes = [world, world.twin()] * 4

        async def scenario() -> list[int]:
            return await asyncio.gather(*(process.renew(rows_max=7) for process in processes))

        opened = sum(world.run(scenario())) + world.run(world.renew())
        assert opened == 20
        found = world.run(world.rows("SELECT amount FROM invoices"))
        assert {row.amount for row in found} == {6_000}
        left = world.run(world.rows("SELECT sum(amount_left) AS left FROM adjustments"))
        assert left[0].left == 0

    def test_a_credit_that_no_invoice_carried_is_kept(
        self, world: World, agreements: Agreements
    ) -> None:
        """The invoice of the period was there already, as after a restored backup of one table."""
        id_ = one(world, price=10_000)
        renew_at(world, START_AT)
        statement = "UPDATE subscriptions SET next_period_index = 0, next_renewal_at = :at"
        world.run(world.rows(statement, at=START_AT))
        world.run(agreements.adjust(id_, "credit", 4_000))
        assert world.run(world.renew()) == 0
        (row,) = world.run(world.rows("SELECT amount_left FROM adjustments"))
        assert row.amount_left == 4_000
        renew_at(world, SECOND_AT)
        assert amounts(agreements, id_) == [10_000, 6_000]


class TestPauses:
    def test_one_begins_with_the_period_that_begins_then_and_its_periods_are_explained(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world)
        world.run(agreements.pause(id_, SECOND_AT))
        renew_at(world, START_AT)
        assert world.run(agreements.subscription(id_)).status == "active"
        assert renew_at(world, SECOND_AT) == 0
        row = world.run(agreements.subscription(id_))
        assert (row.status, row.next_period_index, row.next_renewal_at) == (
            "paused",
            2,
            THIRD_AT,
        )
        (skipped,) = world.run(world.events("period.skipped"))
        assert (skipped["period_index"], skipped["reason"]) == (1, "paused")
        (told,) = world.run(world.events("subscription.paused"))
        assert (told["pause_at"], told["keeps"]) == (SECOND_AT.isoformat(), "calendar")
        renew_at(world, THIRD_AT)
        assert len(world.run(world.events("subscription.paused"))) == 1
        assert amounts(agreements, id_) == [9_900]
        assert world.run(world.events("catch_up.applied")) == []

    def test_what_begins_after_the_pause_is_left_to_whoever_ends_it(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world)
        world.run(agreements.pause(id_, START_AT + DAY, resume_at=THIRD_AT))
        assert renew_at(world, THIRD_AT + 40 * DAY) == 1
        row = world.run(agreements.subscription(id_))
        assert (row.status, row.next_period_index, row.next_renewal_at) == (
            "paused",
            2,
            THIRD_AT,
        )
        assert world.run(world.renew()) == 0

    def test_one_that_keeps_the_time_lets_no_period_begin(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world)
        world.run(agreements.pause(id_, SECOND_AT, keeps="time"))
        renew_at(world, START_AT)
        assert renew_at(world, THIRD_AT) == 0
        row = world.run(agreements.subscription(id_))
        assert (row.status, row.next_period_index, row.next_renewal_at) == ("paused", 1, None)
        assert world.run(world.events("period.skipped")) == []

    def test_a_change_waits_until_the_pause_is_over(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world)
        world.run(agreements.change(id_, SECOND_AT, amount=7_000))
        world.run(agreements.pause(id_, SECOND_AT))
        renew_at(world, START_AT)
        renew_at(world, SECOND_AT)
        assert world.run(agreements.changes()) == [("pending", None)]


def test_plain_renewals_read_little_more_than_themselves(world: World) -> None:
    """Three looks for what is rare, and nothing written for it."""
    world.run(world.subscribe(50))
    seen: list[str] = []

    def remember(_c: object, _k: object, statement: str, *_: object) -> None:
        seen.append(statement.split(maxsplit=1)[0])

    engine = world.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", remember)
    try:
        assert world.run(world.renew()) == 50
    finally:
        event.remove(engine, "before_cursor_execute", remember)
    # Subscriptions, changes, adjustments, reservations; invoices, events, and the subscriptions
    # again.
    assert seen == ["SELECT"] * 4 + ["INSERT", "WITH", "UPDATE"]
