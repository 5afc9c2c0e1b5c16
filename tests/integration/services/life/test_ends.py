"""Ends of trials, of pauses and of what was cut; ends taken back, and lives begun again."""

import uuid
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.jobs.commands import CancelSubscription
from shared.jobs.life_commands import ReactivateSubscription
from tests.support.billing import MONTHLY, START_AT
from tests.support.book import Ending
from tests.support.living import BY_CUSTOMER, Living

INSTANT, DAY = timedelta(microseconds=1), timedelta(days=1)
CYCLE = BillingCycle(START_AT, MONTHLY)
FEB_28, MAR_31 = (CYCLE.period(index).start_at for index in (1, 2))
TRIAL = {"trial_days": 14, "buyer_ref": "buyer-1", "product": "slim"}


def paid(living: Living, **values: Any) -> uuid.UUID:
    """Return a subscription whose first period is paid, ten days later: 17 of 28 are left."""
    id_: uuid.UUID = living.run(living.start(**{"amount": 28_000, **values}))
    living.run(living.tick())
    living.world.clock.instant = START_AT + 10 * DAY
    return id_


def ended(living: Living, id_: uuid.UUID, **values: Any) -> None:
    """End a subscription now, and wind it up."""
    living.run(living.cancel(id_, **values))
    living.run(living.tick())
    assert living.run(living.row(id_)).closed_at is not None
    living.world.pass_time(DAY)


def refunds(living: Living) -> list[tuple[str, int, int]]:
    return living.run(living.ends.refunds())  # type: ignore[no-any-return]


class TestATrial:
    @pytest.mark.parametrize("later", [timedelta(0), 3 * DAY])
    def test_ends_when_it_is_over_and_nothing_is_ever_billed(
        self, living: Living, later: timedelta
    ) -> None:
        end = START_AT + 14 * DAY
        id_ = living.run(living.start(**TRIAL, anchor_at=end + later))
        told = living.run(living.cancel(id_, "period_end"))
        assert told["cancel_at"] == end.isoformat()
        for instant in (end - INSTANT, end, end + later, MAR_31):
            living.run(living.go_to(instant))
        row = living.run(living.row(id_))
        assert (row.status, row.canceled_at) == ("canceled", end)
        assert living.run(living.invoices(id_)) == []

    def test_ends_at_once(self, living: Living) -> None:
        id_ = living.run(living.start(**TRIAL))
        living.run(living.cancel(id_))
        living.run(living.tick())
        assert living.run(living.row(id_)).status == "canceled"
        assert living.run(living.invoices(id_)) == []


