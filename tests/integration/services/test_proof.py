"""The question to the gateway that proves a database, or shows that it was set back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import BillingCycle
from shared.billing.inquiry import PaymentRecord, RecordStatus
from shared.config import Settings
from shared.db import installation
from shared.db.engine import Database, connect
from tests.support.billing import MONTHLY, START_AT, World
from tests.support.book import Ending
from tests.support.drill import Memory
from tests.support.reservations import POLICY, Reserving
from worker.services.proof import ProveDatabase

R = TypeVar("R")
FEB_28 = BillingCycle(START_AT, MONTHLY).period(1).start_at


@dataclass
class Shown:
    """A gateway that shows its book, once somebody lets it."""

    records: Sequence[PaymentRecord]
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)
    questions: int = 0

    async def payments_in(self, since: datetime, until: datetime) -> AsyncIterator[PaymentRecord]:
        """Return all there is."""
        assert since < until
        self.questions += 1
        self.is_asked.set()
        await self.may_answer.wait()
        for record in self.records:
            yield record


class Between(Database):
    """A database where something happens after so many transactions."""

    def __init__(self, real: Database, after: int, work: Callable[[], Awaitable[None]]) -> None:
        super().__init__(real.engine)
        self.looks = 0
        self.after = after
        self.work = work

    async def run(self, work: Callable[[AsyncConnection], Awaitable[R]]) -> R:
        done = await super().run(work)
        self.looks += 1
        if self.looks == self.after:
            await self.work()
        return done


def proving(world: World) -> tuple[ProveDatabase, Shown]:
    """Return a worker that remembers nothing and may ask at once."""
    shown = Shown([entry.record for entry in world.gateway.entries()])
    shown.may_answer.set()
    return ProveDatabase(world.database, shown, Memory(world.clock), world.clock), shown


async def marked(world: World) -> None:
    now = world.clock.now()
    assert await world.database.run(lambda c: installation.mark(c, None, now)) is not None


@pytest.fixture
def executed(world: World) -> Reserving:
    """A period that PortOne has collected as reserved, and that nobody has renewed yet."""
    here = Reserving.on(world)
    id_ = here.run(here.living.start())
    assert here.run(here.living.tick()) == ["paid"]
    here.run(here.collect(id_))
    world.clock.instant = FEB_28 - POLICY.ahead
    assert here.run(here.reserve()) == ["reserved"]
    world.clock.instant = FEB_28
    here.timetable.execute()
    assert len(world.gateway.paid()) == 2
    world.run(marked(world))
    return here


class TestWhatPortOneExecutedAsReserved:
    def test_before_its_period_is_renewed_does_not_stop_everything(
        self, executed: Reserving
    ) -> None:
        prove, _ = proving(executed.world)
        assert executed.run(prove()) == "proven"
        assert not executed.run(executed.world.database.run(installation.is_held))

    def test_and_its_period_renewed_between_two_looks_at_the_rows_is_no_sign_either(
        self, executed: Reserving
    ) -> None:
        world = executed.world

        async def renewed() -> None:
            # By whoever has seen a mark that proves the database.
            await world.rows("DELETE FROM installation")
            assert await world.renew() == 1

        prove, _ = proving(world)
        between = Between(world.database, 2, renewed)
        assert world.run(replace(prove, database=between)()) == "proven"
        assert between.looks == 3

    @pytest.mark.parametrize(
        "otherwise",
        [
            "UPDATE reservations SET status = 'planned', send_number = 0",
            "UPDATE reservations SET status = 'revoked', ended_at = now(), look_at = NULL",
        ],
    )
    def test_is_lost_where_the_rows_show_that_nothing_could_be_executed(
        self, executed: Reserving, otherwise: str
    ) -> None:
        """The request for it, or a later one under its name, is of what was lost."""
        world = executed.world
        world.run(world.rows(otherwise))
        prove, _ = proving(world)
        assert world.run(prove()) == "restored"


def test_a_decline_beside_an_attempt_that_waits_does_not_stop_everything(world: World) -> None:
    """What the gateway books of its own trouble is sent again under the same name."""

    async def life() -> None:
        (invoice,) = await world.open_invoices()
        world.gateway.script.append(Ending.NOT_SENT)
        assert await world.charge([invoice]) == ["waiting"]
        await marked(world)
        (claim,) = [each.claim for each in world.gateway.sent]
        failed = world.gateway.payment_of(claim)
        prove, shown = proving(world)
        shown.records = [_failed(failed)]
        assert await prove() == "proven"
        forgetful = replace(prove, marks=Memory(world.clock))
        shown.records = [failed]
        assert await forgetful() == "restored"

    world.run(life())


def _failed(record: PaymentRecord) -> PaymentRecord:
    return replace(record, status=RecordStatus.FAILED, fail_reason="결제 시간 초과", paid_at=None)


def test_the_gateway_is_asked_once_at_a_time_however_many_messages_there_are(world: World) -> None:
    async def life() -> None:
        await marked(world)
        world.pass_time(timedelta(hours=1))
        prove, shown = proving(world)
        shown.may_answer.clear()
        async with asyncio.timeout(20):
            first = asyncio.create_task(prove())
            await shown.is_asked.wait()
            assert [await prove() for _ in range(3)] == ["asked already"] * 3
            shown.may_answer.set()
            assert await first == "proven"
            assert shown.questions == 1
            # Whoever asked has let go, whatever came of it.
            shown.records = [None]  # type: ignore[list-item]
            other = world.twin().database
            forgetful = replace(prove, database=other, marks=Memory(world.clock))
            assert [await forgetful() for _ in range(2)] == ["nobody can say"] * 2

    world.run(life())


def test_the_fewest_connections_that_may_be_set_are_enough_to_ask(world: World) -> None:
    """One holds the lock all the while, and the rows are read beside it."""

    async def life() -> None:
        await marked(world)
        (least,) = [
            each.ge
            for each in Settings.model_fields["database_connections_max"].metadata
            if hasattr(each, "ge")
        ]
        assert isinstance(least, int)
        prove, _ = proving(world)
        database = connect(world.url, connections_max=least, statement_timeout_s=2.0)
        try:
            assert await replace(prove, database=database)() == "proven"
        finally:
            await database.aclose()

    world.run(life())
