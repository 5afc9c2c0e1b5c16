"""Reservations in a small world: PortOne's timetable, and the processes that plan and look."""

import itertools
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import Row

from scheduler.scans.reserve import ReservePeriods
from shared.billing.attempt import Claim
from shared.billing.inquiry import SCHEDULED_CHARGE, PaymentRecord, RecordStatus, StillUnresolved
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.outcome import Unknown
from shared.billing.renewal import RenewalPolicies
from shared.billing.reservation import (
    Reserved,
    ScheduledPayment,
    ScheduleOutcome,
    ScheduleStatus,
)
from shared.billing.reserving import Reservation, ReservePolicy
from shared.billing.use_confirmation import UseConfirmation
from shared.jobs.contracts import AdvanceReservations as AdvanceJob
from shared.jobs.life_commands import CollectSubscription
from tests.support.billing import RESEND_AFTER, World
from tests.support.endings import Book
from tests.support.living import Living
from worker.services.reserve import AdvanceReservations
from worker.services.reserve_returns import ReturnExecuted

POLICY = ReservePolicy()
_numbers = itertools.count(1)


@dataclass
class Timetable(Book):
    """What PortOne keeps for an instant, in the memory of a world's gateway.

    Attributes:
        endings: How the next requests end instead of being reserved; None is a reply that is lost
            after the reservation was made.
        silences: Whether the next questions stay without an answer.
        meanwhile: What happens while the next question is under way, after it was read.
        declines: Whether the buyer's means say no when the instant comes.
    """

    world: World = field(kw_only=True)
    endings: deque[ScheduleOutcome | None] = field(default_factory=deque)
    silences: deque[bool] = field(default_factory=deque)
    meanwhile: Callable[[], None] | None = None
    declines: bool = False
    requested: list[Reservation] = field(default_factory=list)

    @property
    def held(self) -> dict[str, ScheduledPayment]:
        """What is kept, by ``merchant_uid``."""
        return self.world.gateway.schedules

    async def schedule(
        self, reservation: Reservation, *, use_confirmation_on: date | None, claimed_at_s: float
    ) -> ScheduleOutcome:
        """Keep what is asked for, or do what the script says."""
        assert claimed_at_s > 0
        assert use_confirmation_on is None
        self.requested.append(reservation)
        is_scripted = bool(self.endings)
        if is_scripted and (ending := self.endings.popleft()) is not None:
            return ending
        standing = self.held.get(reservation.merchant_uid)
        assert standing is None or standing.status is ScheduleStatus.REVOKED
        kept = self.held[reservation.merchant_uid] = ScheduledPayment(
            reservation.merchant_uid,
            reservation.customer_uid,
            reservation.price.amount,
            reservation.schedule_at,
            ScheduleStatus.SCHEDULED,
        )
        return Unknown("ReadTimeout") if is_scripted else Reserved(kept)

    async def scheduled(self, merchant_uid: str) -> ScheduledPayment | StillUnresolved | None:
        """Return what is kept, or nothing that anybody could conclude from."""
        if self.silences and self.silences.popleft():
            return StillUnresolved("ReadTimeout")
        answer = self.held.get(merchant_uid)
        if (passes := self.meanwhile) is not None:
            self.meanwhile = None
            passes()
        return answer

    async def revoke_schedules(
        self, customer_uid: str, merchant_uids: Sequence[str] | None = None
    ) -> StillUnresolved | None:
        """Let what is kept be, all of a key or what is named, or do what the script says."""
        unresolved = await super().revoke_schedules(customer_uid, merchant_uids)
        if unresolved is None:
            for uid, kept in list(self.held.items()):
                named = merchant_uids is None or uid in merchant_uids
                if named and kept.customer_uid == customer_uid:
                    self.revoke(uid)
        return unresolved

    def revoke(self, merchant_uid: str) -> None:
        """Let one be, as a person at the console would."""
        if self.held[merchant_uid].status is ScheduleStatus.SCHEDULED:
            self.held[merchant_uid] = replace(
                self.held[merchant_uid],
                status=ScheduleStatus.REVOKED,
                revoked_at=self.world.clock.now(),
            )

    def execute(self) -> None:
        """Charge whatever is due, once."""
        now = self.world.clock.now()
        for uid, kept in list(self.held.items()):
            if kept.status is ScheduleStatus.SCHEDULED and kept.schedule_at <= now:
                paid = RecordStatus.FAILED if self.declines else RecordStatus.PAID
                self.held[uid] = replace(
                    kept, status=ScheduleStatus.EXECUTED, payment_status=paid, executed_at=now
                )
                self._book(kept, paid)

    def retry(self, merchant_uid: str) -> None:
        """Charge once more what has failed, as a person at the console would."""
        self.try_again(merchant_uid, RecordStatus.PAID)

    def try_again(self, merchant_uid: str, status: RecordStatus) -> None:
        """Have a person at the console charge once more, with this in the book by now."""
        self._book(self.held[merchant_uid], status)

    def _book(self, kept: ScheduledPayment, status: RecordStatus) -> None:
        now = self.world.clock.now()
        record = PaymentRecord(
            imp_uid=f"imps_{next(_numbers)}",
            merchant_uid=kept.merchant_uid,
            status=status,
            amount=kept.amount,
            cancel_amount=0,
            customer_uid=kept.customer_uid,
            fail_reason="잔액 부족" if status is RecordStatus.FAILED else None,
            paid_at=now if status is RecordStatus.PAID else None,
            usage=SCHEDULED_CHARGE,
        )
        (asked,) = [each for each in self.requested if each.merchant_uid == kept.merchant_uid][-1:]
        self.world.gateway.enter(record, _claim_of(asked))


