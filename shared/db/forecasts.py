"""Forecasts: kept as they were made, with every row, and found again when their day is over."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.forecast import Day, Digest, Expected, Forecast, head_of
from shared.db.text import storable, to_json

# Any number that no other advisory lock of ours uses.
_LOCK = 726_582_010
# Rows of a forecast that are read together.
_LOT = 1_000


async def begin(connection: AsyncConnection) -> bool:
    """Say whether this transaction is the only one of its kind; it stays so until its end."""
    found: bool = await connection.scalar(
        text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK}
    )
    return found


async def is_made(connection: AsyncConnection, day: Day, since: datetime) -> bool:
    """Say whether a forecast of a day was made since an instant."""
    found: bool = await connection.scalar(
        text("SELECT EXISTS (SELECT FROM forecasts WHERE day = :day AND made_at >= :since)"),
        {"day": day.date, "since": since},
    )
    return found


async def add(connection: AsyncConnection, forecast_id: UUID, rows: Sequence[Expected]) -> None:
    """Add rows of a forecast that is kept when the last of them is known."""
    if not rows:
        return
    said = [
        {
            "subscription_id": str(row.subscription_id),
            "period_index": row.period_index,
            "at": row.at.isoformat(),
            "amount": row.price.amount,
            "tax_free": row.price.tax_free,
            "why": row.why,
            "outlook": row.outlook,
            "note": None if row.note is None else storable(row.note),
            "invoice_id": row.invoice_id,
            "details": row.details,
        }
        for row in rows
    ]
    await connection.execute(_ADD, {"id": forecast_id, "rows": to_json(said)})


_ADD = text(
    """
    INSERT INTO expected_charges (
        forecast_id, subscription_id, period_index, at, amount, tax_free, why, outlook, note,
        invoice_id, details
    )
    SELECT :id, subscription_id, period_index, at, amount, tax_free, why, outlook, note,
        invoice_id, details
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (
        subscription_id uuid, period_index int, at timestamptz, amount bigint, tax_free bigint,
        why text, outlook text, note text, invoice_id bigint, details jsonb
    )
    """
)


async def keep(connection: AsyncConnection, forecast: Forecast) -> None:
    """Keep a forecast whose rows were added."""
    await connection.execute(
        text(
            """
            INSERT INTO forecasts (id, day, made_at, events_until, rules, totals, digest)
            VALUES (:id, :day, :made_at, :events_until, CAST(:rules AS jsonb),
                CAST(:totals AS jsonb), :digest)
            """
        ),
        {
            "id": forecast.id,
            "day": forecast.day.date,
            "made_at": forecast.made_at,
            "events_until": forecast.events_until,
            "rules": to_json(forecast.rules),
            "totals": to_json(forecast.totals),
            "digest": forecast.digest,
        },
    )


async def forget(connection: AsyncConnection, before: Day) -> None:
    """Let go of the forecasts of days before one."""
    await connection.execute(
        text("DELETE FROM forecasts WHERE day < :before"), {"before": before.date}
    )


async def of_day(connection: AsyncConnection, day: Day) -> Forecast | None:
    """Return the last forecast that was kept of a day before it began, or else the last one."""
    row = (
        await connection.execute(
            text(
                """
                SELECT day, made_at, events_until, rules, totals, digest FROM forecasts
                WHERE day = :day ORDER BY made_at < :begins_at DESC, made_at DESC LIMIT 1
                """
            ),
            {"day": day.date, "begins_at": day.begins_at},
        )
    ).first()
    return None if row is None else Forecast(Day(row.day), *row[1:])


async def digest_of(connection: AsyncConnection, forecast: Forecast) -> str:
    """Return the digest of a forecast as its rows stand."""
    head = head_of(forecast.day, forecast.made_at, forecast.events_until, forecast.rules)
    digest = Digest(head)
    async for rows in rows_of(connection, forecast):
        digest.add(rows)
    return digest.end(forecast.totals)


async def rows_of(
    connection: AsyncConnection, forecast: Forecast
) -> AsyncIterator[Sequence[Expected]]:
    """Return the rows of a forecast, in order, in lots."""
    found = await connection.stream(
        _ROWS, {"id": forecast.id}, execution_options={"yield_per": _LOT}
    )
    async for lot in found.partitions(_LOT):
        yield [expected_of(row) for row in lot]


EXPECTED = """
    subscription_id, period_index, at, amount, tax_free, why, outlook, note, invoice_id, details
"""
_ROWS = text(
    f"""
    SELECT {EXPECTED} FROM expected_charges WHERE forecast_id = :id
    ORDER BY subscription_id, period_index
    """  # noqa: S608 - made of constants only
)


def expected_of(row: Row[Any]) -> Expected:
    """Return the row of a forecast that a row of ``EXPECTED`` says."""
    return Expected.of_json(
        {
            "subscription_id": str(row.subscription_id),
            "period_index": row.period_index,
            "at": row.at.isoformat(),
            "amount": row.amount,
            "tax_free": row.tax_free,
            "why": row.why,
            "outlook": row.outlook,
            "note": row.note,
            "invoice_id": row.invoice_id,
            **row.details,
        }
    )
