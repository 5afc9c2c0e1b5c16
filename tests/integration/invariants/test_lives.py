"""Invariants asked of lives full of storms: when one has come to rest, none finds anything."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from deploy.launcher.servers import OwnServers
from shared.db.engine import Database, connect
from shared.db.invariant import Bounds, newest_rows
from tests.integration.invariants.household import everything
from tests.simulation.installation import START_AT, host_on
from tests.simulation.lives import Climate, live
from tests.support.databases import fresh_database

SEEDS: Sequence[int] = (11,)
STORMY = Climate(subscriptions=6, days=20, storms=1, outages=1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_life_that_has_come_to_rest_leaves_nothing_wrong(servers: OwnServers, seed: int) -> None:
    with fresh_database(servers.postgres) as url:
        with host_on(url) as host:
            verdict = live(host, seed, STORMY)
            over = START_AT + timedelta(seconds=host.loop.time())
        assert not verdict.violations, (verdict.violations, verdict.notes)
        assert verdict.charges > 0
        found = asyncio.run(_everything(url, over))
    assert found == {}


async def _everything(url: str, over: datetime) -> dict[str, list[str]]:
    database: Database = connect(url, connections_max=1)
    try:
        async with database.transaction() as connection:
            assert await newest_rows(connection, "payments", 1) is not None
            return await everything(connection, Bounds(), over)
    finally:
        await database.aclose()
