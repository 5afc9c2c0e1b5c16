"""Refunds in a small world: a gateway in memory that gives money back, and what a process does."""

import asyncio
import enum
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler.scans.refund import DispatchRefunds
from shared.billing.events import Json
from shared.billing.inquiry import CancelRecord, PaymentRecord, RecordStatus, StillUnresolved
from shared.billing.outcome import NotSent, Unknown
from shared.billing.refund import RefundClaim, Refunded, RefundOutcome, Refused, judge_refund
from shared.billing.refunding import RefundMove, after_refund_send
from shared.clock import FixedClock
from shared.db import refunds
from shared.jobs.commands import RefundPayment
from shared.jobs.contracts import InquireRefunds as InquireJob
from shared.jobs.contracts import Job
from shared.jobs.contracts import SendRefunds as SendJob
from tests.support.billing import RESEND_AFTER, World
from tests.support.book import ProcessDiedError
from worker.services.grouping import Grouping
from worker.services.refund import SendRefunds
from worker.services.refund_inquiry import InquireRefunds
from worker.services.refund_requests import refund_payment
from worker.services.refund_settlement import SettleRefunds

REASON = "고객 변심"
ALREADY_CANCELLED = "이미 전액취소된 주문입니다."
ABOVE_BALANCE = (
    "결제취소에 실패하였습니다.(requested cancel amount is bigger than cancelable amount)"
)
# The gateway's own words for it are not known: this is a stand-in that no code of ours reads.
STALE_CHECKSUM = "checksum"
_numbers = itertools.count(1)


class Way(enum.Enum):
    """How one send goes: what the gateway does, and how its reply comes back."""

    DONE = enum.auto()
    DONE_REPLY_LOST = enum.auto()
    DIES_AFTER_DOING = enum.auto()
    # Done only after a while, or at once but shown only after a while; the reply is lost.
    DONE_LATE = enum.auto()
    DONE_HIDDEN = enum.auto()
    # The gateway could do it and refuses, in words of its own.
    REFUSED = enum.auto()
    # The request never arrives.
    NOT_SENT = enum.auto()
    REQUEST_LOST = enum.auto()
    DIES_BEFORE_SENDING = enum.auto()


_NEVER_ARRIVES = frozenset({Way.NOT_SENT, Way.REQUEST_LOST, Way.DIES_BEFORE_SENDING})
_DIES = frozenset({Way.DIES_AFTER_DOING, Way.DIES_BEFORE_SENDING})
_ANSWERED = frozenset({Way.DONE, Way.REFUSED})


@dataclass(frozen=True, slots=True)
class Cancelled:
    """One cancellation in the book; ``refund_id`` is None if nobody of ours asked for it."""

    record: CancelRecord
    tax_free: int
    refund_id: int | None
    shown_at: datetime


