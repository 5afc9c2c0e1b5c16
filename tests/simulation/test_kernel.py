"""What the proofs stand on: one dice is one run, a death loses what a death loses, time is free."""

import asyncio
import random
import time
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from deploy.sandbox.records import BillingKey, Status
from scheduler.timetable import SCANS
from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.money import Price
from shared.billing.subscription import Agreement, Buyer
from shared.db import subscriptions
from shared.jobs.contracts import ChargeInvoices, RelayEvents
from tests.simulation.database import SeamedDatabase
from tests.simulation.due import DUE, Outlook
from tests.simulation.installation import Host, Installation
from tests.simulation.loop import SimulationStuckError
from tests.simulation.process import Process, ProcessDiedError, current_process
from tests.simulation.seam import Point

MONTHLY = Interval(IntervalUnit.MONTH)
STORM = {"declined": 0.2, "lost_reply": 0.2, "lost_request": 0.1, "error_500_paid": 0.1}


async def subscribe(life: Installation, count: int) -> None:
    new = []
    for number in range(1, count + 1):
        customer_uid = f"customer-{number}"
        life.sandbox.book.register(BillingKey(customer_uid, inserted_at=0.0, updated_at=0.0))
        agreement = Agreement(Price(9_900), "슬림 요금제", BillingCycle(life.now, MONTHLY))
        new.append(
            subscriptions.NewSubscription(
                uuid.UUID(int=number), customer_uid, Buyer("홍길동"), agreement
            )
        )
    await life.host.database.run(lambda connection: subscriptions.add(connection, new, life.now))


async def go_on(life: Installation, duration: timedelta) -> None:
    until, outlook = life.now + duration, Outlook(life)
    while life.now < until:
        life.tick()
        await life.deliver_all()
        wait = (min(outlook.due().values(), default=until) - life.now).total_seconds()
        await life.pass_time(min(max(wait, 5.0), 3_600.0))


def renewal(
    host: Host,
    seed: int,
    *,
    rates: dict[str, float] | None = None,
    dies: Any = None,
    count: int = 4,
) -> tuple[Installation, list[Any], list[Any]]:
    """Live through the first renewal of a few subscriptions; return invoices and attempts."""
    life = Installation(
        host,
        dice=random.Random(seed),  # noqa: S311 - a life, not a secret
        sandbox={"rates": rates or {}, "seed": seed, "latency_ms": 300},
        dies=dies,
    )

    async def story() -> tuple[Installation, list[Any], list[Any]]:
        await subscribe(life, count)
        for _ in range(2):
            life.start_worker()
        life.start_scans()
        await go_on(life, timedelta(hours=2))
        invoices = await life.rows("SELECT * FROM invoices ORDER BY id")
        attempts = await life.rows("SELECT * FROM payment_attempts ORDER BY id")
        await life.end()
        return life, invoices, attempts

    return host.run(story())


def paid(life: Installation) -> Sequence[object]:
    return [record for record in life.sandbox.book.payments() if record.status is Status.PAID]


def test_the_whole_way_from_a_tick_to_money_is_walked(host: Host) -> None:
    life, invoices, attempts = renewal(host, 1)
    assert [row.status for row in invoices] == ["paid"] * 4
    assert [row.status for row in attempts] == ["paid"] * 4
    assert len(paid(life)) == 4
    assert [event.name for event in life.broker.stream if event.name == "invoice.paid"] == [
        "invoice.paid"
    ] * 4
    assert life.faults == []


def test_one_dice_is_one_run(host: Host) -> None:
    runs = []
    for seed in (7, 8, 7):
        seen: list[tuple[float, Point]] = []

        def note(_number: int, point: Point, seen: list[tuple[float, Point]] = seen) -> bool:
            seen.append((host.loop.time(), point))
            return False

        _, invoices, attempts = renewal(host, seed, rates=STORM, dies=note)
        # ``created_at`` is the server's own note, in real time.
        rows = [row._asdict() | {"created_at": None} for row in (*invoices, *attempts)]
        runs.append((seen, rows))
    assert runs[0] == runs[2]
    assert runs[0] != runs[1]


def test_a_death_before_the_commit_leaves_nothing(host: Host) -> None:
    def dies(_number: int, point: Point) -> bool:
        return (point.job, point.step, point.phase) == ("invoice.charge", "commit", "before")

    life, invoices, attempts = renewal(host, 1, dies=dies)
    assert [row.status for row in invoices] == ["open"] * 4
    assert attempts == []
    assert paid(life) == []


