"""What the worlds on one database share, one after the other: a loop and pools of connections.

On a connection of its own a test would have every plan made anew, and with an engine of its own
every statement compiled anew, which takes longer than most tests. A pool that a test leaves in
another state than it found it in is thrown away.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from shared.db.engine import Database, connect
from tests.support.databases import hold, look

_AT_REST = """
    SELECT count(*) FROM pg_stat_activity AS served
    WHERE pid = ANY(%s) AND state = 'idle'
    AND NOT EXISTS (SELECT FROM pg_locks WHERE pg_locks.pid = served.pid)
"""
_by_url: dict[str, "Pools"] = {}


class Pool(Database):
    """A pool, and the server's processes that serve it."""

    def __init__(self, url: str) -> None:
        """Describe it; nothing is connected yet."""
        super().__init__(connect(url, connections_max=20).engine)
        self.pids: set[int] = set()
        event.listen(self.engine.sync_engine, "connect", self._connected)
        event.listen(self.engine.sync_engine, "close", self._closes)

    def _connected(self, connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        entry.info["pid"] = connection.info.backend_pid
        self.pids.add(entry.info["pid"])

    def _closes(self, _connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        self.pids.discard(entry.info.get("pid", 0))


class Pools:
    """The loop and the pools of one database."""

    def __init__(self, url: str) -> None:
        """Take a fresh database."""
        self._url = url
        self.runner = asyncio.Runner()
        self._worlds = 0
        self._idle: list[Pool] = []

    def lend(self) -> Pool:
        """Return a pool that nobody else uses."""
        return self._idle.pop() if self._idle else Pool(self._url)

    async def take_back(self, pool: Pool) -> None:
        """Keep a pool for the next world if it is as it was."""
        connections = pool.engine.sync_engine.pool
        assert isinstance(connections, QueuePool)
        if not connections.checkedout() and self._at_rest(pool):
            self._idle.append(pool)
        else:
            await pool.aclose()

    def _at_rest(self, pool: Pool) -> bool:
        ((found,),) = look(self._url, _AT_REST, sorted(pool.pids))
        return bool(found == len(pool.pids))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """End what a world leaves under way, unless it stands within another."""
        self._worlds += 1
        try:
            yield
        finally:
            self._worlds -= 1
            if not self._worlds:
                self.runner.run(_end_tasks())

    def close(self) -> None:
        """Close every connection and the loop."""
        try:
            for pool in self._idle:
                self.runner.run(pool.aclose())
        finally:
            self.runner.close()


@contextmanager
def _opened(url: str) -> Iterator[Pools]:
    pools = _by_url[url] = Pools(url)
    try:
        yield pools
    finally:
        del _by_url[url]
        pools.close()


def pools_of(url: str) -> Pools:
    """Return what worlds on a fresh database share until it is dropped."""
    return _by_url[url] if url in _by_url else hold(url, _opened(url))


async def _end_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
