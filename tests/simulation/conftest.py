"""A host for lives: one database of a test's process."""

from collections.abc import Iterator

import pytest

from deploy.launcher.servers import OwnServers
from tests.simulation.installation import Host, host_on
from tests.support.databases import fresh_database


@pytest.fixture(scope="module")
def host(servers: OwnServers) -> Iterator[Host]:
    """A loop and an engine on a migrated database."""
    with fresh_database(servers.postgres) as url, host_on(url) as running:
        yield running
