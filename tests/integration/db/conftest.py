"""A world to bill in, and empty databases, for every test of this folder."""

from collections.abc import Iterator

import pytest

from deploy.launcher.servers import OwnServers
from tests.support.billing import World, world_of
from tests.support.databases import fresh_database


@pytest.fixture(scope="module")
def module_url(servers: OwnServers) -> Iterator[str]:
    """A migrated database for one module."""
    with fresh_database(servers.postgres) as url:
        yield url


@pytest.fixture
def world(module_url: str) -> Iterator[World]:
    """Empty tables with one process on them."""
    with world_of(module_url) as made:
        made.run(made.clear())
        yield made


@pytest.fixture
def empty_url(servers: OwnServers) -> Iterator[str]:
    """A fresh database without any table."""
    with fresh_database(servers.postgres, migrated=False) as url:
        yield url
