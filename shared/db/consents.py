"""What buyers have agreed to, as far as a charge needs it."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.consent import Consent, ConsentKind


async def given(
    connection: AsyncConnection, subscription_ids: Sequence[UUID]
) -> Mapping[UUID, tuple[Consent, ...]]:
    """Return the consents of subscriptions, oldest first."""
    found: dict[UUID, list[Consent]] = {}
    for row in await connection.execute(_GIVEN, {"ids": list(subscription_ids)}):
        consent = Consent(ConsentKind(row.kind), row.amount_after, row.given_at)
        found.setdefault(row.subscription_id, []).append(consent)
    return {id_: tuple(consents) for id_, consents in found.items()}


_GIVEN = text(
    """
    SELECT subscription_id, kind, amount_after, given_at FROM consents
    WHERE subscription_id = ANY(CAST(:ids AS uuid[]))
    ORDER BY subscription_id, id
    """
)
