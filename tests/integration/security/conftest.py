"""Servers with passwords behind TLS, for every test of this folder."""

from collections.abc import Iterator

import pytest

from deploy.launcher.directories import scratch_directory
from shared.db import migrate
from tests.integration.security.secured import Secured, secured_servers


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    """Both servers, the database migrated by its address."""
    with scratch_directory() as directory, secured_servers(directory) as running:
        assert migrate.upgrade(running.database_url()) == ()
        yield running
