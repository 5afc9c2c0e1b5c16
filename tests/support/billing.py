"""A small world to bill in: real rows, a clock that a test moves, and a gateway with a book."""

import asyncio
import itertools
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import structlog
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler.scans.dispatch import DispatchInvoices
from scheduler.scans.inquire import DispatchInquiries
from scheduler.scans.relay import DispatchRelay
from scheduler.scans.renew import RenewSubscriptions
from shared.billing.attempt import Claim, Leases
from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.catch_up import CatchUpPolicy
from shared.billing.collection import Move
from shared.billing.consent import ConsentPolicy
from shared.billing.money import Price
from shared.billing.renewal import RenewalPolicies
from shared.billing.rules import CollectionRules
from shared.billing.subscription import Agreement, Buyer
from shared.billing.use_confirmation import UseConfirmation
from shared.clock import FixedClock
from shared.db import claims, subscriptions
from shared.db.engine import Database
from shared.jobs import event_schemas
from shared.jobs.contracts import ChargeInvoices as ChargeJob
from shared.jobs.contracts import InquireAttempts as InquireJob
from shared.jobs.contracts import Job
from shared.jobs.marks import NO_MARKS, Marks
from tests.support.book import BookedGateway
from tests.support.databases import CLEAR, look
from tests.support.pools import pools_of
from worker.services.charge import ChargeInvoices
from worker.services.grouping import Grouping
from worker.services.inquire import InquireAttempts
from worker.services.settle import SettleMoves

R = TypeVar("R")

# Nine in the morning in Korea, on a day that most months do not have.
START_AT = datetime(2026, 1, 31, tzinfo=UTC)
LEASES = Leases(
    send_window=timedelta(seconds=30),
    total_timeout=timedelta(seconds=75),
    lease=timedelta(seconds=120),
    settle_delay=timedelta(seconds=180),
)
# From a claim until its silence may be believed.
QUIET = LEASES.lease + LEASES.settle_delay
RESEND_AFTER = timedelta(seconds=120)
MONTHLY = Interval(IntervalUnit.MONTH)
_numbers = itertools.count(1)


@dataclass
class Messages:
    """A queue in memory, whose messages a test delivers, doubles and loses."""

    jobs: list[Job] = field(default_factory=list)

    async def __call__(self, jobs: Sequence[Job]) -> None:
        """Take messages in."""
        self.jobs += jobs

    async def waiting(self, queue: str) -> int:
        """Count the messages of one queue."""
        return sum(job.queue == queue for job in self.jobs)

    def take(self) -> list[Job]:
        """Take every message out."""
        taken, self.jobs = self.jobs, []
        return taken


