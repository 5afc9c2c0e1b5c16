"""Looks at the invariants: what is kept, told once, forgotten, and walked through."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import invariant_checks
from shared.db.engine import Database
from shared.db.invariant import Bounds, Invariant
from shared.db.invariant_checks import Check
from shared.db.invariants import INVARIANTS
from tests.integration.invariants.household import Household
from tests.integration.invariants.planting import PLANTS
from worker.services.check import CheckInvariants

R = TypeVar("R")
MINUTE = timedelta(minutes=1)
PLANT = {plant.name: plant for plant in PLANTS}
INVARIANT = {invariant.name: invariant for invariant in INVARIANTS}
BROKEN = Invariant("broken", "Never.", "Nothing.", "SELECT nonsense FROM nowhere")


class Undone:
    """A database whose transactions are all part of one that is undone at the end."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def run(self, work: Callable[[AsyncConnection], Awaitable[R]]) -> R:
        """Run ``work`` as if in a transaction of its own."""
        return await work(self.connection)


class Looker:
    """Looks at the invariants of a household again and again, and undoes it all."""

    def __init__(self, house: Household, connection: AsyncConnection) -> None:
        self.house = house
        self.connection = connection
        self.logs: list[Any] = []

    async def look(self, *invariants: Invariant) -> Any:
        """Look once, a minute later than before, and keep what is logged."""
        self.house.world.pass_time(MINUTE)
        check = CheckInvariants(
            cast(Database, Undone(self.connection)),
            self.house.world.clock,
            Bounds(),
            invariants or INVARIANTS,
        )
        with structlog.testing.capture_logs() as logs:
            done = await check()
        self.logs = logs
        return done

    async def known(self, name: str) -> Check:
        """Return what is known of an invariant."""
        return (await invariant_checks.read(self.connection))[name]

    async def subjects(self, name: str) -> list[str]:
        """Return what an invariant is known to find."""
        return [each.finding.subject for each in (await self.known(name)).known]

    async def execute(self, statement: str) -> Any:
        """Change rows, or look at one."""
        result = await self.connection.execute(text(statement))
        return result.scalar_one() if result.returns_rows else None


@asynccontextmanager
async def _looker(house: Household) -> AsyncIterator[Looker]:
    before = house.now
    async with house.world.database.engine.connect() as connection:
        yield Looker(house, connection)
        await connection.rollback()
    house.world.clock.instant = before


