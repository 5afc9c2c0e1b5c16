"""Compare the gateway's book of a window with our rows, both ways, and keep what differs.

1. Every record of the window is staged, a page at a time.
2. What we hold and the gateway did not list is asked for singly; so is whatever earlier runs have
   found and nobody has settled, whatever its window.
3. What SQL leaves over is judged by ``shared/billing/reconciliation.py``. A difference is believed
   only once the payment has been read singly and our rows after it: a list is read while records
   change. So nothing at the edge of a window is called a difference for being at the edge.
4. What is not found any more has vanished; the sums are written with the run.

Nothing here moves money or changes what anybody owes. A run that dies is begun anew.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json
from shared.billing.inquiry import PaymentRecord, RecordStatus, StillUnresolved
from shared.billing.reconciliation import Difference, Found, compare
from shared.clock import Clock
from shared.db import reconciliation_records as records
from shared.db import reconciliation_rows as rows
from shared.db import reconciliation_runs as runs
from shared.db import reconciliation_sums as sums
from shared.db.engine import Database
from shared.db.reconciliation_records import Pair
from shared.db.reconciliation_runs import Run
from worker.services.reconcile_report import Tally, report_of

log = structlog.get_logger(__name__)

# From a run's last sign of life until another process may begin it anew; a sign is given a page.
LEASE: Final = timedelta(minutes=15)
# How long a daily run waits after it failed.
AGAIN_AFTER: Final = timedelta(minutes=15)
PAGE: Final = 1_000
SLICE: Final = 5_000
_IDS_A_LOOK: Final = 50_000
_READ_AT_ONCE: Final = 100
_READS_MAX: Final = 16
_FAULT_LENGTH_MAX: Final = 300


class BooksGateway(Protocol):
    """Whoever can show the gateway's book."""

    def payments_in(
        self, since: datetime, until: datetime, status: RecordStatus | None = None
    ) -> AsyncIterator[PaymentRecord]:
        """Return every payment whose status is of ``[since, until)``; raise if nobody can say."""

    async def payment(self, imp_uid: str) -> PaymentRecord | StillUnresolved | None:
        """Return a payment, None if the gateway says there is none, or why nobody could say."""


class Watch(Protocol):
    """Whoever is told how far a run is."""

    def __call__(self, step: str, done: int, /) -> None:
        """Take what is being done, and how much of it has been."""


class SilentGatewayError(Exception):
    """The gateway could not be asked about a payment: half a comparison is none."""


class LostRecordsError(Exception):
    """Not every record that was staged was there to be compared."""


class LostRunError(Exception):
    """Another process has taken this run for dead and begun it anew."""


async def forget(database: Database, run_ids: Sequence[int]) -> None:
    """Forget the records that were staged for runs."""
    for run_id in run_ids:
        while await database.run(
            lambda connection, run_id=run_id: records.clear(connection, run_id, SLICE)  # type: ignore[misc]
        ):
            pass


def unwatched(_step: str, _done: int, /) -> None:
    """Tell nobody how far a run is."""


@dataclass(frozen=True, slots=True)
class ReconcileBooks:
    """Compare the books of a run's window and keep what differs.

    Attributes:
        quiet: How long something that has changed may still be on its way to the other book.
        foreign: Whether payments that are nobody's here are kept as differences, too; they are
            counted in any case.
    """

    database: Database
    gateway: BooksGateway
    clock: Clock
    quiet: timedelta
    foreign: bool = False
    watch: Watch = unwatched

    async def __call__(self, run: Run) -> dict[str, Json] | None:
        """Return the report, or None if it could not be made; the run's row says why."""
        work = _Comparison(self, run, self.clock.now())
        try:
            return await work()
        except LostRunError:
            log.warning("reconciliation_lost", run_id=run.id)
        except Exception as error:
            log.exception("reconciliation_failed", run_id=run.id)
            # Of a database's error the first line: the others repeat the statement.
            words = str(error).partition("\n")[0][:_FAULT_LENGTH_MAX]
            await self._fail(run, f"{type(error).__name__}: {words}")
        return None

    async def _fail(self, run: Run, fault: str) -> None:
        now = self.clock.now()

        async def work(connection: AsyncConnection) -> None:
            await runs.fail(connection, run, fault, now, now + AGAIN_AFTER)

        await self.database.run(work)


