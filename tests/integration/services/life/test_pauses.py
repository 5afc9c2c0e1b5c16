"""Pauses: no period begins in one, and what was paid for is used, or skipped, as was agreed."""

import uuid
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.jobs.life_commands import PauseSubscription, ResumeSubscription
from tests.support.billing import MONTHLY, START_AT
from tests.support.book import Ending
from tests.support.living import BY_CUSTOMER, Living

INSTANT, DAY = timedelta(microseconds=1), timedelta(days=1)
CYCLE = BillingCycle(START_AT, MONTHLY)
FEB_28, MAR_31, APR_30 = (CYCLE.period(index).start_at for index in (1, 2, 3))


def paid(living: Living, **values: Any) -> uuid.UUID:
    """Return a subscription whose first period is paid, ten days later."""
    id_: uuid.UUID = living.run(living.start(**values))
    assert living.run(living.tick()) == ["paid"]
    living.world.clock.instant = START_AT + 10 * DAY
    return id_


def stands(living: Living, id_: uuid.UUID) -> tuple[str, int, datetime | None]:
    row = living.run(living.row(id_))
    return row.status, row.next_period_index, row.next_renewal_at


def skipped(living: Living) -> list[tuple[int, str]]:
    return [
        (event["period_index"], event["reason"])
        for event in living.run(living.world.events("period.skipped"))
    ]


def tiles(living: Living, id_: uuid.UUID) -> None:
    """Find that of the periods that were billed none begins before the one before it is over."""
    invoices = living.run(living.invoices(id_))
    for before, after in pairwise(invoices):
        assert before.period_end_at <= after.period_start_at


class TestKeepingTheCalendar:
    def test_periods_that_begin_in_it_are_skipped(self, living: Living) -> None:
        id_ = paid(living)
        told = living.run(living.pause(id_))
        assert told == {
            "subscription_id": str(id_),
            "status": "paused",
            "pause_at": (START_AT + 10 * DAY).isoformat(),
            "resume_at": None,
            "keeps": "calendar",
        }
        assert living.run(living.go_to(FEB_28)) == []
        assert living.run(living.go_to(MAR_31)) == []
        assert stands(living, id_) == ("paused", 3, APR_30)
        assert skipped(living) == [(1, "paused"), (2, "paused")]

    def test_what_is_left_of_a_skipped_period_is_charged_by_the_day(self, living: Living) -> None:
        id_ = paid(living, amount=30_000, tax_free=3_000)
        living.run(living.pause(id_))
        living.run(living.go_to(MAR_31))
        # 31 March to 30 April has 30 dates; on 10 April 11 of them are used.
        living.world.clock.instant = MAR_31 + 10 * DAY
        told = living.run(living.resume(id_))
        assert (told["status"], told["next_renewal_at"]) == ("active", APR_30.isoformat())
        assert told["charged_later"] == 19_000
        assert living.run(living.go_to(APR_30)) == ["paid"]
        assert living.run(living.lines(id_))[-1] == [
            ("recurring", 30_000),
            ("proration_charge", 19_000),
        ]
        last = living.run(living.invoices(id_))[-1]
        assert (last.amount, last.tax_free, last.period_index) == (49_000, 4_900, 3)
        assert last.lines[1]["description"] == "슬림 요금제: 19 of 30 days"

    def test_what_was_paid_for_is_neither_given_back_nor_charged_again(
        self, living: Living
    ) -> None:
        id_ = paid(living)
        living.run(living.pause(id_))
        living.world.pass_time(5 * DAY)
        told = living.run(living.resume(id_))
        assert (told["charged_later"], told["adjustment_ids"]) == (0, [])
        assert living.run(living.go_to(FEB_28)) == ["paid"]
        assert living.run(living.lines(id_)) == [[("recurring", 30_000)]] * 2

    @pytest.mark.parametrize("scanned", [True, False])
    def test_a_period_that_begins_as_it_ends_is_billed_in_full(
        self, living: Living, scanned: bool
    ) -> None:
        """Whichever scan is first: the renewal's leaves it to the pause's."""
        id_ = paid(living)
        living.run(living.pause(id_, resume_at=FEB_28))
        living.world.clock.instant = FEB_28
        if scanned:
            assert living.run(living.world.renew()) == 0
        assert living.run(living.scan()) == 1
        assert living.run(living.tick()) == ["paid"]
        assert skipped(living) == []
        tiles(living, id_)

    def test_a_resumption_that_is_late_counts_from_its_day(self, living: Living) -> None:
        """The scheduler stood still for seven weeks; the buyer used the service all the same."""
        id_ = paid(living)
        living.run(living.pause(id_, resume_at=FEB_28 + 10 * DAY))
        living.world.clock.instant = MAR_31 + 15 * DAY
        living.run(living.world.renew())
        assert living.run(living.tick()) == ["paid"]
        (event,) = living.run(living.world.events("subscription.resumed"))
        assert event["resumed_at"] == (FEB_28 + 10 * DAY).isoformat()
        # 28 February to 31 March has 31 dates, of which 20 are left after 10 March.
        assert event["charged_later"] == 30_000 * 20 // 31
        assert skipped(living) == [(1, "paused")]
        assert living.run(living.lines(id_))[-1] == [
            ("recurring", 30_000),
            ("proration_charge", 19_354),
        ]

    def test_a_command_after_its_day_is_as_late(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.pause(id_, resume_at=FEB_28 + 10 * DAY))
        living.world.clock.instant = FEB_28 + 12 * DAY
        told = living.run(living.resume(id_))
        assert told["resumed_at"] == (FEB_28 + 10 * DAY).isoformat()
        assert skipped(living) == [(1, "paused")]
        assert living.run(living.scan()) == 0

    def test_one_that_begins_with_a_period_that_is_billed_charges_it_once(
        self, living: Living
    ) -> None:
        id_ = living.run(living.start())
        living.run(living.world.renew())
        living.run(living.pause(id_))
        living.world.pass_time(5 * DAY)
        assert living.run(living.resume(id_))["charged_later"] == 0

    def test_again_and_again_charges_no_day_twice(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.pause(id_))
        living.world.clock.instant = FEB_28 + 10 * DAY
        living.run(living.resume(id_))
        living.world.pass_time(2 * DAY)
        living.run(living.pause(id_))
        living.world.pass_time(2 * DAY)
        assert living.run(living.resume(id_))["charged_later"] == 0
        assert living.run(living.adjustments(id_)) == [("proration_charge", 19_354, 19_354)]