class TestAPause:
    def test_what_was_paid_for_is_used_to_its_end(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.pause(id_))
        assert living.run(living.cancel(id_, "period_end"))["cancel_at"] == FEB_28.isoformat()
        living.run(living.go_to(FEB_28))
        assert living.run(living.row(id_)).status == "canceled"

    def test_what_was_skipped_is_not_waited_for(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.pause(id_))
        living.run(living.go_to(FEB_28 + DAY))
        told = living.run(living.cancel(id_, "period_end"))
        assert told["cancel_at"] == living.world.clock.now().isoformat()
        living.run(living.tick())
        assert living.run(living.row(id_)).status == "canceled"

    def test_days_that_are_kept_are_not_lost(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.pause(id_, keeps="time"))
        said = {"subscription_id": id_, "when": "period_end", **BY_CUSTOMER}
        words = living.run(living.refused(CancelSubscription, **said))
        assert "resume it first, or cancel now, with a refund pro_rata" in words

    def test_with_none_left_the_end_is_now(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.pause(id_, when="period_end", keeps="time"))
        living.run(living.go_to(FEB_28))
        living.world.pass_time(DAY)
        now = living.world.clock.now()
        assert living.run(living.cancel(id_, "period_end"))["cancel_at"] == now.isoformat()
        living.run(living.tick())
        assert living.run(living.row(id_)).status == "canceled"

    @pytest.mark.parametrize("days", [1, 60])
    def test_the_days_that_were_left_go_back(self, living: Living, days: int) -> None:
        """However long it stood still: of 28 days 10 and the one of the pause were used."""
        id_ = paid(living, tax_free=2_800)
        living.run(living.pause(id_, keeps="time"))
        living.world.pass_time(days * DAY)
        living.run(living.cancel(id_, refund="pro_rata"))
        living.run(living.tick())
        assert refunds(living) == [("cancellation", 17_000, 1_700)]

    def test_and_so_they_do_after_it(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.pause(id_, keeps="time"))
        living.world.pass_time(60 * DAY)
        living.run(living.resume(id_))
        living.world.pass_time(7 * DAY)
        living.run(living.cancel(id_, refund="pro_rata"))
        living.run(living.tick())
        assert refunds(living) == [("cancellation", 10_000, 0)]

    def test_one_that_is_over_and_that_no_scan_has_seen_stands_still_no_longer(
        self, living: Living
    ) -> None:
        """Ten days were used before it and seven after it, and its sixty are counted once."""
        id_ = paid(living, tax_free=2_800)
        resume_at = living.world.clock.now() + 60 * DAY
        living.run(living.pause(id_, keeps="time", resume_at=resume_at))
        living.world.clock.instant = resume_at + 7 * DAY
        living.run(living.cancel(id_, refund="pro_rata"))
        (invoice,) = living.run(living.invoices(id_))
        assert (invoice.period_end_at, invoice.counted_from) == (
            FEB_28 + 60 * DAY,
            START_AT + 60 * DAY,
        )
        living.run(living.tick())
        assert refunds(living) == [("cancellation", 10_000, 1_000)]
        (resumed,) = living.run(living.world.events("subscription.resumed"))
        assert resumed["resumed_at"] == resume_at.isoformat()

    def test_the_period_that_began_after_it_is_used_to_its_end(self, living: Living) -> None:
        """It is over with the end of February, and the buyer cancels before any scan has looked."""
        id_ = paid(living)
        living.run(living.pause(id_, resume_at=FEB_28))
        living.world.clock.instant = FEB_28 + 3 * DAY
        assert living.run(living.cancel(id_, "period_end"))["cancel_at"] == MAR_31.isoformat()
        assert living.run(living.tick()) == ["paid"]
        living.run(living.go_to(MAR_31))
        assert living.run(living.row(id_)).status == "canceled"
        assert [invoice.status for invoice in living.run(living.invoices(id_))] == ["paid"] * 2

    def test_after_one_that_kept_the_time_what_was_left_is_used_to_its_end(
        self, living: Living
    ) -> None:
        id_ = paid(living)
        resume_at = living.world.clock.now() + 60 * DAY
        living.run(living.pause(id_, keeps="time", resume_at=resume_at))
        living.world.clock.instant = resume_at + DAY
        told = living.run(living.cancel(id_, "period_end"))
        assert told["cancel_at"] == (FEB_28 + 60 * DAY).isoformat()

    def test_a_pause_that_would_begin_with_the_end_never_does(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.pause(id_, when="period_end", keeps="time", resume_at=MAR_31))
        living.run(living.cancel(id_, "period_end"))
        living.run(living.go_to(FEB_28))
        living.run(living.go_to(MAR_31))
        assert living.run(living.row(id_)).status == "canceled"
        assert living.run(living.world.events("subscription.paused")) == []


class TestAfterACutPeriod:
    def test_the_end_of_the_period_is_the_new_cycles(self, living: Living) -> None:
        id_ = paid(living)
        now = living.world.clock.now()
        living.run(living.change(id_, interval="week", amount=7_000, at_renewal=False))
        living.run(living.tick())
        assert (
            living.run(living.cancel(id_, "period_end"))["cancel_at"] == (now + 7 * DAY).isoformat()
        )

    def test_before_the_new_anchor_it_is_that(self, living: Living) -> None:
        """The last period of the cycle before goes on; its index is before the anchor's."""
        id_ = paid(living)
        living.run(living.pause(id_, keeps="time"))
        living.world.pass_time(60 * DAY)
        living.run(living.resume(id_))
        told = living.run(living.cancel(id_, "period_end"))
        assert told["cancel_at"] == (FEB_28 + 60 * DAY).isoformat()
        living.run(living.go_to(FEB_28 + 60 * DAY))
        assert living.run(living.row(id_)).status == "canceled"
        assert len(living.run(living.invoices(id_))) == 1

    def test_only_the_period_that_ran_goes_back(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.change(id_, interval="week", amount=700_000, at_renewal=False))
        living.run(living.tick())
        living.world.pass_time(DAY)
        living.run(living.cancel(id_, refund="full"))
        living.run(living.tick())
        assert refunds(living) == [("cancellation", 700_000 - 17_000, 0)]


class TestTakenBack:
    @pytest.mark.parametrize("trial", [{}, TRIAL])
    def test_an_end_that_has_not_come(self, living: Living, trial: dict[str, Any]) -> None:
        id_ = paid(living, **trial)
        living.run(living.cancel(id_, "period_end"))
        status = living.run(living.row(id_)).status
        told = living.run(living.reactivate(id_))
        assert told["status"] == status
        row = living.run(living.row(id_))
        assert (row.cancel_at, row.cancel_reason, row.status) == (None, None, status)
        names = [event["name"] for event in living.run(living.world.events())]
        assert "subscription.cancellation_withdrawn" in names
        if not trial:
            assert living.run(living.go_to(FEB_28)) == ["paid"]

    def test_not_one_that_is_under_way(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.cancel(id_))
        for words in ("is being ended, as of", "is still being wound up"):
            said = living.run(living.refused(ReactivateSubscription, subscription_id=id_))
            assert words in said
            living.world.gateway.script.append(Ending.REQUEST_LOST)
            living.run(
                living.world.rows(
                    "UPDATE subscriptions SET status = 'canceled', canceled_at = cancel_at,"
                    " next_renewal_at = NULL"
                )
            )

    def test_nor_one_that_nobody_asked_for(self, living: Living) -> None:
        id_ = paid(living)
        words = living.run(living.refused(ReactivateSubscription, subscription_id=id_))
        assert words == "the subscription is active, and no end of it was asked for"


