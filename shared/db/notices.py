"""What buyers' merchants have not been told of yet, and that they were: each once."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.lifecycle import BILLABLE, SubscriptionStatus
from shared.billing.notice import NoticeLeads
from shared.db.columns import one_of
from shared.db.renewals import DueSubscriptions, counted
from shared.db.subscriptions import COLUMNS
from shared.db.text import to_json

_PAYING: Final = BILLABLE - {SubscriptionStatus.TRIALING}


async def lock_unannounced(
    connection: AsyncConnection, limit: int, now: datetime, leads: NoticeLeads
) -> DueSubscriptions:
    """Lock subscriptions whose next period is to be announced, soonest first.

    Of one that ends or pauses before it, nothing is announced.
    """
    rows = await connection.execute(
        _LOCK_UNANNOUNCED,
        {"now": now, "renewal": now + leads.renewal, "trial": now + leads.trial, "limit": limit},
    )
    return counted(rows)


_LOCK_UNANNOUNCED = text(
    f"""
    SELECT {COLUMNS} FROM subscriptions
    WHERE next_renewal_at > :now AND noticed_index < next_period_index
      AND (cancel_at IS NULL OR cancel_at > next_renewal_at)
      AND (pause_at IS NULL OR pause_at > next_renewal_at)
      AND ({one_of("status", _PAYING)} AND next_renewal_at <= :renewal
           OR status = 'trialing' AND next_renewal_at <= :trial)
    ORDER BY next_renewal_at LIMIT :limit
    FOR NO KEY UPDATE SKIP LOCKED
    """  # noqa: S608 - made of constants only
)


async def note_periods(connection: AsyncConnection, ids: Sequence[UUID]) -> None:
    """Note that the next periods of subscriptions which the caller holds locked were announced."""
    await connection.execute(
        text(
            """
            UPDATE subscriptions SET noticed_index = next_period_index
            WHERE id = ANY(CAST(:ids AS uuid[]))
            """
        ),
        {"ids": list(ids)},
    )


async def lock_changes(
    connection: AsyncConnection, limit: int, now: datetime, after: int
) -> list[tuple[int, UUID]]:
    """Lock changes that are to be announced, and return them as (id, subscription), by id.

    Of a subscription that ends or pauses before, nothing is announced; it is looked at again, since
    the end may be withdrawn. Both rows are locked: another scan may have announced it just now.

    Args:
        connection: Of the transaction that notes it.
        limit: How many.
        now: What is due then.
        after: Only those whose ids are greater.
    """
    rows = await connection.execute(_LOCK_CHANGES, {"now": now, "after": after, "limit": limit})
    return [(row.id, row.subscription_id) for row in rows]


_LOCK_CHANGES = text(
    f"""
    SELECT c.id, c.subscription_id
    FROM agreement_changes c JOIN subscriptions s ON s.id = c.subscription_id
    WHERE c.status = 'pending' AND c.noticed_at IS NULL AND c.notice_at <= :now AND c.id > :after
      AND {one_of("s.status", BILLABLE)}
      AND (s.cancel_at IS NULL OR s.cancel_at > c.effective_at)
      AND (s.pause_at IS NULL OR s.pause_at > c.effective_at)
    ORDER BY c.id LIMIT :limit
    FOR NO KEY UPDATE OF c, s SKIP LOCKED
    """  # noqa: S608 - made of constants only
)


async def read(connection: AsyncConnection, ids: Sequence[UUID]) -> DueSubscriptions:
    """Return subscriptions."""
    rows = await connection.execute(
        text(
            f"SELECT {COLUMNS} FROM subscriptions"  # noqa: S608 - made of constants only
            " WHERE id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(ids)},
    )
    return counted(rows)


async def put_off(connection: AsyncConnection, until: Mapping[int, datetime]) -> None:
    """Have changes that the caller holds locked announced later, by id."""
    if not until:
        return
    rows = [{"id": id_, "notice_at": at.isoformat()} for id_, at in until.items()]
    await connection.execute(_PUT_OFF, {"rows": to_json(rows)})


_PUT_OFF = text(
    """
    UPDATE agreement_changes c SET notice_at = n.notice_at
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (id bigint, notice_at timestamptz)
    WHERE c.id = n.id
    """
)


async def look_again(connection: AsyncConnection, subscription_id: UUID, now: datetime) -> None:
    """Have the changes looked at again that a locked subscription's buyer was not told of yet.

    Whatever moves its periods may bring them nearer than when they were put off.
    """
    await connection.execute(
        text(
            """
            UPDATE agreement_changes SET notice_at = :now
            WHERE subscription_id = :id AND status = 'pending' AND noticed_at IS NULL
              AND notice_at > :now
            """
        ),
        {"id": subscription_id, "now": now},
    )


async def note_changes(connection: AsyncConnection, ids: Sequence[int], now: datetime) -> None:
    """Note that changes which the caller holds locked were announced."""
    await connection.execute(
        text(
            """
            UPDATE agreement_changes SET noticed_at = :now
            WHERE id = ANY(CAST(:ids AS bigint[]))
            """
        ),
        {"now": now, "ids": list(ids)},
    )
