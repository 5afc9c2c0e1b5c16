"""Take back a change that has not come into effect."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Event, EventName, Json
from shared.db import agreement_writes, notices, outbox
from shared.jobs.life_commands import WithdrawChange
from worker.services.commanding import CommandRefusedError
from worker.services.life.standing import standing


async def withdraw_change(
    connection: AsyncConnection, command: WithdrawChange, now: datetime
) -> dict[str, Json]:
    """Handle ``subscription.withdraw_change``.

    Raises:
        CommandRefusedError: The subscription or the change is unknown, or it is pending no more.
    """
    # No renewal applies it meanwhile.
    await standing(connection, command.subscription_id)
    id_, change_id = command.subscription_id, command.change_id
    if not await agreement_writes.withdraw(connection, id_, change_id):
        status = await agreement_writes.standing_of(connection, id_, change_id)
        message = f"there is no change {change_id} of subscription {id_}"
        if status is not None:
            message = f"change {change_id} is {status} already: only a pending one is taken back"
        raise CommandRefusedError(message)
    # It may have been what kept another one's first period away.
    await notices.look_again(connection, id_, now)
    data: dict[str, Json] = {"change_id": change_id, "at": now.isoformat()}
    event = Event(EventName.SUBSCRIPTION_CHANGE_WITHDRAWN, id_, data)
    await outbox.write(connection, [event])
    return {"subscription_id": str(id_), "change_id": change_id}
