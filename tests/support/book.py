"""A gateway in memory, for the services' own ports, with a book that tells whose money moved."""

import asyncio
import enum
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from shared.billing.attempt import Claim
from shared.billing.inquiry import PaymentRecord, RecordStatus, StillUnresolved
from shared.billing.outcome import (
    Declined,
    Duplicate,
    MethodDead,
    NotSent,
    Outcome,
    Paid,
    Unknown,
)
from shared.billing.reservation import ScheduledPayment
from shared.clock import FixedClock

_DUPLICATE = (
    "이미 주문이 이루어진 건입니다. (동일한 merchant_uid로 결제 또는 취소된 기록이 있습니다)"
)
_numbers = itertools.count(1)


class ProcessDiedError(BaseException):
    """The process that sent a charge is gone; no handler of ours may catch it."""


class DuplicatePolicy(enum.StrEnum):
    """What burns a ``merchant_uid``: the three readings of the gateway's documents."""

    NEVER_REUSABLE = "never_reusable"
    REFUSED_IF_PAID = "refused_if_paid"
    NONE = "none"


class Way(enum.Enum):
    """How a reply comes back."""

    ANSWERED = enum.auto()
    LOST = enum.auto()
    NOBODY_THERE = enum.auto()


class Ending(enum.Enum):
    """How one send goes: what the gateway books, and how its reply comes back."""

    PAID = (RecordStatus.PAID, Way.ANSWERED)
    DECLINED = (RecordStatus.FAILED, Way.ANSWERED)
    METHOD_DEAD = (None, Way.ANSWERED)
    PAID_REPLY_LOST = (RecordStatus.PAID, Way.LOST)
    DECLINED_REPLY_LOST = (RecordStatus.FAILED, Way.LOST)
    DIES_AFTER_PAID = (RecordStatus.PAID, Way.NOBODY_THERE)
    DIES_AFTER_DECLINED = (RecordStatus.FAILED, Way.NOBODY_THERE)
    # Booked only after a while, or at once but shown only after a while; the reply is lost.
    PAID_LATE = ("late", Way.LOST)
    PAID_HIDDEN = ("hidden", Way.LOST)
    # The request never arrives.
    NOT_SENT = ("refused", Way.ANSWERED)
    REQUEST_LOST = ("lost", Way.LOST)
    DIES_BEFORE_SENDING = ("lost", Way.NOBODY_THERE)


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as it reached the client, whatever became of it."""

    claim: Claim
    at: datetime
    use_confirmation_on: date | None


@dataclass(frozen=True, slots=True)
class Booked:
    """A record in the book, the claim it came from, and from when look-ups show it."""

    record: PaymentRecord
    claim: Claim
    shown_at: datetime


@dataclass
class BookedGateway:
    """A gateway of ours in memory, for the services' ports; endings come from a script.

    Attributes:
        script: What happens to the next sends, in order; an outcome is returned as it is.
        otherwise: What happens when the script is at its end.
        door: Sends wait here while it is closed.
        late: How long after a lost reply ``PAID_LATE`` is booked, and ``PAID_HIDDEN`` is shown.
        lookups: Answers to the next look-ups, None meaning the book's.
        schedules: What it keeps for an instant, by ``merchant_uid``; ``Timetable`` fills it.
    """

    clock: FixedClock
    policy: DuplicatePolicy = DuplicatePolicy.REFUSED_IF_PAID
    script: deque[Ending | Outcome] = field(default_factory=deque)
    otherwise: Ending = Ending.PAID
    door: asyncio.Event | None = None
    late: timedelta = timedelta(seconds=200)
    lookups: deque[StillUnresolved | None] = field(default_factory=deque)
    sent: list[Sent] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    book: list[Booked] = field(default_factory=list)
    schedules: dict[str, ScheduledPayment] = field(default_factory=dict)
    _accepted: set[str] = field(default_factory=set)
    _under_way: list[tuple[datetime, Claim]] = field(default_factory=list)

    async def charge(
        self, claim: Claim, *, use_confirmation_on: date | None, claimed_at_s: float
    ) -> Outcome:
        """Send one charge the way the script says."""
        assert claimed_at_s > 0
        self.sent.append(Sent(claim, self.clock.now(), use_confirmation_on))
        ending = self.script.popleft() if self.script else self.otherwise
        if self.door is not None:
            await self.door.wait()
        if not isinstance(ending, Ending):
            return ending
        booked, way = ending.value
        if booked == "refused":
            return NotSent("connection refused")
        reply = Unknown("ReadTimeout") if booked == "lost" else self._receive(claim, booked)
        if way is Way.NOBODY_THERE:
            raise ProcessDiedError
        if way is Way.LOST and not isinstance(reply, Duplicate):
            return Unknown("ReadTimeout")
        return reply

    def _receive(self, claim: Claim, booked: RecordStatus | str | None) -> Outcome:
        """Do what the gateway does with a request that reached it."""
        if self._refuses(claim.merchant_uid):
            return Duplicate(_DUPLICATE)
        self._accepted.add(claim.merchant_uid)
        match booked:
            case RecordStatus.PAID:
                return Paid(self._enter(claim, RecordStatus.PAID), self.clock.now())
            case RecordStatus.FAILED:
                return Declined("잔액 부족", self._enter(claim, RecordStatus.FAILED))
            case "late":
                self._under_way.append((self.clock.now() + self.late, claim))
            case "hidden":
                self._enter(claim, RecordStatus.PAID, hidden_for=self.late)
            case _:
                pass
        return MethodDead("등록되지 않은 구매자입니다")

    async def records_of(self, merchant_uid: str) -> Sequence[PaymentRecord] | StillUnresolved:
        """Return what the book shows by now, or what the script says instead."""
        self.asked.append(merchant_uid)
        if self.lookups and (answer := self.lookups.popleft()) is not None:
            return answer
        return [
            entry.record
            for entry in self.entries()
            if entry.record.merchant_uid == merchant_uid and entry.shown_at <= self.clock.now()
        ]

    async def scheduled(self, merchant_uid: str) -> ScheduledPayment | StillUnresolved | None:
        """Return what is reserved under a ``merchant_uid``."""
        return self.schedules.get(merchant_uid)

    def entries(self) -> list[Booked]:
        """Return the book, what was booked late included."""
        now = self.clock.now()
        for due_at, claim in [item for item in self._under_way if item[0] <= now]:
            self._under_way.remove((due_at, claim))
            if self.policy is DuplicatePolicy.NONE or not self.paid(claim.merchant_uid):
                self._enter(claim, RecordStatus.PAID)
        return self.book

    def paid(self, merchant_uid: str | None = None) -> list[Booked]:
        """Return the payments in the book, all or those of one ``merchant_uid``."""
        return [
            entry
            for entry in (self.book if merchant_uid else self.entries())
            if entry.record.status is RecordStatus.PAID
            and merchant_uid in {None, entry.record.merchant_uid}
        ]

    def enter(self, record: PaymentRecord, claim: Claim) -> None:
        """Put a record of a test's own making into the book."""
        self.book.append(Booked(record, claim, self.clock.now()))

    def payment_of(self, claim: Claim) -> PaymentRecord:
        """Return the record of a payment of a claim, made now."""
        return record_of(claim, RecordStatus.PAID, self.clock.now())

    def _refuses(self, merchant_uid: str) -> bool:
        self.entries()
        match self.policy:
            case DuplicatePolicy.NONE:
                return False
            case DuplicatePolicy.REFUSED_IF_PAID:
                return bool(self.paid(merchant_uid))
            case DuplicatePolicy.NEVER_REUSABLE:
                return merchant_uid in self._accepted

    def _enter(
        self, claim: Claim, status: RecordStatus, hidden_for: timedelta = timedelta(0)
    ) -> str:
        record = record_of(claim, status, self.clock.now())
        self.book.append(Booked(record, claim, self.clock.now() + hidden_for))
        return record.imp_uid


def record_of(claim: Claim, status: RecordStatus, at: datetime, **changes: Any) -> PaymentRecord:
    """Return the record a gateway would hold of a claim, with some fields changed."""
    values = {
        "imp_uid": f"imp_{next(_numbers)}",
        "merchant_uid": claim.merchant_uid,
        "status": status,
        "amount": claim.price.amount,
        "cancel_amount": 0,
        "customer_uid": claim.customer_uid,
        "fail_reason": "잔액 부족" if status is RecordStatus.FAILED else None,
        "paid_at": at if status is RecordStatus.PAID else None,
    }
    return PaymentRecord(**{**values, **changes})
