"""Ends of subscriptions in a small world: the wish, the scan, the message, and the reservations."""

import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row

from scheduler.scans.endings import DispatchEndings
from shared.billing.events import Json
from shared.billing.inquiry import StillUnresolved
from shared.jobs.commands import CancelSubscription
from shared.jobs.contracts import EndSubscriptions as EndJob
from tests.support.billing import RESEND_AFTER, World
from worker.services.cancellation import cancel_subscription
from worker.services.endings import EndSubscriptions


@dataclass
class Book:
    """The reservations of a gateway, and what the next revocations meet instead.

    Attributes:
        reserved: Keys on which something is planned.
        script: What becomes of the next revocations; None means that they are done.
    """

    reserved: set[str] = field(default_factory=set)
    script: deque[StillUnresolved | Exception | None] = field(default_factory=deque)
    asked: list[str] = field(default_factory=list)

    async def revoke_schedules(
        self, customer_uid: str, merchant_uids: Sequence[str] | None = None
    ) -> StillUnresolved | None:
        """Revoke every reservation of a key, or those named, or do what the script says."""
        self.asked.append(customer_uid)
        answer = self.script.popleft() if self.script else None
        if isinstance(answer, Exception):
            raise answer
        if answer is None and merchant_uids is None:
            self.reserved.discard(customer_uid)
        return answer


@dataclass
class Ends:
    """A process that ends subscriptions; ``twin`` is another one beside it."""

    world: World
    book: Book = field(default_factory=Book)

    def twin(self) -> "Ends":
        """Return another process on the same database, queue and book."""
        world = self.world.twin()
        world.queue = self.world.queue
        return Ends(world, self.book)

    async def cancel(
        self, subscription_id: uuid.UUID, when: str = "now", **said: Any
    ) -> Mapping[str, Json]:
        """Work one command, with its transaction."""
        values = {"reason": "더 쓰지 않음", "requester": "customer", **said}
        command = CancelSubscription.model_validate(
            {"command_id": "c", "subscription_id": subscription_id, "when": when, **values}
        )
        return await self.world.database.run(
            lambda connection: cancel_subscription(connection, command, self.world.clock.now())
        )

    async def scan(self, rows_max: int = 1000) -> int:
        """Run the scan that finds ends."""
        world = self.world
        scan = DispatchEndings(
            world.database, world.queue, world.clock, world.batch_size, rows_max, RESEND_AFTER
        )
        return await scan()

    async def end(self, subscription_ids: Sequence[uuid.UUID]) -> list[str]:
        """Work one message."""
        world = self.world
        rules = world.rules
        work = EndSubscriptions(
            world.database, self.book, world.clock, rules.inquiry, rules.leases.settle_delay
        )
        return await work(subscription_ids)

    async def end_all(self) -> list[str]:
        """Run the scan and work the messages it sent."""
        await self.scan()
        jobs = [job for job in self.world.queue.jobs if isinstance(job, EndJob)]
        self.world.queue.jobs = [job for job in self.world.queue.jobs if job not in jobs]
        return [ending for job in jobs for ending in await self.end(job.subscription_ids)]

    async def wind_up(self) -> list[str]:
        """Let the gap between two looks pass, and look again."""
        self.world.pass_time(RESEND_AFTER)
        return await self.end_all()

    async def subscription(self, subscription_id: uuid.UUID) -> Row[Any]:
        """Return a subscription's row."""
        found = await self.world.rows(
            "SELECT * FROM subscriptions WHERE id = :i", i=subscription_id
        )
        return found[0]

    async def invoices(self, subscription_id: uuid.UUID) -> list[Row[Any]]:
        """Return the rows of a subscription's invoices, by period."""
        return await self.world.rows(
            "SELECT * FROM invoices WHERE subscription_id = :i ORDER BY period_index",
            i=subscription_id,
        )

    async def refunds(self) -> list[tuple[str, int, int]]:
        """Return cause, amount and tax-free part of every refund asked for, oldest first."""
        found = await self.world.rows("SELECT cause, amount, tax_free FROM refunds ORDER BY id")
        return [(row.cause, row.amount, row.tax_free) for row in found]
