"""What commands add to an agreement: consents, changes to come, adjustments, and free trials."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.change import ChangeStatus, Terms
from shared.billing.consent import ConsentKind
from shared.billing.events import EventName
from shared.billing.lifecycle import LIVING
from shared.billing.lines import AdjustmentKind
from shared.billing.money import Price
from shared.billing.refund import Requester
from shared.db.tables import one_of
from shared.db.text import storable, to_json


@dataclass(frozen=True, slots=True)
class NewConsent:
    """What the buyer agreed to, and how that can be shown."""

    subscription_id: UUID
    kind: ConsentKind
    amount_before: int | None
    amount_after: int
    effective_at: datetime | None
    given_at: datetime
    payment_method: str | None = field(repr=False)
    shown: str = field(repr=False)
    evidence: str = field(repr=False)
    command_id: str


async def record_consent(connection: AsyncConnection, new: NewConsent) -> int:
    """Keep a consent and return its id."""
    id_ = await connection.scalar(
        text(
            """
            INSERT INTO consents (
                subscription_id, kind, amount_before, amount_after, effective_at, given_at,
                payment_method, shown, evidence, command_id
            )
            VALUES (
                :subscription_id, :kind, :amount_before, :amount_after, :effective_at, :given_at,
                :payment_method, :shown, :evidence, :command_id
            )
            RETURNING id
            """
        ),
        {
            "subscription_id": new.subscription_id,
            "kind": new.kind,
            "amount_before": new.amount_before,
            "amount_after": new.amount_after,
            "effective_at": new.effective_at,
            "given_at": new.given_at,
            "payment_method": new.payment_method and storable(new.payment_method),
            "shown": storable(new.shown),
            "evidence": storable(new.evidence),
            "command_id": new.command_id,
        },
    )
    return int(id_ or 0)


async def take_trial(
    connection: AsyncConnection, buyer_ref: str, product: str, subscription_id: UUID
) -> bool:
    """Note the free trial that a buyer has of a product; False if there has been one."""
    taken = await connection.execute(
        text(
            """
            INSERT INTO trials (buyer_ref, product, subscription_id)
            VALUES (:buyer_ref, :product, :id) ON CONFLICT DO NOTHING
            """
        ),
        {"buyer_ref": buyer_ref, "product": product, "id": subscription_id},
    )
    return bool(taken.rowcount)


@dataclass(frozen=True, slots=True)
class NewAdjustment:
    """What invoices to come will differ by.

    Attributes:
        price: Won of a credit, a setup, a proration or a discount by amount.
        percent: The share of a discount, or None.
        periods: For how many periods a discount is given, or None.
    """

    subscription_id: UUID
    kind: AdjustmentKind
    description: str
    price: Price
    percent: int | None = None
    periods: int | None = None


async def adjust(
    connection: AsyncConnection, new: Sequence[NewAdjustment], command_id: str
) -> list[int]:
    """Add adjustments and return their ids, in order; one of nothing is left out."""
    rows = [
        {
            "subscription_id": str(each.subscription_id),
            "kind": each.kind,
            "description": storable(each.description),
            "amount": each.price.amount,
            "tax_free": each.price.tax_free,
            "percent": each.percent,
            "periods_left": each.periods,
        }
        for each in new
        if each.price.amount or each.percent
    ]
    if not rows:
        return []
    added = await connection.execute(_ADJUST, {"rows": to_json(rows), "command_id": command_id})
    return sorted(row.id for row in added)


_ADJUST = text(
    """
    INSERT INTO adjustments (
        subscription_id, kind, description, amount, tax_free, percent, amount_left, tax_free_left,
        periods_left, command_id
    )
    SELECT subscription_id, kind, description, amount, tax_free, percent, amount, tax_free,
        periods_left, :command_id
    FROM ROWS FROM (
        jsonb_to_recordset(CAST(:rows AS jsonb)) AS (
            subscription_id uuid, kind text, description text, amount bigint, tax_free bigint,
            percent int, periods_left int
        )
    ) WITH ORDINALITY AS a (
        subscription_id, kind, description, amount, tax_free, percent, periods_left, position
    )
    ORDER BY position
    RETURNING id
    """
)


async def drop_prorations(connection: AsyncConnection, subscription_id: UUID) -> list[int]:
    """Have a locked subscription's prorations count no more of which nothing was used.

    One that an invoice has been set against in part is what the buyer is still owed of a period
    before, and stays. Returns the ids of the others.
    """
    dropped = await connection.execute(_DROP_PRORATIONS, {"id": subscription_id})
    return sorted(row.id for row in dropped)


_PRORATIONS = frozenset({AdjustmentKind.PRORATION_CHARGE, AdjustmentKind.PRORATION_CREDIT})
_DROP_PRORATIONS = text(
    f"""
    UPDATE adjustments a SET amount_left = 0, tax_free_left = 0
    WHERE a.subscription_id = :id AND a.{one_of("kind", _PRORATIONS)} AND a.amount_left = a.amount
      -- What a void invoice has given back is of a period before the one that the end has cut.
      AND NOT EXISTS (
          SELECT FROM invoices i, jsonb_to_recordset(i.lines) AS line (adjustment_id bigint)
          WHERE i.subscription_id = :id AND line.adjustment_id = a.id
      )
    RETURNING a.id
    """  # noqa: S608 - made of constants only
)


@dataclass(frozen=True, slots=True)
class NewChange:
    """New terms from a date on.

    Attributes:
        notice_at: When the buyer is to be told of it, or None if nobody need be.
    """

    subscription_id: UUID
    effective_at: datetime
    terms: Terms
    requester: Requester
    notice_at: datetime | None
    command_id: str


async def schedule(connection: AsyncConnection, new: NewChange) -> int:
    """Add a change that is to come and return its id."""
    terms = new.terms
    id_ = await connection.scalar(
        text(
            """
            INSERT INTO agreement_changes (
                subscription_id, effective_at, amount, tax_free, quantity, order_name,
                interval_unit, interval_count, requester, notice_at, command_id
            )
            VALUES (
                :subscription_id, :effective_at, :amount, :tax_free, :quantity, :order_name,
                :interval_unit, :interval_count, :requester, :notice_at, :command_id
            )
            RETURNING id
            """
        ),
        {
            "subscription_id": new.subscription_id,
            "effective_at": new.effective_at,
            "amount": terms.price and terms.price.amount,
            "tax_free": terms.price and terms.price.tax_free,
            "quantity": terms.quantity,
            "order_name": terms.order_name,
            "interval_unit": terms.interval and terms.interval.unit,
            "interval_count": terms.interval and terms.interval.count,
            "requester": new.requester,
            "notice_at": new.notice_at,
            "command_id": new.command_id,
        },
    )
    return int(id_ or 0)


async def withdraw(connection: AsyncConnection, subscription_id: UUID, change_id: int) -> bool:
    """Take back a pending change of a locked subscription; False if there is none of this id."""
    withdrawn = await connection.execute(
        _WITHDRAW, {"id": change_id, "subscription_id": subscription_id}
    )
    return bool(withdrawn.rowcount)


async def standing_of(
    connection: AsyncConnection, subscription_id: UUID, change_id: int
) -> ChangeStatus | None:
    """Return where a change of a subscription stands, or None if there is no such one."""
    status = await connection.scalar(
        text(
            """
            SELECT status FROM agreement_changes
            WHERE id = :id AND subscription_id = :subscription_id
            """
        ),
        {"id": change_id, "subscription_id": subscription_id},
    )
    return None if status is None else ChangeStatus(status)


_WITHDRAW = text(
    """
    UPDATE agreement_changes SET status = 'withdrawn'
    WHERE id = :id AND subscription_id = :subscription_id AND status = 'pending'
    """
)


@dataclass(frozen=True, slots=True)
class NewPrice:
    """Another price for every living subscription of a product, from a date on."""

    product: str
    price: Price
    effective_at: datetime
    command_id: str


async def units_of(connection: AsyncConnection, new: NewPrice) -> tuple[int, int] | None:
    """Return the least and the most units of subscriptions that a price would change."""
    row: Any = (await connection.execute(_UNITS, _values(new))).one()
    return None if row.least is None else (row.least, row.most)


async def schedule_price(
    connection: AsyncConnection, new: NewPrice, notice: timedelta, now: datetime
) -> int:
    """Add a change for each subscription, and tell of each; return how many there are.

    The buyers who would pay more than they have agreed to are told ahead of it, by ``notice`` if
    there is any: not earlier than that before the date, and in time before the first period.
    """
    added = await connection.execute(
        _SCHEDULE_PRICE,
        {
            **_values(new),
            "command_id": new.command_id,
            "notice_at": max(new.effective_at - notice, now) if notice else None,
            "name": EventName.SUBSCRIPTION_CHANGE_SCHEDULED,
            "requester": Requester.ADMIN,
            "told_effective_at": new.effective_at.isoformat(),
            "at": now.isoformat(),
        },
    )
    return int(added.rowcount)


def _values(new: NewPrice) -> dict[str, object]:
    return {
        "product": new.product,
        "amount": new.price.amount,
        "tax_free": new.price.tax_free,
        "effective_at": new.effective_at,
    }


_WANTED = "(CAST(:amount AS bigint), CAST(:tax_free AS bigint))"
_UNTIL_THEN = """
    SELECT FROM agreement_changes c
    WHERE c.subscription_id = s.id AND c.status = 'pending' AND c.effective_at <= :effective_at
