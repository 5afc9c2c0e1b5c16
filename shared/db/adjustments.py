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


async def give_back(connection: AsyncConnection, invoice_ids: Sequence[int]) -> None:
    """Give back to adjustments what invoices have used of them that are void from here on.

    A void invoice is owed by nobody, so whatever its lines carried is as it was before: a credit
    is the buyer's still, a setup the merchant's, and a discount has its period again. One that was
    given up (uncollectible) keeps what it used: its amount is owed as it is, less the credit, and
    may be asked for another way.

    The caller holds the invoices locked; their subscriptions are locked here. A period of a
    discount that made nothing cheaper has no line, and does not come back.
    """
    carried = {"ids": list(invoice_ids)}
    owners = [row.subscription_id for row in await connection.execute(_CARRIED, carried)]
    if not owners:
        return
    await connection.execute(_LOCK, {"ids": owners})
    await connection.execute(_GIVE_BACK, carried)


_CARRIED = text(
    """
    SELECT DISTINCT i.subscription_id
    FROM invoices i, jsonb_to_recordset(i.lines) AS line (adjustment_id bigint)
    WHERE i.id = ANY(CAST(:ids AS bigint[])) AND line.adjustment_id IS NOT NULL
    """
)
_LOCK = text(
    """
    SELECT FROM subscriptions WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE
    """
)
# The tax-free part that a line took is not always its share of what is left: what is whole again
# has all of its own, and no other more than it ever had.
_GIVE_BACK = text(
    """
    WITH used AS (
        SELECT line.adjustment_id AS id, count(*) AS periods, sum(abs(line.amount)) AS amount,
            sum(abs(line.tax_free)) AS tax_free
        FROM invoices i, jsonb_to_recordset(i.lines) AS line (
            adjustment_id bigint, amount bigint, tax_free bigint
        )
        WHERE i.id = ANY(CAST(:ids AS bigint[])) AND line.adjustment_id IS NOT NULL
        GROUP BY line.adjustment_id
    )
    UPDATE adjustments a
    SET amount_left = CASE
            WHEN a.kind = 'discount' THEN a.amount
            ELSE least(a.amount_left + u.amount, a.amount)
        END,
        tax_free_left = CASE
            WHEN a.kind = 'discount' OR a.amount_left + u.amount >= a.amount THEN a.tax_free
            ELSE least(a.tax_free_left + u.tax_free, a.tax_free, a.amount_left + u.amount)
        END,
        periods_left = a.periods_left + u.periods
    FROM used u WHERE a.id = u.id
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
