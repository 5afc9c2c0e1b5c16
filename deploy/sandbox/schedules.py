"""The merchant's schedules: charges that the gateway makes by itself at an instant.

Nothing here reads a clock or makes a charge; every instant is handed in.
"""

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
    """One charge to come; instants are unix seconds, 0 where there is none."""

    number: int
    order: Order
    schedule_at: int
    status: ScheduleStatus = ScheduleStatus.SCHEDULED
    imp_uid: str | None = None
    executed_at: float = 0.0
    revoked_at: float = 0.0


@dataclass(slots=True)
class Timetable:
    """Every schedule of a merchant; a merchant_uid has one at a time, and the last one counts."""

    _schedules: dict[str, Schedule] = field(default_factory=dict)
    _queue: list[tuple[int, int, str]] = field(default_factory=list)
    _count: int = 0

    def add(self, order: Order, *, schedule_at: int) -> Schedule:
        """Keep a schedule; what its merchant_uid had before is forgotten."""
        self._count += 1
        schedule = Schedule(self._count, order, schedule_at)
        self._schedules[order.merchant_uid] = schedule
        heappush(self._queue, (schedule_at, schedule.number, order.merchant_uid))
        return schedule

    def find(self, merchant_uid: str) -> Schedule | None:
        """Find the schedule of a merchant_uid."""
        return self._schedules.get(merchant_uid)

    def schedules(self) -> Iterator[Schedule]:
        """Walk through all schedules, oldest first."""
        return iter(self._schedules.values())

    def revoke(
        self, customer_uid: str | None, merchant_uids: Collection[str] | None, *, at: float
    ) -> list[Schedule]:
        """Revoke what is pending of a customer, of some merchant_uids, or of both; give it back."""
        revoked = []
        for schedule in list(self._schedules.values()):
            order = schedule.order
            if (
                schedule.status is ScheduleStatus.SCHEDULED
                and (customer_uid is None or order.customer_uid == customer_uid)
                and (merchant_uids is None or order.merchant_uid in merchant_uids)
            ):
                ended = replace(schedule, status=ScheduleStatus.REVOKED, revoked_at=at)
                self._schedules[order.merchant_uid] = ended
                revoked.append(ended)
        return revoked

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
