"""Whether rows move as the models say they may, and which of the models' steps were seen."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.reserving import (
    RESERVATION_BEGINNINGS,
    RESERVATION_TRANSITIONS,
    ReservationStatus,
)
from shared.db.engine import Database
from tests.model import observing
from tests.model.conformance import charges, refunds


@dataclass(frozen=True, slots=True)
class Found:
    """What was seen of a life: moves that no model explains, and the steps of those it does."""

    violations: tuple[str, ...]
    steps: frozenset[str]


async def begin(database: Database) -> None:
    """Have every change written down from here on."""
    await database.run(observing.install)


async def found(database: Database) -> Found:
    """Compare what was written down with the models."""
    seen = await database.run(observing.read)
    wrong = [
        *charges().check(seen.charges),
        *refunds().check(seen.refunds),
        *_reservations(seen.reservations),
    ]
    steps = {
        *(f"charge: {step}" for step in charges().covered(seen.charges)),
        *(f"refund: {step}" for step in refunds().covered(seen.refunds)),
    }
    return Found(tuple(f"no model moves so: {one}" for one in wrong), frozenset(steps))


def _reservations(moves: Iterable[tuple[str | None, str]]) -> Iterator[str]:
    """Find reservations that moved otherwise than their machine has them move."""
    for before, after in moves:
        to = ReservationStatus(after)
        if before is None:
            is_allowed = to in RESERVATION_BEGINNINGS
        else:
            is_allowed = to in RESERVATION_TRANSITIONS.get(
                ReservationStatus(before), frozenset()
            ) or (to == before)
        if not is_allowed:
            yield f"reservation: {before} -> {after}"


async def end(database: Database) -> None:
    """Write nothing down any more."""

    async def work(connection: AsyncConnection) -> None:
        # The triggers go with their function.
        await connection.execute(text("DROP FUNCTION IF EXISTS observe() CASCADE"))
        await connection.execute(text("DROP TABLE IF EXISTS observed"))

    await database.run(work)


def uncovered(steps: Collection[str]) -> list[str]:
    """Return the models' steps that are not among those seen."""
    every = [
        *(f"charge: {step}" for step in charges().steps),
        *(f"refund: {step}" for step in refunds().steps),
    ]
    return sorted(set(every) - set(steps))