def looking(house: Household, scenario: Callable[[Looker], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with _looker(house) as looker:
            await scenario(looker)

    house.world.run(run())


def test_every_invariant_is_looked_at_and_kept(house: Household) -> None:
    async def scenario(looker: Looker) -> None:
        done = await looker.look()
        assert (done.looked_at, done.violated, done.unanswered) == (len(INVARIANTS), 0, 0)
        kept = await invariant_checks.read(looker.connection)
        assert set(kept) == set(INVARIANT)
        assert {check.checked_at for check in kept.values()} == {house.now}
        assert looker.logs == []

    looking(house, scenario)


@pytest.mark.parametrize("name", ["event_late", "invoice_unattended"])
def test_what_appears_is_told_once_and_since_when_it_is_known(house: Household, name: str) -> None:
    async def scenario(looker: Looker) -> None:
        subject = await house.plant(looker.connection, PLANT[name])
        assert (await looker.look()).violated == 1
        (told,) = looker.logs
        assert told["event"] == "invariant_violated"
        assert (told["invariant"], told["subjects"]) == (name, [subject])
        assert told["remedy"] == INVARIANT[name].remedy
        (first,) = (await looker.known(name)).known

        assert (await looker.look()).violated == 1

        assert looker.logs == []
        (again,) = (await looker.known(name)).known
        assert again == first
        assert first.known_at == house.now - MINUTE

    looking(house, scenario)


def test_what_is_no_more_is_forgotten_and_told(house: Household) -> None:
    async def scenario(looker: Looker) -> None:
        await house.plant(looker.connection, PLANT["event_late"])
        await looker.look()
        await looker.execute("UPDATE events SET relayed_at = now()")
        assert (await looker.look()).violated == 0
        assert [line["event"] for line in looker.logs] == ["invariant_restored"]
        assert await looker.subjects("event_late") == []

    looking(house, scenario)


def test_a_query_that_fails_keeps_no_other_back(house: Household) -> None:
    async def scenario(looker: Looker) -> None:
        await house.plant(looker.connection, PLANT["event_late"])
        done = await looker.look(BROKEN, INVARIANT["event_late"])
        assert (done.looked_at, done.violated, done.unanswered) == (1, 1, 1)
        assert [line["event"] for line in looker.logs] == [
            "invariant_unanswered",
            "invariant_violated",
        ]
        # Whoever watches sees by its age that it is not looked at.
        assert set(await invariant_checks.read(looker.connection)) == {"event_late"}

    looking(house, scenario)


def test_two_processes_do_not_look_at_once(house: Household) -> None:
    async def scenario(looker: Looker) -> None:
        async with house.world.database.engine.connect() as other:
            assert await invariant_checks.lock(other)
            assert await looker.look() is None
            await other.rollback()
        assert await looker.look() is not None

    looking(house, scenario)


def test_a_walk_comes_to_every_row_and_begins_anew(
    house: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the newest row it is told at each look, of every other once a round."""
    monkeypatch.setattr(invariant_checks, "LOT", 1)
    monkeypatch.setattr(invariant_checks, "NEWEST", 1)
    walked = INVARIANT["invoice_lines_differ"]

    async def scenario(looker: Looker) -> None:
        newest = await looker.execute("SELECT max(id) FROM invoices")
        assert newest == 4
        await looker.execute("UPDATE invoices SET lines = '[]'")
        seen, rounds = [], []
        for _ in range(2 * newest):
            await looker.look(walked)
            known = await looker.known(walked.name)
            seen.append(len(known.known))
            rounds.append(known.walked_at)
        assert seen == [2, 3, 4, 4, 4, 4, 4, 4]
        assert rounds[2] is None
        assert rounds[3] is not None
        assert rounds[-1] == house.now

        await looker.execute("UPDATE invoices SET amount = 0, tax_free = 0")
        left = []
        for _ in range(newest):
            await looker.look(walked)
            left.append(len(await looker.subjects(walked.name)))
        assert left == [2, 1, 0, 0]

    looking(house, scenario)


def test_a_walk_steps_over_numbers_that_were_never_drawn(
    house: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a recovery numbers go on far beyond those before."""
    monkeypatch.setattr(invariant_checks, "LOT", 2)
    monkeypatch.setattr(invariant_checks, "NEWEST", 1)
    walked = INVARIANT["invoice_lines_differ"]

    async def scenario(looker: Looker) -> None:
        await looker.execute("ALTER TABLE invoices ALTER id RESTART WITH 1000000005")
        await looker.execute(
            """
            INSERT INTO invoices (
                subscription_id, period_index, period_start_at, period_end_at, amount, tax_free,
                order_name, lines
            )
            SELECT subscription_id, 90 + n, period_start_at, period_end_at, 0, 0, order_name, '[]'
            FROM invoices, generate_series(1, 3) AS n WHERE id = 1
            """
        )
        walked_to = []
        for _ in range(4):
            await looker.look(walked)
            walked_to.append((await looker.known(walked.name)).walked_to)
        assert walked_to == [2, 4, 1_000_000_006, 0]

    looking(house, scenario)


def test_of_one_fault_in_every_row_not_every_one_is_kept(
    house: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invariant_checks, "KNOWN_MAX", 3)

    async def scenario(looker: Looker) -> None:
        await looker.execute("UPDATE invoices SET lines = '[]'")
        await looker.look(INVARIANT["invoice_lines_differ"])
        assert len(await looker.subjects("invoice_lines_differ")) == 3

    looking(house, scenario)


def test_where_no_consent_is_asked_for_none_is_missed(house: Household) -> None:
    for name in ("price_raised_without_consent", "trial_charged_without_consent"):
        assert house.planted(PLANT[name], consent_required=False)[1] == {}


@pytest.mark.parametrize("name", ["attempt_past_deadline", "refund_past_deadline"])
def test_a_deadline_is_the_one_that_is_set(house: Household, name: str) -> None:
    assert house.planted(PLANT[name], deadline=timedelta(days=30))[1] == {}


@pytest.mark.parametrize("name", ["invoice_late", "refund_late"])
def test_what_the_gateways_hold_keeps_back_is_not_late(house: Household, name: str) -> None:
    async def scenario(looker: Looker) -> None:
        await house.plant(looker.connection, PLANT[name])
        await looker.connection.execute(
            text(
                "INSERT INTO gateway_holds (cause, held_until, raised_at)"
                " VALUES ('planted', :until, :now)"
            ),
            {"until": house.now + MINUTE, "now": house.now},
        )
        assert (await looker.look(INVARIANT[name])).violated == 0

    looking(house, scenario)


@pytest.mark.parametrize("name", ["renewal_late", "invoice_late", "refund_late", "end_late"])
@pytest.mark.parametrize("restored", [True, False], ids=["restored", "just recovered"])
def test_what_a_database_that_was_set_back_keeps_back_is_not_late(
    house: Household, name: str, restored: bool
) -> None:
    async def scenario(looker: Looker) -> None:
        await house.plant(looker.connection, PLANT[name])
        statement = """
            INSERT INTO installation (
                installation_id, mark, marked_at, restored_at, cause, recovered_at
            )
            VALUES (gen_random_uuid(), 1, :now, CASE WHEN :restored THEN :now END,
                CASE WHEN :restored THEN 'planted' END, CASE WHEN NOT :restored THEN :now END)
        """
        values = {"now": house.now, "restored": restored}
        await looker.connection.execute(text(statement), values)
        assert (await looker.look(INVARIANT[name])).violated == 0

    looking(house, scenario)
