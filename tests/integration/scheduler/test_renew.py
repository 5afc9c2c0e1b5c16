"""The renewal scan: every period once, whoever scans, however long nobody did."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.catch_up import CatchUp, CatchUpPolicy
from shared.billing.lifecycle import SubscriptionStatus
from shared.db import renewals, subscriptions
from tests.support.billing import MONTHLY, START_AT, World

DAILY = Interval(IntervalUnit.DAY)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


async def periods(world: World) -> list[int]:
    found = await world.rows("SELECT period_index FROM invoices ORDER BY period_index")
    return [row.period_index for row in found]


async def skipped(world: World) -> list[int]:
    return [event["period_index"] for event in await world.events("period.skipped")]


async def only(world: World) -> Any:
    (row,) = await world.rows("SELECT * FROM subscriptions")
    return row


def test_a_period_that_begins_opens_its_invoice(world: World) -> None:
    world.run(world.subscribe(price=33_000, tax_free=3_000, order_name="연간 요금제 😀"))
    assert world.run(world.renew()) == 1
    (invoice,) = world.run(world.rows("SELECT * FROM invoices"))
    assert (invoice.amount, invoice.tax_free) == (33_000, 3_000)
    assert invoice.order_name == "연간 요금제 😀"
    assert (invoice.period_index, invoice.status) == (0, "open")
    assert (invoice.period_start_at, invoice.next_attempt_at) == (START_AT, START_AT)
    # 31 January, nine in Korea, to 28 February, nine in Korea.
    assert invoice.period_end_at == datetime(2026, 2, 28, tzinfo=UTC)
    subscription = world.run(only(world))
    assert (subscription.next_period_index, subscription.next_renewal_at) == (
        1,
        invoice.period_end_at,
    )
    (told,) = world.run(world.events("invoice.opened"))
    assert (told["invoice_id"], told["amount"], told["tax_free"]) == (invoice.id, 33_000, 3_000)


def test_nothing_is_opened_before_its_time(world: World) -> None:
    world.run(world.subscribe(cycle=BillingCycle(START_AT + HOUR, MONTHLY)))
    for wait in (timedelta(0), HOUR - timedelta(microseconds=1)):
        world.pass_time(wait)
        assert world.run(world.renew()) == 0
    world.pass_time(timedelta(microseconds=1))
    assert world.run(world.renew()) == 1


def test_the_31st_comes_back_after_february(world: World) -> None:
    world.run(world.subscribe())
    for _ in range(4):
        world.run(world.renew())
        world.clock.instant = world.run(only(world)).next_renewal_at
    starts = world.run(world.rows("SELECT period_start_at AS at FROM invoices ORDER BY 1"))
    assert [(row.at.month, row.at.day) for row in starts] == [(1, 31), (2, 28), (3, 31), (4, 30)]


def test_scanning_again_opens_nothing(world: World) -> None:
    world.run(world.subscribe(3))
    assert [world.run(world.renew()) for _ in range(3)] == [3, 0, 0]
    assert len(world.run(world.events("invoice.opened"))) == 3


def test_scans_at_once_open_each_period_once(world: World) -> None:
    world.run(world.subscribe(40))
    processes = [world, world.twin()] * 5

    async def scenario() -> list[int]:
        return await asyncio.gather(*(process.renew(rows_max=15) for process in processes))

    opened = sum(world.run(scenario())) + world.run(world.renew())
    assert opened == 40
    assert world.run(periods(world)) == [0] * 40
    assert len(world.run(world.events("invoice.opened"))) == 40


def test_an_invoice_that_exists_already_is_not_opened_again(world: World) -> None:
    """As after a restored backup of one table, or a mistake of an operator."""
    world.run(world.subscribe())
    world.run(world.renew())
    statement = "UPDATE subscriptions SET next_period_index = 0, next_renewal_at = :at"
    world.run(world.rows(statement, at=START_AT))
    assert world.run(world.renew()) == 0
    assert world.run(periods(world)) == [0]
    assert world.run(only(world)).next_period_index == 1


def test_what_another_scan_holds_is_left_to_it(world: World) -> None:
    world.run(world.subscribe(2))

    async def scenario() -> None:
        async with world.database.transaction() as connection:
            due = await renewals.lock_due(connection, 1, world.clock.now())
            assert len(due.countable) == 1
            assert await world.renew() == 1
        assert await world.renew() == 1

    world.run(scenario())


@pytest.mark.parametrize("count", [550, 600])
def test_one_scan_is_bounded(world: World, count: int) -> None:
    """And takes several short transactions."""
    world.run(world.subscribe(600))
    assert world.run(world.renew(rows_max=count)) == count
    assert world.run(world.renew()) == 600 - count


def test_the_longest_due_comes_first(world: World) -> None:
    for days in (1, 3, 2):
        world.run(world.subscribe(cycle=BillingCycle(START_AT - days * DAY, MONTHLY)))
    world.run(world.renew(rows_max=1))
    (invoice,) = world.run(world.rows("SELECT period_start_at FROM invoices"))
    assert invoice.period_start_at == START_AT - 3 * DAY


@pytest.mark.parametrize(
    ("status", "opened"),
    [(SubscriptionStatus.PAST_DUE, 1), (SubscriptionStatus.CANCELED, 0)],
)
def test_whether_a_status_is_billed(world: World, status: SubscriptionStatus, opened: int) -> None:
    (subscription_id,) = world.run(world.subscribe())

    async def change(connection: AsyncConnection) -> None:
        await subscriptions.change_status(connection, {subscription_id: status}, START_AT)

    world.run(world.database.run(change))
    assert world.run(world.renew()) == opened


class TestCatchingUp:
    """Three periods began while nobody looked, and a fourth one runs."""

    @pytest.mark.parametrize(
        ("policy", "billed", "left_out"),
        [
            (CatchUpPolicy(CatchUp.BILL_LATEST), [3], [0, 1, 2]),
            (CatchUpPolicy(CatchUp.BILL_ALL, 10), [0, 1, 2, 3], []),
            (CatchUpPolicy(CatchUp.FORGIVE), [], [0, 1, 2, 3]),
        ],
        ids=lambda value: getattr(value, "choice", None),
    )
    def test_the_policy_decides_and_what_is_left_out_is_explained(
        self, world: World, policy: CatchUpPolicy, billed: list[int], left_out: list[int]
    ) -> None:
        world.catch_up = policy
        world.run(world.subscribe(cycle=BillingCycle(START_AT, DAILY)))
        world.pass_time(3 * DAY + HOUR)
        assert world.run(world.renew()) == len(billed)
        assert world.run(periods(world)) == billed
        assert world.run(skipped(world)) == left_out
        subscription = world.run(only(world))
        assert (subscription.next_period_index, subscription.next_renewal_at) == (
            4,
            START_AT + 4 * DAY,
        )
        assert world.run(world.renew()) == 0
        world.pass_time(DAY)
        assert world.run(world.renew()) == 1

    def test_an_explanation_says_which_period_and_why(self, world: World) -> None:
        world.run(world.subscribe(cycle=BillingCycle(START_AT, DAILY)))
        world.pass_time(DAY)
        world.run(world.renew())
        (told,) = world.run(world.events("period.skipped"))
        assert told["period_start_at"] == START_AT.isoformat()
        assert told["period_end_at"] == (START_AT + DAY).isoformat()
        assert "catch-up" in told["reason"]

    def test_billing_all_opens_all_and_collects_some_a_day(self, world: World) -> None:
        world.catch_up = CatchUpPolicy(CatchUp.BILL_ALL, 3)
        world.run(world.subscribe(cycle=BillingCycle(START_AT, DAILY)))
        world.pass_time(9 * DAY)
        assert [world.run(world.renew()) for _ in range(2)] == [10, 0]
        assert world.run(periods(world)) == list(range(10))
        assert world.run(skipped(world)) == []
        rows = world.run(world.rows("SELECT next_attempt_at FROM invoices ORDER BY period_index"))
        waits = [(row.next_attempt_at - world.clock.now()) / DAY for row in rows]
        assert waits == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]

    def test_years_of_standing_still_are_caught_up_in_a_few_scans(self, world: World) -> None:
        world.run(world.subscribe(cycle=BillingCycle(START_AT, DAILY)))
        world.pass_time(1_000 * DAY)
        assert [world.run(world.renew()) for _ in range(4)] == [0, 0, 1, 0]
        assert world.run(skipped(world)) == list(range(1_000))
        assert world.run(periods(world)) == [1_000]

    @pytest.mark.parametrize("choice", CatchUp)
    @pytest.mark.parametrize(
        ("outage", "begun"),
        [(HOUR, 1), (3 * DAY, 1), (45 * DAY, 2)],
        ids=["1 hour", "3 days", "45 days"],
    )
    def test_an_outage_over_a_monthly_renewal(
        self, world: World, choice: CatchUp, outage: timedelta, begun: int
    ) -> None:
        """Everybody renews while nobody looks; one period is due late, two are a policy's."""
        world.catch_up = CatchUpPolicy(choice)
        ids = world.run(world.subscribe(5))
        world.run(world.renew())
        renewal_at = world.run(world.rows("SELECT DISTINCT next_renewal_at FROM subscriptions"))
        world.clock.instant = renewal_at[0].next_renewal_at + outage
        several = {CatchUp.BILL_LATEST: [2], CatchUp.BILL_ALL: [1, 2], CatchUp.FORGIVE: []}
        billed = [1] if begun == 1 else several[choice]
        assert world.run(world.renew()) == len(billed) * len(ids)
        assert world.run(world.renew()) == 0
        assert set(world.run(periods(world))) == {0, *billed}
        left_out = {1, 2} - set(billed) if begun == 2 else set()
        assert set(world.run(skipped(world))) == left_out
        alerts = world.run(world.events("catch_up.applied"))
        assert len(alerts) == (len(ids) if begun == 2 else 0)
        for alert in alerts:
            assert (alert["policy"], alert["billed"], alert["skipped"]) == (
                choice,
                len(billed),
                len(left_out),
            )
            assert alert["oldest_period_start_at"] == renewal_at[0].next_renewal_at.isoformat()
        assert world.run(world.charge_all()) == ["paid"] * len(ids) * (1 + len(billed))

    def test_who_scans_is_told_that_it_stood_still(self, world: World) -> None:
        (id_,) = world.run(world.subscribe(cycle=BillingCycle(START_AT, DAILY)))
        world.pass_time(DAY)
        with structlog.testing.capture_logs() as logs:
            world.run(world.renew())
        (alert,) = logs
        assert alert == {
            "event": "catch_up_applied",
            "log_level": "error",
            "subscription_id": str(id_),
            "policy": "bill_latest",
            "billed": 1,
            "skipped": 1,
            "oldest_period_start_at": START_AT.isoformat(),
        }

    def test_an_agreement_that_begins_later_leaves_the_past_alone(self, world: World) -> None:
        cycle = BillingCycle(START_AT - 10 * DAY, DAILY)
        world.run(world.subscribe(cycle=cycle, first_period_index=10))
        assert world.run(world.renew()) == 1
        assert world.run(periods(world)) == [10]
        assert world.run(skipped(world)) == []


