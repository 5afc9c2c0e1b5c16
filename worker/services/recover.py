"""Bring a database that was restored from an older backup up to what the gateway holds.

    begin     the hold is on: nothing is claimed, refunded, renewed, ended or reserved; new rows are
              numbered beyond those that were lost
    wait      until nothing that was sent before can still be under way, here or at the gateway
    adopt     reservations that the rows do not know are revoked; what the gateway booked since the
              backup is written again, and settled by the rules of every day
    finish    only if nothing is left open: the mark leaps, and the hold is taken back

Whoever dies anywhere, runs it again: what is adopted is known then. Two at once are refused.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.hint import HINT_POLICY
from shared.billing.inquiry import PaymentRecord, RecordStatus, StillUnresolved
from shared.billing.installation import Mark, Standing, set_back_cause, standing
from shared.billing.merchant_uid import ChargeName, parse
from shared.billing.recovery import CLOCKS_AGREE
from shared.billing.reservation import ScheduledPayment, ScheduleStatus
from shared.billing.rules import CollectionRules
from shared.billing.window import is_window_merchant_uid
from shared.clock import Clock
from shared.db import hints, installation, lost_charges, lost_refunds
from shared.db.engine import Database
from shared.db.hints import Said
from shared.jobs.marks import Marks, MarksUnreachableError
from worker.services.hint_reading import ReadHints
from worker.services.hints import FOUND
from worker.services.ports import RecoveryGateway
from worker.services.recover_attempts import AdoptAttempts, UnfinishedError
from worker.services.recover_refunds import AdoptRefunds

log = structlog.get_logger(__name__)

# Records that are compared with the rows by one statement.
_COMPARED_AT_ONCE: Final = 200
# Periods that are adopted side by side.
_SIDE_BY_SIDE: Final = 8
# How far ahead reservations are looked for; PortOne lists 90 days at once.
_RESERVED_AHEAD: Final = timedelta(days=90)
_BY_HAND: Final = "`dalmada recover` was run"
_SINCE_WHEN: Final = (
    "nothing here tells from when on charges may be lost: give `--since`, an instant before the"
    " backup was made, or before the failover"
)
_SINCE_EARLIER: Final = (
    "an answer has come to a charge that is lost, too, and was made before what was read here"
)
_MONEY: Final = frozenset({RecordStatus.PAID, RecordStatus.CANCELLED})

Tell = Callable[[str, int], None]


class AlreadyRecoveringError(Exception):
    """Another recovery of this database is running."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A recovery under way.

    Attributes:
        since: From when on the gateway's book is read.
        ready_at: When nothing that was sent before the hold can be under way any more.
        cause: By what the database is known to have been set back.
    """

    since: datetime
    ready_at: datetime
    cause: str


@dataclass(slots=True)
class Recovered:
    """What was found and done, as it grows.

    Attributes:
        since: From when on the gateway's book was read; None if it was not.
        records: How many records of the gateway's were read.
        invoices: How many invoices were opened for them.
        attempts: How many lost attempts were written again.
        refunds: How many cancellations were taken over.
        revoked: How many reservations were revoked that the rows did not know.
        parked: Periods of which an attempt needs a person.
        doubtful: Payments of which a refund needs a person, by ``imp_uid``.
        unknown: Records that belong to nothing the rows know, by ``imp_uid``.
        unfinished: What nobody could say: the recovery must be run again.
        is_finished: Whether the hold was taken back.
    """

    since: datetime | None = None
    records: int = 0
    invoices: int = 0
    attempts: int = 0
    refunds: int = 0
    revoked: int = 0
    parked: set[str] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    unfinished: list[str] = field(default_factory=list)
    is_finished: bool = False

    @property
    def needs_a_person(self) -> bool:
        """Whether something is left that does not go on by itself."""
        return bool(self.parked or self.doubtful or self.unknown or not self.is_finished)


@dataclass(frozen=True, slots=True)
class Recover:
    """Recover the database; ``alone`` is entered around all of it."""

    database: Database
    gateway: RecoveryGateway
    marks: Marks
    adopt_attempts: AdoptAttempts
    adopt_refunds: AdoptRefunds
    read_hints: ReadHints
    clock: Clock
    rules: CollectionRules

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Keep every other recovery of this database away.

        Raises:
            AlreadyRecoveringError: One is running.
        """
        lock = installation.RECOVERY_LOCK
        async with installation.alone(self.database.engine, lock) as is_ours:
            if not is_ours:
                message = "another recovery of this database is running: wait for its end"
                raise AlreadyRecoveringError(message)
            yield

    async def begin(self, since: datetime | None) -> Begun:
        """Put the hold on, if it is not, and have new rows numbered beyond what was lost.

        Args:
            since: An instant before the backup was made, kept for whoever runs it again; by default
                what its last mark says, if it is known to have been set back.

        Raises:
            UnfinishedError: Neither says it. The hold stays on.
        """
        # Remembered before the rows are read: see ``standing``.
        seen = await self._seen()
        held = await self.database.run(partial(self._hold, seen=seen, since=since))
        cause = held.cause or _BY_HAND
        leases = self.rules.leases
        # What was claimed before the last mark may have been charged after it, and be lost: whoever
        # recognised that by its answer waited for that as long as a lease at most.
        marked_at = held.mark.at - CLOCKS_AGREE - leases.lease
        is_recognised = held.mark.number > 0 and cause != _BY_HAND
        if held.recover_since is None and not is_recognised:
            raise UnfinishedError(_SINCE_WHEN)
        return Begun(
            min(marked_at, held.recover_since or marked_at),
            (held.restored_at or self.clock.now()) + leases.lease + leases.settle_delay,
            cause,
        )

    async def _hold(
        self, connection: AsyncConnection, seen: Mark | None, since: datetime | None
    ) -> installation.Installation:
        """Put the hold on and return how it stands; who comes before any scan recognises as it."""
        now = self.clock.now()
        stored = await installation.read(connection)
        cause, shown = _BY_HAND, None if stored is None else stored.mark
        if shown is not None and (
            standing(shown, seen, now, has_charged=True) is Standing.RESTORED
        ):
            cause = set_back_cause(shown, seen)
        await installation.hold(connection, cause, now)
        if since is not None:
            await installation.recover_since(connection, since)
        await installation.leap(connection, now)
        held = await installation.read(connection)
        # It was written above, by us or by whoever saw it first.
        return held or installation.Installation(Mark(UUID(int=0), 0, now), now, cause, since)

    async def _seen(self) -> Mark | None:
        """Return the highest mark that anybody can tell of now."""
        try:
            return await self.marks.seen()
        except MarksUnreachableError:
            return None

    async def adopt(self, begun: Begun, tell: Tell) -> Recovered:
        """Adopt everything the gateway holds; never before ``begun.ready_at``.

        Raises:
            UnfinishedError: It is too early, or the gateway cannot show its book.
        """
        if self.clock.now() < begun.ready_at:
            message = f"what was sent before may be under way until {begun.ready_at.isoformat()}"
            raise UnfinishedError(message)
        recovered = Recovered(begun.since)
        await self._revoke(begun, recovered, tell)
        now = self.clock.now()
        await self.database.run(partial(lost_charges.doubt_waiting, now=now))
        waiting = await self.database.run(lost_refunds.payments_with_open)
        for done, imp_uid in enumerate(waiting):
            tell("refunds", done)
            await self._safely(recovered, partial(self._refunds, imp_uid, recovered))
        async for together in self._book(begun):
            recovered.records += len(together)
            await self._compare(together, recovered)
            tell("records", recovered.records)
        return recovered

    async def finish(self, recovered: Recovered) -> None:
        """Take the hold back, unless something is unfinished."""
        if recovered.unfinished:
            return
        seen = await self._seen()
        mark = await self.database.run(
            lambda connection: installation.recover(
                connection, seen, self.clock.now(), recovered.since
            )
        )
        if mark is not None:
            await self.marks.publish(mark)
        elif await self.database.run(installation.is_held):
            recovered.unfinished.append(_SINCE_EARLIER)
            return
        recovered.is_finished = True

    async def _book(self, begun: Begun) -> AsyncIterator[Sequence[PaymentRecord]]:
        """Yield the gateway's records since the backup, some at a time."""
        together: list[PaymentRecord] = []
        until = self.clock.now() + CLOCKS_AGREE
        async for record in self.gateway.payments_in(begun.since, until):
            together.append(record)
            if len(together) == _COMPARED_AT_ONCE:
                yield together
                together = []
        if together:
            yield together

    async def _revoke(self, begun: Begun, recovered: Recovered, tell: Tell) -> None:
        """Revoke reservations of our shape that the rows do not know: nobody would await them."""
        until = self.clock.now() + _RESERVED_AHEAD
        ours: list[ScheduledPayment] = [
            reserved
            async for reserved in self.gateway.schedules_in(
                begun.since, until, ScheduleStatus.SCHEDULED
            )
            if parse(reserved.merchant_uid) is not None
        ]
        uids = [reserved.merchant_uid for reserved in ours]
        known = await self.database.run(lambda connection: lost_charges.reserved(connection, uids))
        for done, reserved in enumerate(ours):
            tell("reservations", done)
            if reserved.merchant_uid in known:
                continue
            answer = await self.gateway.revoke_schedules(
                reserved.customer_uid, [reserved.merchant_uid]
            )
            if isinstance(answer, StillUnresolved):
                recovered.unfinished.append(f"{reserved.merchant_uid}: {answer.cause}")
            else:
                recovered.revoked += 1

    async def _compare(self, together: Sequence[PaymentRecord], recovered: Recovered) -> None:
        """Adopt those of some records that the rows do not agree with."""
        found = await self.database.run(
            lambda connection: lost_charges.unexplained(connection, together)
        )
        periods: dict[tuple[UUID, int], dict[int, list[PaymentRecord]]] = defaultdict(dict)
        others: list[PaymentRecord] = []
        for record in together:
            if record.imp_uid not in found:
                continue
            name = parse(record.merchant_uid)
            if name is not None and not record.is_registration:
                period = periods[name.subscription_id, name.period_index]
                period.setdefault(name.attempt_number, []).append(record)
            elif is_window_merchant_uid(record.merchant_uid):
                others.append(record)
        turns = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def adopt(period: tuple[UUID, int]) -> None:
            async with turns:
                work = partial(self._period, period, periods[period], recovered)
                await self._safely(recovered, work)

        # Two periods of one subscription one after the other: the earlier is renewed first.
        of_subscription: dict[UUID, list[int]] = defaultdict(list)
        for id_, index in sorted(periods, key=lambda each: each[1]):
            of_subscription[id_].append(index)

        async def in_order(id_: UUID) -> None:
            for index in of_subscription[id_]:
                await adopt((id_, index))

        await asyncio.gather(*(in_order(id_) for id_ in of_subscription))
        for record in others:
            await self._safely(recovered, partial(self._read, record, recovered))

    async def _period(
        self,
        period: tuple[UUID, int],
        listed: dict[int, list[PaymentRecord]],
        recovered: Recovered,
    ) -> None:
        """Adopt the charges of one period, what went back of them, and what is left over."""
        name = ChargeName(*period, max(listed))
        adopted = await self.adopt_attempts(name, listed.keys())
        recovered.invoices += adopted.opened
        recovered.attempts += adopted.written
        if adopted.parked:
            recovered.parked.add(_named(listed))
        for record in (record for records in listed.values() for record in records):
            if record.status not in _MONEY:
                continue
            if not await self._is_kept(record.imp_uid):
                await self._read(record, recovered)
            elif record.cancel_amount:
                await self._refunds(record.imp_uid, recovered)

    async def _is_kept(self, imp_uid: str) -> bool:
        return await self.database.run(partial(lost_refunds.is_kept, imp_uid=imp_uid))

    async def _refunds(self, imp_uid: str, recovered: Recovered) -> None:
        adopted = await self.adopt_refunds(imp_uid)
        recovered.refunds += adopted.found
        if adopted.doubtful:
            recovered.doubtful.add(imp_uid)

    async def _read(self, record: PaymentRecord, recovered: Recovered) -> None:
        """Have a payment looked at as if somebody had said that it is there.

        What it belongs to is settled or confirmed; what belongs to nothing is told, and kept for a
        person where money is held.
        """
        said = Said(record.imp_uid, FOUND, record.merchant_uid)

        async def store(connection: AsyncConnection) -> int | None:
            now = self.clock.now()
            return await hints.store(connection, said, now, HINT_POLICY.again_after)

        hint_id = await self.database.run(store)
        if hint_id is None:
            message = f"{record.imp_uid}: too many hints wait that nobody here knows of"
            raise UnfinishedError(message)
        endings = await self.read_hints([hint_id])
        if await self.database.run(partial(hints.is_told, imp_uid=record.imp_uid)):
            recovered.unknown.add(record.imp_uid)
        elif set(endings) & {"later", "failed"} and record.status in _MONEY:
            raise UnfinishedError(f"{record.imp_uid}: it could not be read to the end")

    async def _safely(self, recovered: Recovered, work: Callable[[], Awaitable[None]]) -> None:
        """Do one piece of work; what cannot be done now holds up no other."""
        try:
            await work()
        except UnfinishedError as error:
            recovered.unfinished.append(str(error))
        except Exception as error:
            log.exception("recovery_failed")
            recovered.unfinished.append(f"{type(error).__name__} in our own code")


def _named(listed: dict[int, list[PaymentRecord]]) -> str:
    return listed[max(listed)][-1].merchant_uid