class TestBegunAgain:
    def test_with_a_new_cycle_from_now_on(self, living: Living) -> None:
        id_ = paid(living)
        ended(living, id_, refund="pro_rata")
        now = living.world.clock.now()
        told = living.run(living.reactivate(id_))
        assert told == {
            "subscription_id": str(id_),
            "status": "active",
            "next_period_index": 1,
            "next_renewal_at": now.isoformat(),
        }
        assert living.run(living.tick()) == ["paid"]
        row = living.run(living.row(id_))
        assert (row.status, row.canceled_at, row.closed_at, row.cancel_at) == (
            "active",
            None,
            None,
            None,
        )
        first, second = living.run(living.invoices(id_))
        assert (first.period_end_at, second.period_start_at) == (START_AT + 10 * DAY, now)
        assert (second.period_index, second.amount) == (1, 28_000)
        # The next end gives the new period back, and nothing of the old one.
        living.world.pass_time(DAY)
        living.run(living.cancel(id_, refund="full"))
        living.run(living.tick())
        assert refunds(living) == [("cancellation", 17_000, 0), ("cancellation", 28_000, 0)]
        (event,) = living.run(living.world.events("subscription.reactivated"))
        assert (event["period_index"], event["amount"]) == (1, 28_000)

    def test_a_pause_is_forgotten(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.pause(id_, keeps="time", resume_at=MAR_31))
        ended(living, id_)
        living.run(living.reactivate(id_))
        living.run(living.tick())
        row = living.run(living.row(id_))
        assert (row.status, row.pause_at, row.resume_at) == ("active", None, None)

    def test_what_the_end_has_settled_is_not_set_against_it(self, living: Living) -> None:
        """The days were given back at the end, and what was to be charged for them is not owed."""
        id_ = paid(living)
        living.run(living.change(id_, amount=2_800, at_renewal=False))
        ended(living, id_, refund="pro_rata")
        living.run(living.reactivate(id_))
        living.run(living.tick())
        assert living.run(living.lines(id_))[-1] == [("recurring", 2_800)]

    def test_what_was_used_to_its_end_is(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.change(id_, amount=2_800, at_renewal=False))
        living.run(living.cancel(id_, "period_end"))
        living.run(living.go_to(FEB_28))
        living.world.pass_time(DAY)
        living.run(living.reactivate(id_))
        living.run(living.tick())
        assert living.run(living.invoices(id_))[-1].amount == 0

    def test_after_a_trial_it_takes_a_consent(self, living: Living) -> None:
        id_ = living.run(living.start(**TRIAL))
        ended(living, id_)
        words = living.run(living.refused(ReactivateSubscription, subscription_id=id_))
        assert "agreed to 0 won a period, and it costs 30,000: give a consent" in words
        living.run(living.reactivate(id_, consent=living.consent()))
        assert living.run(living.tick()) == ["paid"]

    @pytest.mark.parametrize("status", ["dead", "deleted"])
    def test_not_with_a_key_that_is_gone(self, living: Living, status: str) -> None:
        id_ = paid(living)
        ended(living, id_)
        living.run(
            living.world.rows(
                "UPDATE billing_keys SET status = :status, delete_reason = '요청',"
                " delete_requester = 'customer'",
                status=status,
            )
        )
        words = living.run(living.refused(ReactivateSubscription, subscription_id=id_))
        assert f"the billing key is {status}" in words

    def test_again_and_again_every_period_has_an_index_of_its_own(self, living: Living) -> None:
        id_ = paid(living, interval="day", amount=1_000)
        for _ in range(3):
            ended(living, id_)
            living.run(living.reactivate(id_))
            living.run(living.tick())
        invoices = living.run(living.invoices(id_))
        indices = [invoice.period_index for invoice in invoices]
        assert indices == [0, 9, 10, 11, 12]
        for before, after in pairwise(invoices):
            assert before.period_end_at <= after.period_start_at


def test_daily_cycles_are_cut_where_they_end(living: Living) -> None:
    id_ = paid(living, interval="day", amount=1_000)
    now = living.world.clock.now() + timedelta(hours=5)
    living.run(living.tick())
    living.world.clock.instant = now
    ended(living, id_)
    daily = BillingCycle(START_AT, Interval(IntervalUnit.DAY))
    running = living.run(living.invoices(id_))[-1]
    assert running.period_end_at == daily.period(daily.index_at(now) + 1).start_at
    living.run(living.reactivate(id_))
    assert living.run(living.invoices(id_))[-1].period_end_at == now
