"""Switch on or off whether declined invoices of a subscription are tried again by themselves."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.charge_hours import ChargeHours
from shared.billing.events import Event, EventName, Json
from shared.billing.lifecycle import SubscriptionStatus
from shared.db import outbox, retries
from shared.jobs.life_commands import SwitchDunning as SwitchCommand
from worker.services.commanding import CommandRefusedError
from worker.services.life.standing import standing


@dataclass(frozen=True, slots=True)
class SwitchDunning:
    """Handle ``subscription.dunning``.

    Off, a declined invoice rests until its buyer tries it, the payment method is changed or its
    grace period ends; on again, what has rested is tried at the next hour for it.
    """

    hours: ChargeHours = field(default_factory=ChargeHours)

    async def __call__(
        self, connection: AsyncConnection, command: SwitchCommand, now: datetime
    ) -> dict[str, Json]:
        """Write the switch, and have tried what has rested.

        Raises:
            CommandRefusedError: The subscription is unknown or has ended.
        """
        # Its invoices first: a claim that saw the switch as it was has written by then what rests.
        await retries.lock_open(connection, command.subscription_id)
        found = (await standing(connection, command.subscription_id)).subscription
        if found.status is SubscriptionStatus.CANCELED:
            message = "the subscription has ended: nothing of it is tried again"
            raise CommandRefusedError(message)
        enabled = command.enabled
        changed = await retries.switch_dunning(connection, found.id, enabled=enabled)
        due = 0
        if enabled:
            due = await retries.make_due(connection, found.id, self.hours.next(now))
        told: dict[str, Json] = {"enabled": enabled, "invoices_due": due}
        if changed:
            event = Event(
                EventName.SUBSCRIPTION_DUNNING_SWITCHED, found.id, {**told, "at": now.isoformat()}
            )
            await outbox.write(connection, [event])
        return {"subscription_id": str(found.id), **told}