class World:
    """One process of ours with everything it needs; ``twin`` is another one beside it."""

    def __init__(
        self,
        url: str,
        runner: asyncio.Runner,
        clock: FixedClock,
        gateway: BookedGateway,
        rules: CollectionRules,
    ) -> None:
        self.url = url
        self.clock = clock
        self.gateway = gateway
        self.rules = rules
        self.queue = Messages()
        self.runner = runner
        self.silence_proves = True
        self.minimum_amount = 10
        self.batch_size = 25
        self.use_confirmation = UseConfirmation.NONE
        self.catch_up = CatchUpPolicy()
        self.consent = ConsentPolicy()
        self._pools = pools_of(url)
        self._pool = self._pools.lend()
        self.database: Database = self._pool
        self.settle: Grouping[Move, Move] = Grouping(
            SettleMoves(self.database, clock, rules), linger_s=0.001
        )
        self._twins: list[World] = []
        self._context = copy_context()

    def twin(self) -> "World":
        """Return another process on the same database, with the same clock and gateway."""
        world = World(self.url, self.runner, self.clock, self.gateway, self.rules)
        self._twins.append(world)
        return world

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine on the world's loop."""
        return self.runner.run(work, context=self._context)

    def new_id(self) -> uuid.UUID:
        """Return an id that no other subscription of this run has."""
        return uuid.UUID(int=next(_numbers))

    def pass_time(self, duration: timedelta) -> None:
        """Move the clock."""
        self.clock.instant += duration

    async def clear(self) -> None:
        """Empty every table."""
        look(self.url, CLEAR)

    async def aclose(self) -> None:
        """Give every pool back, that of this one last, to be the next one lent."""
        for world in (*self._twins, self):
            await world._pools.take_back(world._pool)

    # What the processes do.

    async def charge(self, invoice_ids: Sequence[int], marks: Marks = NO_MARKS) -> list[str]:
        """Work one charge message, as a process that has seen these marks."""
        work = ChargeInvoices(
            self.database,
            self.gateway,
            self.settle,
            self.clock,
            self.rules,
            self.minimum_amount,
            self.use_confirmation,
            marks,
        )
        return await work(invoice_ids)

    async def inquire(self, attempt_ids: Sequence[int]) -> list[str]:
        """Work one inquiry message."""
        work = InquireAttempts(
            self.database, self.gateway, self.settle, self.clock, self.rules, self.silence_proves
        )
        return await work(attempt_ids)

    async def work(self, job: Job) -> list[str]:
        """Work one message of either kind."""
        if isinstance(job, ChargeJob):
            return await self.charge(job.invoice_ids)
        assert isinstance(job, InquireJob)
        return await self.inquire(job.attempt_ids)

    async def renew(self, rows_max: int = 1000) -> int:
        """Run the scan that opens invoices."""
        policies = RenewalPolicies(self.catch_up, self.consent, self.rules.hours)
        settle_delay = self.rules.leases.settle_delay
        return await RenewSubscriptions(
            self.database, self.clock, policies, rows_max, settle_delay
        )()

    async def dispatch(self, rows_max: int = 1000, queued_batches_max: int = 400) -> int:
        """Run the scan that sends charge messages."""
        scan = DispatchInvoices(
            self.database,
            self.queue,
            self.clock,
            self.batch_size,
            rows_max,
            queued_batches_max,
            RESEND_AFTER,
        )
        return await scan()

    async def scan_inquiries(self) -> int:
        """Run the scan that sends inquiry messages."""
        scan = DispatchInquiries(
            self.database, self.queue, self.clock, self.batch_size, 1000, RESEND_AFTER
        )
        return await scan()

    async def scan_relay(self) -> int:
        """Run the scan that sends relay messages."""
        return await DispatchRelay(self.database, self.queue)()

    async def claim(self, invoice_ids: Sequence[int]) -> list[Claim]:
        """Claim and commit like a process that dies before it sends."""

        async def work(connection: AsyncConnection) -> list[Claim]:
            now = self.clock.now()
            due = (await claims.lock_due(connection, invoice_ids, now)).workable
            return await claims.write_claims(connection, due, self.rules.leases, now)

        return await self.database.run(work)

    @staticmethod
    async def look(
        connection: AsyncConnection, invoice_ids: Sequence[int], now: datetime
    ) -> list[Claim]:
        """Return the claims that could be written now."""
        return [
            item.claim for item in (await claims.lock_due(connection, invoice_ids, now)).workable
        ]

    async def inquire_all(self) -> list[str]:
        """Have every due inquiry asked."""
        return await self.rounds(self.scan_inquiries)

    async def charge_all(self) -> list[str]:
        """Have every due invoice charged."""
        return await self.rounds(self.dispatch)

    async def rounds(self, scan: Callable[[], Awaitable[int]]) -> list[str]:
        """Run one scan and work the messages it sent."""
        await scan()
        return [ending for job in self.queue.take() for ending in await self.work(job)]

    # What a test starts from and looks at.

    async def subscribe(
        self, count: int = 1, price: int = 9_900, tax_free: int = 0, **agreement: Any
    ) -> list[uuid.UUID]:
        """Add subscriptions whose first period begins now."""
        values = {
            "price": Price(price, tax_free),
            "order_name": "슬림 요금제",
            "cycle": BillingCycle(self.clock.now(), MONTHLY),
        }
        new = [
            subscriptions.NewSubscription(
                uuid.UUID(int=number),
                f"customer-{number}",
                Buyer("홍길동"),
                Agreement(**{**values, **agreement}),
            )
            for number in itertools.islice(_numbers, count)
        ]
        await self.database.run(
            lambda connection: subscriptions.add(connection, new, self.clock.now())
        )
        return [item.id for item in new]

    async def open_invoices(self, count: int = 1, price: int = 9_900) -> list[int]:
        """Subscribe and renew; return the ids of the due invoices of the new subscriptions."""
        ids = await self.subscribe(count, price)
        await self.renew()
        found = await self.rows("SELECT id FROM invoices WHERE subscription_id = ANY(:i)", i=ids)
        return sorted(row.id for row in found)

    async def rows(self, statement: str, **values: object) -> list[Row[Any]]:
        """Run one statement in a transaction of its own and return its rows, if it has any."""
        async with self.database.transaction() as connection:
            result = await connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []

    async def invoice(self, invoice_id: int) -> Row[Any]:
        """Return one invoice's row."""
        return (await self.rows("SELECT * FROM invoices WHERE id = :id", id=invoice_id))[0]

    async def attempts(self, invoice_id: int) -> list[Row[Any]]:
        """Return the rows of one invoice's attempts, oldest first."""
        return await self.rows(
            "SELECT * FROM payment_attempts WHERE invoice_id = :id ORDER BY number", id=invoice_id
        )

    async def attempt(self, invoice_id: int) -> Row[Any]:
        """Return the newest attempt at one invoice."""
        return (await self.attempts(invoice_id))[-1]

    async def next_at(self) -> datetime | None:
        """Return the next instant at which anything is to be sent or asked, if there is one."""
        statement = """
            SELECT least(
                (
                    SELECT greatest(
                        min(greatest(next_attempt_at, dispatched_at + :again)),
                        CASE WHEN count(next_attempt_at) > 0
                            THEN (SELECT max(held_until) FROM gateway_holds) END
                    ) FROM invoices
                ),
                (
                    SELECT min(greatest(inquire_at, dispatched_at + :again))
                    FROM payment_attempts WHERE inquire_at IS NOT NULL
                )
            ) AS next_at
        """
        next_at: datetime | None = (await self.rows(statement, again=RESEND_AFTER))[0].next_at
        return next_at and max(next_at, self.clock.now())

    async def subscription(self, invoice_id: int) -> Row[Any]:
        """Return the row of an invoice's subscription."""
        statement = """
            SELECT s.* FROM subscriptions s JOIN invoices i ON i.subscription_id = s.id
            WHERE i.id = :id
        """
        return (await self.rows(statement, id=invoice_id))[0]

    async def events(self, name: str | None = None) -> list[Mapping[str, Any]]:
        """Return the payloads of events of one name, or names and payloads of all, oldest first."""
        found = await self.rows("SELECT name, data FROM events ORDER BY id")
        if name is None:
            return [{"name": row.name, **row.data} for row in found]
        return [row.data for row in found if row.name == name]

    async def letters(self) -> list[str]:
        """Return the causes of the dead letters, oldest first."""
        return [row.cause for row in await self.rows("SELECT cause FROM dead_letters ORDER BY id")]


async def until(condition: Callable[[], bool | Awaitable[bool]], timeout_s: float = 10.0) -> None:
    """Wait until something is so, and fail if it does not become so in time."""
    async with asyncio.timeout(timeout_s):
        while True:
            met = condition()
            if met if isinstance(met, bool) else await met:
                return
            await asyncio.sleep(0.002)


@contextmanager
def world_of(url: str, rules: CollectionRules | None = None) -> Iterator[World]:
    """Yield a world on a fresh, migrated database."""
    clock = FixedClock(START_AT)
    # The default renders every traceback in colours, which takes longer than the test.
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()]
    )
    pools = pools_of(url)
    world = World(url, pools.runner, clock, BookedGateway(clock), rules or CollectionRules(LEASES))
    try:
        with pools.in_use():
            yield world
        assert said_otherwise(world) == []
    finally:
        world.run(world.aclose())
        structlog.reset_defaults()


def said_otherwise(world: World) -> list[str]:
    """Return what events say otherwise than their published schemas.

    Those that a test made up for its own ends do not say when they happened.
    """
    rows = look(world.url, "SELECT name, data FROM events WHERE data ? 'at'")
    return [fault for name, data in rows for fault in event_schemas.faults(name, data)]
