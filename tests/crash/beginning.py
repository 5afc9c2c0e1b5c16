"""Where a life begins: with nothing, or where an undisturbed one stood.

Most lives about refunds, windows and ends begin with a subscription that was paid for. That way is
died on in lives of its own; here it is walked once, and what it left is put in place for each life.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

from sqlalchemy import Table

from deploy.sandbox.webhooks import Notice
from shared.db.outbox import StoredEvent
from shared.db.tables import metadata
from tests.simulation.installation import Installation

# What the gateway's book calls when a key ends: its own, whatever else is put into it.
CALLBACK = "on_key_end"


@dataclass(frozen=True, slots=True)
class Beginning:
    """What an undisturbed life left, with no message and no request under way."""

    rows: Sequence[str]
    sequences: Mapping[str, int]
    book: Mapping[str, Any]
    notices: Sequence[Notice]
    stream: Sequence[StoredEvent]
    ids: Sequence[UUID]
    end_s: float


def _populated(table: Table) -> str:
    columns = ", ".join(column.name for column in table.columns)
    source = f"jsonb_populate_recordset(NULL::{table.name}, %s)"
    return (
        f"INSERT INTO {table.name} ({columns}) OVERRIDING SYSTEM VALUE"  # noqa: S608 - constants
        f" SELECT {columns} FROM {source}"
    )


# Whatever follows is not of the same instant.
_LATER_S = 60.0
_TABLES = metadata.sorted_tables
_GATHER = "SELECT {}".format(
    ", ".join(
        f"(SELECT coalesce(jsonb_agg(t), '[]') FROM {table.name} t)"  # noqa: S608 - constants only
        for table in _TABLES
    )
)
_PUT = "WITH {} SELECT".format(
    ", ".join(f"{table.name}_put AS ({_populated(table)})" for table in _TABLES)
)


def keep(life: Installation, ids: Sequence[UUID]) -> Beginning:
    """Return where a life stands."""
    found = life.host.reader.execute(_GATHER).fetchone()
    assert found is not None
    book = life.sandbox.book
    return Beginning(
        [json.dumps(rows) for rows in found],
        {
            table.name: max(row["id"] for row in rows)
            for table, rows in zip(_TABLES, found, strict=True)
            if rows and table.primary_key.columns[0].identity is not None
        },
        {each.name: getattr(book, each.name) for each in fields(book) if each.name != CALLBACK},
        life.sandbox.webhooks.notices,
        tuple(life.broker.stream),
        tuple(ids),
        life.host.loop.time(),
    )


def begin_with(life: Installation, beginning: Beginning) -> None:
    """Put in place what was kept, in a life that has not begun, and go on from there in time."""
    life.host.loop.now_s = beginning.end_s + _LATER_S
    life.host.reader.execute(_PUT, beginning.rows)
    for table, newest in beginning.sequences.items():
        life.host.reader.execute(
            "SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", (table, newest)
        )
    for name, value in beginning.book.items():
        setattr(life.sandbox.book, name, _copy(value))
    life.sandbox.webhooks._notices = list(beginning.notices)
    life.broker.stream = list(beginning.stream)


def _copy(value: Any) -> Any:
    """Copy what the book changes in place; the records in it are values."""
    if isinstance(value, dict):
        return {name: list(one) if isinstance(one, list) else one for name, one in value.items()}
    return value
