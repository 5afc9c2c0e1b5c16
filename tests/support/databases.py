"""Fresh, migrated databases, copied from a template or emptied after use."""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from deploy.launcher.postgres import PostgresServer
from shared.db import migrate
from shared.db.tables import metadata

R = TypeVar("R")

# One statement, whose foreign keys are looked at when every row is gone.
CLEAR = "WITH {} SELECT".format(
    ", ".join(
        f"{table.name} AS (DELETE FROM {table.name})"  # noqa: S608 - made of constants only
        for table in metadata.sorted_tables
    )
)
_TEMPLATE = "dalmada_template"
# Whoever is in the midst of something; one that is idle holds nothing up, and may be lent again.
_DISCONNECT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
"""
_RESTART = "SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence"
_numbers = itertools.count(1)
# What holds connections to a database, by its address, and lets go of them before it is dropped.
_holders: dict[str, ExitStack] = {}
_lookers: dict[str, psycopg.Connection] = {}


def make_template(postgres: PostgresServer) -> None:
    """Migrate a database once, for all tests to copy."""
    _administer(postgres, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
    migrate.upgrade(postgres.url_of(_TEMPLATE))


@contextmanager
def fresh_database(postgres: PostgresServer, *, migrated: bool = True) -> Iterator[str]:
    """Yield the address of a new database, and drop it at the end."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    # By files: the default writes every page to the log as well, which takes four times as long.
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
        sql.Identifier(name), sql.Identifier(_TEMPLATE if migrated else "template0")
    )
    _administer(postgres, create)
    url = postgres.url_of(name)
    try:
        with ExitStack() as holders:
            _holders[url] = holders
            yield url
    finally:
        del _holders[url]
        _lookers.pop(url, None)
        _administer(postgres, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def hold(url: str, holder: AbstractContextManager[R]) -> R:
    """Enter what holds connections to a fresh database, to be left before that is dropped."""
    return _holders[url].enter_context(holder)


def empty(url: str) -> None:
    """Make a used database as good as new: nobody at work, no row, no number taken."""
    for statement in (_DISCONNECT, CLEAR, _RESTART):
        look(url, statement)


def look(url: str, statement: str, *values: object) -> Sequence[tuple[Any, ...]]:
    """Run a statement that may run twice on a fresh database, and return its rows.

    The connection for it is kept, on which every plan is made once.
    """
    query = statement.encode()
    if url in _lookers:
        try:
            return _lookers[url].execute(query, values, prepare=True).fetchall()
        except psycopg.OperationalError:
            # Cut by a test, or something else is wrong.
            if not _lookers[url].closed:
                raise
    _lookers[url] = hold(url, closing(_looker(url)))
    return _lookers[url].execute(query, values, prepare=True).fetchall()


def _looker(url: str) -> psycopg.Connection:
    # Whoever holds a row that is to be emptied is told of, rather than waited for.
    return psycopg.connect(url, autocommit=True, options="-c statement_timeout=30s")


def _administer(postgres: PostgresServer, statement: sql.Composed) -> None:
    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
        connection.execute(statement)
