"""What only people ask of the life of a subscription: what will change of it, and what was agreed.

How a buyer's consent was shown and is proven stays in its row: it may name a person.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.change import Change, ChangeStatus
from shared.billing.consent import Consent, ConsentKind
from shared.billing.lifecycle import LIVING
from shared.billing.lines import Adjustment, AdjustmentKind
from shared.billing.money import Price
from shared.billing.reserving import CollectBy
from shared.db.changes import change_of
from shared.db.tables import one_of


@dataclass(frozen=True, slots=True)
class ChangeCard:
    """A change of an agreement as it stands.

    Attributes:
        applied_index: The first period that was billed by it.
        message: Why it was refused.
    """

    change: Change
    status: ChangeStatus
    noticed_at: datetime | None
    applied_index: int | None
    message: str | None


@dataclass(frozen=True, slots=True)
class AdjustmentCard:
    """What invoices to come differ by, with what it was when it was given."""

    adjustment: Adjustment
    given: Price


@dataclass(frozen=True, slots=True)
class ConsentCard:
    """What the buyer agreed to."""

    id: int
    consent: Consent
    amount_before: int | None
    effective_at: datetime | None


@dataclass(frozen=True, slots=True)
class Life:
    """What of a subscription will be different, and why it may be.

    Attributes:
        changes: Those that are to come, in the order in which they come into effect, and after
            them the newest that came or did not.
        adjustments: Those that are open.
        consents: The newest, newest first.
    """

    dunning_enabled: bool
    collect_by: CollectBy
    changes: tuple[ChangeCard, ...]
    adjustments: tuple[AdjustmentCard, ...]
    consents: tuple[ConsentCard, ...]

    @property
    def pending(self) -> tuple[Change, ...]:
        """The changes that are to come, in the order in which they come into effect."""
        return tuple(card.change for card in self.changes if card.status is ChangeStatus.PENDING)


async def life_of(connection: AsyncConnection, subscription_id: UUID, limit: int) -> Life:
    """Return the life of one subscription, with at most ``limit`` of each that is over."""
    values = {"id": subscription_id, "limit": limit}
    row = (
        await connection.execute(
            text("SELECT dunning_enabled, collect_by FROM subscriptions WHERE id = :id"),
            {"id": subscription_id},
        )
    ).one()
    changes = await connection.execute(_CHANGES, values)
    adjustments = await connection.execute(_ADJUSTMENTS, {"id": subscription_id})
    consents = await connection.execute(_CONSENTS, values)
    return Life(
        row.dunning_enabled,
        CollectBy(row.collect_by),
        tuple(_change(row) for row in changes),
        tuple(_adjustment(row) for row in adjustments),
        tuple(_consent(row) for row in consents),
    )


_CHANGES = text(
    """
    SELECT * FROM (
        SELECT id, effective_at, amount, tax_free, quantity, order_name, interval_unit,
            interval_count, requester, status, noticed_at, applied_index, message,
            row_number() OVER (PARTITION BY status = 'pending' ORDER BY id DESC) AS position
        FROM agreement_changes WHERE subscription_id = :id
    ) AS c
    WHERE status = 'pending' OR position <= :limit
    ORDER BY status <> 'pending', CASE WHEN status = 'pending' THEN effective_at END,
        CASE WHEN status = 'pending' THEN id ELSE -id END
    """
)
_ADJUSTMENTS = text(
    """
    SELECT id, kind, description, amount, tax_free, percent, amount_left, tax_free_left,
        periods_left
    FROM adjustments
    WHERE subscription_id = :id AND (amount_left > 0 OR periods_left > 0)
    ORDER BY id
    """
)
_CONSENTS = text(
    """
    SELECT id, kind, amount_before, amount_after, effective_at, given_at
    FROM consents WHERE subscription_id = :id ORDER BY id DESC LIMIT :limit
    """
)


@dataclass(frozen=True, slots=True)
class Repriced:
    """One subscription of a product whose price is to change.

    Attributes:
        needs_consent: Whether it will cost more than the buyer has agreed to pay.
    """

    subscription_id: UUID
    cycle: BillingCycle
    next_period_index: int
    effective_at: datetime
    needs_consent: bool


async def repriced(connection: AsyncConnection, command_id: str) -> list[Repriced]:
    """Return the subscriptions that a command is to reprice."""
    rows = await connection.execute(_REPRICED, {"command_id": command_id})
    return [
        Repriced(
            row.id,
            BillingCycle(
                row.anchor_at,
                Interval(IntervalUnit(row.interval_unit), row.interval_count),
                row.time_zone,
                row.anchor_index,
            ),
            row.next_period_index,
            row.effective_at,
            row.needs_consent,
        )
        for row in rows
    ]


_REPRICED = text(
    f"""
    SELECT s.id, s.anchor_at, s.interval_unit, s.interval_count, s.time_zone, s.anchor_index,
        s.next_period_index, c.effective_at,
        c.amount * s.quantity > s.consented_amount AS needs_consent
    FROM agreement_changes c JOIN subscriptions s ON s.id = c.subscription_id
    WHERE c.command_id = :command_id AND s.{one_of("status", LIVING)}
    ORDER BY s.id
    """  # noqa: S608 - made of constants only
)


def _change(row: Row[Any]) -> ChangeCard:
    status = ChangeStatus(row.status)
    return ChangeCard(change_of(row), status, row.noticed_at, row.applied_index, row.message)


def _adjustment(row: Row[Any]) -> AdjustmentCard:
    adjustment = Adjustment(
        row.id,
        AdjustmentKind(row.kind),
        row.description,
        Price(row.amount_left, row.tax_free_left),
        row.percent,
        row.periods_left,
    )
    return AdjustmentCard(adjustment, Price(row.amount, row.tax_free))


def _consent(row: Row[Any]) -> ConsentCard:
    consent = Consent(ConsentKind(row.kind), row.amount_after, row.given_at)
    return ConsentCard(row.id, consent, row.amount_before, row.effective_at)
