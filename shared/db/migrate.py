"""Migrations from the command line: ``python -m shared.db.migrate upgrade|downgrade|…``.

An advisory lock makes several processes that start at once wait for the first one's migration.
What our processes' roles may do is granted with every upgrade to the newest revision; where the
owner of the tables may make no role, ``roles`` prints what an administrator of the server runs.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from shared.db import roles
from shared.db.engine import driver_url, forget_rows

POSTGRESQL_VERSION_MIN = 140_000
_LOCK = 726_582_000
_MISSING = (
    "migrated, but this login may not make these roles: {}. An administrator of the server runs"
    " what `python -m shared.db.migrate roles` prints; the next upgrade grants them their rights."
    " Whoever connects as the owner of the tables needs none of them."
)
_LEFT = (
    "migrated; these roles have no rights here any more and stay, since logins or other databases"
    " use them, or this login may not drop them: {}"
)


class UnsupportedServerError(Exception):
    """The server is older than PostgreSQL 14, or something else."""


class _DatabaseOnly(BaseSettings):
    """Migrating needs the database's address and nothing else."""

    model_config = SettingsConfigDict(env_prefix="DALMADA_", extra="ignore")
    database_url: SecretStr = Field()


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, without a file of its own."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@contextmanager
def locked(url: str) -> Iterator[Connection]:
    """Yield a connection that alone may migrate; commits when the block ends well.

    Raises:
        UnsupportedServerError: The server is too old.
    """
    engine = create_engine(driver_url(url), poolclass=NullPool, hide_parameters=True)
    event.listen(engine, "handle_error", forget_rows)
    try:
        with engine.begin() as connection:
            version = connection.scalar(text("SELECT current_setting('server_version_num')::int"))
            if version is None or version < POSTGRESQL_VERSION_MIN:
                message = f"PostgreSQL 14 or newer is needed, the server is {version}"
                raise UnsupportedServerError(message)
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            yield connection
    finally:
        engine.dispose()


def upgrade(url: str, revision: str = "head") -> tuple[str, ...]:
    """Bring the database to a revision; nothing happens where it is there already.

    Returns the roles to which nothing could be granted, since the server does not have them.
    """
    with locked(url) as connection:
        config = alembic_config(connection)
        command.upgrade(config, revision)
        # The grants are those of the newest revision's tables.
        newest = ScriptDirectory.from_config(config).get_current_head()
        if MigrationContext.configure(connection).get_current_revision() != newest:
            return ()
        return roles.settle(connection)


def downgrade(url: str, revision: str) -> tuple[str, ...]:
    """Take the database back to a revision; ``base`` removes every table.

    Returns the roles that have no grant here any more and could not be dropped all the same.
    """
    with locked(url) as connection:
        command.downgrade(alembic_config(connection), revision)
        return () if roles.held(connection) else roles.existing(connection)


def main(arguments: list[str] | None = None) -> int:
    """Run one migration command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m shared.db.migrate", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("upgrade").add_argument("revision", nargs="?", default="head")
    commands.add_parser("downgrade").add_argument("revision")
    commands.add_parser("current")
    commands.add_parser("roles")
    commands.add_parser("revision").add_argument("-m", "--message", required=True)
    options = parser.parse_args(arguments)
    if options.command == "roles":
        print(roles.script(), end="")
        return 0
    try:
        url = _DatabaseOnly().database_url.get_secret_value()
    except ValidationError:
        print("DALMADA_DATABASE_URL is not set: postgresql://…", file=sys.stderr)
        return 2
    try:
        match options.command:
            case "upgrade":
                _tell(_MISSING, upgrade(url, options.revision))
            case "downgrade":
                _tell(_LEFT, downgrade(url, options.revision))
            case "current":
                with locked(url) as connection:
                    command.current(alembic_config(connection))
            case _:
                with locked(url) as connection:
                    command.revision(alembic_config(connection), options.message, autogenerate=True)
    except (SQLAlchemyError, CommandError, ImportError, UnsupportedServerError) as error:
        print(f"migration failed: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _tell(words: str, named: tuple[str, ...]) -> None:
    if named:
        print(words.format(", ".join(named)), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
