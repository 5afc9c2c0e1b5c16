"""A database that was set back is brought up to what the gateway holds, and nothing moves twice."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.launcher.servers import OwnServers
from shared.billing.calendar import IntervalUnit
from shared.billing.collection import Move, after_send
from shared.billing.merchant_uid import merchant_uid
from shared.billing.money import Price
from shared.billing.refund import Requester
from shared.billing.reservation import Reserved
from shared.db import claims
from shared.db.engine import Database
from shared.jobs.commands import CancelSubscription
from tests.integration.services.drilling import Work, drill_on, run, set_back
from tests.support.billing import until
from tests.support.drill import DAY, PRICE, REASON, Drill
from tests.support.sandbox import SandboxControl
from worker.gateway.client import PortOne
from worker.gateway.fence import Fence
from worker.gateway.requests import ChargeRequest, ScheduleRequest
from worker.services.recover import AlreadyRecoveringError, Recovered
from worker.services.recover_attempts import UnfinishedError
from worker.services.settle import SettleMoves

R = TypeVar("R")
HOUR = timedelta(hours=1)


@pytest.fixture
def drill(servers: OwnServers, sandbox: SandboxControl) -> Iterator[Drill]:
    """An installation of which nothing is there yet."""
    with drill_on(servers, sandbox) as made:
        yield made


def uids(drill: Drill) -> list[str]:
    return sorted(each["merchant_uid"] for each in drill.paid())


async def assert_agreed(drill: Drill, back: Mapping[str, int]) -> None:
    """Our rows hold every payment of the gateway's, with what went back of it, and no other."""
    ours = {
        row.imp_uid: row.cancelled_amount
        for row in await drill.rows("SELECT imp_uid, cancelled_amount FROM payments")
    }
    assert ours == drill.book()
    assert {**ours, **back} == ours
    paid = "SELECT count(*) FROM invoices WHERE status = 'paid'"
    assert await drill.value(paid) == len(drill.paid())
    assert await drill.value("SELECT count(*) FROM dead_letters") == 0
    assert await drill.value("SELECT restored_at IS NULL FROM installation")


def lives_of_all_kinds(drill: Drill) -> tuple[Work[None], Work[None]]:
    """Return a life up to a backup, and one after it with declines, lost replies and refunds."""

    async def before() -> None:
        await drill.subscribe(2, every=IntervalUnit.WEEK)
        declined, late = await drill.subscribe(2, every=IntervalUnit.WEEK)
        drill.sandbox.behave(declined, ["paid", "declined", "declined"], then="paid")
        drill.sandbox.behave(late, ["paid", {"ending": "late_success", "delay_s": 0}])
        await drill.live(HOUR)

    async def lost() -> None:
        first, second = (each["imp_uid"] for each in drill.paid()[:2])
        await drill.ask_refund(first, 4_000)
        await drill.live(15 * DAY)
        # Of what was paid in between, all of it.
        newest = drill.paid()[-1]["imp_uid"]
        await drill.ask_refund(newest, PRICE)
        drill.sandbox.cancel_in_console(second, 1_000, "콘솔에서 취소")
        await drill.live(HOUR)

    return before, lost


def test_nobody_is_charged_twice_and_nothing_paid_is_lost(drill: Drill) -> None:
    known = 4
    set_back(drill, *lives_of_all_kinds(drill))
    paid, back, booked = uids(drill), drill.book(), len(drill.sandbox.book())
    assert sorted(back.values())[-3:] == [1_000, 4_000, PRICE]

    async def after() -> None:
        await drill.tick()
        assert await drill.value("SELECT restored_at IS NOT NULL FROM installation")
        await drill.live(DAY)
        assert len(drill.sandbox.book()) == booked

        recovered = await drill.recover()

        assert not recovered.needs_a_person, recovered
        assert (recovered.attempts, recovered.refunds) == (booked - known, 3)
        await assert_agreed(drill, back)
        await drill.live(8 * DAY)
        await assert_agreed(drill, back)

    run(drill, after)
    assert len(uids(drill)) == len(set(uids(drill)))
    assert set(paid) < set(uids(drill))


