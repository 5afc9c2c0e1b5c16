"""What a renewal changes beside the next period, written with the rights that the scans have."""

from datetime import UTC, datetime, timedelta

import pytest

from deploy.launcher.servers import OwnServers
from shared.billing.calendar import BillingCycle
from shared.db.engine import connect
from shared.db.grants import Role
from tests.integration.db.logins import login_of, url_as
from tests.support.agreements import Agreements
from tests.support.billing import MONTHLY, START_AT, World, world_of
from tests.support.databases import fresh_database

SECOND_AT = datetime(2026, 2, 28, tzinfo=UTC)


pytestmark = pytest.mark.usefixtures("logins_of_all")


def test_the_scans_may_do_all_that_a_renewal_asks_for(servers: OwnServers) -> None:
    """An end for want of a consent once read why it was to end before, which no scan may."""
    with fresh_database(servers.postgres) as url, world_of(url) as world:
        agreements = Agreements(world)
        world.run(_prepare(world, agreements))
        owner = world.database
        world.database = connect(url_as(url, login_of(Role.SCHEDULER)), connections_max=2)
        try:
            assert world.run(world.renew()) == 4
            world.clock.instant = SECOND_AT - timedelta(days=1)
            assert world.run(agreements.notices()) == 5
            world.clock.instant = SECOND_AT
            assert world.run(world.renew()) == 3
        finally:
            world.run(world.database.aclose())
            world.database = owner
        told = set(world.run(agreements.names()))
        assert told >= {
            "subscription.changed",
            "subscription.change_refused",
            "subscription.paused",
            "subscription.cancellation_scheduled",
            "consent.missing",
        }


async def _prepare(world: World, agreements: Agreements) -> None:
    """Leave one of everything to the second period: a change, a credit, a pause, a trial's end."""
    raised, credited, paused, refused = await world.subscribe(4)
    await world.subscribe(trial_end_at=SECOND_AT, cycle=BillingCycle(SECOND_AT, MONTHLY))
    await agreements.change(raised, SECOND_AT, amount=12_000, notice_at=START_AT)
    await agreements.agree(raised, "price_increase", 12_000, START_AT)
    await agreements.adjust(credited, "credit", 20_000)
    await agreements.pause(paused, SECOND_AT)
    await agreements.change(refused, SECOND_AT, amount=99_000)
