"""A world in which everything has gone its way, shared by every test of this folder."""

from collections.abc import Iterator

import pytest

from deploy.launcher.servers import OwnServers
from tests.integration.invariants.household import Household, household
from tests.support.databases import fresh_database


@pytest.fixture(scope="package")
def house(servers: OwnServers) -> Iterator[Household]:
    """Subscriptions that were billed, paid, declined and refunded; nothing of it is to be kept."""
    with fresh_database(servers.postgres) as url, household(url) as made:
        yield made
