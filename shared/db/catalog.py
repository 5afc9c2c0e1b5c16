"""What the server says of itself and of our tables: read by ``dalmada doctor``, changed by nobody.

Every login may read the server's catalog, so this needs no grant of ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import PrimaryKeyConstraint, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import roles
from shared.db.grants import Role
from shared.db.tables import metadata


@dataclass(frozen=True, slots=True)
class Server:
    """The server and whoever asks it.

    Attributes:
        version: As a number, such as 180006 for 18.6.
        owns: Whether the login owns our tables, or may do whatever it likes.
        roles: Those of our roles that it is a member of.
    """

    version: int
    version_text: str
    login: str
    owns: bool
    roles: tuple[str, ...]
    now: datetime


async def server(connection: AsyncConnection) -> Server:
    """Return the server, the login and the instant that the server's clock shows."""
    row = (await connection.execute(_SERVER, {"roles": [str(role) for role in Role]})).one()
    return Server(row.version, row.version_text, row.login, row.owns, tuple(row.member_of), row.now)


_SERVER = text(
    """
    SELECT CAST(current_setting('server_version_num') AS int) AS version,
        current_setting('server_version') AS version_text,
        CAST(current_user AS text) AS login,
        EXISTS (
            SELECT FROM pg_class c
            WHERE c.relnamespace = CAST(CAST(current_schema() AS text) AS regnamespace)
              AND c.relname = 'invoices' AND pg_has_role(c.relowner, 'USAGE')
        ) AS owns,
        ARRAY(
            SELECT CAST(rolname AS text) FROM pg_roles
            WHERE rolname = ANY(:roles) AND pg_has_role(oid, 'USAGE')
        ) AS member_of,
        clock_timestamp() AS now
    """
)


async def missing_columns(connection: AsyncConnection) -> list[str]:
    """Return the tables and columns of this version that the database does not have."""
    rows = await connection.execute(_COLUMNS, {"tables": sorted(metadata.tables)})
    there = {(row.table, row.column) for row in rows}
    tables = {table for table, _ in there}
    missing = []
    for name, table in sorted(metadata.tables.items()):
        if name not in tables:
            missing.append(name)
            continue
        missing += [
            f"{name}.{column.name}" for column in table.c if (name, column.name) not in there
        ]
    return missing


_COLUMNS = text(
    """
    SELECT CAST(c.relname AS text) AS table, CAST(a.attname AS text) AS column
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = CAST(CAST(current_schema() AS text) AS regnamespace)
      AND c.relname = ANY(:tables) AND a.attnum > 0 AND NOT a.attisdropped
    """
)


async def missing_promises(connection: AsyncConnection) -> list[str]:
    """Return the constraints and indexes of ours that are gone, or are not valid.

    They carry promises: one unsettled attempt an invoice, one invoice a period. What the database
    has beside them is nobody's business.
    """
    rows = await connection.execute(_PROMISES, {"tables": sorted(metadata.tables)})
    there = set(rows.scalars())
    return [name for name in _promised() if name not in there]


def _promised() -> list[str]:
    names: set[str] = set()
    for table in metadata.tables.values():
        names |= {str(index.name) for index in table.indexes}
        names |= {
            str(constraint.name)
            for constraint in table.constraints
            # SQLAlchemy has a primary key without columns for a table that has none.
            if not isinstance(constraint, PrimaryKeyConstraint) or constraint.columns
        }
    return sorted(names)


_PROMISES = text(
    """
    WITH ours AS (
        SELECT oid FROM pg_class
        WHERE relnamespace = CAST(CAST(current_schema() AS text) AS regnamespace)
          AND relname = ANY(:tables)
    )
    SELECT CAST(conname AS text) FROM pg_constraint
    WHERE conrelid IN (SELECT oid FROM ours) AND convalidated
    UNION
    SELECT CAST(CAST(i.indexrelid AS regclass) AS text) FROM pg_index i
    WHERE i.indrelid IN (SELECT oid FROM ours) AND i.indisvalid
    """
)


@dataclass(frozen=True, slots=True)
class Granted:
    """How the roles' rights differ from those that this version names.

    Attributes:
        there: Those of our roles that the server has.
        missing: Rights that are not granted, in words.
        beside: Rights that are granted and should not be.
    """

    there: tuple[str, ...]
    missing: tuple[str, ...]
    beside: tuple[str, ...]


async def granted(connection: AsyncConnection) -> Granted:
    """Return how the roles' rights on our tables stand."""
    there = await connection.run_sync(roles.existing)
    held = await connection.run_sync(roles.held)
    wanted = frozenset[roles.Privilege]().union(*map(roles.wanted, there))
    return Granted(
        tuple(str(role) for role in there), _in_words(wanted - held), _in_words(held - wanted)
    )


def _in_words(
    privileges: Sequence[roles.Privilege] | frozenset[roles.Privilege],
) -> tuple[str, ...]:
    return tuple(
        f"{one.kind} on {one.table}{'.' + one.column if one.column else ''} to {one.role}"
        for one in sorted(privileges)
    )