class TestKeepingTheTime:
    def test_the_period_goes_on_where_it_stopped(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.pause(id_, keeps="time"))
        assert stands(living, id_) == ("paused", 1, None)
        for instant in (FEB_28, MAR_31, MAR_31 + 20 * DAY):
            assert living.run(living.go_to(instant)) == []
        told = living.run(living.resume(id_))
        left = FEB_28 - (START_AT + 10 * DAY)
        renewal_at = MAR_31 + 20 * DAY + left
        assert told["next_renewal_at"] == renewal_at.isoformat()
        assert stands(living, id_) == ("active", 1, renewal_at)
        (invoice,) = living.run(living.invoices(id_))
        assert (invoice.period_start_at, invoice.period_end_at) == (START_AT, renewal_at)
        assert living.run(living.go_to(renewal_at - INSTANT)) == []
        assert living.run(living.go_to(renewal_at)) == ["paid"]
        first, second = living.run(living.invoices(id_))
        assert second.period_start_at == first.period_end_at
        assert (second.period_index, skipped(living)) == (1, [])
        anew = BillingCycle(renewal_at, MONTHLY, anchor_index=1)
        assert stands(living, id_) == ("active", 2, anew.period(2).start_at)

    def test_by_itself_on_its_day(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.pause(id_, keeps="time", resume_at=MAR_31))
        living.run(living.go_to(MAR_31 - INSTANT))
        assert stands(living, id_)[0] == "paused"
        # A day late: the renewal is counted from the day that was named.
        living.run(living.go_to(MAR_31 + DAY))
        assert stands(living, id_) == ("active", 1, MAR_31 + (FEB_28 - START_AT - 10 * DAY))

    def test_before_the_first_period(self, living: Living) -> None:
        id_ = living.run(living.start(anchor_at=START_AT + 7 * DAY))
        living.run(living.pause(id_, keeps="time"))
        living.run(living.go_to(START_AT + 30 * DAY))
        living.run(living.resume(id_))
        assert stands(living, id_) == ("active", 0, START_AT + 37 * DAY)
        assert living.run(living.go_to(START_AT + 37 * DAY)) == ["paid"]

    def test_twice_in_one_period(self, living: Living) -> None:
        id_ = paid(living)
        for _ in range(2):
            living.run(living.pause(id_, keeps="time"))
            living.world.pass_time(50 * DAY)
            living.run(living.resume(id_))
            living.world.pass_time(DAY)
        renewal_at = FEB_28 + 100 * DAY
        assert stands(living, id_) == ("active", 1, renewal_at)
        (invoice,) = living.run(living.invoices(id_))
        assert (invoice.period_end_at, invoice.counted_from) == (
            renewal_at,
            START_AT + 100 * DAY,
        )

    @pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe"])
    def test_no_second_is_lost_where_clocks_change(self, living: Living, zone: str) -> None:
        id_ = paid(living, time_zone=zone)
        before = living.run(living.row(id_)).next_renewal_at
        living.run(living.pause(id_, keeps="time"))
        living.world.pass_time(100 * DAY)
        living.run(living.resume(id_))
        assert stands(living, id_)[2] == before + 100 * DAY