class ProcessDiedError(BaseException):
    """The process is gone; no handler of ours may catch it."""


class Deadly(Database):
    """A database whose process dies after so many steps, before a commit or right after it."""

    def __init__(self, real: Database, steps: int) -> None:
        super().__init__(real.engine)
        self.left = steps

    async def run(self, work: Callable[[AsyncConnection], Awaitable[R]]) -> R:
        self._step()
        done = await super().run(work)
        self._step()
        return done

    def _step(self) -> None:
        """Pass one step; whatever else is under way ends with the process."""
        self.left -= 1
        if self.left <= 0:
            raise ProcessDiedError


async def dies(work: Awaitable[R]) -> R | None:
    """Return what comes of some work, or None if its process died, once all of it is gone."""
    others = asyncio.all_tasks()
    try:
        return await work
    except ProcessDiedError:
        # Whoever is in the midst of a statement ends at the next step.
        if begun := asyncio.all_tasks() - others:
            await asyncio.wait(begun, timeout=30)
        return None


async def recovered_by(drill: Drill, database: Database) -> Recovered:
    rules = drill.settings.collection_rules

    async def settle(move: Move) -> Move:
        # Not in groups: who waits for a group whose process is gone would wait for ever.
        (written,) = await SettleMoves(database, drill.clock, rules)([move])
        return written

    work = drill.recovery(database)
    work = replace(
        work,
        adopt_attempts=replace(work.adopt_attempts, settle=settle),
        read_hints=replace(work.read_hints, settle=settle),
    )
    async with work.alone():
        begun = await work.begin(None)
        drill.pass_time(max(timedelta(0), begun.ready_at - drill.clock.now()))
        recovered = await work.adopt(begun, lambda _doing, _done: None)
        await work.finish(recovered)
    return recovered


def test_whoever_recovers_may_die_anywhere_and_begin_again(drill: Drill) -> None:
    set_back(drill, *lives_of_all_kinds(drill))
    paid, back = uids(drill), drill.book()

    async def after() -> None:
        deaths = 0
        for steps in range(1, 10_000):
            database = Deadly(drill.database, steps)
            recovered = await dies(recovered_by(drill, database))
            if recovered is not None:
                assert recovered.is_finished
                break
            deaths += 1
            await drill.tick()
            assert uids(drill) == paid
        assert deaths >= 20
        assert await drill.value("SELECT count(*) FROM dead_letters") == 0
        await drill.live(DAY)
        await assert_agreed(drill, back)

    run(drill, after)
    assert len(uids(drill)) == len(set(uids(drill)))


def test_a_refund_that_waited_in_the_backup_is_not_given_twice(drill: Drill) -> None:
    async def before() -> None:
        await drill.subscribe()
        await drill.tick()
        await drill.tick()
        (record,) = drill.paid()
        # Two of the same amount and reason, and one more, none of them sent yet.
        for amount in (2_000, 2_000, 3_000):
            await drill.ask_refund(record["imp_uid"], amount)

    async def lost() -> None:
        while len((await first(drill))["cancels"]) < 3:
            await drill.tick()
            drill.pass_time(timedelta(minutes=3))

    set_back(drill, before, lost)

    async def after() -> None:
        await drill.tick()
        recovered = await drill.recover()
        assert (recovered.refunds, recovered.needs_a_person) == (3, False), recovered
        await drill.live(DAY)
        statuses = [row.status for row in await drill.rows("SELECT status FROM refunds")]
        assert statuses == ["done"] * 3
        told = "SELECT count(*) FROM events WHERE name = 'payment.refunded'"
        assert await drill.value(told) == 3

    run(drill, after)
    assert drill.book() == {drill.paid()[0]["imp_uid"]: 7_000}


