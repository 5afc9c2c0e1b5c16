"""Every committed row and where the numbers stand: taken out of a life, and put into another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Table

from shared.db.tables import metadata


@dataclass(frozen=True, slots=True)
class Rows:
    """What a database held.

    Attributes:
        tables: The rows of every table as JSON, in the order of ``metadata.sorted_tables``.
        numbers: The last id that was given, or None, of every table that counts.
    """

    tables: Sequence[str]
    numbers: Sequence[int | None]


def _populated(table: Table) -> str:
    columns = ", ".join(column.name for column in table.columns)
    source = f"jsonb_populate_recordset(NULL::{table.name}, %s::jsonb)"
    return (
        f"INSERT INTO {table.name} ({columns}) OVERRIDING SYSTEM VALUE"  # noqa: S608 - constants
        f" SELECT {columns} FROM {source}"
    )


_TABLES = metadata.sorted_tables
_NUMBERS = [
    f"pg_get_serial_sequence('{table.name}', '{column.name}')"
    for table in _TABLES
    for column in table.primary_key
    if column.identity is not None
]
_GATHER = "SELECT {}".format(
    ", ".join(
        [
            *(
                f"(SELECT coalesce(jsonb_agg(t), '[]')::text FROM {table.name} t)"  # noqa: S608
                for table in _TABLES
            ),
            *(f"pg_sequence_last_value({number}::regclass)" for number in _NUMBERS),
        ]
    )
)
_COUNT_ON = "SELECT {}".format(
    ", ".join(f"setval({number}, coalesce(%s, 1), %s)" for number in _NUMBERS)
)


def gather(reader: "psycopg.Connection[Any]") -> Rows:
    """Take everything out, in one statement."""
    found = reader.execute(_GATHER.encode()).fetchone()
    assert found is not None
    return Rows(found[: len(_TABLES)], found[len(_TABLES) :])


def put(reader: "psycopg.Connection[Any]", rows: Rows) -> None:
    """Put everything into empty tables."""
    full = [(table, said) for table, said in zip(_TABLES, rows.tables, strict=True) if said != "[]"]
    parts = ", ".join(f"{table.name}_put AS ({_populated(table)})" for table, _ in full)
    if full:
        reader.execute(f"WITH {parts} SELECT".encode(), [said for _, said in full])
    known = [(number, number is not None) for number in rows.numbers]
    reader.execute(_COUNT_ON.encode(), [part for pair in known for part in pair])
