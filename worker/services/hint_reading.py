"""Look at what somebody says the gateway holds, and conclude only from what it shows.

    a window of ours      confirmed if everything matches what was asked for
    a payment of ours     what was cancelled elsewhere is taken over
    an attempt of ours    settled as paid if everything matches; anything else is the inquiry's
    nobody's              told once, and kept for a person where money is held

A hint that is forged finds nothing, or the truth. What it says is not even compared, unless the
merchant's own command said it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing import collection
from shared.billing.attempt import UNSETTLED, AttemptStatus
from shared.billing.errors import BillingError
from shared.billing.events import Event, EventName, Json
from shared.billing.hint import HINT_POLICY, HintPolicy
from shared.billing.inquiry import PaymentRecord, RecordStatus, StillUnresolved, judge
from shared.billing.outcome import Paid
from shared.billing.rules import CollectionRules
from shared.billing.window import (
    Confirmed,
    KeyHeld,
    NotConfirmed,
    NotYet,
    Window,
    judge_window,
)
from shared.clock import Clock
from shared.db import dead_letters, hints, outbox, payments, schedules, windows
from shared.db.engine import Database
from shared.db.hints import UNRECOGNIZED, Hint, NamedAttempt
from shared.db.payments import Adoption
from worker.services import window_confirming
from worker.services.ports import KeyGateway, Settle
from worker.services.window_confirming import Known

log = structlog.get_logger(__name__)

# What may still be settled by the inquiry, or by a person.
_OWNED = UNSETTLED - {AttemptStatus.WAITING}
_READ_ELSEWHERE = "read elsewhere"


@dataclass(frozen=True, slots=True)
class Kept:
    """A payment of ours, by the id of its row."""

    payment_id: int


@dataclass(frozen=True, slots=True)
class Faulty:
    """A row of ours that makes no sense."""

    cause: str


@dataclass(frozen=True, slots=True)
class Reserved:
    """A charge of PortOne's that we have reserved, whose period has not begun here yet."""


Subject: TypeAlias = Kept | Window | NamedAttempt | Reserved | Faulty | None


