"""Pause a subscription, now or when its period ends, and resume it."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.cancellation import CancelWhen, running_period_end
from shared.billing.events import Event, EventName, Json, iso
from shared.billing.lifecycle import Happening, SubscriptionStatus, moved
from shared.billing.refund import require_reason
from shared.db import life, outbox, pauses
from shared.jobs.life_commands import PauseSubscription, ResumeSubscription
from worker.services.commanding import CommandRefusedError
from worker.services.life.standing import going_on, require_going_on, standing


async def pause_subscription(
    connection: AsyncConnection, command: PauseSubscription, now: datetime
) -> dict[str, Json]:
    """Handle ``subscription.pause``; what is owed already goes on being collected.

    A pause that is asked for while a period has begun and is not billed yet begins once it is.

    Raises:
        CommandRefusedError: The subscription is unknown or ends, or the pause would be over
            before it begins.
        InvalidTransitionError: It cannot pause from where it stands.
    """
    require_reason(command.reason)
    before = (await going_on(connection, command.subscription_id, now)).subscription
    moved(before.status, Happening.PAUSE)
    pause_at = now
    if command.when is CancelWhen.PERIOD_END:
        pause_at = running_period_end(before.agreement.cycle, now)
    if command.resume_at is not None and command.resume_at <= pause_at:
        message = (
            f"resume_at {command.resume_at.isoformat()} is no later than the pause begins, at"
            f" {pause_at.isoformat()}: give a later one, or leave it out"
        )
        raise CommandRefusedError(message)
    await life.ask_pause(connection, before.id, command.keeps, pause_at, command.resume_at)
    after = replace(
        before, pause_at=pause_at, resume_at=command.resume_at, pause_keeps=command.keeps
    )
    told: dict[str, Json] = {
        "pause_at": pause_at.isoformat(),
        "resume_at": iso(command.resume_at),
        "keeps": command.keeps,
    }
    data = {
        **told,
        "reason": command.reason,
        "requester": command.requester,
        "replaced_pause_at": iso(before.pause_at),
        "at": now.isoformat(),
    }
    await outbox.write(connection, [Event(EventName.SUBSCRIPTION_PAUSE_SCHEDULED, after.id, data)])
    begins = pauses.may_begin(after, now)
    if begins:
        await pauses.begin(connection, after, now)
    status = SubscriptionStatus.PAUSED if begins else before.status
    return {"subscription_id": str(before.id), "status": status, **told}


async def resume_subscription(
    connection: AsyncConnection, command: ResumeSubscription, now: datetime
) -> dict[str, Json]:
    """Handle ``subscription.resume``: end a pause, or take back one that has not begun.

    Raises:
        CommandRefusedError: The subscription is unknown, or is being ended.
        BillingError: It is not paused, or its calendar cannot be counted.
    """
    held = await standing(connection, command.subscription_id)
    before = held.subscription
    if before.cancel_at is None or before.cancel_at <= now:
        require_going_on(before, now)
    if before.pause_at is None:
        moved(before.status, Happening.RESUME)
    if before.status is SubscriptionStatus.PAUSED:
        told = await pauses.end(connection, held, now, command.command_id)
        return {"subscription_id": str(before.id), **told}
    await life.forget_pause(connection, before.id)
    taken_back: dict[str, Json] = {
        "pause_at": iso(before.pause_at),
        "resume_at": iso(before.resume_at),
        "keeps": before.pause_keeps,
    }
    data = {**taken_back, "at": now.isoformat()}
    await outbox.write(connection, [Event(EventName.SUBSCRIPTION_PAUSE_WITHDRAWN, before.id, data)])
    return {"subscription_id": str(before.id), "status": before.status, **taken_back}
