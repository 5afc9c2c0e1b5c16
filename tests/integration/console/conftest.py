"""A migrated database, an empty broker, and commands that are led to them."""

from collections.abc import Iterator

import pytest
from redis import Redis

from deploy.launcher.servers import OwnServers
from shared.clock import WallClock
from tests.integration.console.commands import Commands
from tests.support.billing import World, world_of
from tests.support.databases import empty, fresh_database
from tests.support.refunds import RefundBook, RefundDesk
from worker.console import session


@pytest.fixture
def redis(servers: OwnServers) -> Iterator["Redis"]:
    """An empty broker that no other test uses."""
    client = Redis.from_url(servers.valkey.url.removesuffix("/0") + "/7", decode_responses=True)
    client.flushdb()
    yield client
    client.close()


@pytest.fixture(scope="module")
def module_url(servers: OwnServers) -> Iterator[str]:
    """A migrated database for one module."""
    with fresh_database(servers.postgres) as url:
        yield url


@pytest.fixture
def database_url(module_url: str) -> str:
    """The module's database, as good as new."""
    empty(module_url)
    return module_url


@pytest.fixture
def dalmada(database_url: str, servers: OwnServers) -> Commands:
    """The console on an empty database."""
    return Commands(
        {
            "DALMADA_DATABASE_URL": database_url,
            "DALMADA_REDIS_URL": servers.valkey.url.removesuffix("/0") + "/7",
        }
    )


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands in this process try a lost server again for a second instead of three."""
    monkeypatch.setattr(session, "_RETRY_FOR_S", 1.0)


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """A process on the same database, at the present instant, like the console's clock."""
    with world_of(database_url) as made:
        made.clock.instant = WallClock().now()
        yield made


@pytest.fixture
def desk(world: World) -> RefundDesk:
    """A process on the same database that gives money back."""
    return RefundDesk(world, RefundBook(world.clock))


@pytest.fixture(scope="module")
def empty_url(servers: OwnServers) -> Iterator[str]:
    """A database without any table, in which no command may make one."""
    with fresh_database(servers.postgres, migrated=False) as url:
        yield url