@dataclass(frozen=True, slots=True)
class ReadHints:
    """Read the payments that hints speak of, side by side; one that fails holds up no other."""

    database: Database
    gateway: KeyGateway
    settle: Settle
    clock: Clock
    rules: CollectionRules
    policy: HintPolicy = HINT_POLICY

    async def __call__(self, hint_ids: Sequence[int]) -> list[str]:
        """Return the name of every ending, for people."""
        found = await self.database.run(
            lambda connection: hints.readable(connection, hint_ids, self.clock.now())
        )
        return list(await asyncio.gather(*(self._read(hint) for hint in found)))

    async def _read(self, hint: Hint) -> str:
        try:
            return await self._look(hint)
        except Exception as error:
            log.exception("hint_failed", hint_id=hint.id)
            cause = f"{type(error).__name__} in our own code"
        try:
            return await self._again(hint, cause, answered=False)
        except Exception:
            # The scan brings it back.
            log.exception("hint_lost", hint_id=hint.id)
            return "failed"

    async def _look(self, hint: Hint) -> str:
        record = await self.gateway.payment(hint.imp_uid)
        if isinstance(record, StillUnresolved):
            return await self._again(hint, record.cause, answered=False)
        if record is None:
            return await self._again(hint, "the gateway shows no such payment", answered=True)
        if record.imp_uid != hint.imp_uid:
            return await self._again(hint, "the gateway shows another payment", answered=False)
        return await self._conclude(hint, record)

    async def _conclude(  # noqa: PLR0911 - a decision table, one row a return
        self, hint: Hint, record: PaymentRecord
    ) -> str:
        """End a reading by what the gateway's record is about."""
        if hint.command_id is not None and record.merchant_uid != hint.merchant_uid:
            finding = NotConfirmed("the payment is of another merchant_uid")
            return await self._end(hint, finding.cause, _rejected(hint, finding, self.clock.now()))
        subject = await self.database.run(lambda connection: subject_of(connection, record))
        match subject:
            case Kept(payment_id):
                return await self._compare(hint, record, payment_id)
            case Window():
                return await self._use(hint, record, subject)
            case NamedAttempt():
                return await self._collect(hint, record, subject)
            case Faulty(cause):
                log.error("hint_impossible", hint_id=hint.id, fault=cause)
                return await self._again(hint, cause, answered=False)
            case Reserved():
                # The inquiry reads it once its period has begun here, too.
                return await self._end(hint, "left to the reservation")
            case None:
                return await self._disown(hint, record, "nobody here has asked for the payment")

    async def _use(self, hint: Hint, record: PaymentRecord, window: Window) -> str:
        """Confirm a window, if the gateway shows that the buyer did what it was opened for."""
        held: KeyHeld | None = None
        if window.customer_uid is not None:
            answer = await self.gateway.key(window.customer_uid)
            if isinstance(answer, StillUnresolved):
                return await self._again(hint, answer.cause, answered=False)
            held = answer
        match judge_window(window, record, held):
            case NotYet(cause):
                return await self._again(hint, cause, answered=True)
            case NotConfirmed() as finding:
                return await self._reject(hint, record, finding)
            case Confirmed() as found:
                return await self.database.run(
                    lambda connection: self._confirm(connection, hint, record, window, found)
                )

    async def _confirm(
        self,
        connection: AsyncConnection,
        hint: Hint,
        record: PaymentRecord,
        window: Window,
        found: Confirmed,
    ) -> str:
        if not await hints.lock(connection, hint):
            return _READ_ELSEWHERE
        now = self.clock.now()
        match await window_confirming.confirm(connection, window, found, now):
            case NotConfirmed() as finding:
                await self._write_rejection(connection, hint, record, finding, now)
                return "rejected"
            case Known():
                ending = "known"
            case Confirmed():
                ending = "confirmed"
        await self._write_end(connection, hint, ending, now)
        return ending

    async def _compare(self, hint: Hint, record: PaymentRecord, payment_id: int) -> str:
        """Take over what was cancelled of a payment of ours by another way than ours."""

        async def work(connection: AsyncConnection) -> str:
            if not await hints.lock(connection, hint):
                return _READ_ELSEWHERE
            now = self.clock.now()
            payment = await payments.lock(connection, payment_id)
            if payment is None or (
                (payment.merchant_uid, payment.balance.paid.amount)
                != (record.merchant_uid, record.amount)
            ):
                cause = "the gateway shows the payment otherwise than it was when it was made"
                finding = NotConfirmed(cause)
                await self._write_rejection(connection, hint, record, finding, now)
                return "rejected"
            adoption = await payments.adopt_cancelled(
                connection, payment_id, record.cancel_amount, now, record.cancels
            )
            match adoption:
                case Adoption.KNOWN:
                    ending = "known"
                case Adoption.ADOPTED:
                    ending = "cancelled elsewhere"
                case Adoption.UNDER_WAY:
                    # A refund of ours may be what the gateway shows; its own inquiry says so.
                    return await self._write_again(
                        connection, hint, "a refund of it is under way", now, answered=False
                    )
            await self._write_end(connection, hint, ending, now)
            return ending

        return await self.database.run(work)

    async def _collect(self, hint: Hint, record: PaymentRecord, attempt: NamedAttempt) -> str:
        """Settle an attempt that the gateway shows as paid; nothing else is concluded from it."""
        finding = judge(attempt.claim.expectation, [record])
        if isinstance(finding, Paid):
            paid = collection.settle(attempt.claim, finding, self.rules.dunning, self.clock.now())
            await self.settle(paid)
            return await self._after_settling(hint, record)
        if attempt.status in _OWNED or not _holds_money(record):
            return await self._end(hint, "left to the inquiry")
        cause = getattr(finding, "cause", "the payment is not as it was asked for")
        return await self._disown(hint, record, cause)

    async def _after_settling(self, hint: Hint, record: PaymentRecord) -> str:
        """End a reading once the payment is kept, by whichever way it was settled."""
        payment_id = await self.database.run(
            lambda connection: payments.of_imp_uid(connection, record.imp_uid)
        )
        if payment_id is None:
            # Sent again meanwhile, or refused by the database: its own ending comes first.
            return await self._again(hint, "the attempt is being settled elsewhere", answered=False)
        return await self._end(hint, "paid")

    async def _reject(self, hint: Hint, record: PaymentRecord, finding: NotConfirmed) -> str:
        async def work(connection: AsyncConnection) -> str:
            if not await hints.lock(connection, hint):
                return _READ_ELSEWHERE
            await self._write_rejection(connection, hint, record, finding, self.clock.now())
            return "rejected"

        return await self.database.run(work)

    async def _write_rejection(
        self,
        connection: AsyncConnection,
        hint: Hint,
        record: PaymentRecord,
        finding: NotConfirmed,
        now: datetime,
    ) -> None:
        """Answer the merchant, and keep for a person what money is held all the same."""
        await outbox.write(connection, _rejected(hint, finding, now))
        if _holds_money(record):
            await self._write_unrecognized(connection, hint, record, finding.cause, now)
        else:
            await self._write_end(connection, hint, finding.cause, now)

    async def _disown(self, hint: Hint, record: PaymentRecord, cause: str) -> str:
        """Tell once of a payment that nobody here has asked for, or of a method so registered."""
        if not _holds_money(record) and not record.is_registration:
            if record.status is RecordStatus.READY:
                return await self._again(hint, "the payment is not made yet", answered=True)
            return await self._end(hint, f"nobody's, and {record.status}")

        async def work(connection: AsyncConnection) -> str:
            if not await hints.lock(connection, hint):
                return _READ_ELSEWHERE
            await self._write_unrecognized(connection, hint, record, cause, self.clock.now())
            return UNRECOGNIZED

        return await self.database.run(work)

    async def _write_unrecognized(
        self,
        connection: AsyncConnection,
        hint: Hint,
        record: PaymentRecord,
        cause: str,
        now: datetime,
    ) -> None:
        """Tell of a payment once, whoever says what of it; the caller holds its lock."""
        if not await hints.is_told(connection, record.imp_uid):
            event = _unrecognized(record, cause, now)
            log.error("payment_unrecognized", imp_uid=record.imp_uid, cause=cause)
            await outbox.write(connection, [event])
            if _holds_money(record):
                await dead_letters.bury_payment(connection, cause, event.data)
        await self._write_end(connection, hint, UNRECOGNIZED, now)

    async def _end(self, hint: Hint, finding: str, events: Sequence[Event] = ()) -> str:
        async def work(connection: AsyncConnection) -> str:
            if not await hints.lock(connection, hint):
                return _READ_ELSEWHERE
            await outbox.write(connection, events)
            await self._write_end(connection, hint, finding, self.clock.now())
            return "rejected" if events else finding

        return await self.database.run(work)

    async def _again(self, hint: Hint, cause: str, *, answered: bool) -> str:
        """Read again later, or give up once it has been tried often enough."""

        async def work(connection: AsyncConnection) -> str:
            if not await hints.lock(connection, hint):
                return _READ_ELSEWHERE
            now = self.clock.now()
            return await self._write_again(connection, hint, cause, now, answered=answered)

        return await self.database.run(work)

    async def _write_again(
        self, connection: AsyncConnection, hint: Hint, cause: str, now: datetime, *, answered: bool
    ) -> str:
        gap = self.policy.next_gap(hint.reads + 1, known=hint.known, answered=answered)
        await self._write_end(connection, hint, cause, now, None if gap is None else now + gap)
        if gap is not None:
            return "later"
        await outbox.write(connection, _rejected(hint, NotConfirmed(cause), now))
        if hint.known and not answered:
            # Nobody knows what the gateway holds of something of ours.
            letter = {"imp_uid": hint.imp_uid, "merchant_uid": hint.merchant_uid}
            log.error("hint_given_up", hint_id=hint.id, cause=cause)
            await dead_letters.bury_payment(connection, f"not read to the end: {cause}", letter)
        return "given up"

    async def _write_end(
        self,
        connection: AsyncConnection,
        hint: Hint,
        finding: str,
        now: datetime,
        next_read_at: datetime | None = None,
    ) -> None:
        await hints.end_reading(
            connection, hint, finding, now, self.policy.again_after, next_read_at
        )