class TestWithThePeriodsEnd:
    @pytest.mark.parametrize(("keeps", "renewal"), [("calendar", MAR_31), ("time", None)])
    def test_it_begins_when_the_next_period_would(
        self, living: Living, keeps: str, renewal: datetime | None
    ) -> None:
        id_ = paid(living)
        told = living.run(living.pause(id_, when="period_end", keeps=keeps))
        assert (told["status"], told["pause_at"]) == ("active", FEB_28.isoformat())
        (event,) = living.run(living.world.events("subscription.pause_scheduled"))
        assert (event["reason"], event["requester"]) == ("요청", "customer")
        living.run(living.go_to(FEB_28 - INSTANT))
        assert stands(living, id_)[0] == "active"
        living.run(living.go_to(FEB_28))
        assert stands(living, id_) == ("paused", 2 if keeps == "calendar" else 1, renewal)
        (event,) = living.run(living.world.events("subscription.paused"))
        assert event["pause_at"] == FEB_28.isoformat()
        assert len(living.run(living.invoices(id_))) == 1

    def test_with_no_time_left_the_next_period_begins_with_the_resumption(
        self, living: Living
    ) -> None:
        id_ = paid(living)
        living.run(living.pause(id_, when="period_end", keeps="time"))
        living.run(living.go_to(FEB_28))
        living.world.clock.instant = FEB_28 + 3 * DAY
        living.run(living.resume(id_))
        assert living.run(living.tick()) == ["paid"]
        assert stands(living, id_)[1] == 2
        tiles(living, id_)

    def test_it_is_taken_back_before_it_begins(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.pause(id_, when="period_end"))
        told = living.run(living.resume(id_))
        assert told["pause_at"] == FEB_28.isoformat()
        assert len(living.run(living.world.events("subscription.pause_withdrawn"))) == 1
        assert living.run(living.go_to(FEB_28)) == ["paid"]

    def test_now_replaces_it(self, living: Living) -> None:
        id_ = paid(living)
        living.run(living.pause(id_, when="period_end"))
        assert living.run(living.pause(id_))["status"] == "paused"


class TestBesideTheRenewal:
    """A period has begun, and nobody has billed it yet."""

    @pytest.mark.parametrize("keeps", ["calendar", "time"])
    @pytest.mark.parametrize("scan_first", [True, False])
    def test_what_began_before_the_pause_is_billed(
        self, living: Living, keeps: str, scan_first: bool
    ) -> None:
        id_ = paid(living)
        living.world.clock.instant = FEB_28 + timedelta(seconds=3)
        told = living.run(living.pause(id_, keeps=keeps))
        assert told["status"] == "active"
        if scan_first:
            living.run(living.scan())
            assert stands(living, id_)[0] == "active"
        assert living.run(living.tick()) == ["paid"]
        assert stands(living, id_) == ("paused", 2, MAR_31 if keeps == "calendar" else None)
        row = living.run(living.row(id_))
        assert row.pause_at == FEB_28 + timedelta(seconds=3)
        assert len(living.run(living.invoices(id_))) == 2

    def test_after_an_outage_every_period_is_decided_once(self, living: Living) -> None:
        """Asked for the end of February, and seen in the middle of April."""
        id_ = paid(living)
        living.run(living.pause(id_, when="period_end", resume_at=MAR_31 + DAY))
        living.world.clock.instant = MAR_31 + 15 * DAY
        assert living.run(living.tick()) == []
        assert stands(living, id_) == ("active", 3, APR_30)
        assert skipped(living) == [(1, "paused"), (2, "paused")]
        (event,) = living.run(living.world.events("subscription.resumed"))
        assert event["resumed_at"] == (MAR_31 + DAY).isoformat()


