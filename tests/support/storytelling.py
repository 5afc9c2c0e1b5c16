"""Fixtures that tell stories: a database for a session, emptied before each of them."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest
import structlog

from deploy.launcher.servers import OwnServers
from shared.db.engine import connect
from tests.support.databases import CLEAR, fresh_database, look
from tests.support.story import Teller, tell

R = TypeVar("R")


class Tell:
    """Whoever lives through stories, each on empty tables."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        """Take a migrated database and a loop."""
        self._url = url
        self._runner = runner
        self.database = connect(url, connections_max=10)

    def __call__(self, text: str, *, faultless: bool = True, lenient: bool = False) -> Teller:
        """Return the teller, to be asked what was."""
        look(self._url, CLEAR)
        return self.run(tell(self.database, text, faultless=faultless, lenient=lenient))

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Run something on the stories' loop."""
        return self._runner.run(work)


@pytest.fixture(scope="session")
def story_url(servers: OwnServers) -> Iterator[str]:
    """A migrated database for one session."""
    with fresh_database(servers.postgres) as url:
        yield url


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for the stories of a module."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with asyncio.Runner() as made:
        yield made
    structlog.configure(**before)


@pytest.fixture(scope="module")
def story(story_url: str, runner: asyncio.Runner) -> Iterator[Tell]:
    """Tell stories, each on empty tables."""
    made = Tell(story_url, runner)
    yield made
    made.run(made.database.aclose())
