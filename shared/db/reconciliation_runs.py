"""Comparisons of the gateway's book with our rows: begun once, kept alive, ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json
from shared.billing.reconciliation import RunCause, RunStatus
from shared.db.holds import RESTORED
from shared.db.text import storable, to_json


@dataclass(frozen=True, slots=True)
class Run:
    """A comparison of the window ``[since, until)``.

    Attributes:
        report: What was found, once it is done.
    """

    id: int
    cause: RunCause
    since: datetime
    until: datetime
    status: RunStatus
    tries: int
    report: Mapping[str, Json] | None
    fault: str | None
    finished_at: datetime | None


_COLUMNS = "id, cause, since, until, status, tries, report, fault, finished_at"


async def begin(
    connection: AsyncConnection,
    since: datetime,
    until: datetime,
    lease_until: datetime,
) -> Run:
    """Begin a comparison that somebody asked for."""
    row = await connection.execute(
        text(
            f"""
            INSERT INTO reconciliation_runs (cause, since, until, lease_until, tries)
            VALUES ('command', :since, :until, :lease_until, 1)
            RETURNING {_COLUMNS}
            """  # noqa: S608 - made of constants only
        ),
        {"since": since, "until": until, "lease_until": lease_until},
    )
    return _run(row.one())


async def begin_daily(
    connection: AsyncConnection,
    since: datetime,
    until: datetime,
    now: datetime,
    lease: timedelta,
) -> Run | None:
    """Begin the comparison of a day, or begin it anew where whoever did is gone or failed.

    None while somebody is at it, while a failed one waits to be tried again, and once it is done;
    and so long as the database is a backup that nobody has recovered, of which nothing else can be
    said.
    """
    row = await connection.execute(
        text(
            f"""
            INSERT INTO reconciliation_runs AS r (cause, since, until, lease_until, tries)
            SELECT 'daily', :since, :until, :now + CAST(:lease AS interval), 1 WHERE NOT {RESTORED}
            ON CONFLICT (until) WHERE cause = 'daily' DO UPDATE
            SET status = 'running', lease_until = excluded.lease_until, tries = r.tries + 1,
                fault = NULL, finished_at = NULL
            WHERE r.status <> 'done' AND r.lease_until <= :now
            RETURNING {_COLUMNS}
            """  # noqa: S608 - made of constants only
        ),
        {"since": since, "until": until, "now": now, "lease": lease},
    )
    found = row.first()
    return None if found is None else _run(found)


@dataclass(frozen=True, slots=True)
class Days:
    """Which days have been compared by themselves, each by its end.

    Attributes:
        first: The first that ever was begun, or None.
        newest: The newest that was.
        taken: Those that are done, being compared, or waiting after a failure.
    """

    first: datetime | None
    newest: datetime | None
    taken: frozenset[datetime]


async def days(connection: AsyncConnection, since: datetime, now: datetime) -> Days:
    """Return which days were compared, those that ended from ``since`` on."""
    row = (
        await connection.execute(
            text(
                """
                SELECT min(until) AS first, max(until) AS newest, coalesce(array_agg(until) FILTER (
                    WHERE until >= :since AND (status = 'done' OR lease_until > :now)
                ), '{}') AS taken
                FROM reconciliation_runs WHERE cause = 'daily'
                """
            ),
            {"since": since, "now": now},
        )
    ).one()
    return Days(row.first, row.newest, frozenset(row.taken))


async def keep_alive(connection: AsyncConnection, run: Run, lease_until: datetime) -> bool:
    """Say that a run goes on; False if another process has begun it anew."""
    kept = await connection.execute(
        text(
            """
            UPDATE reconciliation_runs SET lease_until = :lease_until
            WHERE id = :id AND tries = :tries AND status = 'running' RETURNING id
            """
        ),
        {"id": run.id, "tries": run.tries, "lease_until": lease_until},
    )
    return kept.first() is not None


async def finish(
    connection: AsyncConnection, run: Run, report: Mapping[str, Json], now: datetime
) -> bool:
    """Write what a run has found; False if another process has begun it anew."""
    done = await connection.execute(
        text(
            """
            UPDATE reconciliation_runs
            SET status = 'done', report = CAST(:report AS jsonb), finished_at = :now
            WHERE id = :id AND tries = :tries AND status = 'running' RETURNING id
            """
        ),
        {"id": run.id, "tries": run.tries, "report": to_json(report), "now": now},
    )
    return done.first() is not None


async def fail(
    connection: AsyncConnection, run: Run, fault: str, now: datetime, again_at: datetime
) -> None:
    """Write why a run could not be done; a daily one is tried again from ``again_at`` on."""
    await connection.execute(
        text(
            """
            UPDATE reconciliation_runs
            SET status = 'failed', fault = :fault, finished_at = :now, lease_until = :again_at
            WHERE id = :id AND tries = :tries AND status = 'running'
            """
        ),
        {
            "id": run.id,
            "tries": run.tries,
            "fault": storable(fault),
            "now": now,
            "again_at": again_at,
        },
    )


async def get(connection: AsyncConnection, run_id: int) -> Run | None:
    """Return one run."""
    row = await connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM reconciliation_runs WHERE id = :id"  # noqa: S608 - constants
        ),
        {"id": run_id},
    )
    found = row.first()
    return None if found is None else _run(found)


async def newest_done(connection: AsyncConnection) -> Run | None:
    """Return the newest run that is done."""
    row = await connection.execute(
        text(
            f"""
            SELECT {_COLUMNS} FROM reconciliation_runs
            WHERE status = 'done' ORDER BY finished_at DESC, id DESC LIMIT 1
            """  # noqa: S608 - made of constants only
        )
    )
    found = row.first()
    return None if found is None else _run(found)


async def newest_fault(connection: AsyncConnection) -> str | None:
    """Return why the newest day that was compared by itself could not be, or None if it could."""
    found: str | None = await connection.scalar(
        text(
            """
            SELECT CASE WHEN status = 'failed' THEN fault END FROM reconciliation_runs
            WHERE cause = 'daily' ORDER BY until DESC LIMIT 1
            """
        )
    )
    return found


async def newest(connection: AsyncConnection, limit: int) -> list[Run]:
    """Return runs, newest first."""
    rows = await connection.execute(
        text(
            f"""
            SELECT {_COLUMNS} FROM reconciliation_runs ORDER BY id DESC LIMIT :limit
            """  # noqa: S608 - made of constants only
        ),
        {"limit": limit},
    )
    return [_run(row) for row in rows]


def _run(row: Row[Any]) -> Run:
    return Run(
        row.id,
        RunCause(row.cause),
        row.since,
        row.until,
        RunStatus(row.status),
        row.tries,
        row.report,
        row.fault,
        row.finished_at,
    )