class TestWhatIsOwed:
    def test_it_is_collected_on(self, living: Living) -> None:
        id_ = living.run(living.start())
        living.run(living.world.renew())
        living.run(living.pause(id_))
        assert living.run(living.world.charge_all()) == ["paid"]
        assert stands(living, id_)[0] == "paused"

    def test_a_decline_and_a_payment_leave_it_paused(self, living: Living) -> None:
        id_ = living.run(living.start())
        living.run(living.world.renew())
        living.run(living.pause(id_))
        living.world.gateway.script.append(Ending.DECLINED)
        assert living.run(living.world.charge_all()) == ["declined"]
        assert stands(living, id_)[0] == "paused"
        (invoice,) = living.run(living.invoices(id_))
        living.world.clock.instant = invoice.next_attempt_at
        assert living.run(living.world.charge_all()) == ["paid"]
        assert stands(living, id_)[0] == "paused"
        assert living.run(living.world.events("subscription.past_due")) == []
        assert living.run(living.world.events("subscription.recovered")) == []
        assert living.run(living.resume(id_))["status"] == "active"

    def test_what_is_past_due_is_so_after_the_pause(self, living: Living) -> None:
        id_ = living.run(living.start())
        living.world.gateway.script.append(Ending.DECLINED)
        living.run(living.tick())
        assert stands(living, id_)[0] == "past_due"
        living.run(living.pause(id_))
        assert stands(living, id_)[0] == "paused"
        assert living.run(living.resume(id_))["status"] == "past_due"
        (invoice,) = living.run(living.invoices(id_))
        living.world.clock.instant = invoice.next_attempt_at
        assert living.run(living.world.charge_all()) == ["paid"]
        assert stands(living, id_)[0] == "active"

    def test_a_key_that_dies_in_it(self, living: Living) -> None:
        id_ = living.run(living.start())
        living.run(living.world.renew())
        living.run(living.pause(id_))
        living.world.gateway.script.append(Ending.METHOD_DEAD)
        assert living.run(living.world.charge_all()) == ["method_dead"]
        assert stands(living, id_)[0] == "paused"
        assert living.run(living.resume(id_))["status"] == "past_due"


class TestRefused:
    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"resume_at": START_AT + 10 * DAY}, "is no later than the pause begins"),
            ({"when": "period_end", "resume_at": FEB_28}, "is no later than the pause begins"),
        ],
    )
    def test_a_pause_that_is_over_before_it_begins(
        self, living: Living, values: dict[str, Any], words: str
    ) -> None:
        id_ = paid(living)
        said = {"subscription_id": id_, **BY_CUSTOMER, **values}
        assert words in living.run(living.refused(PauseSubscription, **said))

    def test_a_resumption_of_what_is_not_paused(self, living: Living) -> None:
        id_ = paid(living)
        words = living.run(living.refused(ResumeSubscription, subscription_id=id_))
        assert words == "a subscription that is active cannot resume: it must be paused"


class TestTheScan:
    def test_it_is_bounded_and_safe_twice(self, living: Living) -> None:
        ids = [living.run(living.start(customer_uid=f"key-{number}")) for number in range(5)]
        living.run(living.tick())
        for id_ in ids:
            living.run(living.pause(id_, resume_at=START_AT + DAY))
        living.world.clock.instant = START_AT + DAY
        assert [living.run(living.scan(2)) for _ in range(4)] == [2, 2, 1, 0]
        assert len(living.run(living.world.events("subscription.resumed"))) == 5

    def test_a_row_that_cannot_be_counted_blocks_nobody(self, living: Living) -> None:
        bad, good = (living.run(living.start(customer_uid=key)) for key in ("a", "b"))
        for id_ in (bad, good):
            living.run(living.pause(id_, resume_at=START_AT + DAY))
        living.run(
            living.world.rows(
                "UPDATE subscriptions SET time_zone = 'Gone/Zone' WHERE id = :i", i=bad
            )
        )
        living.world.clock.instant = START_AT + DAY
        assert living.run(living.scan()) == 1
        assert stands(living, good)[0] == "active"

    def test_daily_ones_too(self, living: Living) -> None:
        living.world.clock.instant = datetime(2026, 3, 1, 15, tzinfo=UTC)
        id_ = living.run(living.start(interval="day", amount=1_000))
        living.run(living.tick())
        living.run(living.pause(id_, resume_at=living.world.clock.now() + 30 * DAY))
        living.world.pass_time(30 * DAY)
        assert living.run(living.tick()) == ["paid"]
        cycle = BillingCycle(datetime(2026, 3, 1, 15, tzinfo=UTC), Interval(IntervalUnit.DAY))
        assert stands(living, id_) == ("active", 31, cycle.period(31).start_at)
        assert [index for index, _ in skipped(living)] == list(range(1, 30))
