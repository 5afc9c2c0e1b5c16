"""Commands beside scans, settlements and each other, on two connections: one order or the other."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from shared.billing.calendar import BillingCycle
from shared.billing.collection import after_send
from shared.billing.outcome import Declined, Paid
from shared.jobs import commands, life_commands
from shared.jobs.life_commands import ChangeSubscription
from tests.support.billing import MONTHLY, START_AT
from tests.support.living import BY_CUSTOMER, Living, made

DAY = timedelta(days=1)
CYCLE = BillingCycle(START_AT, MONTHLY)
FEB_28, MAR_31 = (CYCLE.period(index).start_at for index in (1, 2))
ROUNDS = range(3)


@pytest.fixture
def other(living: Living) -> Living:
    return living.twin()


async def at_once(seed: int, *works: Awaitable[Any]) -> list[Any]:
    """Do things at the same instant, begun in an order and at distances of a seed."""
    dice = random.Random(seed)  # noqa: S311 - an order, not a secret

    async def later(work: Awaitable[Any], steps: int) -> Any:
        for _ in range(steps):
            await asyncio.sleep(0)
        return await work

    tasks = [later(work, dice.randrange(40)) for work in works]
    return await asyncio.gather(*tasks)


def fresh(living: Living, **values: Any) -> uuid.UUID:
    """Return a subscription of an emptied world whose first period is paid."""
    living.world.clock.instant = START_AT
    living.world.queue.jobs.clear()
    living.run(living.world.clear())
    id_: uuid.UUID = living.run(living.start(**{"amount": 28_000, **values}))
    assert living.run(living.tick()) == ["paid"]
    living.world.clock.instant = START_AT + 10 * DAY
    return id_


def command(contract: Any, id_: uuid.UUID, **values: Any) -> Any:
    return made(contract, subscription_id=id_, **values)


def pause(id_: uuid.UUID, **values: Any) -> Any:
    return command(life_commands.PauseSubscription, id_, **BY_CUSTOMER, **values)


def decided(living: Living, id_: uuid.UUID) -> Counter[int]:
    """Count how often each period was decided: billed or explained."""
    billed = [invoice.period_index for invoice in living.run(living.invoices(id_))]
    events = living.run(living.world.events("period.skipped"))
    return Counter(billed) + Counter(event["period_index"] for event in events)


def statuses(living: Living, id_: uuid.UUID) -> str:
    return str(living.run(living.row(id_)).status)


@pytest.fixture(params=ROUNDS)
def seed(request: pytest.FixtureRequest) -> Iterator[int]:
    return request.param  # type: ignore[no-any-return]


class TestBesideTheRenewal:
    def test_a_pause_and_a_period_that_begins(
        self, living: Living, other: Living, seed: int
    ) -> None:
        for keeps in ("calendar", "time"):
            id_ = fresh(living)
            living.world.clock.instant = FEB_28
            told, _, _ = living.run(
                at_once(
                    seed, living.give(pause(id_, keeps=keeps)), other.world.renew(), other.scan()
                )
            )
            assert told == "done"
            living.run(living.tick())
            assert statuses(living, id_) == "paused"
            living.world.clock.instant = MAR_31
            living.run(living.resume(id_))
            living.run(living.tick())
            living.run(living.go_to(MAR_31 + 40 * DAY))
            counts = decided(living, id_)
            assert set(counts.values()) == {1}, counts
            assert sorted(counts) == list(range(len(counts)))

    def test_a_change_and_a_period_that_begins(
        self, living: Living, other: Living, seed: int
    ) -> None:
        for interval in ("month", "week"):
            id_ = fresh(living)
            living.world.clock.instant = FEB_28
            said = {"amount": 7_000, "interval": interval, "at_renewal": False}
            change = command(
                ChangeSubscription, id_, requester="customer", consent=living.consent(), **said
            )
            told, _ = living.run(at_once(seed, living.give(change), other.world.renew()))
            living.run(living.tick())
            if told == "refused":
                # The period was opened first: nothing of it was paid for yet.
                again = {"requester": "customer", "consent": living.consent(), **said}
                living.run(living.do(ChangeSubscription, subscription_id=id_, **again))
                living.run(living.tick())
            invoices = living.run(living.invoices(id_))
            assert [invoice.period_index for invoice in invoices] == list(range(len(invoices)))
            for before, after in pairwise(invoices):
                assert after.period_start_at == before.period_end_at
            assert living.run(living.row(id_)).amount == 7_000

    def test_a_change_that_is_taken_back_as_it_comes_into_effect(
        self, living: Living, other: Living, seed: int
    ) -> None:
        id_ = fresh(living)
        change_id = living.run(living.change(id_, amount=30_000))["change_id"]
        living.world.clock.instant = FEB_28
        withdraw = command(life_commands.WithdrawChange, id_, change_id=change_id)
        told, _ = living.run(at_once(seed, living.give(withdraw), other.world.renew()))
        living.run(living.world.renew())
        last = living.run(living.invoices(id_))[-1]
        assert last.amount == (28_000 if told == "done" else 30_000)

    def test_a_credit_is_used_once(self, living: Living, other: Living, seed: int) -> None:
        id_ = fresh(living)
        living.world.clock.instant = FEB_28
        said = {"description": "사과", "credit": 1_000}
        credit = command(life_commands.AdjustSubscription, id_, **said)
        living.run(at_once(seed, living.give(credit), other.world.renew()))
        living.run(living.tick())
        living.run(living.go_to(MAR_31))
        amounts = [invoice.amount for invoice in living.run(living.invoices(id_))]
        assert sorted(amounts) == [27_000, 28_000, 28_000]


class TestBesideASettlement:
    @pytest.mark.parametrize("paid", [True, False])
    def test_a_pause_and_a_resumption(
        self, living: Living, other: Living, seed: int, paid: bool
    ) -> None:
        id_ = fresh(living)
        living.world.clock.instant = FEB_28
        living.run(living.world.renew())
        (_, invoice) = living.run(living.invoices(id_))
        (claim,) = living.run(living.world.claim([invoice.id]))
        outcome = Paid("imp_2", None) if paid else Declined("잔액부족")
        world = living.world
        move = after_send(claim, outcome, world.rules, world.clock.now())
        told, _ = living.run(at_once(seed, living.give(pause(id_)), other.world.settle(move)))
        assert (told, statuses(living, id_)) == ("done", "paused")
        living.run(living.resume(id_))
        assert statuses(living, id_) == ("active" if paid else "past_due")

    @pytest.mark.parametrize("keeps", ["calendar", "time"])
    @pytest.mark.parametrize("paid", [True, False])
    def test_a_resumption(
        self, living: Living, other: Living, seed: int, keeps: str, paid: bool
    ) -> None:
        id_ = fresh(living)
        living.world.clock.instant = FEB_28
        living.run(living.world.renew())
        living.run(living.pause(id_, keeps=keeps))
        (_, invoice) = living.run(living.invoices(id_))
        (claim,) = living.run(living.world.claim([invoice.id]))
        living.world.pass_time(timedelta(seconds=1))
        outcome = Paid("imp_2", None) if paid else Declined("잔액부족")
        world = living.world
        move = after_send(claim, outcome, world.rules, world.clock.now())
        resume = command(life_commands.ResumeSubscription, id_)
        told, _ = living.run(at_once(seed, living.give(resume), other.world.settle(move)))
        assert (told, statuses(living, id_)) == ("done", "active" if paid else "past_due")

    def test_a_change_of_the_period_that_is_being_paid(
        self, living: Living, other: Living, seed: int
    ) -> None:
        id_ = fresh(living)
        living.world.clock.instant = FEB_28
        living.run(living.world.renew())
        (_, invoice) = living.run(living.invoices(id_))
        (claim,) = living.run(living.world.claim([invoice.id]))
        living.world.pass_time(DAY)
        world = living.world
        move = after_send(claim, Paid("imp_2", None), world.rules, world.clock.now())
        change = command(
            ChangeSubscription,
            id_,
            requester="customer",
            consent=living.consent(),
            interval="year",
            at_renewal=False,
        )
        told, _ = living.run(at_once(seed, living.give(change), other.world.settle(move)))
        _, invoice = living.run(living.invoices(id_))
        ended_at = living.world.clock.now() if told == "done" else MAR_31
        assert (invoice.status, invoice.period_end_at) == ("paid", ended_at)
        # What was credited was paid for: nobody has it of an invoice that was open.
        credited = [kind for kind, _, _ in living.run(living.adjustments(id_))]
        assert credited == (["proration_credit"] if told == "done" else [])


class TestBesideEachOther:
    def test_a_pause_and_an_end(self, living: Living, other: Living, seed: int) -> None:
        id_ = fresh(living)
        cancel = command(
            commands.CancelSubscription, id_, when="now", refund="pro_rata", **BY_CUSTOMER
        )
        paused, canceled = living.run(
            at_once(seed, living.give(pause(id_, keeps="time")), other.give(cancel))
        )
        assert canceled == "done"
        assert paused in {"done", "refused"}
        living.run(living.tick())
        assert statuses(living, id_) == "canceled"
        assert living.run(living.ends.refunds()) == [("cancellation", 17_000, 0)]

    def test_a_resumption_and_the_scan(self, living: Living, other: Living, seed: int) -> None:
        id_ = fresh(living)
        living.run(living.pause(id_, resume_at=MAR_31))
        living.run(living.go_to(FEB_28))
        living.world.clock.instant = MAR_31 + DAY
        resume = command(life_commands.ResumeSubscription, id_)
        told, scanned = living.run(at_once(seed, living.give(resume), other.scan()))
        assert (told == "done") + scanned == 1
        assert len(living.run(living.world.events("subscription.resumed"))) == 1
        assert living.run(living.adjustments(id_)) == []

    def test_two_resumptions(self, living: Living, other: Living, seed: int) -> None:
        id_ = fresh(living)
        living.run(living.pause(id_))
        living.run(living.go_to(FEB_28))
        living.world.pass_time(10 * DAY)
        both = [command(life_commands.ResumeSubscription, id_) for _ in range(2)]
        told = living.run(at_once(seed, living.give(both[0]), other.give(both[1])))
        assert sorted(told) == ["done", "refused"]
        assert len(living.run(living.adjustments(id_))) == 1

    def test_two_changes(self, living: Living, other: Living, seed: int) -> None:
        """Whichever is first: the second one credits what the first one has charged."""
        id_ = fresh(living)
        both = [
            command(
                ChangeSubscription,
                id_,
                requester="customer",
                consent=living.consent(),
                amount=amount,
                at_renewal=False,
            )
            for amount in (56_000, 84_000)
        ]
        living.run(at_once(seed, living.give(both[0]), other.give(both[1])))
        last = living.run(living.row(id_)).amount
        net = sum(
            amount if kind == "proration_charge" else -amount
            for kind, amount, _ in living.run(living.adjustments(id_))
        )
        assert last in {56_000, 84_000}
        assert net == (last - 28_000) * 17 // 28

    def test_one_command_twice(self, living: Living, other: Living, seed: int) -> None:
        id_ = fresh(living)
        said = {"description": "사과", "credit": 1_000}
        credit = command(life_commands.AdjustSubscription, id_, **said)
        told = living.run(at_once(seed, living.give(credit), other.give(credit)))
        assert sorted(told) == ["done", "seen before"]
        assert len(living.run(living.adjustments(id_))) == 1

    @pytest.mark.parametrize("what", ["start", "reactivate"])
    def test_a_beginning_and_the_removal_of_its_key(
        self, living: Living, other: Living, seed: int, what: str
    ) -> None:
        id_ = fresh(living)
        living.run(living.cancel(id_))
        living.run(living.tick())
        assert living.run(living.row(id_)).closed_at is not None
        living.world.pass_time(DAY)
        begin = made(
            life_commands.StartSubscription,
            customer_uid="customer-1",
            amount=1_000,
            order_name="다시",
        )
        if what == "reactivate":
            begin = command(life_commands.ReactivateSubscription, id_)
        remove = made(commands.DeleteBillingKey, customer_uid="customer-1", **BY_CUSTOMER)
        told = living.run(at_once(seed, living.give(begin), other.give(remove)))
        assert sorted(told) == ["done", "refused"]
