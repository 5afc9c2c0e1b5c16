"""Forecasts: kept once a day, of one instant, whatever else is written and however it ends."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from scheduler.scans.resume import ResumeSubscriptions
from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.daily import DailyTime
from shared.billing.errors import InvalidForecastError
from shared.billing.forecast import Day, Expected, Outlook, Why
from shared.billing.outcome import MethodDead
from shared.billing.renewal import RenewalPolicies
from shared.db import forecast_readings, forecasts
from tests.support.agreements import Agreements
from tests.support.billing import MONTHLY, World
from tests.support.book import Ending
from worker.services.forecast import ForeseeDay, ForeseeDays
from worker.services.forecast_rows import ForecastRules

AT = DailyTime.parse("21:00")
EVENING = datetime(2026, 2, 2, 12, 30, tzinfo=UTC)
TOMORROW = Day(date(2026, 2, 3))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def foreseeing(world: World, kept_for: timedelta = timedelta(days=90)) -> ForeseeDays:
    policies = RenewalPolicies(world.catch_up, world.consent, world.rules.hours, 10)
    return ForeseeDays(world.database, world.clock, ForecastRules(policies, world.rules), kept_for)


async def rows_of(world: World, day: Day = TOMORROW) -> list[Expected]:
    rows: list[Expected] = []
    await foreseeing(world)(day, is_kept=False, take=rows.extend)
    return rows


@pytest.fixture
def evening(world: World) -> World:
    """A world in which one subscription renews tomorrow at noon in Korea."""
    world.clock.instant = EVENING
    world.run(world.subscribe(cycle=BillingCycle(TOMORROW.begins_at + 12 * HOUR, MONTHLY)))
    return world


class TestEveryDay:
    def test_the_day_after_is_foreseen_once(self, evening: World) -> None:
        daily = ForeseeDay(foreseeing(evening), AT)
        assert evening.run(daily()) == "foreseen 1"
        evening.pass_time(HOUR)
        assert evening.run(daily()) == "nothing due"
        # A beat that was away at nine tells it later: what is left of the day is foreseen, and
        # what nobody has renewed yet belongs to it.
        evening.pass_time(timedelta(days=1) + 4 * HOUR)
        assert evening.run(daily()) == "foreseen 1"
        days = evening.run(evening.rows("SELECT day FROM forecasts ORDER BY day"))
        assert [row.day for row in days] == [date(2026, 2, 3), date(2026, 2, 4)]

    def test_it_may_be_switched_off(self, evening: World) -> None:
        assert evening.run(ForeseeDay(foreseeing(evening), None)()) == "switched off"

    def test_two_at_once_make_one(self, evening: World) -> None:
        async def both() -> str:
            async with evening.database.transaction() as connection:
                assert await forecasts.begin(connection)
                return await ForeseeDay(foreseeing(evening.twin()), AT)()

        assert evening.run(both()) == "under way"

    def test_what_is_too_old_is_let_go_of(self, evening: World) -> None:
        make = foreseeing(evening, timedelta(days=2))
        for _ in range(4):
            evening.run(make(Day.of(evening.clock.now()).following, is_kept=True))
            evening.pass_time(timedelta(days=1))
        days = evening.run(evening.rows("SELECT day FROM forecasts ORDER BY day"))
        assert [row.day.day for row in days] == [3, 4, 5, 6]
        evening.run(make(Day.of(evening.clock.now()).following, is_kept=True))
        days = evening.run(evening.rows("SELECT day FROM forecasts ORDER BY day"))
        assert [row.day.day for row in days] == [4, 5, 6, 7]
        orphans = "SELECT FROM expected_charges WHERE forecast_id NOT IN (SELECT id FROM forecasts)"
        assert evening.run(evening.rows(orphans)) == []


class TestRows:
    def test_are_of_one_instant(self, evening: World) -> None:
        """What is written while a forecast is being made belongs to the next one."""

        async def scenario() -> int:
            async with evening.database.transaction() as connection:
                await forecast_readings.take_snapshot(connection)
                assert await forecast_readings.newest_event(connection) == 0
                twin = evening.twin()
                await twin.subscribe(cycle=BillingCycle(TOMORROW.begins_at, MONTHLY))
                due = forecast_readings.due(connection, TOMORROW.ends_at)
                return sum([len(lot) async for lot in due])

        assert evening.run(scenario()) == 1

    def test_are_read_in_lots(self, evening: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(forecast_readings, "LOT", 2)
        cycle = BillingCycle(TOMORROW.begins_at + HOUR, MONTHLY)
        evening.run(evening.subscribe(6, cycle=cycle))
        lots: list[int] = []
        make = foreseeing(evening)
        made = evening.run(make(TOMORROW, is_kept=True, take=lambda rows: lots.append(len(rows))))
        assert lots == [2, 2, 2, 1]
        assert made.totals["charges"]["count"] == 7

        async def digest() -> str:
            async with evening.database.transaction() as connection:
                kept = await forecasts.of_day(connection, TOMORROW)
                assert kept is not None
                return await forecasts.digest_of(connection, kept)

        assert evening.run(digest()) == made.digest

    def test_say_of_a_row_that_makes_no_sense_that_it_does_not(self, evening: World) -> None:
        (faulty,) = evening.run(evening.subscribe(cycle=BillingCycle(TOMORROW.begins_at, MONTHLY)))
        evening.run(
            evening.rows(
                "UPDATE subscriptions SET time_zone = 'Mars/Olympus' WHERE id = :id", id=faulty
            )
        )
        rows = {row.subscription_id: row for row in evening.run(rows_of(evening))}
        assert rows.pop(faulty).outlook is Outlook.FAULTY
        assert [row.outlook for row in rows.values()] == [Outlook.CHARGED]

    def test_say_so_of_the_row_of_an_invoice_too(self, world: World) -> None:
        world.clock.instant = EVENING

        async def scenario() -> tuple[list[Any], list[Expected]]:
            await world.open_invoices(2)
            found = await world.rows(
                """
                UPDATE billing_keys k SET buyer_name = ' '
                FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id
                WHERE i.id = (SELECT min(id) FROM invoices) AND k.id = s.billing_key_id
                RETURNING i.id, i.subscription_id, i.period_index
                """
            )
            return found, await rows_of(world)

        (faulty,), rows = world.run(scenario())
        told = {row.invoice_id: row for row in rows}
        row = told.pop(faulty.id)
        assert row.order == (faulty.subscription_id, faulty.period_index)
        assert (row.outlook, row.price.amount) == (Outlook.FAULTY, 0)
        assert row.note
        assert [each.outlook for each in told.values()] == [Outlook.CHARGED]

    def test_tell_retries_and_what_waits_for_a_method(self, world: World) -> None:
        world.clock.instant = TOMORROW.begins_at - timedelta(days=2) + 9 * HOUR

        async def scenario() -> list[Expected]:
            await world.open_invoices(2)
            world.gateway.script.extend([Ending.DECLINED, MethodDead("등록되지 않은 구매자입니다")])
            await world.charge_all()
            world.clock.instant = EVENING
            return await rows_of(world)

        (retried,) = world.run(scenario())
        # Two days after a decline; what waits for a method is due at no instant.
        assert (retried.why, retried.outlook) == (Why.RETRY, Outlook.CHARGED)
        assert retried.at == TOMORROW.begins_at + 9 * HOUR
        assert retried.invoice_id is not None

    def test_tell_trials_that_end_without_a_consent(self, world: World) -> None:
        world.clock.instant = EVENING
        begins_at = TOMORROW.begins_at + HOUR

        async def scenario() -> list[Expected]:
            (id_,) = await world.subscribe(
                cycle=BillingCycle(begins_at, MONTHLY), trial_end_at=begins_at
            )
            (without,) = await rows_of(world)
            await Agreements(world).agree(id_, "trial_conversion", 9_900, EVENING)
            return [without, *await rows_of(world)]

        without, agreed = world.run(scenario())
        assert (without.outlook, without.price.amount) == (Outlook.ENDS, 9_900)
        assert (agreed.outlook, agreed.why) == (Outlook.CHARGED, Why.CONVERSION)

    def test_tell_what_a_pause_leaves_to_be_charged(self, world: World) -> None:
        """A pause is over tomorrow morning, in a period that it has skipped; a new one begins."""
        begins_at = TOMORROW.begins_at + 12 * HOUR
        week = timedelta(weeks=1)
        world.clock.instant = begins_at - 2 * week

        async def scenario() -> tuple[list[Expected], list[int]]:
            cycle = BillingCycle(begins_at - 2 * week, Interval(IntervalUnit.WEEK))
            (id_,) = await world.subscribe(cycle=cycle)
            await world.renew()
            await world.charge_all()
            paused_at, resumed_at = begins_at - 8 * DAY, begins_at - 2 * HOUR
            await Agreements(world).pause(id_, paused_at, resume_at=resumed_at - 2 * DAY)
            world.clock.instant = begins_at - 6 * DAY
            await ResumeSubscriptions(world.database, world.clock, 10)()
            await world.renew()
            foreseen: list[Expected] = []
            await foreseeing(world)(TOMORROW, is_kept=False, take=foreseen.extend)
            world.clock.instant = begins_at - DAY
            await ResumeSubscriptions(world.database, world.clock, 10)()
            world.clock.instant = begins_at
            await world.renew()
            return foreseen, [row.amount for row in await Agreements(world).invoices(id_)]

        (expected,), amounts = world.run(scenario())
        assert [kind for kind, _ in expected.lines] == ["proration_charge"]
        assert amounts == [9_900, expected.price.amount]

    def test_leave_alone_what_ends_before_it_is_due(self, world: World) -> None:
        world.clock.instant = TOMORROW.begins_at - timedelta(days=2) + 9 * HOUR

        async def scenario() -> list[Expected]:
            await world.open_invoices()
            world.gateway.script.append(Ending.DECLINED)
            await world.charge_all()
            world.clock.instant = EVENING
            await world.rows(
                """
                UPDATE subscriptions SET cancel_at = :at, cancel_reason = '-',
                    cancel_requester = 'admin', cancel_refund = 'none', cancel_late_payment = 'none'
                """,
                at=TOMORROW.begins_at + 8 * HOUR,
            )
            return await rows_of(world)

        (expected,) = world.run(scenario())
        assert (expected.why, expected.outlook) == (Why.RETRY, Outlook.VOID)
        assert "the subscription ends at" in str(expected.note)

    def test_leave_out_what_is_due_after_the_day(self, evening: World) -> None:
        evening.run(evening.subscribe(cycle=BillingCycle(TOMORROW.ends_at, MONTHLY)))
        assert len(evening.run(rows_of(evening))) == 1


@pytest.mark.parametrize("ahead", [-1, 32])
def test_a_day_that_is_over_or_too_far_ahead_is_refused(evening: World, ahead: int) -> None:
    day = Day.of(EVENING + timedelta(days=ahead))
    with pytest.raises(InvalidForecastError, match="can be foreseen, not"):
        evening.run(foreseeing(evening)(day, is_kept=True))
