"""The merchant's schedules: charges that the gateway makes by itself at an instant.

Nothing here reads a clock or makes a charge; every instant is handed in.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from heapq import heappop, heappush

from deploy.sandbox.records import Order


class ScheduleStatus(StrEnum):
    """What became of a schedule; executed ones may have been paid or not."""

    SCHEDULED = "scheduled"
    EXECUTED = "executed"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Schedule:
    """One charge to come; instants are unix seconds, 0 where there is none.

    Attributes:
        is_repeat: Whether the gateway itself was asked to try it once more, so that what its
            merchant_uid failed with before does not refuse it.
    """

    number: int
    order: Order
    schedule_at: int
    status: ScheduleStatus = ScheduleStatus.SCHEDULED
    imp_uid: str | None = None
    executed_at: float = 0.0
    revoked_at: float = 0.0
    is_repeat: bool = False


@dataclass(slots=True)
class Timetable:
    """Every schedule of a merchant; a merchant_uid has one at a time, and the last one counts."""

    _schedules: dict[str, Schedule] = field(default_factory=dict)
    _queue: list[tuple[int, int, str]] = field(default_factory=list)
    # All of them in the order of their instants, and by customer_uid.
    _in_order: list[tuple[int, int, str]] = field(default_factory=list)
    _of_customers: dict[str | None, dict[str, None]] = field(default_factory=dict)
    _count: int = 0

    def add(self, order: Order, *, schedule_at: int, is_repeat: bool = False) -> Schedule:
        """Keep a schedule; what its merchant_uid had before is forgotten."""
        self._count += 1
        merchant_uid = order.merchant_uid
        before = self._schedules.get(merchant_uid)
        if before is not None:
            entry = (before.schedule_at, before.number, merchant_uid)
            del self._in_order[bisect_left(self._in_order, entry)]
            del self._of_customers[before.order.customer_uid][merchant_uid]
        schedule = Schedule(self._count, order, schedule_at, is_repeat=is_repeat)
        self._schedules[merchant_uid] = schedule
        self._of_customers.setdefault(order.customer_uid, {})[merchant_uid] = None
        insort(self._in_order, (schedule_at, schedule.number, merchant_uid))
        # What was queued before under another number is passed over when it is due.
        heappush(self._queue, (schedule_at, schedule.number, merchant_uid))
        return schedule

    def move(self, schedule: Schedule, *, schedule_at: int) -> Schedule:
        """Have a pending schedule executed at another instant."""
        return self.add(schedule.order, schedule_at=schedule_at, is_repeat=schedule.is_repeat)

    def book_again(self, schedule: Schedule, *, schedule_at: int) -> Schedule:
        """Keep a failed or revoked schedule once more, for another instant."""
        return self.add(schedule.order, schedule_at=schedule_at, is_repeat=True)

    def find(self, merchant_uid: str) -> Schedule | None:
        """Find the schedule of a merchant_uid."""
        return self._schedules.get(merchant_uid)

    def schedules(self) -> Iterator[Schedule]:
        """Walk through all schedules, oldest first."""
        return iter(self._schedules.values())

    def between(self, begin: int, end: int) -> list[Schedule]:
        """Give what is scheduled from one instant on and before another, earliest first."""
        first, behind = (bisect_left(self._in_order, (at,)) for at in (begin, end))
        return [self._schedules[uid] for _, _, uid in self._in_order[first:behind]]

    def of_customer(self, customer_uid: str) -> list[Schedule]:
        """Give the schedules of a customer_uid, earliest first."""
        found = [self._schedules[uid] for uid in self._of_customers.get(customer_uid, ())]
        return sorted(found, key=lambda schedule: (schedule.schedule_at, schedule.number))

    def revoke(
        self, customer_uid: str | None, merchant_uids: Collection[str] | None, *, at: float
    ) -> list[Schedule]:
        """Revoke what is pending of a customer, of some merchant_uids, or of both; give it back."""
        revoked = []
        for schedule in self._meant(customer_uid, merchant_uids):
            if schedule.status is ScheduleStatus.SCHEDULED:
                ended = replace(schedule, status=ScheduleStatus.REVOKED, revoked_at=at)
                self._schedules[schedule.order.merchant_uid] = ended
                revoked.append(ended)
        return revoked

    def _meant(
        self, customer_uid: str | None, merchant_uids: Collection[str] | None
    ) -> list[Schedule]:
        of_customer = None if customer_uid is None else self._of_customers.get(customer_uid, {})
        if merchant_uids is None:
            meant = list(self._schedules if of_customer is None else of_customer)
        else:
            meant = [
                merchant_uid
                for merchant_uid in merchant_uids
                if merchant_uid in (self._schedules if of_customer is None else of_customer)
            ]
        found = [self._schedules[merchant_uid] for merchant_uid in meant]
        return sorted(found, key=lambda schedule: schedule.number)

    def next_at(self) -> int | None:
        """Give the instant of the next one that is pending, or None if there is none."""
        while self._queue:
            at, number, merchant_uid = self._queue[0]
            schedule = self._schedules[merchant_uid]
            if schedule.number == number and schedule.status is ScheduleStatus.SCHEDULED:
                return at
            # Revoked, or scheduled anew: it is not due any more.
            heappop(self._queue)
        return None

    def take_due(self, at: float) -> list[Schedule]:
        """Give what is due, earliest first; it is given once."""
        due = []
        while self._queue and self._queue[0][0] <= at:
            _, number, merchant_uid = heappop(self._queue)
            schedule = self._schedules[merchant_uid]
            # What was revoked or scheduled anew is still in the queue.
            if schedule.number == number and schedule.status is ScheduleStatus.SCHEDULED:
                due.append(schedule)
        return due

    def executed(self, schedule: Schedule, *, imp_uid: str, at: float) -> Schedule:
        """Note that a schedule was executed, whether it was paid or not."""
        status = ScheduleStatus.EXECUTED
        executed = replace(schedule, status=status, imp_uid=imp_uid, executed_at=at)
        self._schedules[schedule.order.merchant_uid] = executed
        return executed
