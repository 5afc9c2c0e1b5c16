"""Real PostgreSQL, with every statement and every commit passing the seam.

Rows that no order was asked for come in one that is chosen like everything else.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Connection, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util import await_only

from shared.db.engine import Database, connect
from tests.simulation.process import current_process
from tests.simulation.seam import Seam, site

R = TypeVar("R")

# The innermost parentheses of a statement.
_WITHIN = re.compile(r"\([^()]*\)")

# Who called ``run``: by the time the transaction begins, a lambda is off the stack.
_called_by: ContextVar[str] = ContextVar("_called_by", default="")
# More than all processes' transactions at once: whoever has a turn gets a connection.
CONNECTIONS_MAX = 60
# A real deadlock is found by the server, which should not take a real second. Nobody is thrown out
# for the real time that a simulation takes.
_OPTIONS = (
    "-c deadlock_timeout=20ms -c synchronous_commit=off -c jit=off"
    " -c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
)
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

    def run(self, work: Callable[[AsyncConnection], Awaitable[R]]) -> Coroutine[Any, Any, R]:
        """Run ``work`` in a transaction, and remember who wants it."""
        return self._run_for(site(), super().run(work))

    async def _run_for(self, where: str, running: Coroutine[Any, Any, R]) -> R:
        token = _called_by.set(where)
        try:
            return await running
        finally:
            _called_by.reset(token)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection; a death before the commit rolls back, as the server would."""
        where = _called_by.get() or site()
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


def engine_of(url: str, seam: Seam, refused: list[str]) -> AsyncEngine:
    """Return an engine on which every statement waits for its turn.

    Args:
        url: By which login it connects, and to which database.
        seam: Whose turns they are.
        refused: Takes what the server does not let the login do.
    """
    engine = connect(url, connections_max=CONNECTIONS_MAX).engine

    def connecting(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
        options["options"] += f" {_OPTIONS}"
        # To prepare a statement is a way to the server of its own, after so many uses of a
        # connection: what is asked would come later in a life that others have gone before.
        options["prepare_threshold"] = None

    def before(connection: Connection, *_: Any) -> None:
        await_only(seam.turns.turn())
        seam.turns.begin_statement(_descriptor(connection.connection.driver_connection))
        _in_statement(entering=True)

    def ended(*_: Any) -> None:
        _in_statement(entering=False)

    def after(_connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        ended()
        # What a stream has brought so far is not all of it, and keeps its order.
        rows = getattr(cursor, "_rows", ())
        if len(rows) > 1 and not _says_order(statement):
            cursor._rows = deque(seam.turns.mixed(sorted(rows, key=repr)))

    def failed(context: ExceptionContext) -> None:
        ended()
        if isinstance(context.original_exception, psycopg.errors.InsufficientPrivilege):
            refused.append(f"{make_url(url).username}: {context.original_exception}")

    def closed(adapted: Any, _record: object) -> None:
        seam.turns.asked.pop(_descriptor(adapted.driver_connection), None)

    event.listen(engine.sync_engine, "do_connect", connecting)
    event.listen(engine.sync_engine, "close", closed)
    event.listen(engine.sync_engine, "before_cursor_execute", before)
    event.listen(engine.sync_engine, "after_cursor_execute", after)
    event.listen(engine.sync_engine, "handle_error", failed)
    return engine


@lru_cache(maxsize=1_000)
def _says_order(statement: str) -> bool:
    """Say whether a statement promises its rows in an order.

    Where it does not, the server gives them as they lie on disk, which is real time's doing.
    """
    while (outermost := _WITHIN.sub("", statement)) != statement:
        statement = outermost
    return "ORDER BY" in statement


def _descriptor(driver_connection: Any) -> int:
    """Return the file descriptor of a connection's socket, or -1 where there is none any more."""
    lost = driver_connection is None or driver_connection.closed
    return -1 if lost else int(driver_connection.fileno())


def _in_statement(*, entering: bool) -> None:
    process, task = current_process.get(), asyncio.current_task()
    if process is None or task is None:
        return
    if entering:
        process.in_statement.add(task)
    else:
        process.in_statement.discard(task)
