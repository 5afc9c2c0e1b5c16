"""Fresh, migrated databases, copied from a template or emptied after use."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from deploy.launcher.postgres import PostgresServer
from shared.db import migrate
from shared.db.tables import metadata

# One statement, whose foreign keys are looked at when every row is gone.
CLEAR = "WITH {} SELECT".format(
    ", ".join(
        f"{table.name} AS (DELETE FROM {table.name})"  # noqa: S608 - made of constants only
        for table in metadata.sorted_tables
    )
)
_TEMPLATE = "dalmada_template"
_DISCONNECT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_RESTART = "SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence"
_numbers = itertools.count(1)


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
    try:
        yield postgres.url_of(name)
    finally:
        _administer(postgres, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def empty(url: str) -> None:
    """Make a used database as good as new: nobody connected, no row, no number taken."""
    with psycopg.connect(url) as connection:
        for statement in (_DISCONNECT, CLEAR, _RESTART):
            connection.execute(statement.encode())


def _administer(postgres: PostgresServer, statement: sql.Composed) -> None:
    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
        connection.execute(statement)
