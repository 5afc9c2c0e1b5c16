"""Take in the wish to end a subscription; the end itself comes with a scan, when its time has."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.cancellation import Cancellation, CancelWhen, end_of_use
from shared.billing.errors import BillingError, InvalidCancellationError
from shared.billing.events import Event, EventName, Json
from shared.billing.lifecycle import SubscriptionStatus
from shared.db import endings, life, outbox, pauses, subscriptions
from shared.db.endings import Ending
from shared.db.life import Life
from shared.jobs.commands import CancelSubscription
from worker.services.commanding import CommandRefusedError


async def cancel_subscription(
    connection: AsyncConnection, command: CancelSubscription, now: datetime
) -> dict[str, Json]:
    """Write when a subscription ends, why and what goes back; from then on nothing is collected.

    Raises:
        CommandRefusedError: It is unknown, has ended or ends as early already, or the wish
            contradicts itself.
    """
    try:
        asked = Cancellation(
            command.when, command.reason, command.requester, command.refund, command.late_payment
        )
    except BillingError as error:
        raise CommandRefusedError(str(error)) from error
    ending = await _locked(connection, command)
    if ending is None:
        message = f"there is no subscription {command.subscription_id}"
        raise CommandRefusedError(message)
    if ending.status is SubscriptionStatus.CANCELED:
        raise CommandRefusedError(_ended(ending))
    cancel_at = await _cancel_at(connection, command, ending, now)
    replaced = ending.wish.cancel_at if ending.wish else None
    if replaced is not None and cancel_at >= replaced:
        raise CommandRefusedError(_ends_already(replaced, now))
    if command.when is CancelWhen.NOW:
        await _let_go_on(connection, command, ending, now)
    await endings.ask(connection, command.subscription_id, asked, cancel_at)
    told: dict[str, Json] = {
        "when": asked.when,
        "cancel_at": cancel_at.isoformat(),
        "replaced_cancel_at": replaced.isoformat() if replaced else None,
        "refund": asked.refund,
        "late_payment": asked.late,
    }
    event = Event(
        EventName.SUBSCRIPTION_CANCELLATION_SCHEDULED,
        command.subscription_id,
        {**told, "reason": asked.reason, "requester": asked.requester, "at": now.isoformat()},
    )
    await outbox.write(connection, [event])
    return {"subscription_id": str(command.subscription_id), **told}


async def _locked(connection: AsyncConnection, command: CancelSubscription) -> Ending | None:
    """Lock a subscription, and before it the invoice of a period that a pause may move.

    Any other invoice is left alone: whoever claims it at this instant is not waited for.
    """
    subscription_id = command.subscription_id
    savepoint = await connection.begin_nested()
    ending = await endings.lock(connection, subscription_id)
    if ending is None or not (_stands_still(ending) or _waits_in_pause(command, ending)):
        await savepoint.commit()
        return ending
    await savepoint.rollback()
    await life.hold(connection, subscription_id)
    return await endings.lock(connection, subscription_id)


def _stands_still(ending: Ending) -> bool:
    """Say whether a pause keeps what is left of the running period."""
    return ending.status is SubscriptionStatus.PAUSED and ending.decided_until is None


def _waits_in_pause(command: CancelSubscription, ending: Ending) -> bool:
    """Say whether the end is that of a period which a pause may have skipped, or let begin."""
    is_paused = ending.status is SubscriptionStatus.PAUSED
    return is_paused and command.when is CancelWhen.PERIOD_END


async def _cancel_at(
    connection: AsyncConnection, command: CancelSubscription, ending: Ending, now: datetime
) -> datetime:
    """Return when the end comes; only the end of a period needs a calendar that can be counted.

    A pause that is over ends first, or the period that began after it would not be used.
    """
    if command.when is CancelWhen.NOW:
        return now
    try:
        if _waits_in_pause(command, ending):
            await _end_what_is_over(connection, command, now)
        subscription = await subscriptions.get(connection, command.subscription_id)
        if subscription is not None:
            return end_of_use(subscription, now)
    except InvalidCancellationError as error:
        raise CommandRefusedError(str(error)) from error
    except BillingError as error:
        message = f"the end of its period cannot be counted: {error}; cancel now instead"
        raise CommandRefusedError(message) from error
    raise AssertionError  # pragma: no cover - it is locked


async def _let_go_on(
    connection: AsyncConnection, command: CancelSubscription, ending: Ending, now: datetime
) -> None:
    """Have a period that stands still end when it would if the pause was over now.

    What goes back of it is counted by the days that are left of it, and they are still all there.
    A pause that is over already, and that no scan has seen yet, ends as the scan would end it: the
    period has gone on since then, and the scan must not find it standing still once more.
    """
    if not _stands_still(ending):
        return
    held = await _end_what_is_over(connection, command, now)
    if held is not None:
        await pauses.let_go_on(connection, held, pauses.resumption(held, now))


async def _end_what_is_over(
    connection: AsyncConnection, command: CancelSubscription, now: datetime
) -> Life | None:
    """End the pause of a subscription if it is over; return the subscription if it is not."""
    held = await life.lock(connection, command.subscription_id)
    if held is None or not pauses.is_over(held.subscription, now):
        return held
    await pauses.end(connection, held, now, command.command_id)
    return None


def _ended(ending: Ending) -> str:
    if ending.canceled_at is None:
        return "the subscription has ended already"
    return f"the subscription ended already, at {ending.canceled_at.isoformat()}"


def _ends_already(cancel_at: datetime, now: datetime) -> str:
    if cancel_at <= now:
        return f"the subscription is being ended already, as of {cancel_at.isoformat()}"
    return (
        f"the subscription ends already at {cancel_at.isoformat()}, which is no later than asked"
        " for; to end it before that, cancel now"
    )
