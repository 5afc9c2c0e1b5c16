"""Pauses: begun when every period before them has been decided, and ended, with what follows.

A command and a scan do the same; both hold the subscription locked, and its running invoice.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import Period
from shared.billing.cancellation import unused_days
from shared.billing.events import Event, EventName, Json, iso
from shared.billing.lifecycle import Happening, moved, sources
from shared.billing.lines import AdjustmentKind
from shared.billing.pause import PauseKeeps, Resumption, resumed
from shared.billing.proration import days_of, days_text
from shared.billing.renewal import SkipReason
from shared.billing.subscription import Subscription
from shared.db import agreement_writes, life, notices, outbox
from shared.db.agreement_writes import NewAdjustment
from shared.db.life import Life
from shared.db.tables import one_of


def may_begin(subscription: Subscription, now: datetime) -> bool:
    """Say whether a pause that was asked for begins: every period before it has been decided."""
    pause_at, next_at = subscription.pause_at, subscription.next_renewal_at
    if pause_at is None or next_at is None or subscription.status not in sources(Happening.PAUSE):
        return False
    ends_before = subscription.cancel_at is not None and subscription.cancel_at <= pause_at
    # A row that could not be renewed is looked at later than its period begins.
    cycle, index = subscription.agreement.cycle, subscription.next_period_index
    return not ends_before and pause_at <= min(now, cycle.period(index).start_at)


async def begin(connection: AsyncConnection, subscription: Subscription, now: datetime) -> None:
    """Have a pause begin that may, and tell of it."""
    keeps_time = subscription.pause_keeps is PauseKeeps.TIME
    after = replace(
        subscription,
        status=moved(subscription.status, Happening.PAUSE),
        next_renewal_at=None if keeps_time else subscription.next_renewal_at,
    )
    await life.move(connection, after)
    data: dict[str, Json] = {
        "pause_at": iso(subscription.pause_at),
        "resume_at": iso(subscription.resume_at),
        "keeps": subscription.pause_keeps,
        "at": now.isoformat(),
    }
    await outbox.write(connection, [Event(EventName.SUBSCRIPTION_PAUSED, after.id, data)])


async def end(
    connection: AsyncConnection, held: Life, now: datetime, command_id: str
) -> dict[str, Json]:
    """End the pause of a paused subscription, as of when it was to end; return what is told.

    Raises:
        BillingError: Its calendar cannot be counted, or it is not paused.
    """
    before = held.subscription
    owes = await life.owes(connection, before.id)
    status = moved(before.status, Happening.RESUME_OWING if owes else Happening.RESUME)
    at = resumed_at(before, now)
    back = resumption(held, at)
    after = replace(
        before,
        agreement=replace(before.agreement, cycle=back.cycle),
        status=status,
        next_period_index=back.next_index,
        next_renewal_at=back.next_renewal_at,
        pause_at=None,
        resume_at=None,
        pause_keeps=None,
    )
    await life.move(connection, after)
    await notices.look_again(connection, before.id, now)
    await let_go_on(connection, held, back)
    await outbox.write(connection, [_skipped(before.id, period, now) for period in back.skipped])
    owed = owed_for(before, back.used, at)
    ids = await agreement_writes.adjust(connection, owed, command_id)
    told: dict[str, Json] = {
        "status": status,
        "paused_at": iso(before.pause_at),
        "resumed_at": at.isoformat(),
        "keeps": before.pause_keeps,
        "next_period_index": back.next_index,
        "next_renewal_at": back.next_renewal_at.isoformat(),
        "adjustment_ids": ids,
        "charged_later": sum(each.price.amount for each in owed),
    }
    data = {**told, "at": now.isoformat()}
    await outbox.write(connection, [Event(EventName.SUBSCRIPTION_RESUMED, before.id, data)])
    return told


def is_over(subscription: Subscription, now: datetime) -> bool:
    """Say whether a pause ends by itself, and before the subscription does."""
    resume_at, cancel_at = subscription.resume_at, subscription.cancel_at
    if resume_at is None or subscription.status not in sources(Happening.RESUME):
        return False
    return resume_at <= now and (cancel_at is None or cancel_at > resume_at)


def resumed_at(subscription: Subscription, now: datetime) -> datetime:
    """Return when a pause is over that ends now: when it was to end, if that has passed."""
    at = now if subscription.resume_at is None else min(now, subscription.resume_at)
    return at if subscription.pause_at is None else max(at, subscription.pause_at)


def resumption(held: Life, at: datetime) -> Resumption:
    """Return what the end of a pause at an instant makes of a paused subscription."""
    subscription = held.subscription
    return resumed(
        subscription.agreement.cycle,
        subscription.next_period_index,
        subscription.pause_keeps or PauseKeeps.CALENDAR,
        subscription.pause_at or at,
        at,
        is_billed=held.running is not None,
    )


async def let_go_on(connection: AsyncConnection, held: Life, back: Resumption) -> None:
    """Have the period that ran end later by as long as it has stood still."""
    running = held.running
    if running is None or not back.stood_still:
        return
    counted_from = running.period.start_at + back.stood_still
    await life.lengthen(connection, running.invoice_id, back.next_renewal_at, counted_from)


def owed_for(
    subscription: Subscription, used: Sequence[Period], at: datetime
) -> list[NewAdjustment]:
    """Return what is owed for periods that were skipped and of which days are left at ``at``."""
    agreement, owed = subscription.agreement, []
    for period in used:
        unused, days = unused_days(period, agreement.cycle.time_zone, at)
        described = days_text(agreement.order_name, unused, days)
        price = days_of(agreement.total, unused, days)
        owed.append(
            NewAdjustment(subscription.id, AdjustmentKind.PRORATION_CHARGE, described, price)
        )
    return owed


async def due(connection: AsyncConnection, now: datetime, limit: int) -> list[UUID]:
    """Return subscriptions whose pause may be about to begin, or is over, oldest first."""
    rows = await connection.execute(_DUE, {"now": now, "limit": limit})
    return [row.id for row in rows]


_DUE = text(
    f"""
    SELECT id, at FROM (
        SELECT id, pause_at AS at FROM subscriptions
        WHERE {one_of("status", sources(Happening.PAUSE))} AND pause_at <= :now
          AND next_renewal_at >= pause_at AND (cancel_at IS NULL OR cancel_at > pause_at)
        UNION ALL
        SELECT id, resume_at FROM subscriptions
        WHERE status = 'paused' AND resume_at <= :now
          AND (cancel_at IS NULL OR cancel_at > resume_at)
    ) AS found
    ORDER BY at, id LIMIT :limit
    """  # noqa: S608 - made of constants only
)


def _skipped(subscription_id: UUID, period: Period, now: datetime) -> Event:
    """Explain a period that began during the pause."""
    data: dict[str, Json] = {
        "period_index": period.index,
        "period_start_at": period.start_at.isoformat(),
        "period_end_at": period.end_at.isoformat(),
        "reason": SkipReason.PAUSED,
        "at": now.isoformat(),
    }
    return Event(EventName.PERIOD_SKIPPED, subscription_id, data)
