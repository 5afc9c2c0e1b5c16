"""Tables that are emptied and cleaned by us alone, so that rows lie on disk as a life has put them.

Where the server cleans by itself, at instants of real time, rows come to lie elsewhere and it
learns other plans; whoever takes any ten of equal rows then takes others, and a life does not come
back.
"""

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
_NO_CLEANER = "".join(
    f"ALTER TABLE {table.name} SET (autovacuum_enabled = false, toast.autovacuum_enabled = false);"
    for table in metadata.sorted_tables
)
_OTHERS_AT_WORK = """
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()
"""
_CLEANED_EVERY_S = 30 * 86_400.0
# Lives after which what their deleted rows have left is worth a cleaning.
_CLEANED_AFTER_LIVES = 200


class Housekeeping:
    """Empties the tables for the next life, and cleans them in its course."""

    def __init__(self, owner: "psycopg.Connection[Any]", url: str) -> None:
        """Take the tables' owner, who commits by itself, and keep the server's cleaner away."""
        self._owner = owner
        self._owner.execute(_NO_CLEANER)
        # While its snapshot is open, no reader takes old versions of a row off a page.
        self._holder = psycopg.connect(url)
        self._holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self._cleaned_at_s = 0.0
        self._deleted = 0

    def empty(self, *, thorough: bool) -> None:
        """Take every row out and count anew; thoroughly means from disk too, and to keep it so."""
        self._holder.rollback()
        self._cleaned_at_s = 0.0
        if thorough:
            self._owner.execute(f"TRUNCATE {_TABLES} RESTART IDENTITY")
            self._hold()
            return
        self._owner.execute(_DELETE)
        self._owner.execute(_RESTART)
        self._deleted += 1
        if self._deleted % _CLEANED_AFTER_LIVES == 0:
            self._clean()

    def keep_clean(self, now_s: float) -> None:
        """Clean once in a month of the life, as soon as nobody is in the midst of something."""
        if now_s - self._cleaned_at_s < _CLEANED_EVERY_S:
            return
        self._holder.rollback()
        if not self._owner.execute(_OTHERS_AT_WORK).fetchone():
            self._cleaned_at_s = now_s
            self._clean()
        self._hold()

    def close(self) -> None:
        """Let go of what a life has left on disk."""
        self._holder.close()

    def _clean(self) -> None:
        self._owner.execute(f"VACUUM (TRUNCATE false) {_TABLES}")

    def _hold(self) -> None:
        self._holder.execute("SELECT")
