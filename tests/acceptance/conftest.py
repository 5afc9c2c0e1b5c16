"""A system of real processes for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from deploy.launcher.servers import OwnServers
from tests.support.sandbox import SandboxControl
from tests.support.system import System, running_system


@pytest.fixture
def system(
    servers: OwnServers,
    database_url: str,
    sandbox: SandboxControl,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[System]:
    """A system on an empty database, an empty broker and an empty sandbox."""
    with redis.Redis.from_url(servers.valkey.url) as client:
        client.flushall()
    overrides = getattr(request, "param", {})
    with running_system(servers, database_url, sandbox, tmp_path, overrides) as running:
        yield running
