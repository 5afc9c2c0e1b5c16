"""Connections to PostgreSQL, and the one place where a transaction is committed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import psycopg
import stamina
import structlog
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

log = structlog.get_logger(__name__)
R = TypeVar("R")

# Serialization failure, deadlock, and the server going away or coming back: nothing was committed
# or the commit's fate is unknown, and every transaction of ours may be run again.
_TRANSIENT_STATES = frozenset({"40001", "40P01", "57P01", "57P02", "57P03", "53300"})


class Database:
    """A pool of connections and the transactions on them.

    Every transaction must be safe to run twice: its writes are guarded by compare-and-set or by a
    unique constraint, because a connection may break after the server has committed.
    """

    def __init__(self, engine: AsyncEngine, *, retry_for_s: float = 30.0) -> None:
        """Take an engine; ``retry_for_s`` bounds how long ``run`` waits for a lost server."""
        self.engine = engine
        self._retry_for_s = retry_for_s

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection; commit when the block ends well, roll back otherwise."""
        async with self.engine.connect() as connection, connection.begin():
            yield connection

    async def run(self, work: Callable[[AsyncConnection], Awaitable[R]]) -> R:
        """Run ``work`` in a transaction, again when the server was lost meanwhile.

        Raises:
            DBAPIError: The server did not come back in time, or the fault is not transient.
        """
        async for attempt in stamina.retry_context(
            on=is_transient, timeout=self._retry_for_s, attempts=None, wait_max=2.0, wait_jitter=0.2
        ):
            with attempt:
                async with self.transaction() as connection:
                    return await work(connection)
        raise AssertionError  # pragma: no cover - stamina returns or raises

    async def aclose(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def is_transient(error: Exception) -> bool:
    """Say whether the same transaction may succeed if it is run again in a moment."""
    if not isinstance(error, DBAPIError):
        return False
    original = error.orig
    if isinstance(original, psycopg.Error) and original.sqlstate in _TRANSIENT_STATES:
        return True
    lost = isinstance(original, psycopg.OperationalError) and original.sqlstate is None
    return error.connection_invalidated or lost


def connect(url: str, *, connections_max: int, statement_timeout_s: float = 30.0) -> Database:
    """Return a database for ``url`` (``postgresql://…``); nothing is connected yet.

    A statement or a lock that hangs must end before a claim's lease does.
    """
    milliseconds = int(statement_timeout_s * 1000)
    engine = create_async_engine(
        driver_url(url),
        pool_size=connections_max,
        max_overflow=0,
        pool_timeout=statement_timeout_s,
        pool_use_lifo=True,
        # Parameters hold billing keys and people; an error's text ends up in a log.
        hide_parameters=True,
        connect_args={
            "connect_timeout": 5,
            "application_name": "dalmada",
            "keepalives_idle": 30,
            "tcp_user_timeout": milliseconds,
            "options": (
                f"-c timezone=UTC -c statement_timeout={milliseconds}"
                f" -c idle_in_transaction_session_timeout={milliseconds}"
            ),
        },
    )
    event.listen(engine.sync_engine, "handle_error", forget_rows)
    return Database(engine)


def forget_rows(context: ExceptionContext) -> None:
    """Take the server's DETAIL out of an error: it repeats the failing row, key and buyer."""
    original, wrapped = context.original_exception, context.sqlalchemy_exception
    if not isinstance(original, psycopg.Error) or original.diag.message_primary is None:
        return
    told = original.diag.message_primary
    original.args = (told,)
    if wrapped is not None:
        wrapped.args = (f"({type(original).__name__}) {told}",)


def driver_url(url: str) -> str:
    """Name psycopg as the driver of a ``postgres://`` or ``postgresql://`` address."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme in {"postgres", "postgresql"}:
        return f"postgresql+psycopg://{rest}"
    return url