async def subject_of(connection: AsyncConnection, record: PaymentRecord) -> Subject:
    """Return what of ours the gateway's record is about."""
    payment_id = await payments.of_imp_uid(connection, record.imp_uid)
    if payment_id is not None:
        return Kept(payment_id)
    if stored := await windows.named(connection, record.merchant_uid):
        return stored.window
    try:
        named = await hints.attempt_named(connection, record.merchant_uid)
    except BillingError as error:
        return Faulty(str(error))
    if named is None and await schedules.is_reserved(connection, record.merchant_uid):
        return Reserved()
    return named


def _holds_money(record: PaymentRecord) -> bool:
    """Say whether the gateway holds money of a buyer's under a record."""
    moved = record.status in {RecordStatus.PAID, RecordStatus.CANCELLED}
    return moved and not record.is_registration and record.amount > record.cancel_amount


def _rejected(hint: Hint, finding: NotConfirmed, now: datetime) -> list[Event]:
    """Return the answer to the command that asked for the look, if one did."""
    if hint.command_id is None:
        return []
    data: dict[str, Json] = {
        "command_id": hint.command_id,
        "imp_uid": hint.imp_uid,
        "merchant_uid": hint.merchant_uid,
        "cause": finding.cause,
        "message": finding.message,
        "at": now.isoformat(),
    }
    return [Event(EventName.CONFIRMATION_REJECTED, None, data)]


def _unrecognized(record: PaymentRecord, cause: str, now: datetime) -> Event:
    data: dict[str, Json] = {
        "imp_uid": record.imp_uid,
        "merchant_uid": record.merchant_uid,
        "status": record.status,
        "usage": record.usage,
        "amount": record.amount,
        "cancelled_amount": record.cancel_amount,
        "cause": cause,
        "at": now.isoformat(),
    }
    return Event(EventName.PAYMENT_UNRECOGNIZED, None, data)
