"""Have the charges of a subscription made by us, or by PortOne at an instant reserved ahead."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Event, EventName, Json
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.reserving import CollectBy
from shared.db import outbox, reserved_periods
from shared.jobs.life_commands import CollectSubscription
from worker.services.commanding import CommandRefusedError
from worker.services.life.standing import standing


async def switch_collection(
    connection: AsyncConnection, command: CollectSubscription, now: datetime
) -> dict[str, Json]:
    """Handle ``subscription.collect``; it holds from the next period on.

    There is never a second collector: what PortOne holds already is revoked by whoever works the
    command (``handlers``), and until that is certain its period is billed by nobody.

    Raises:
        CommandRefusedError: The subscription is unknown or has ended.
    """
    found = (await standing(connection, command.subscription_id)).subscription
    if found.status is SubscriptionStatus.CANCELED:
        message = "the subscription has ended: nothing of it is collected any more"
        raise CommandRefusedError(message)
    changed = await reserved_periods.switch(connection, found.id, command.by)
    if changed:
        await outbox.write(connection, [switched(found.id, command.by, now)])
    return {"subscription_id": str(found.id), "by": command.by}


def switched(subscription_id: UUID, by: CollectBy, now: datetime) -> Event:
    """Return what is told of a subscription that is collected otherwise from here on."""
    data: dict[str, Json] = {"by": by, "at": now.isoformat()}
    return Event(EventName.SUBSCRIPTION_COLLECTION_SWITCHED, subscription_id, data)
