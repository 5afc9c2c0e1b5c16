"""The scan that tells of renewals, ends of trials and higher prices before they come."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.consent import ConsentPolicy, WithoutConsent
from shared.billing.lifecycle import SubscriptionStatus
from shared.db import subscriptions
from tests.support.agreements import Agreements
from tests.support.billing import MONTHLY, START_AT, World
from tests.support.endings import Ends

DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
SECOND_AT = datetime(2026, 2, 28, tzinfo=UTC)
THIRD_AT = datetime(2026, 3, 31, tzinfo=UTC)
UPCOMING = "subscription.renewal_upcoming"
TRIAL_ENDING = "subscription.trial_ending"
PRICE_CHANGE = "subscription.price_change_upcoming"


@pytest.fixture
def agreements(world: World) -> Agreements:
    """Rows that wait for renewals."""
    return Agreements(world)


def one(world: World, **agreement: Any) -> uuid.UUID:
    (id_,) = world.run(world.subscribe(**agreement))
    world.run(world.renew())
    return id_


def trial(world: World, days: int = 30) -> uuid.UUID:
    end_at = START_AT + days * DAY
    return one(world, trial_end_at=end_at, cycle=BillingCycle(end_at, MONTHLY))


def look_at(agreements: Agreements, at: datetime, **leads: int) -> int:
    agreements.world.clock.instant = at
    return agreements.world.run(agreements.notices(**leads))


class TestRenewals:
    def test_one_is_told_of_once_its_lead_has_come_and_never_again(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world, price=30_000, tax_free=3_000)
        assert look_at(agreements, SECOND_AT - 3 * DAY - INSTANT) == 0
        assert look_at(agreements, SECOND_AT - 3 * DAY) == 1
        assert look_at(agreements, SECOND_AT - DAY) == 0
        (told,) = world.run(world.events(UPCOMING))
        assert told == {
            "subscription_id": str(id_),
            "period_index": 1,
            "renews_at": SECOND_AT.isoformat(),
            "order_name": "슬림 요금제",
            "amount": 30_000,
            "tax_free": 3_000,
            "lines": [
                {
                    "kind": "recurring",
                    "description": "슬림 요금제",
                    "amount": 30_000,
                    "tax_free": 3_000,
                    "quantity": 1,
                    "adjustment_id": None,
                }
            ],
            "amount_before": 30_000,
            "amount_after": 30_000,
            "consent_needed": False,
            "consent_missing": False,
            "consent_from": None,
            "consent_until": None,
            "at": (SECOND_AT - 3 * DAY).isoformat(),
        }
        world.clock.instant = SECOND_AT
        world.run(world.renew())
        assert look_at(agreements, SECOND_AT) == 0
        assert look_at(agreements, THIRD_AT - 3 * DAY) == 1

    def test_what_is_told_is_what_is_billed(self, world: World, agreements: Agreements) -> None:
        id_ = one(world, price=10_000)
        world.run(agreements.change(id_, SECOND_AT, amount=8_000, order_name="라이트"))
        world.run(agreements.adjust(id_, "credit", 3_000))
        world.run(agreements.adjust(id_, "discount", percent=10, periods=3))
        assert look_at(agreements, SECOND_AT - DAY) == 1
        (told,) = world.run(world.events(UPCOMING))
        world.clock.instant = SECOND_AT
        world.run(world.renew())
        invoice = world.run(agreements.invoices(id_))[1]
        assert (told["amount"], told["lines"]) == (invoice.amount, invoice.lines)
        assert told["amount"] == 4_200

    def test_scans_at_once_tell_of_each_once(self, world: World, agreements: Agreements) -> None:
        world.run(world.subscribe(40))
        world.run(world.renew())
        world.clock.instant = SECOND_AT - DAY
        processes = [agreements, Agreements(world.twin())] * 4

        async def scenario() -> list[int]:
            return await asyncio.gather(*(process.notices(rows_max=15) for process in processes))

        told = sum(world.run(scenario())) + world.run(agreements.notices())
        assert told == 40
        assert len(world.run(world.events(UPCOMING))) == 40

    @pytest.mark.parametrize("days", [0, 2])
    def test_the_lead_is_the_merchants_and_none_turns_it_off(
        self, world: World, agreements: Agreements, days: int
    ) -> None:
        one(world)
        assert look_at(agreements, SECOND_AT - 2 * DAY, renewal_days=days) == bool(days)
        if not days:
            assert look_at(agreements, SECOND_AT, renewal_days=days) == 0

    @pytest.mark.parametrize("what", ["ends", "pauses", "canceled"])
    def test_nothing_is_told_of_what_does_not_come(
        self, world: World, agreements: Agreements, what: str
    ) -> None:
        id_ = one(world)
        if what == "ends":
            world.run(Ends(world).cancel(id_, "period_end"))
        elif what == "pauses":
            world.run(agreements.pause(id_, SECOND_AT))
        else:
            canceled = {id_: SubscriptionStatus.CANCELED}
            world.run(
                world.database.run(
                    lambda connection: subscriptions.change_status(connection, canceled, START_AT)
                )
            )
        assert look_at(agreements, SECOND_AT - DAY) == 0

    def test_one_that_makes_no_sense_holds_up_no_other(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world)
        one(world)
        world.run(
            world.rows(
                "UPDATE subscriptions SET time_zone = 'Mars/Olympus_Mons' WHERE id = :i", i=id_
            )
        )
        with structlog.testing.capture_logs() as logs:
            assert look_at(agreements, SECOND_AT - DAY) == 1
            assert look_at(agreements, SECOND_AT - DAY) == 0
        assert [(log["event"], log["subscription_id"]) for log in logs] == [
            ("notice_impossible", str(id_))
        ]


class TestTrials:
    def test_its_end_is_told_with_the_amount_and_that_a_consent_is_needed(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = trial(world)
        end_at = START_AT + 30 * DAY
        assert look_at(agreements, end_at - 7 * DAY - INSTANT) == 0
        assert look_at(agreements, end_at - 7 * DAY) == 1
        assert look_at(agreements, end_at - 3 * DAY) == 0
        (told,) = world.run(world.events(TRIAL_ENDING))
        assert told["subscription_id"] == str(id_)
        assert told["trial_end_at"] == told["renews_at"] == end_at.isoformat()
        assert (told["amount"], told["amount_after"]) == (9_900, 9_900)
        assert (told["consent_needed"], told["consent_missing"]) == (True, True)
        assert told["consent_from"] == START_AT.isoformat()
        assert told["consent_until"] == end_at.isoformat()

    def test_a_consent_that_was_given_is_not_asked_for_again(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = trial(world)
        world.run(agreements.agree(id_, "trial_conversion", 9_900, START_AT + 10 * DAY))
        look_at(agreements, START_AT + 29 * DAY)
        (told,) = world.run(world.events(TRIAL_ENDING))
        assert (told["consent_needed"], told["consent_missing"]) == (True, False)


class TestPriceChanges:
    def test_one_is_told_of_when_its_time_has_come_and_never_again(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world)
        notice_at = THIRD_AT - 30 * DAY
        change = agreements.change(id_, THIRD_AT, amount=12_000, notice_at=notice_at)
        change_id = world.run(change)
        world.run(agreements.adjust(id_, "credit", 9_900))
        assert look_at(agreements, notice_at - INSTANT, renewal_days=0) == 0
        world.clock.instant = SECOND_AT
        world.run(world.renew())
        world.run(agreements.adjust(id_, "credit", 1_000))
        assert look_at(agreements, notice_at, renewal_days=0) == 1
        assert look_at(agreements, THIRD_AT - DAY, renewal_days=0) == 0
        (told,) = world.run(world.events(PRICE_CHANGE))
        assert (told["change_id"], told["period_index"]) == (change_id, 2)
        assert told["renews_at"] == THIRD_AT.isoformat()
        assert (told["amount_before"], told["amount_after"], told["amount"]) == (
            9_900,
            12_000,
            11_000,
        )
        assert (told["consent_needed"], told["consent_missing"]) == (True, True)
        assert told["consent_from"] == (THIRD_AT - 30 * DAY).isoformat()
        assert told["consent_until"] == THIRD_AT.isoformat()

    def test_who_agrees_on_the_day_of_the_notice_has_agreed_in_time(
        self, world: World, agreements: Agreements
    ) -> None:
        """The price may come from the 3rd of March on, and comes with the 31st: both count."""
        id_ = one(world)
        effective_at = SECOND_AT + 3 * DAY
        change = agreements.change(id_, effective_at, amount=12_000, notice_at=START_AT)
        world.run(change)
        told_at = THIRD_AT - 30 * DAY
        assert look_at(agreements, START_AT, renewal_days=0) == 0
        assert look_at(agreements, told_at - INSTANT, renewal_days=0) == 0
        assert look_at(agreements, told_at, renewal_days=0) == 1
        assert look_at(agreements, told_at, renewal_days=0) == 0
        (told,) = world.run(world.events(PRICE_CHANGE))
        assert told["consent_from"] == told["at"] == told_at.isoformat()
        world.run(agreements.agree(id_, "price_increase", 12_000, told_at))
        for at in (SECOND_AT, THIRD_AT):
            world.clock.instant = at
            world.run(world.renew())
        assert [row.amount for row in world.run(agreements.invoices(id_))] == [
            9_900,
            9_900,
            12_000,
        ]

    def test_it_is_put_off_once_and_not_looked_at_until_then(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world)
        world.run(agreements.change(id_, THIRD_AT, amount=12_000, notice_at=START_AT))
        look_at(agreements, START_AT, renewal_days=0)
        (row,) = world.run(world.rows("SELECT notice_at, noticed_at FROM agreement_changes"))
        assert (row.notice_at, row.noticed_at) == (THIRD_AT - 30 * DAY, None)

    def test_another_interval_that_moves_the_period_moves_the_notice(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world)
        world.run(agreements.change(id_, SECOND_AT, interval_unit="year", interval_count=1))
        world.run(agreements.change(id_, THIRD_AT, amount=12_000, notice_at=START_AT))
        assert look_at(agreements, START_AT, renewal_days=0) == 0
        rows = world.run(world.rows("SELECT notice_at FROM agreement_changes ORDER BY id"))
        yearly = BillingCycle(SECOND_AT, Interval(IntervalUnit.YEAR))
        notice_at = yearly.period(1).start_at - 30 * DAY
        assert [row.notice_at for row in rows] == [None, notice_at]

    def test_a_pause_leaves_it_until_it_is_known_when_the_period_begins(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world)
        change = agreements.change(id_, SECOND_AT - DAY, amount=12_000, notice_at=START_AT)
        world.run(change)
        world.run(agreements.pause(id_, SECOND_AT, resume_at=THIRD_AT + DAY))
        assert look_at(agreements, START_AT, renewal_days=0) == 0
        world.run(
            world.rows(
                "UPDATE subscriptions SET pause_at = NULL, resume_at = NULL, pause_keeps = NULL"
            )
        )
        assert look_at(agreements, START_AT, renewal_days=0) == 1

    def test_none_is_told_where_that_is_switched_off(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world)
        world.run(agreements.change(id_, SECOND_AT, amount=12_000, notice_at=START_AT))
        assert look_at(agreements, SECOND_AT - DAY, renewal_days=0, price_days=0) == 0

    def test_credits_are_used_up_by_the_periods_before(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world)
        world.run(agreements.adjust(id_, "credit", 10_000))
        world.run(agreements.change(id_, THIRD_AT, amount=12_000, notice_at=START_AT))
        assert look_at(agreements, START_AT, renewal_days=0, price_days=60) == 1
        (told,) = world.run(world.events(PRICE_CHANGE))
        assert (told["period_index"], told["amount"]) == (2, 11_900)

    def test_scans_at_once_tell_of_each_once(self, world: World, agreements: Agreements) -> None:
        ids = world.run(world.subscribe(20))
        for id_ in ids:
            world.run(agreements.change(id_, SECOND_AT, amount=12_000, notice_at=START_AT))
        processes = [agreements, Agreements(world.twin())] * 4

        async def scenario() -> list[int]:
            return await asyncio.gather(*(process.notices(rows_max=7) for process in processes))

        told = sum(world.run(scenario())) + world.run(agreements.notices())
        assert told == 20
        assert len(world.run(world.events(PRICE_CHANGE))) == 20

    def test_of_a_subscription_that_ends_before_it_nothing_is_told_until_that_is_withdrawn(
        self, world: World, agreements: Agreements
    ) -> None:
        id_ = one(world)
        world.run(agreements.change(id_, START_AT + DAY, amount=12_000, notice_at=START_AT))
        world.run(Ends(world).cancel(id_, "period_end"))
        for _ in range(2):
            assert look_at(agreements, START_AT, renewal_days=0) == 0
        world.run(world.rows("UPDATE subscriptions SET cancel_at = NULL"))
        assert look_at(agreements, START_AT, renewal_days=0) == 1

    @pytest.mark.parametrize("policy", WithoutConsent)
    def test_what_is_missing_is_missing_under_either_policy(
        self, world: World, agreements: Agreements, policy: WithoutConsent
    ) -> None:
        world.consent = ConsentPolicy(without=policy)
        id_ = one(world)
        world.run(agreements.change(id_, SECOND_AT, amount=12_000, notice_at=START_AT))
        look_at(agreements, START_AT, renewal_days=0)
        (told,) = world.run(world.events(PRICE_CHANGE))
        assert (told["amount"], told["consent_missing"]) == (12_000, True)
