"""What invoices to come differ by from the agreement: read while open, and used up by them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.lines import Adjustment, AdjustmentKind
from shared.billing.money import Price
from shared.db.text import to_json


async def still_open(
    connection: AsyncConnection, subscription_ids: Sequence[UUID]
) -> Mapping[UUID, tuple[Adjustment, ...]]:
    """Return the open adjustments of subscriptions, oldest first.

    Whoever sets them against an invoice holds the subscriptions locked.
    """
    found: dict[UUID, list[Adjustment]] = {}
    for row in await connection.execute(_OPEN, {"ids": list(subscription_ids)}):
        found.setdefault(row.subscription_id, []).append(_adjustment(row))
    return {id_: tuple(adjustments) for id_, adjustments in found.items()}


_OPEN = text(
    """
    SELECT id, subscription_id, kind, description, amount_left, tax_free_left, percent, periods_left
    FROM adjustments
    WHERE subscription_id = ANY(CAST(:ids AS uuid[])) AND (amount_left > 0 OR periods_left > 0)
    ORDER BY subscription_id, id
    """
)


async def write_left(connection: AsyncConnection, adjustments: Sequence[Adjustment]) -> None:
    """Write what invoices have left of adjustments; the caller holds the subscriptions locked."""
    if not adjustments:
        return
    rows = [
        {
            "id": each.id,
            # A discount that is over has nothing left: it is not read again.
            "amount_left": each.left.amount if each.is_open else 0,
            "tax_free_left": each.left.tax_free if each.is_open else 0,
            "periods_left": each.periods_left,
        }
        for each in adjustments
    ]
    await connection.execute(_WRITE_LEFT, {"rows": to_json(rows)})


_WRITE_LEFT = text(
    """
    UPDATE adjustments a
    SET amount_left = n.amount_left, tax_free_left = n.tax_free_left, periods_left = n.periods_left
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (
        id bigint, amount_left bigint, tax_free_left bigint, periods_left int
    )
    WHERE a.id = n.id
    """
)


def _adjustment(row: Row[Any]) -> Adjustment:
    return Adjustment(
        row.id,
        AdjustmentKind(row.kind),
        row.description,
        Price(row.amount_left, row.tax_free_left),
        row.percent,
        row.periods_left,
    )
