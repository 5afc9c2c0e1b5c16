"""What an invariant is: a query that must return nothing, and how it is asked.

An invariant is asked in one of two ways. Most are *live*: what they look for lies in a small,
partial index (what is due, open, unsettled), so the whole of it is looked at each time. Others look
at history, and *walk* a table by its ids: each time the newest rows and the next lot of the others,
so that a look costs the same however large the table is, and every row has its turn.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

# What is found beyond this many is not told one by one: whoever has read of these knows enough.
FOUND_MAX = 100


class Severity(enum.StrEnum):
    """How soon a person must look.

    ``page``: at once, for money or a buyer is at stake. ``ticket``: within the day.
    """

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True)
class Invariant:
    """A query that must return nothing, and what to do where it does.

    Attributes:
        name: What it is called in logs, metrics, alerts and the runbook.
        meaning: What is wrong where it returns anything, in one sentence.
        remedy: What a person does first, in one sentence; the runbook says the rest.
        query: Returns ``subject`` and ``since``; ``:before`` is the instant before which something
            counts, ``:limit`` how many rows are wanted. One that walks returns ``position`` too,
            and looks at ids above ``:low`` up to ``:high`` only.
        settle: For how long it may be so without being wrong.
        walks: The table that is walked through by its ids, or None for a live one.
    """

    name: str
    meaning: str
    remedy: str
    query: str
    severity: Severity = Severity.PAGE
    settle: timedelta = timedelta(0)
    walks: str | None = None

    @cached_property
    def statement(self) -> TextClause:
        """The query as it is executed."""
        return text(self.query)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the settings say of how long something may take, and what is asked of buyers.

    Attributes:
        deadline: How long it may be unknown whether money moved before a person is called.
        consent_required: Whether a higher price, or the end of a free trial, asks for a consent.
    """

    deadline: timedelta = timedelta(days=1)
    consent_required: bool = True


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of a walked table: those with ids above ``low``, up to ``high``."""

    low: int
    high: int

    def __contains__(self, position: int) -> bool:
        """Say whether an id lies in it."""
        return self.low < position <= self.high


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must not be.

    Attributes:
        subject: What it is about, such as ``invoice 12``: ids only, never a person or a key.
        since: Since when it is so, as far as the rows tell.
        position: Its id in the table that is walked, or None.
    """

    subject: str
    since: datetime | None
    position: int | None = None


async def find(
    connection: AsyncConnection,
    invariant: Invariant,
    bounds: Bounds,
    now: datetime,
    stretches: Sequence[Stretch] = (),
) -> list[Finding]:
    """Return what an invariant finds at ``now``, ``FOUND_MAX`` at most.

    Args:
        connection: Whose login reads the tables that it looks at.
        invariant: Which one.
        bounds: What the settings say.
        now: The present instant.
        stretches: Which rows of the table that it walks are looked at; none of a live one.
    """
    values = {
        "now": now,
        "before": now - invariant.settle,
        "deadline": bounds.deadline,
        "consent_required": bounds.consent_required,
        "limit": FOUND_MAX,
    }
    found: dict[str, Finding] = {}
    for stretch in stretches if invariant.walks is not None else (None,):
        within = {} if stretch is None else {"low": stretch.low, "high": stretch.high}
        rows = await connection.execute(invariant.statement, {**values, **within})
        for row in rows:
            position = None if stretch is None else int(row.position)
            found.setdefault(row.subject, Finding(row.subject, row.since, position))
    return list(found.values())[:FOUND_MAX]


async def lot_after(connection: AsyncConnection, table: str, low: int, rows: int) -> Stretch | None:
    """Return the stretch of so many rows of a table that come after an id; None if there is none.

    Rows are counted and not ids: numbers have gaps, and after a recovery very long ones.
    """
    high = await connection.scalar(
        text(
            f"""
            SELECT max(id) FROM (
                SELECT id FROM {table} WHERE id > :low ORDER BY id LIMIT :rows
            ) AS lot
            """  # noqa: S608 - a table of ours, named in code
        ),
        {"low": low, "rows": rows},
    )
    return None if high is None else Stretch(low, int(high))


async def newest_rows(connection: AsyncConnection, table: str, rows: int) -> Stretch | None:
    """Return the stretch of the newest rows of a table; None if it is empty."""
    row = (
        await connection.execute(
            text(
                f"""
                SELECT min(id) AS first, max(id) AS last FROM (
                    SELECT id FROM {table} ORDER BY id DESC LIMIT :rows
                ) AS newest
                """  # noqa: S608 - a table of ours, named in code
            ),
            {"rows": rows},
        )
    ).one()
    return None if row.last is None else Stretch(int(row.first) - 1, int(row.last))
