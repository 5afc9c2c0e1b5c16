"""Take back the end of a subscription, or begin it again after it has ended."""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import BillingCycle
from shared.billing.consent import ConsentKind
from shared.billing.events import Event, EventName, Json, iso
from shared.billing.lifecycle import Happening, SubscriptionStatus, moved
from shared.billing.subscription import BillingKeyStatus, Subscription
from shared.db import agreement_writes, billing_keys, life, notices, outbox
from shared.db.life import Life
from shared.jobs.life_commands import ReactivateSubscription
from worker.services.commanding import CommandRefusedError
from worker.services.life.consenting import consent_of, keep
from worker.services.life.rules import LifeRules
from worker.services.life.standing import standing


@dataclass(frozen=True, slots=True)
class Reactivate:
    """Handle ``subscription.reactivate``."""

    rules: LifeRules

    async def __call__(
        self, connection: AsyncConnection, command: ReactivateSubscription, now: datetime
    ) -> dict[str, Json]:
        """Have the subscription go on, or refuse it in words."""
        held = await standing(connection, command.subscription_id)
        status = held.subscription.status
        if status is not SubscriptionStatus.CANCELED:
            return await _take_back(connection, held.subscription, now)
        moved(status, Happening.REACTIVATE)
        if held.closed_at is None:
            message = (
                "the subscription is still being wound up: wait until nothing of it is under way"
                " (closed_at), then reactivate it"
            )
            raise CommandRefusedError(message)
        # Held, so that nobody takes it away meanwhile.
        key = await billing_keys.hold(connection, held.subscription.billing_key_id)
        if key is not BillingKeyStatus.ACTIVE:
            message = (
                f"the billing key is {key}: have the buyer register one, and begin with"
                " subscription.start, or with the same key once it is registered again"
            )
            raise CommandRefusedError(message)
        return await self._begin_again(connection, command, held, now)

    async def _begin_again(
        self,
        connection: AsyncConnection,
        command: ReactivateSubscription,
        held: Life,
        now: datetime,
    ) -> dict[str, Json]:
        """Anchor a new cycle now; its first period is the next one, left to the scan."""
        before = held.subscription
        amount = before.agreement.total.amount
        consented = before.consented_amount or 0
        self.rules.require_collectable(before.agreement.total)
        if command.consent is not None:
            new = consent_of(
                before.id,
                command.consent,
                ConsentKind.SIGN_UP,
                (consented, amount),
                now,
                command.command_id,
            )
            await keep(connection, self.rules.consent, new, now)
            consented = amount
        elif self.rules.consent.required and amount > consented:
            message = (
                f"the buyer has agreed to {consented:,} won a period, and it costs {amount:,}: give"
                " a consent"
            )
            raise CommandRefusedError(message)
        index, cycle = before.next_period_index, before.agreement.cycle
        begins_at, dropped = await _settle_the_end(connection, held, now)
        anew = BillingCycle(begins_at, cycle.interval, cycle.time_zone, index)
        after = replace(
            before,
            agreement=replace(before.agreement, cycle=anew),
            status=moved(before.status, Happening.REACTIVATE),
            next_renewal_at=begins_at,
            consented_amount=max(consented, amount),
            pause_at=None,
            resume_at=None,
            pause_keeps=None,
        )
        await life.forget_end(connection, before.id)
        await life.move(connection, after)
        await notices.look_again(connection, before.id, now)
        data: dict[str, Json] = {
            "canceled_at": iso(held.canceled_at),
            "period_index": index,
            "amount": amount,
            "dropped_adjustment_ids": dropped,
            "at": now.isoformat(),
        }
        await outbox.write(connection, [Event(EventName.SUBSCRIPTION_REACTIVATED, before.id, data)])
        return {
            "subscription_id": str(before.id),
            "status": after.status,
            "next_period_index": index,
            "next_renewal_at": begins_at.isoformat(),
        }


async def _settle_the_end(
    connection: AsyncConnection, held: Life, now: datetime
) -> tuple[datetime, list[int]]:
    """Have the last period be over where the end has cut it; return from when on a new one may be.

    Its days after the end were not used, and were given back if the end said so: what was to be
    charged or credited for them is neither owed nor due back. What counts no more is returned, too.
    """
    before, running, ended_at = held.subscription, held.running, held.canceled_at or now
    end_at, free_at = before.agreement.cycle.period(before.next_period_index).start_at, now
    if running is not None:
        end_at = running.period.end_at
        free_at = max(now, await life.cut(connection, running, ended_at))
    if ended_at >= end_at:
        return free_at, []
    return free_at, await agreement_writes.drop_prorations(connection, before.id)


async def _take_back(
    connection: AsyncConnection, subscription: Subscription, now: datetime
) -> dict[str, Json]:
    """Take back an end that has not come."""
    cancel_at = subscription.cancel_at
    if cancel_at is None:
        message = f"the subscription is {subscription.status}, and no end of it was asked for"
        raise CommandRefusedError(message)
    if cancel_at <= now:
        message = (
            f"the subscription is being ended, as of {cancel_at.isoformat()}: wait until nothing of"
            " it is under way, then reactivate it"
        )
        raise CommandRefusedError(message)
    await life.forget_end(connection, subscription.id)
    data: dict[str, Json] = {"cancel_at": cancel_at.isoformat(), "at": now.isoformat()}
    name = EventName.SUBSCRIPTION_CANCELLATION_WITHDRAWN
    await outbox.write(connection, [Event(name, subscription.id, data)])
    return {
        "subscription_id": str(subscription.id),
        "status": subscription.status,
        "next_period_index": subscription.next_period_index,
        "next_renewal_at": iso(subscription.next_renewal_at),
    }
