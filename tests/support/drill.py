"""A merchant's installation in this process, whose database a test sets back to a backup.

Real scans and services on a real database, against the sandbox, on a clock that a test moves.
"""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url, text

import scheduler.bootstrap
import worker.bootstrap
from scheduler.bootstrap import Scans
from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.installation import Mark, Proof, later, proof_of
from shared.billing.money import Price
from shared.billing.refund import Requester
from shared.billing.subscription import Agreement, Buyer
from shared.clock import Clock, WallClock
from shared.config import Settings
from shared.db import subscriptions
from shared.db.engine import Database, connect
from shared.db.subscriptions import NewSubscription
from shared.jobs import contracts
from shared.jobs.commands import RefundPayment
from shared.jobs.contracts import Job
from tests.support.billing import Messages
from tests.support.sandbox import IMP_KEY, IMP_SECRET, SandboxControl
from worker.bootstrap import Adapters, Services
from worker.gateway.adapter import PortOneGateway
from worker.gateway.client import PortOne
from worker.gateway.settings import GatewaySettings
from worker.services.recover import Recover, Recovered

REASON = "구매자 변심"
PRICE = 9_900
DAY = timedelta(days=1)


class MovedClock:
    """The wall clock, moved ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        """Return the present instant of the test."""
        return WallClock().now() + self.ahead

    def boot_s(self) -> float:
        """Return seconds that pass as the instant does."""
        return WallClock().boot_s() + self.ahead.total_seconds()


@dataclass
class Memory:
    """What all processes and the broker remember of the mark, which a test may take away."""

    clock: Clock
    kept: Mark | None = None

    async def seen(self) -> Mark | None:
        """Return the highest mark."""
        return self.kept

    async def publish(self, mark: Mark) -> None:
        """Remember a mark."""
        self.kept = later(self.kept, mark)

    async def proof(self) -> Proof:
        """Return what the database must show."""
        return proof_of(self.kept, self.clock.now())


class Silent:
    """Nobody listens to events, and no message comes twice."""

    async def begin(self, _tag: str) -> int:
        """Count nothing."""
        return 0

    async def end(self, _tag: str) -> None:
        """Forget nothing."""

    async def __call__(self, *_: Any) -> Any:
        """Take anything."""


@dataclass
class Drill:
    """One installation, its sandbox and its backup."""

    url: str
    sandbox: SandboxControl
    overrides: Mapping[str, Any] = field(default_factory=dict)
    clock: MovedClock = field(default_factory=MovedClock)
    queue: Messages = field(default_factory=Messages)

    def __post_init__(self) -> None:
        self.memory = Memory(self.clock)
        self.settings = Settings(
            **{
                "redis_url": "redis://nowhere",
                "database_url": self.url,
                "portone_base_url": self.sandbox.url,
                "portone_imp_key": IMP_KEY,
                "portone_imp_secret": IMP_SECRET,
                "portone_pg": "naverpay",
                **self.overrides,
            }
        )

    @property
    def gateway_settings(self) -> GatewaySettings:
        """What a client of the sandbox needs."""
        return worker.bootstrap.gateway_settings(self.settings)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let one process of each kind run; they have seen nothing yet."""
        self.database = connect(self.url, connections_max=10)
        client = PortOne(self.gateway_settings, clock=self.clock)
        self.gateway = PortOneGateway(
            client, send_window_s=self.settings.send_window_s, clock=self.clock
        )
        silent: Any = Silent()
        self.scans: Scans = scheduler.bootstrap.assemble(
            self.settings, self.database, self.queue, self.clock, self.memory
        )
        self.services: Services = worker.bootstrap.assemble(
            self.settings,
            Adapters(
                self.database,
                self.gateway,
                silent,
                silent,
                self.clock,
                silent,
                self.memory,
            ),
        )
        try:
            yield
        finally:
            await client.aclose()
            await self.database.aclose()

    def recovery(self, database: Database | None = None) -> Recover:
        """Return what recovers the database."""
        return worker.bootstrap.recovery(
            self.settings, database or self.database, self.gateway, self.memory, self.clock
        )

    async def recover(self, since: datetime | None = None) -> Recovered:
        """Recover the database as the console does, the wait left out by moving the clock."""
        work = self.recovery()
        async with work.alone():
            begun = await work.begin(since)
            self.pass_time(max(timedelta(0), begun.ready_at - self.clock.now()))
            recovered = await work.adopt(begun, lambda _doing, _done: None)
            await work.finish(recovered)
        return recovered

    # Time and what happens in it.

    def pass_time(self, duration: timedelta) -> None:
        """Move every clock, while somebody goes on marking."""
        self.clock.ahead += duration
        if self.memory.kept is not None:
            self.memory.kept = replace(self.memory.kept, at=self.clock.now())
        self.sandbox.set_clock(self.clock.ahead.total_seconds())

    async def tick(self) -> None:
        """Let every scan look once, and work every message."""
        scans = self.scans
        await scans.mark()
        looks: Sequence[Callable[[], Awaitable[int]]] = (
            *(scans.renew, scans.dispatch, scans.inquire, scans.refund, scans.end, scans.hints),
        )
        for look in looks:
            await look()
        for job in self.queue.take():
            await self.work(job)

    async def live(self, duration: timedelta, step: timedelta = timedelta(days=1)) -> None:
        """Let time pass, with a look at every step and one at the end."""
        until = self.clock.now() + duration
        while self.clock.now() < until:
            await self.tick()
            self.pass_time(min(step, until - self.clock.now()))
        for _ in range(3):
            await self.tick()

    async def work(self, job: Job) -> object:
        """Work one message as the tasks do."""
        services = self.services
        work: Mapping[type[Job], Callable[..., Awaitable[object]]] = {
            contracts.ChargeInvoices: services.charge_invoices,
            contracts.InquireAttempts: services.inquire_attempts,
            contracts.SendRefunds: services.send_refunds,
            contracts.InquireRefunds: services.inquire_refunds,
            contracts.ReadHints: services.read_hints,
            contracts.EndSubscriptions: services.end_subscriptions,
            contracts.ProveDatabase: services.prove_database,
        }
        ids = [getattr(job, name) for name in type(job).model_fields]
        return await work[type(job)](*ids)

    async def subscribe(
        self, count: int = 1, *, every: IntervalUnit = IntervalUnit.MONTH
    ) -> list[str]:
        """Add subscriptions whose first period begins now; return their billing keys."""
        now = self.clock.now()
        new = new_subscriptions(count, now, every)
        self.sandbox.register([each.customer_uid for each in new])
        await self.database.run(lambda connection: subscriptions.add(connection, new, now))
        return [each.customer_uid for each in new]

    async def ask_refund(self, imp_uid: str, amount: int, reason: str = REASON) -> None:
        """Ask for a refund as a merchant does."""
        command = RefundPayment(
            command_id=uuid.uuid4().hex,
            imp_uid=imp_uid,
            amount=amount,
            reason=reason,
            requester=Requester.CUSTOMER,
        )
        assert await self.services.commands.command(command) == "done"

    # What is there.

    async def rows(self, statement: str, **values: object) -> list[Any]:
        """Return what a statement finds, or do what it says."""
        async with self.database.transaction() as connection:
            result = await connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []

    async def value(self, statement: str, **values: object) -> Any:
        """Return the one value that a statement finds."""
        ((value,),) = await self.rows(statement, **values)
        return value

    def paid(self) -> Sequence[Mapping[str, Any]]:
        """Return the gateway's records of money that moved, given back or not."""
        return [each for each in self.sandbox.book() if each["status"] in {"paid", "cancelled"}]

    def book(self) -> Mapping[str, int]:
        """Return how much the gateway has given back of each payment."""
        return {each["imp_uid"]: each["cancel_amount"] for each in self.paid()}