"""
# Whoever pays another price today, or until then.
_MEANT = f"""
    s.product = :product AND s.{one_of("status", LIVING)}
    AND (s.cancel_at IS NULL OR s.cancel_at > :effective_at)
    AND ((s.amount, s.tax_free) <> {_WANTED}
         OR EXISTS ({_UNTIL_THEN} AND (c.amount, c.tax_free) <> {_WANTED}))
"""
_UNITS = text(
    f"SELECT min(s.quantity) AS least, max(s.quantity) AS most FROM subscriptions s WHERE {_MEANT}"  # noqa: S608 - made of constants only
)
_SCHEDULE_PRICE = text(
    f"""
    WITH added AS (
        INSERT INTO agreement_changes (
            subscription_id, effective_at, amount, tax_free, requester, notice_at, command_id
        )
        SELECT s.id, :effective_at, :amount, :tax_free, :requester,
            -- A price that is lower until then is agreed to alone.
            CASE WHEN CAST(:amount AS bigint) * s.quantity > s.consented_amount
                    OR EXISTS ({_UNTIL_THEN} AND c.amount < CAST(:amount AS bigint))
                THEN CAST(:notice_at AS timestamptz) END,
            :command_id
        FROM subscriptions s WHERE {_MEANT} ORDER BY s.id FOR NO KEY UPDATE OF s
        RETURNING id, subscription_id
    )
    INSERT INTO events (subscription_id, name, data)
    SELECT subscription_id, :name, jsonb_build_object(
        'change_id', id, 'effective_at', CAST(:told_effective_at AS text),
        'requester', CAST(:requester AS text), 'amount', CAST(:amount AS bigint),
        'tax_free', CAST(:tax_free AS bigint), 'quantity', NULL, 'order_name', NULL,
        'interval', NULL, 'interval_count', NULL, 'at', CAST(:at AS text)
    )
    FROM added ORDER BY id
    """  # noqa: S608 - made of constants only
)
