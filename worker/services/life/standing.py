"""Where a subscription stands, for whoever is about to move it on; refused in words if nowhere."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.subscription import Subscription
from shared.db import life
from shared.db.life import Life
from worker.services.commanding import CommandRefusedError


async def standing(connection: AsyncConnection, subscription_id: UUID) -> Life:
    """Lock a subscription and return where it stands.

    Raises:
        CommandRefusedError: There is none of this id.
    """
    found = await life.lock(connection, subscription_id)
    if found is None:
        message = f"there is no subscription {subscription_id}"
        raise CommandRefusedError(message)
    return found


async def going_on(connection: AsyncConnection, subscription_id: UUID, now: datetime) -> Life:
    """Lock a subscription that has not ended and shall not end, and return where it stands.

    Raises:
        CommandRefusedError: There is none of this id, or its end has come or has been asked for.
    """
    found = await standing(connection, subscription_id)
    require_going_on(found.subscription, now)
    return found


def require_going_on(subscription: Subscription, now: datetime) -> None:
    """Refuse what is of no use to a subscription that has ended, or that will."""
    if subscription.status is SubscriptionStatus.CANCELED:
        message = "the subscription has ended: subscription.reactivate begins it again"
        raise CommandRefusedError(message)
    if subscription.cancel_at is None:
        return
    at = subscription.cancel_at.isoformat()
    if subscription.cancel_at <= now:
        message = f"the subscription is being ended, as of {at}"
    else:
        message = (
            f"the subscription ends at {at}: take the end back with subscription.reactivate first"
        )
    raise CommandRefusedError(message)