def _claim_of(asked: Reservation) -> Claim:
    """Return the claim that a charge of ours would have had."""
    assert asked.claimed_at is not None
    return Claim(
        attempt_id=0,
        invoice_id=0,
        subscription_id=asked.subscription_id,
        billing_key_id=asked.billing_key_id,
        period=asked.period,
        number=1,
        send_number=asked.send_number,
        merchant_uid=asked.merchant_uid,
        customer_uid=asked.customer_uid,
        price=asked.price,
        order_name=asked.order_name,
        buyer=asked.buyer,
        declines=0,
        claimed_at=asked.claimed_at,
        subscription_status=SubscriptionStatus.ACTIVE,
    )


@dataclass
class Reserving:
    """A process that has periods collected by PortOne; ``twin`` is another one beside it."""

    living: Living
    timetable: Timetable
    silence_proves: bool = True

    @classmethod
    def on(cls, world: World) -> "Reserving":
        """Return a process whose subscriptions end at the same timetable."""
        made = cls(Living(world), Timetable(world=world))
        made.living.ends.book = made.timetable
        return made

    @property
    def world(self) -> World:
        """The world that it lives in."""
        return self.living.world

    def twin(self) -> "Reserving":
        """Return another process on the same database and timetable."""
        return Reserving(self.living.twin(), self.timetable)

    def run(self, work: Any) -> Any:
        """Run a coroutine on the world's loop."""
        return self.living.run(work)

    async def collect(self, id_: uuid.UUID, by: str = "reservation") -> Any:
        """Switch who makes the charges."""
        return await self.living.do(CollectSubscription, subscription_id=id_, by=by)

    async def plan(self) -> list[int]:
        """Run the scan, and return the reservations that it had messages sent for."""
        world = self.world
        policies = RenewalPolicies(world.catch_up, world.consent, world.rules.hours)
        await ReservePeriods(
            world.database,
            world.queue,
            world.clock,
            world.batch_size,
            1_000,
            RESEND_AFTER,
            policies,
            POLICY,
        )()
        jobs = [job for job in world.queue.jobs if isinstance(job, AdvanceJob)]
        world.queue.jobs = [job for job in world.queue.jobs if job not in jobs]
        return [id_ for job in jobs for id_ in job.reservation_ids]

    async def advance(self, ids: Sequence[int]) -> list[str]:
        """Work one message."""
        world = self.world
        settle_delay = world.rules.leases.settle_delay
        work = AdvanceReservations(
            world.database,
            self.timetable,
            world.clock,
            world.rules,
            POLICY,
            UseConfirmation.NONE,
            self.silence_proves,
            ReturnExecuted(world.database, world.clock, settle_delay),
        )
        return await work(ids)

    async def reserve(self) -> list[str]:
        """Plan what is to be planned, and have every next step taken."""
        ids = await self.plan()
        return await self.advance(ids) if ids else []

    async def go_to(self, instant: datetime, *, executed: bool = True) -> list[str]:
        """Move the clock, let PortOne charge what is due, and do what is due here."""
        self.world.clock.instant = instant
        if executed:
            self.timetable.execute()
        return [*await self.living.tick(), *await self.reserve()]

    async def inquire(self) -> list[str]:
        """Let PortOne have the time to book, and read what it did."""
        self.world.pass_time(self.world.rules.leases.settle_delay)
        return await self.world.inquire_all()

    async def rows(self) -> list[Row[Any]]:
        """Return the rows of all reservations, oldest first."""
        return await self.world.rows("SELECT * FROM reservations ORDER BY id")

    async def statuses(self) -> list[str]:
        """Return how all reservations stand, oldest first."""
        return [row.status for row in await self.rows()]
