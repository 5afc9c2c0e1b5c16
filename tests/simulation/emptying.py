"""Empty tables for the next life."""

from typing import Any

import psycopg

from shared.db.tables import metadata

_TABLES = ", ".join(table.name for table in metadata.sorted_tables)
# Cheaper than TRUNCATE where there are few rows; looked at by foreign keys when all are gone.
_DELETE = "WITH {} SELECT".format(
    ", ".join(
        f"{table.name} AS (DELETE FROM {table.name})"  # noqa: S608 - made of constants only
        for table in metadata.sorted_tables
    )
)
_RESTART = "SELECT {}".format(
    ", ".join(
        f"setval(pg_get_serial_sequence('{table.name}', '{column.name}'), 1, false)"
        for table in metadata.sorted_tables
        for column in table.columns
        if column.identity is not None
    )
)


def empty(owner: "psycopg.Connection[Any]", *, thorough: bool) -> None:
    """Take every row out, and begin to count anew; thoroughly means from disk too."""
    if thorough:
        owner.execute(f"TRUNCATE {_TABLES} RESTART IDENTITY")
    else:
        owner.execute(_DELETE)
        owner.execute(_RESTART)
