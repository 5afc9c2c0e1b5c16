"""Fresh, migrated databases in milliseconds, copied from a template."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from deploy.launcher.postgres import PostgresServer
from shared.db import migrate

_TEMPLATE = "dalmada_template"
_numbers = itertools.count(1)


def make_template(postgres: PostgresServer) -> None:
    """Migrate a database once, for all tests to copy."""
    _administer(postgres, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
    migrate.upgrade(postgres.url_of(_TEMPLATE))


@contextmanager
def fresh_database(postgres: PostgresServer, *, migrated: bool = True) -> Iterator[str]:
    """Yield the address of a new database, and drop it at the end."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(_TEMPLATE if migrated else "template0")
    )
    _administer(postgres, create)
    try:
        yield postgres.url_of(name)
    finally:
        _administer(postgres, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _administer(postgres: PostgresServer, statement: sql.Composed) -> None:
    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
        connection.execute(statement)