def test_a_death_after_the_gateway_acted_is_found_by_the_inquiry(host: Host) -> None:
    deaths: list[Point] = []

    def dies(_number: int, point: Point) -> bool:
        is_there = (point.step, point.phase) == ("request", "after")
        if is_there and "ChargeInvoices" in point.site and not deaths:
            deaths.append(point)
            return True
        return False

    life, invoices, _ = renewal(host, 1, dies=dies)
    assert len(deaths) == 1
    assert len(paid(life)) == 4
    assert [row.status for row in invoices] == ["paid"] * 4


def test_the_gateway_goes_on_when_the_process_that_asked_it_dies(host: Host) -> None:
    def dies(_number: int, point: Point) -> bool:
        is_charge = point.site.endswith("ChargeInvoices._send")
        return is_charge and (point.step, point.phase) == ("request", "under way")

    life, _, attempts = renewal(host, 1, dies=dies, count=1)
    assert len(paid(life)) == 1
    assert attempts[0].imp_uid is not None


def test_a_death_comes_to_every_task_of_its_process_and_to_no_other(host: Host) -> None:
    life = Installation(host)
    ended: list[str] = []

    async def wait(process: Process, name: str) -> None:
        current_process.set(process)
        try:
            for _ in range(5):
                await host.turns.turn()
            ended.append(name)
        except (ProcessDiedError, asyncio.CancelledError):
            ended.append(f"{name} died")

    async def story() -> None:
        one, other = Process("one"), Process("other")
        tasks = []
        for process, name in ((one, "a"), (one, "b"), (other, "c")):
            task = asyncio.create_task(wait(process, name))
            process.tasks.add(task)
            tasks.append(task)
        await host.turns.turn()
        one.die()
        await asyncio.wait(tasks)
        await life.end()

    host.run(story())
    assert sorted(ended) == ["a died", "b died", "c"]


def test_a_paused_process_stands_still_and_goes_on_later(host: Host) -> None:
    life = Installation(host)
    times: list[float] = []

    async def work(process: Process) -> None:
        current_process.set(process)
        await host.turns.turn()
        times.append(host.loop.time())

    async def story() -> None:
        process = Process("one", paused=True)
        task = asyncio.create_task(work(process))
        await life.pass_time(500)
        process.paused = False
        await task
        await life.end()

    host.run(story())
    assert times == [500.0]


def test_who_waits_for_a_lock_lets_its_holder_go_on(host: Host) -> None:
    life = Installation(host)
    order: list[str] = []

    async def lock(name: str) -> None:
        database = SeamedDatabase(host.engine, host.seam)
        async with database.transaction() as connection:
            await connection.exec_driver_sql(
                "UPDATE gateway_holds SET held_until = held_until WHERE true"
                if name == "other"
                else "LOCK TABLE gateway_holds IN ACCESS EXCLUSIVE MODE"
            )
            order.append(f"{name} has it")
            for _ in range(3):
                await host.turns.turn()
            order.append(f"{name} ends")

    async def story() -> None:
        await asyncio.gather(lock("one"), lock("other"))
        await life.end()

    host.run(story())
    assert order == ["one has it", "one ends", "other has it", "other ends"]


def test_the_outlook_knows_every_scan() -> None:
    """One that it overlooks would be run by full ticks only."""
    assert [scan.__name__ for scan in SCANS if f"'{scan.__name__}'" not in DUE] == []


def test_years_take_no_time(host: Host) -> None:
    life = Installation(host)

    async def story() -> None:
        await life.pass_time(2 * 365 * 86_400)
        await life.end()

    began_s = time.perf_counter()
    host.run(story())
    assert time.perf_counter() - began_s < 5
    assert life.now.year == 2028


def test_what_is_not_acknowledged_comes_back_marked(host: Host) -> None:
    life = Installation(host)
    broker = life.broker

    async def story() -> list[bool]:
        broker.push(ChargeInvoices(invoice_ids=(1,)))
        broker.push(RelayEvents())
        first, second = broker.everything()
        broker.take(first)
        broker.take(second)
        broker.acknowledge(second.tag)
        await life.pass_time(broker.visibility_timeout_s - 1)
        assert broker.everything() == []
        await life.pass_time(1)
        await life.end()
        return [message.redelivered for message in broker.everything()]

    assert host.run(story()) == [True]
    broker.flush()
    assert broker.everything() == []


def test_nothing_that_could_ever_happen_is_said_to_be_so(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.simulation.loop._STUCK_AFTER_S", 0.05)
    life = Installation(host)

    async def story() -> None:
        await asyncio.Event().wait()

    with pytest.raises(SimulationStuckError):
        host.run(story())
    host.run(life.end())
