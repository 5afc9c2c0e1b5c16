"""Which rows the statements of a world lock, in their order: what keeps deadlocks away."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event

from tests.support.billing import World

_WRITTEN = re.compile(r"\bUPDATE (\w+)(?: \w+)?\s+SET\b")
# Of a join only what is named is locked: such a statement says ``OF``, and names no table here.
_HELD = re.compile(r"\bFOR (?:NO KEY UPDATE|SHARE)\b(?! OF)")
_FROM = re.compile(r"\bSELECT\b[^;]*?\bFROM (\w+)")


@contextmanager
def locked(world: World) -> Iterator[list[str]]:
    """Yield the tables of which statements lock or write rows, in order, as they come."""
    tables: list[str] = []

    def remember(_c: object, _k: object, statement: str, *_: object) -> None:
        found = [(match.start(), match[1]) for match in _WRITTEN.finditer(statement)]
        for held in _HELD.finditer(statement):
            begun = statement.rindex("SELECT", 0, held.start())
            if match := _FROM.search(statement, begun, held.start()):
                found.append((held.start(), match[1]))
        tables.extend(table for _, table in sorted(found))

    engine = world.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", remember)
    try:
        yield tables
    finally:
        event.remove(engine, "before_cursor_execute", remember)