def new_subscriptions(
    count: int, begins_at: datetime, every: IntervalUnit = IntervalUnit.MONTH
) -> list[NewSubscription]:
    """Return subscriptions whose first period begins at an instant, each with a key of its own."""
    cycle = BillingCycle(begins_at, Interval(every))
    return [
        NewSubscription(
            uuid.uuid4(),
            f"buyer_{uuid.uuid4().hex}",
            Buyer(),
            Agreement(Price(PRICE), "Slim 요금제", cycle),
        )
        for _ in range(count)
    ]


def backed_up(url: str) -> str:
    """Make a backup of a database that nobody is connected to, and return its name."""
    name = make_url(url).database or ""
    backup = f"{name}_backup"
    with administrator(url) as connection:
        _drop(connection, backup)
        _copy(connection, backup, name)
    return backup


def restored(url: str, backup: str) -> None:
    """Put a backup in the place of a database, whoever is connected to it."""
    name = make_url(url).database or ""
    with administrator(url) as connection:
        _drop(connection, name)
        _copy(connection, name, backup)


def dropped(url: str, backup: str) -> None:
    """Throw a backup away."""
    with administrator(url) as connection:
        _drop(connection, backup)


def administrator(url: str) -> psycopg.Connection[Any]:
    """Return a connection to the database server, to none of the databases of an installation."""
    address = make_url(url).set(database="postgres").render_as_string(hide_password=False)
    return psycopg.connect(address, autocommit=True)


def _drop(connection: psycopg.Connection[Any], name: str) -> None:
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    connection.execute(statement)


def _copy(connection: psycopg.Connection[Any], name: str, source: str) -> None:
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    connection.execute(statement.format(sql.Identifier(name), sql.Identifier(source)))