async def first(drill: Drill) -> Mapping[str, Any]:
    return drill.paid()[0]


def test_a_refund_that_may_be_another_is_left_to_a_person(drill: Drill) -> None:
    async def before() -> None:
        await drill.subscribe()
        await drill.tick()
        await drill.tick()
        await drill.ask_refund(drill.paid()[0]["imp_uid"], 2_000)

    async def lost() -> None:
        drill.sandbox.cancel_in_console(drill.paid()[0]["imp_uid"], 2_000, "콘솔에서 취소")
        await drill.scans.mark()

    set_back(drill, before, lost)

    async def after() -> None:
        await drill.tick()
        recovered = await drill.recover()
        assert recovered.is_finished
        assert recovered.doubtful == {drill.paid()[0]["imp_uid"]}
        await drill.live(DAY)
        assert await drill.value("SELECT status FROM refunds") == "parked"
        assert await drill.value("SELECT count(*) FROM dead_letters") == 1

    run(drill, after)
    assert list(drill.book().values()) == [2_000]


def test_what_an_end_gave_back_is_not_given_back_again(drill: Drill) -> None:
    async def cancel() -> None:
        id_ = await drill.value("SELECT id FROM subscriptions")
        command = CancelSubscription.model_validate(
            {
                "command_id": uuid.uuid4().hex,
                "subscription_id": str(id_),
                "when": "now",
                "reason": REASON,
                "requester": Requester.CUSTOMER,
                "refund": "pro_rata",
            }
        )
        assert await drill.services.commands.command(command) == "done"

    async def before() -> None:
        await drill.subscribe()
        await drill.live(10 * DAY)
        await cancel()

    async def lost() -> None:
        await drill.live(HOUR)
        assert drill.paid()[0]["cancel_amount"] > 0

    set_back(drill, before, lost)
    back = drill.book()

    async def after() -> None:
        await drill.live(HOUR)
        assert await drill.value("SELECT status FROM subscriptions") != "canceled"
        recovered = await drill.recover()
        assert (recovered.refunds, recovered.needs_a_person) == (1, False), recovered
        await drill.live(DAY)
        assert await drill.value("SELECT status FROM subscriptions") == "canceled"

    run(drill, after)
    assert drill.book() == back


def test_a_subscription_that_is_not_in_the_backup_is_told_of_and_never_charged(
    drill: Drill,
) -> None:
    async def before() -> None:
        await drill.subscribe()
        await drill.live(HOUR)

    async def lost() -> None:
        await drill.subscribe()
        await drill.live(HOUR)

    set_back(drill, before, lost)
    strange = drill.paid()[-1]["imp_uid"]

    async def after() -> None:
        await drill.tick()
        since = drill.clock.now() - DAY
        for _ in range(2):
            recovered = await drill.recover(since)
            assert (recovered.is_finished, recovered.unknown) == (True, {strange})
            assert recovered.needs_a_person
        letters = await drill.rows("SELECT kind, payload FROM dead_letters")
        assert [(row.kind, row.payload["imp_uid"]) for row in letters] == [("payment", strange)]

    run(drill, after)


