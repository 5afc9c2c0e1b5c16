"""A small world after two periods, and what of it is looked at in a transaction that is undone."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import BillingCycle
from shared.billing.outcome import Declined
from shared.db.invariant import Bounds, Stretch, find, newest_rows
from shared.db.invariants import INVARIANTS
from tests.integration.invariants.planting import Plant
from tests.support.billing import MONTHLY, World, world_of
from tests.support.refunds import RefundBook, RefundDesk

MONTH = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Household:
    """A world that is well, and the instant at which it is looked at."""

    world: World

    @property
    def now(self) -> datetime:
        """Return the present instant of the world."""
        return self.world.clock.now()

    def found(self, **bounds: Any) -> dict[str, list[str]]:
        """Return the subjects of everything that any invariant finds, by its name."""
        return self.world.run(self._look((), Bounds(**bounds)))[1]

    def planted(self, *plants: Plant, **bounds: Any) -> tuple[str, dict[str, list[str]]]:
        """Plant faults, look at everything, and undo them; return what the last is about, too."""
        return self.world.run(self._look(plants, Bounds(**bounds)))

    async def _look(
        self, plants: Sequence[Plant], bounds: Bounds
    ) -> tuple[str, dict[str, list[str]]]:
        subject = ""
        async with self.world.database.engine.connect() as connection:
            for each in plants:
                subject = await self.plant(connection, each)
            found = await everything(connection, bounds, self.now)
            await connection.rollback()
        return subject, found

    async def plant(self, connection: AsyncConnection, plant: Plant) -> str:
        """Make one thing wrong; return what it is about, as its last statement says."""
        subject = None
        for statement in plant.statements:
            result = await connection.execute(text(statement), self.instants())
            subject = result.scalar_one() if result.returns_rows else None
        assert isinstance(subject, str), f"the plant of {plant.name} found nothing to spoil"
        return subject

    def instants(self) -> Mapping[str, datetime]:
        """Return the instants that plants name."""
        return {
            "now": self.now,
            "hours_ago": self.now - timedelta(hours=5),
            "days_ago": self.now - timedelta(days=3),
            "long_ago": self.now - timedelta(days=20),
            "soon": self.now + timedelta(minutes=5),
        }


async def everything(
    connection: AsyncConnection, bounds: Bounds, now: datetime
) -> dict[str, list[str]]:
    """Return the subjects of everything that any invariant finds, by its name."""
    found = {}
    for invariant in INVARIANTS:
        whole: Sequence[Stretch] = ()
        if invariant.walks is not None:
            newest = await newest_rows(connection, invariant.walks, 1)
            whole = [] if newest is None else [Stretch(0, newest.high)]
        findings = await find(connection, invariant, bounds, now, whole)
        if findings:
            found[invariant.name] = [finding.subject for finding in findings]
    return found


@contextmanager
def household(url: str) -> Iterator[Household]:
    """Yield a world after two periods: paid, declined, refunded in part, ended and tried free."""
    with world_of(url) as world:
        world.run(_two_periods(world))
        yield Household(world)


async def _two_periods(world: World) -> None:
    desk = RefundDesk(world, RefundBook(world.clock))
    first, _ = await desk.payments(2, 9_900, tax_free=900)
    await desk.ask(first, 1_000, tax_free=100)
    assert await desk.finish() == ["done"]
    trial_end_at = world.clock.now() + 3 * MONTH
    await world.subscribe(trial_end_at=trial_end_at, cycle=BillingCycle(trial_end_at, MONTHLY))
    world.pass_time(MONTH)
    await world.renew()
    world.gateway.script.append(Declined("한도초과", "imp_declined"))
    await world.charge_all()
    world.pass_time(timedelta(hours=10))
    await world.rows("UPDATE events SET relayed_at = created_at")
