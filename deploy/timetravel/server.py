"""A PostgreSQL of our own, empty but for the tables, for as long as one journey."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from deploy.launcher.binaries import find_postgres
from deploy.launcher.postgres import PostgresServer
from deploy.launcher.servers import prefers_system
from deploy.timetravel.gateway import CHECKOUT
from shared.db import migrate

# What is deleted in a minute need not survive a crash of the machine.
_SETTINGS: Final = {
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "128MB",
    "max_wal_size": "4GB",
    "autovacuum_naptime": "5s",
    "jit": "off",
}


@asynccontextmanager
async def private_database(scratch: Path) -> AsyncIterator[str]:
    """Start it, make the tables, yield its address, and end it."""
    server = PostgresServer(
        find_postgres(CHECKOUT, prefer_system=prefers_system()),
        scratch / "postgres",
        logs=scratch / "logs",
        settings=_SETTINGS,
    )
    try:
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(migrate.upgrade, server.url)
        yield server.url
    finally:
        await asyncio.to_thread(server.stop)