@dataclass(slots=True)
class _Comparison:
    """One run at work."""

    parts: ReconcileBooks
    run: Run
    begun_at: datetime
    tally: Tally = field(default_factory=Tally)
    alive_at: datetime | None = None

    @property
    def database(self) -> Database:
        return self.parts.database

    @property
    def gateway(self) -> BooksGateway:
        return self.parts.gateway

    async def __call__(self) -> dict[str, Json]:
        await self._clear()
        await self._stage()
        await self._look_up_ours()
        await self._look_again()
        await self._compare()
        report = await self._end()
        await self._clear()
        return report

    async def _stage(self) -> None:
        """Keep every record of the window."""
        page: list[PaymentRecord] = []
        async for record in self.gateway.payments_in(self.run.since, self.run.until):
            page.append(record)
            if len(page) == PAGE:
                await self._stage_page(page)
                page = []
        if page:
            await self._stage_page(page)

    async def _stage_page(self, page: Sequence[PaymentRecord]) -> None:
        self.tally.listed += len(page)
        self.tally.staged += await self.database.run(
            lambda connection: records.stage(connection, self.run.id, page)
        )
        await self._go_on("records read", self.tally.listed)

    async def _look_up_ours(self) -> None:
        """Ask for every payment of ours that should have been listed and was not."""
        run = self.run
        ours = await self.database.run(
            lambda connection: sums.of_ours(connection, run.since, run.until)
        )
        for first in range(ours.first_id - 1, ours.last_id, _IDS_A_LOOK):
            ids = first, min(first + _IDS_A_LOOK, ours.last_id)
            left_out = await self.database.run(
                lambda connection, ids=ids: sums.payments_left_out(  # type: ignore[misc]
                    connection, run.id, run.since, run.until, ids
                )
            )
            await self._examine(left_out)
        while refunded := await self.database.run(
            lambda connection: sums.refunded_left_out(
                connection, run.id, (run.since, run.until), self.begun_at, _READ_AT_ONCE
            )
        ):
            await self._examine(refunded)

    async def _look_again(self) -> None:
        """Ask for whatever earlier runs have found and nobody has settled."""
        after = 0
        while found := await self.database.run(
            lambda connection, after=after: rows.to_look_at_again(  # type: ignore[misc]
                connection, self.begun_at, after, PAGE
            )
        ):
            after = found[-1][0]
            await self._examine(list(dict.fromkeys(imp_uid for _, imp_uid in found)))

    async def _compare(self) -> None:
        """Judge what is staged, a slice at a time."""
        run, tally, after = self.run, self.tally, ""
        staged = tally.staged
        while part := await self.database.run(
            lambda connection, after=after: records.slice_after(  # type: ignore[misc]
                connection, run.id, after, SLICE
            )
        ):
            pairs = await self.database.run(
                lambda connection, after=after, last=part.last: records.pairs_in(  # type: ignore[misc]
                    connection, run.id, after, last, foreign=self.parts.foreign
                )
            )
            tally.add_slice(part)
            await self._judge(pairs)
            after = part.last
            await self._go_on("records compared", tally.records)
        if tally.records != staged:
            # An unlogged table is empty after a crash of its server.
            message = f"{tally.records} of {staged} records were left to be compared"
            raise LostRecordsError(message)

    async def _judge(self, pairs: Sequence[Pair]) -> None:
        """Keep what differs for sure, and read once more what seems to."""
        found, seeming = [], []
        for pair in pairs:
            what = self._verdict(pair)
            if what is None:
                continue
            # Of what is under way nothing is concluded, and of what is nobody's nothing of ours.
            if what.is_under_way or what.difference is Difference.FOREIGN:
                found.append((pair, what))
            else:
                seeming.append(pair.imp_uid)
        if found:
            await self.database.run(
                lambda connection: rows.write(connection, self.run.id, found, self._now())
            )
        found += await self._examine(seeming)
        self.tally.add_found(found)

    async def _examine(self, imp_uids: Sequence[str]) -> list[tuple[Pair, Found]]:
        """Read payments singly and our rows after them; keep and return what then differs."""
        differing = []
        remaining = iter(imp_uids)
        while some := list(islice(remaining, _READ_AT_ONCE)):
            shown = await self._read(some)

            async def work(
                connection: AsyncConnection,
                some: Sequence[str] = some,
                shown: Sequence[PaymentRecord] = shown,
            ) -> tuple[int, list[tuple[Pair, Found]]]:
                more = await records.stage(connection, self.run.id, shown)
                gone = set(some) - {record.imp_uid for record in shown}
                more -= await records.unstage(connection, self.run.id, sorted(gone))
                pairs = await records.pairs_of(connection, self.run.id, some)
                verdicts = [(pair, self._verdict(pair)) for pair in pairs]
                found = [(pair, what) for pair, what in verdicts if what is not None]
                await rows.write(connection, self.run.id, found, self._now())
                return more, found

            more, found = await self.database.run(work)
            self.tally.staged += more
            differing += found
            self.tally.asked += len(some)
            await self._go_on("payments asked for singly", self.tally.asked)
        return differing

    async def _read(self, imp_uids: Sequence[str]) -> list[PaymentRecord]:
        """Return the payments as the gateway shows them now, those that there are."""
        door = asyncio.Semaphore(_READS_MAX)

        async def read(imp_uid: str) -> PaymentRecord | StillUnresolved | None:
            async with door:
                return await self.gateway.payment(imp_uid)

        shown = []
        for answer in await asyncio.gather(*(read(imp_uid) for imp_uid in imp_uids)):
            if isinstance(answer, StillUnresolved):
                raise SilentGatewayError(answer.cause)
            if answer is not None:
                shown.append(answer)
        return shown

    def _verdict(self, pair: Pair) -> Found | None:
        found = compare(pair.theirs, pair.ours, self.begun_at - self.parts.quiet)
        return found if isinstance(found, Found) else None

    async def _end(self) -> dict[str, Json]:
        """Note what has vanished, and write the report."""
        run = self.run

        async def work(connection: AsyncConnection) -> dict[str, Json]:
            vanished = await rows.note_vanished(connection, run.id, self.begun_at)
            found = await rows.counted(connection, self.begun_at)
            report = await report_of(connection, run, self.tally, found, vanished)
            if not await runs.finish(connection, run, report, self._now()):
                raise LostRunError
            return report

        return await self.database.run(work)

    async def _clear(self) -> None:
        """Forget what is staged, of an earlier try as well."""
        await forget(self.database, [self.run.id])

    async def _go_on(self, step: str, done: int) -> None:
        """Say how far the run is, and that it is alive."""
        self.parts.watch(step, done)
        now = self._now()
        if self.alive_at is not None and now - self.alive_at < LEASE / 15:
            return
        self.alive_at = now
        if not await self.database.run(
            lambda connection: runs.keep_alive(connection, self.run, now + LEASE)
        ):
            raise LostRunError

    def _now(self) -> datetime:
        return self.parts.clock.now()
