"""Invariants: each finds the fault that it is for, and no other; where all is well none does."""

from datetime import timedelta

import pytest

from shared.db.invariant import FOUND_MAX, Bounds, find
from shared.db.invariants import INVARIANTS
from tests.integration.invariants.household import Household
from tests.integration.invariants.planting import PLANTS, Plant

INSTANT = timedelta(microseconds=1)
INVARIANT = {invariant.name: invariant for invariant in INVARIANTS}
PLANT = {plant.name: plant for plant in PLANTS}


def test_where_all_is_well_nothing_is_found(house: Household) -> None:
    assert house.found() == {}


def test_every_invariant_has_a_fault_that_it_finds() -> None:
    names = [invariant.name for invariant in INVARIANTS]
    assert sorted(plant.name for plant in PLANTS) == sorted(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_fault_is_found_by_its_invariant_and_by_no_other(house: Household, plant: Plant) -> None:
    planted, found = house.planted(plant)
    assert found == {plant.name: [planted]}


SETTLING = [plant for plant in PLANTS if INVARIANT[plant.name].settle]


@pytest.mark.parametrize("plant", SETTLING, ids=lambda plant: plant.name)
def test_what_may_still_settle_is_not_wrong_yet(house: Household, plant: Plant) -> None:
    invariant = INVARIANT[plant.name]

    async def scenario() -> None:
        async with house.world.database.engine.connect() as connection:
            await house.plant(connection, plant)
            (found,) = await find(connection, invariant, Bounds(), house.now)
            assert found.since is not None
            wrong_at = found.since + invariant.settle
            assert await find(connection, invariant, Bounds(), wrong_at) == [found]
            assert await find(connection, invariant, Bounds(), wrong_at - INSTANT) == []
            await connection.rollback()

    house.world.run(scenario())


def test_no_more_is_found_than_anybody_would_read(house: Household) -> None:
    """Of a hundred and one events that wait the first hundred are told."""

    async def scenario() -> None:
        async with house.world.database.engine.connect() as connection:
            for _ in range(FOUND_MAX + 1):
                await house.plant(connection, PLANT["event_late"])
            found = await find(connection, INVARIANT["event_late"], Bounds(), house.now)
            assert len(found) == FOUND_MAX
            await connection.rollback()

    house.world.run(scenario())