def test_a_reservation_that_the_rows_do_not_know_is_revoked_and_an_executed_one_adopted(
    drill: Drill,
) -> None:
    """Nobody here awaits them: PortOne would charge what we charge."""

    async def before() -> None:
        await drill.subscribe(every=IntervalUnit.WEEK)
        await drill.live(HOUR)

    async def lost() -> None:
        (row,) = await drill.rows(
            "SELECT s.id, k.customer_uid FROM subscriptions s"
            " JOIN billing_keys k ON k.id = s.billing_key_id"
        )
        begun = drill.clock.now()
        async with aclosing(PortOne(drill.gateway_settings, clock=drill.clock)) as client:
            for period in (1, 2):
                at = (begun + period * 7 * DAY).replace(microsecond=0)
                charge = ChargeRequest(
                    merchant_uid(row.id, period, 1), row.customer_uid, Price(PRICE), "Slim 요금제"
                )
                fence = Fence(drill.clock.boot_s(), 60.0, drill.clock.boot_s)
                outcome = await client.schedule(ScheduleRequest(charge, at), fence)
                assert isinstance(outcome, Reserved)
        drill.pass_time(8 * DAY)
        await drill.scans.mark()
        await until(lambda: len(drill.paid()) == 2)

    set_back(drill, before, lost)
    back = drill.book()

    async def after() -> None:
        await drill.tick()
        recovered = await drill.recover()
        assert (recovered.revoked, recovered.attempts) == (1, 1), recovered
        assert not recovered.needs_a_person
        await assert_agreed(drill, back)
        await drill.live(8 * DAY)
        assert len(drill.paid()) == 3
        await assert_agreed(drill, back)

    run(drill, after)
    assert len(uids(drill)) == len(set(uids(drill)))


def test_a_gateway_that_cannot_show_its_book_keeps_the_hold_on(drill: Drill) -> None:
    set_back(drill, *lives_of_all_kinds(drill))
    paid = uids(drill)

    async def after() -> None:
        await drill.tick()
        drill.sandbox.faults(inquiry_rates={"error_500": 1})
        work = drill.recovery()
        async with work.alone():
            begun = await work.begin(None)
            with pytest.raises(UnfinishedError, match="may be under way until"):
                await work.adopt(begun, lambda _doing, _done: None)
            drill.pass_time(begun.ready_at - drill.clock.now())
            with pytest.raises(Exception, match="500"):
                await work.adopt(begun, lambda _doing, _done: None)
            with pytest.raises(AlreadyRecoveringError):
                await drill.recover()
        drill.sandbox.faults(inquiry_rates={})
        await drill.live(DAY)
        assert await drill.value("SELECT restored_at IS NOT NULL FROM installation")
        assert uids(drill) == paid
        assert not (await drill.recover()).needs_a_person

    run(drill, after)


def test_a_worker_asleep_since_before_the_backup_was_restored_settles_no_row_of_another(
    drill: Drill,
) -> None:
    asleep: list[Any] = []

    async def before() -> None:
        await drill.subscribe(2, every=IntervalUnit.WEEK)
        await drill.live(HOUR)

    async def lost() -> None:
        drill.pass_time(7 * DAY)
        await drill.scans.mark()
        await drill.scans.renew()
        work = drill.services.charge_invoices
        ids = [row.id for row in await drill.rows("SELECT id FROM invoices WHERE status = 'open'")]

        async def claim(connection: AsyncConnection) -> list[Any]:
            now = drill.clock.now()
            due = await claims.lock_due(connection, ids, now, await drill.memory.proof())
            leases = drill.settings.leases
            return await claims.write_claims(connection, due.workable, leases, now)

        for each in await drill.database.run(claim):
            outcome = await work.gateway.charge(
                each, use_confirmation_on=None, claimed_at_s=drill.clock.boot_s()
            )
            asleep.append((each, outcome))

    set_back(drill, before, lost)
    assert len(asleep) == 2

    async def after() -> None:
        await drill.tick()
        await drill.recover()
        await drill.live(15 * DAY)
        state = "SELECT id, merchant_uid, imp_uid, status FROM payment_attempts ORDER BY id"
        rows = await drill.rows(state)
        for claim, outcome in asleep:
            assert claim.attempt_id not in {row.id for row in rows[2:]}
            await _settle(drill, claim, outcome)
        assert await drill.rows(state) == rows
        assert await drill.value("SELECT count(*) FROM dead_letters") == 0

    run(drill, after)
    assert len(uids(drill)) == len(set(uids(drill)))


async def _settle(drill: Drill, claim: Any, outcome: Any) -> None:
    move = after_send(claim, outcome, drill.settings.collection_rules, drill.clock.now())
    await drill.services.charge_invoices.settle(move)