class TestFaultyRows:
    @pytest.mark.parametrize(
        "fault",
        [
            "time_zone = 'Mars/Olympus_Mons'",
            "order_name = '   '",
            "interval_unit = 'year', interval_count = 9000",
            "interval_count = 100000",
            "interval_unit = 'year', interval_count = 1200, next_period_index = 1000",
        ],
    )
    def test_one_does_not_hold_up_the_others_and_is_looked_at_again_later(
        self, world: World, fault: str
    ) -> None:
        (faulty,) = world.run(world.subscribe(cycle=BillingCycle(START_AT - DAY, MONTHLY)))
        world.run(world.rows(f"UPDATE subscriptions SET {fault}"))  # noqa: S608 - a test's own
        world.run(world.subscribe(2))
        assert world.run(world.renew(rows_max=2)) >= 1
        assert world.run(world.renew()) <= 1
        assert world.run(periods(world)) == [0, 0]
        statement = "SELECT next_renewal_at AS at FROM subscriptions WHERE id = :id"
        (row,) = world.run(world.rows(statement, id=faulty))
        assert row.at == START_AT + HOUR

    def test_one_that_is_repaired_is_caught_up(self, world: World) -> None:
        world.run(world.subscribe())
        world.run(world.rows("UPDATE subscriptions SET time_zone = 'Mars/Olympus_Mons'"))
        assert world.run(world.renew()) == 0
        world.run(world.rows("UPDATE subscriptions SET time_zone = 'Asia/Seoul'"))
        world.pass_time(HOUR)
        assert world.run(world.renew()) == 1
        subscription = world.run(only(world))
        assert subscription.next_renewal_at == datetime(2026, 2, 28, tzinfo=UTC)

    def test_many_do_not_use_up_a_scan(self, world: World) -> None:
        world.run(world.subscribe(30, cycle=BillingCycle(START_AT - DAY, MONTHLY)))
        world.run(world.rows("UPDATE subscriptions SET time_zone = 'Mars/Olympus_Mons'"))
        world.run(world.subscribe(5))
        opened = [world.run(world.renew(rows_max=10)) for _ in range(4)]
        assert sum(opened) == 5


def test_a_crash_in_mid_scan_opens_nothing_halfway(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(world.subscribe(3))

    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(renewals, "advance", fail)
    with pytest.raises(ZeroDivisionError):
        world.run(world.renew())
    monkeypatch.undo()
    names = Counter(event["name"] for event in world.run(world.events()))
    assert names == {"subscription.created": 3}
    assert world.run(world.renew()) == 3
