"""Real servers for every test that asks for them."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.launcher.children import Child
from deploy.launcher.directories import scratch_directory
from deploy.launcher.servers import OwnServers, temporary_servers
from tests.support.databases import fresh_database, make_template
from tests.support.sandbox import IMP_KEY, IMP_SECRET, SandboxControl

CHECKOUT = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """Have the processes that tests start find their modules compiled.

    Where PYTHONDONTWRITEBYTECODE is set and the packages were installed uncompiled, each of them
    would compile SQLAlchemy and Celery anew: three seconds instead of less than one. As was wished,
    nothing is written beside the sources; nothing outlives the run either.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        kept = ExitStack()
        config.add_cleanup(kept.close)
        os.environ["PYTHONPYCACHEPREFIX"] = str(kept.enter_context(scratch_directory()))


@pytest.fixture(scope="session")
def servers() -> Iterator[OwnServers]:
    """PostgreSQL and Valkey of our own, on free ports, with a migrated template."""
    with temporary_servers() as running:
        make_template(running.postgres)
        yield running


@pytest.fixture
def database_url(servers: OwnServers) -> Iterator[str]:
    """A fresh database with every table."""
    with fresh_database(servers.postgres) as url:
        yield url


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a sandbox that runs for the session."""
    child = Child(
        "sandbox",
        [
            sys.executable,
            *("-m", "deploy.sandbox", "--host", "127.0.0.1", "--port", "0"),
            *("--imp-key", IMP_KEY, "--imp-secret", IMP_SECRET),
        ],
        log=tmp_path_factory.mktemp("sandbox") / "sandbox.log",
        env=dict(os.environ),
        cwd=CHECKOUT,
    )
    child.start()
    try:
        yield child.wait_for_log(r"^sandbox: (http://\S+)$", timeout_s=30)[1]
    finally:
        child.stop()


@pytest.fixture
def sandbox(sandbox_process: str) -> Iterator[SandboxControl]:
    """An empty sandbox."""
    with SandboxControl(sandbox_process) as control:
        control.reset()
        yield control