@dataclass
class Held:
    """A payment that the gateway holds, with what it gave back of it."""

    record: PaymentRecord
    tax_free: int
    cancelled: list[Cancelled] = field(default_factory=list)

    @property
    def left(self) -> int:
        """What can still be cancelled."""
        return self.record.amount - sum(cancel.record.amount for cancel in self.cancelled)

    @property
    def tax_free_left(self) -> int:
        """What of it is tax-free."""
        return self.tax_free - sum(cancel.tax_free for cancel in self.cancelled)


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as it reached the client, whatever became of it."""

    claim: RefundClaim
    at: datetime


@dataclass
class RefundBook:
    """A gateway of ours in memory, for the services' ports; endings come from a script.

    It guards a cancellation by its checksum, as PortOne's documents say, and by the balance.

    Attributes:
        script: What happens to the next sends, in order; an outcome is returned as it is.
        otherwise: What happens when the script is at its end.
        door: Sends wait here while it is closed.
        late: How long after a lost reply ``DONE_LATE`` is done, and ``DONE_HIDDEN`` is shown.
        lookups: Answers to the next look-ups, None meaning the book's.
    """

    clock: FixedClock
    script: deque[Way | RefundOutcome] = field(default_factory=deque)
    otherwise: Way = Way.DONE
    door: asyncio.Event | None = None
    late: timedelta = timedelta(seconds=200)
    lookups: deque[PaymentRecord | StillUnresolved | None] = field(default_factory=deque)
    sent: list[Sent] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    book: dict[str, Held] = field(default_factory=dict)
    _under_way: list[tuple[datetime, RefundClaim]] = field(default_factory=list)

    async def refund(self, claim: RefundClaim, *, claimed_at_s: float) -> RefundOutcome:
        """Send one refund the way the script says."""
        assert claimed_at_s > 0
        self.sent.append(Sent(claim, self.clock.now()))
        way = self.script.popleft() if self.script else self.otherwise
        if self.door is not None:
            await self.door.wait()
        if not isinstance(way, Way):
            return way
        reply: RefundOutcome = Unknown("ReadTimeout")
        if way not in _NEVER_ARRIVES:
            reply = self._receive(claim, way)
        if way in _DIES:
            raise ProcessDiedError
        if way is Way.NOT_SENT:
            return NotSent("connection refused")
        return reply if way in _ANSWERED else Unknown("ReadTimeout")

    def _receive(self, claim: RefundClaim, way: Way) -> RefundOutcome:
        """Do what the gateway does with a request that reached it."""
        if refusal := self._refusal(claim):
            return Refused(refusal)
        if way is Way.REFUSED:
            return Refused("결제취소에 실패하였습니다. 취소금액이 미정산 금액보다 큽니다.")
        if way is Way.DONE_LATE:
            self._under_way.append((self.clock.now() + self.late, claim))
            return Unknown("ReadTimeout")
        hidden_for = self.late if way is Way.DONE_HIDDEN else timedelta(0)
        return self._give_back(claim, hidden_for)

    def _refusal(self, claim: RefundClaim) -> str | None:
        held = self.entries()[claim.imp_uid]
        if not held.left:
            return ALREADY_CANCELLED
        if claim.checksum != held.left:
            return STALE_CHECKSUM
        price = claim.order.price
        if price.amount > held.left or price.tax_free > held.tax_free_left:
            return ABOVE_BALANCE
        return None

    def _give_back(self, claim: RefundClaim, hidden_for: timedelta = timedelta(0)) -> RefundOutcome:
        held, price = self.book[claim.imp_uid], claim.order.price
        assert 1 <= price.amount <= held.left
        self._cancel(
            held, price.amount, price.tax_free, claim.order.reason, claim.refund_id, hidden_for
        )
        found = judge_refund(claim, self._record(held, held.cancelled))
        assert isinstance(found, Refunded), found
        return found

    def cancel_in_the_console(
        self, imp_uid: str, amount: int, *, tax_free: int = 0, reason: str = "관리자 취소"
    ) -> None:
        """Give money back by another way than ours."""
        held = self.entries()[imp_uid]
        assert 1 <= amount <= held.left
        assert 0 <= tax_free <= held.tax_free_left
        self._cancel(held, amount, tax_free, reason, None, timedelta(0))

    def _cancel(
        self,
        held: Held,
        amount: int,
        tax_free: int,
        reason: str,
        refund_id: int | None,
        hidden_for: timedelta,
    ) -> None:
        number, now = next(_numbers), self.clock.now()
        record = CancelRecord(
            amount=amount,
            reason=reason,
            cancellation_id=f"cancellation_{number}",
            # One after the other, although the clock of a test may stand still.
            cancelled_at=now + timedelta(microseconds=len(held.cancelled)),
        )
        held.cancelled.append(Cancelled(record, tax_free, refund_id, now + hidden_for))

    async def payment(self, imp_uid: str) -> PaymentRecord | StillUnresolved | None:
        """Return what the book shows by now, or what the script says instead."""
        self.asked.append(imp_uid)
        if self.lookups and (answer := self.lookups.popleft()) is not None:
            return answer
        held = self.entries().get(imp_uid)
        if held is None:
            return None
        # What is hidden hides what came after it.
        now = self.clock.now()
        shown = itertools.takewhile(lambda cancel: cancel.shown_at <= now, held.cancelled)
        return self._record(held, list(shown))

    @staticmethod
    def _record(held: Held, shown: Sequence[Cancelled]) -> PaymentRecord:
        record = held.record
        return PaymentRecord(
            imp_uid=record.imp_uid,
            merchant_uid=record.merchant_uid,
            status=RecordStatus.CANCELLED if shown else RecordStatus.PAID,
            amount=record.amount,
            cancel_amount=sum(cancel.record.amount for cancel in shown),
            customer_uid=record.customer_uid,
            cancels=tuple(cancel.record for cancel in shown),
        )

    def entries(self) -> dict[str, Held]:
        """Return the book, what was done late included."""
        now = self.clock.now()
        due = [item for item in self._under_way if item[0] <= now]
        self._under_way = [item for item in self._under_way if item[0] > now]
        for _, claim in due:
            if self._refusal(claim) is None:
                self._give_back(claim)
        return self.book

    def given_back(self, refund_id: int) -> int:
        """Return how often a refund was done."""
        return sum(
            cancel.refund_id == refund_id
            for held in self.entries().values()
            for cancel in held.cancelled
        )


class RefundDesk:
    """One process that works on refunds, in a world."""

    def __init__(self, world: World, gateway: RefundBook) -> None:
        self.world = world
        self.gateway = gateway
        self.settle: Grouping[RefundMove, RefundMove] = Grouping(
            SettleRefunds(world.database, world.clock), linger_s=0.001
        )

    def twin(self) -> "RefundDesk":
        """Return another process on the same database, with the same clock and gateway."""
        return RefundDesk(self.world.twin(), self.gateway)

    # What the processes do.

    async def ask(self, payment: Row[Any], amount: int | str = "all", **changes: Any) -> int:
        """Work one command and return the refund it asks for."""
        return int(str((await self.command(payment, amount, **changes))["refund_id"]))

    async def command(
        self, payment: Row[Any], amount: int | str = "all", **changes: Any
    ) -> dict[str, Json]:
        """Work one command in a transaction of its own."""
        values = {
            "command_id": f"command-{next(_numbers)}",
            "imp_uid": payment.imp_uid,
            "amount": amount,
            "reason": REASON,
            "requester": "customer",
            **changes,
        }
        command = RefundPayment.model_validate(values)

        async def work(connection: AsyncConnection) -> dict[str, Json]:
            return await refund_payment(connection, command, self.world.clock.now())

        return await self.world.database.run(work)

    async def send(self, refund_ids: Sequence[int]) -> list[str]:
        """Work one message that sends refunds."""
        world = self.world
        work = SendRefunds(world.database, self.gateway, self.settle, world.clock, world.rules)
        return await work(refund_ids)

    async def inquire(self, refund_ids: Sequence[int]) -> list[str]:
        """Work one message that reads payments."""
        world = self.world
        work = InquireRefunds(world.database, self.gateway, self.settle, world.clock, world.rules)
        return await work(refund_ids)

    async def work(self, job: Job) -> list[str]:
        """Work one message of either kind."""
        if isinstance(job, SendJob):
            return await self.send(job.refund_ids)
        assert isinstance(job, InquireJob)
        return await self.inquire(job.refund_ids)

    async def scan(self, rows_max: int = 1000) -> int:
        """Run the scan that sends messages for refunds."""
        world = self.world
        scan = DispatchRefunds(
            world.database, world.queue, world.clock, world.batch_size, rows_max, RESEND_AFTER
        )
        return await scan()

    async def work_all(self) -> list[str]:
        """Run the scan and work the messages it sent."""
        await self.scan()
        return [ending for job in self.world.queue.take() for ending in await self.work(job)]

    async def claim(self, refund_ids: Sequence[int]) -> list[RefundClaim]:
        """Claim and commit like a process that dies before it sends."""

        async def work(connection: AsyncConnection) -> list[RefundClaim]:
            now = self.world.clock.now()
            due = await refunds.lock_due(connection, refund_ids, now)
            return await refunds.write_claims(connection, due.claims, self.world.rules.leases, now)

        return await self.world.database.run(work)

    async def answer(self, claim: RefundClaim, outcome: RefundOutcome) -> None:
        """Settle what another process heard that had stood still meanwhile."""
        move = after_refund_send(claim, outcome, self.world.rules, self.world.clock.now())
        await SettleRefunds(self.world.database, self.world.clock)([move])

    # What a test starts from and looks at.

    async def payments(
        self, count: int = 1, amount: int = 9_900, tax_free: int = 0
    ) -> list[Row[Any]]:
        """Subscribe, have the first invoices paid, and return their payments."""
        world = self.world
        ids = await world.subscribe(count, amount, tax_free)
        await world.renew()
        await world.charge_all()
        found = await world.rows(
            """
            SELECT p.*, i.id AS invoice_id, i.subscription_id FROM payments p
            JOIN payment_attempts a ON a.id = p.attempt_id JOIN invoices i ON i.id = a.invoice_id
            WHERE i.subscription_id = ANY(:ids) ORDER BY p.id
            """,
            ids=ids,
        )
        for row in found:
            self.hold(row)
        return found

    def hold(self, payment: Row[Any]) -> None:
        """Have the gateway hold a payment of the rows."""
        record = PaymentRecord(
            imp_uid=payment.imp_uid,
            merchant_uid=payment.merchant_uid,
            status=RecordStatus.PAID,
            amount=payment.amount,
            cancel_amount=0,
            customer_uid=None,
        )
        self.gateway.book[payment.imp_uid] = Held(record, payment.tax_free)

    async def payment(self, payment: Row[Any]) -> Row[Any]:
        """Return a payment's row as it stands."""
        return (await self.world.rows("SELECT * FROM payments WHERE id = :id", id=payment.id))[0]

    async def refund(self, refund_id: int) -> Row[Any]:
        """Return a refund's row."""
        return (await self.world.rows("SELECT * FROM refunds WHERE id = :id", id=refund_id))[0]

    async def next_at(self) -> datetime | None:
        """Return the next instant at which a refund is to be sent or asked about, if any is."""
        statement = """
            SELECT least(
                (
                    SELECT greatest(
                        min(greatest(next_send_at, dispatched_at + :again)),
                        CASE WHEN count(next_send_at) > 0
                            THEN (SELECT max(held_until) FROM gateway_holds) END
                    ) FROM refunds r WHERE status = 'waiting' AND NOT EXISTS (
                        SELECT FROM refunds o WHERE o.payment_id = r.payment_id AND o.id <> r.id
                          AND o.status IN ('claimed', 'unknown', 'parked', 'waiting')
                          AND (o.checksum IS NOT NULL
                               OR r.checksum IS NULL AND o.id < r.id
                                  AND o.next_send_at <= greatest(r.next_send_at, :now))
                    )
                ),
                (
                    SELECT min(greatest(inquire_at, dispatched_at + :again))
                    FROM refunds WHERE inquire_at IS NOT NULL
                )
            ) AS next_at
        """
        world = self.world
        next_at: datetime | None = (
            await world.rows(statement, again=RESEND_AFTER, now=world.clock.now())
        )[0].next_at
        return next_at and max(next_at, world.clock.now())

    async def finish(self, rounds_max: int = 60) -> list[str]:
        """Work whatever comes due until nothing is left to do, in a bounded number of rounds."""
        endings: list[str] = []
        for _ in range(rounds_max):
            endings += await self.work_all()
            next_at = await self.next_at()
            if next_at is None:
                return endings
            self.world.clock.instant = next_at
        raise AssertionError(f"never came to an end: {endings}")
