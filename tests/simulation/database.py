"""Real PostgreSQL, with every statement and every commit passing the seam."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util import await_only

from shared.db.engine import Database, connect
from tests.simulation.process import current_process
from tests.simulation.seam import Seam, site

# More than all processes' transactions at once: whoever has a turn gets a connection.
CONNECTIONS_MAX = 60
_LOCK_WAITS = """
    SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE NOT granted AND datname = current_database()
"""


class SeamedDatabase(Database):
    """One process's view of the database, over an engine that all processes share."""

    def __init__(self, engine: AsyncEngine, seam: Seam) -> None:
        """Take the engine and the seam."""
        super().__init__(engine)
        self._seam = seam

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection; a death before the commit rolls back, as the server would."""
        where = site()
        async with super().transaction() as connection:
            yield connection
            await self._seam.at("commit", "before", where)
        await self._seam.at("commit", "after", where)

    async def aclose(self) -> None:
        """Nothing: the engine is everybody's."""


class LockWatch:
    """Counts, over a connection of its own, the statements that wait for somebody's lock."""

    def __init__(self, url: str) -> None:
        """Connect."""
        self._connection = psycopg.connect(url, autocommit=True)

    def __call__(self) -> int:
        """Return how many wait."""
        row = self._connection.execute(_LOCK_WAITS).fetchone()
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def engine_of(url: str, seam: Seam) -> AsyncEngine:
    """Return an engine on which every statement waits for its turn."""
    separator = "&" if "?" in url else "?"
    # A real deadlock is found by the server, which should not take a real second.
    options = "options=-c%20deadlock_timeout%3D20ms%20-c%20synchronous_commit%3Doff"
    engine = connect(f"{url}{separator}{options}", connections_max=CONNECTIONS_MAX).engine

    def before(*_: Any) -> None:
        await_only(seam.turns.turn())
        _in_statement(entering=True)

    def after(*_: Any) -> None:
        _in_statement(entering=False)

    event.listen(engine.sync_engine, "before_cursor_execute", before)
    event.listen(engine.sync_engine, "after_cursor_execute", after)
    event.listen(engine.sync_engine, "handle_error", after)
    return engine


def _in_statement(*, entering: bool) -> None:
    process, task = current_process.get(), asyncio.current_task()
    if process is None or task is None:
        return
    if entering:
        process.in_statement.add(task)
    else:
        process.in_statement.discard(task)
