"""A world to bill in, and empty databases, for every test of this folder."""

from collections.abc import Iterator

import pytest
import structlog

from deploy.launcher.servers import OwnServers
from shared.billing.rules import CollectionRules
from tests.integration.db.logins import StaffedWorld, logins, staffed_world
from tests.support.billing import LEASES, World, world_of
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


@pytest.fixture(scope="module")
def logins_of_all(servers: OwnServers) -> Iterator[None]:
    """A login for each of the roles."""
    with logins(servers.postgres.url):
        yield


@pytest.fixture
def staffed(module_url: str, logins_of_all: None) -> Iterator[StaffedWorld]:  # noqa: ARG001
    """A world of logins whose tables are empty, to whom nothing was refused at the end."""
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    with staffed_world(module_url, CollectionRules(LEASES)) as world:
        world.run(world.clear())
        yield world
        assert world.refused() == []
    structlog.reset_defaults()
