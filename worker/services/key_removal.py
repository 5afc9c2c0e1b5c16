"""Take a payment method away: reservations first, then the billing key, at PortOne and at Naver."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Event, EventName, Json
from shared.billing.inquiry import StillUnresolved
from shared.billing.refund import require_reason
from shared.billing.subscription import BillingKeyStatus
from shared.billing.window import expired
from shared.clock import Clock
from shared.db import billing_keys, dead_letters, outbox, windows
from shared.db.billing_keys import Removal, StoredKey
from shared.db.engine import Database
from shared.jobs.commands import DeleteBillingKey
from shared.jobs.contracts import RemoveBillingKeys as RemoveJob
from worker.services.commanding import CommandRefusedError
from worker.services.ports import KeyGateway

log = structlog.get_logger(__name__)

_ASKED_AWAY = "the billing key is being deleted"


@dataclass(frozen=True, slots=True)
class AskKeyRemoval:
    """Handle ``billing_key.delete``: from here on the key is not charged."""

    async def __call__(
        self, connection: AsyncConnection, command: DeleteBillingKey, now: datetime
    ) -> dict[str, Json]:
        """Note the wish, or refuse it in words; what the gateway must do is left to the scan."""
        reason = require_reason(command.reason)
        key = await billing_keys.lock(connection, command.customer_uid)
        if key is None:
            message = "there is no billing key under this customer_uid"
            raise CommandRefusedError(message)
        await _require_removable(connection, key)
        await billing_keys.ask_removal(connection, key.id, reason, command.requester, now)
        left = await windows.expire_open(connection, key.id, _ASKED_AWAY, now)
        await outbox.write(connection, [expired(window, _ASKED_AWAY, now) for window in left])
        return {"billing_key_id": key.id, "status": BillingKeyStatus.DELETING}


async def _require_removable(connection: AsyncConnection, key: StoredKey) -> None:
    """Refuse to take away what is gone, or what somebody is billed with."""
    if key.status in {BillingKeyStatus.DELETING, BillingKeyStatus.DELETED}:
        message = f"the billing key is {key.status} already: nothing is left to be done"
        raise CommandRefusedError(message)
    use = await billing_keys.use_of(connection, key.id)
    if use.subscriptions:
        message = (
            f"{use.subscriptions} subscriptions are billed with the billing key: cancel them, and "
            "wait for their end, then delete it"
        )
        raise CommandRefusedError(message)
    if use.attempts:
        message = (
            f"{use.attempts} charges of the billing key are under way: wait until their outcome is "
            "known, then delete it"
        )
        raise CommandRefusedError(message)


@dataclass(frozen=True, slots=True)
class RemoveBillingKeys:
    """Have the gateway forget billing keys; what it does not confirm is tried again.

    Attributes:
        deadline: After how long without success a person is called; it is tried on all the same.
    """

    database: Database
    gateway: KeyGateway
    clock: Clock
    deadline: timedelta

    async def __call__(self, key_ids: Sequence[int]) -> list[str]:
        """Return the name of every ending, for people."""
        found = await self.database.run(
            lambda connection: billing_keys.removals(connection, key_ids)
        )
        return list(await asyncio.gather(*(self._remove(removal) for removal in found)))

    async def _remove(self, removal: Removal) -> str:
        failed = await self._ask(removal)
        if failed is None:
            return await self.database.run(lambda connection: self._write(connection, removal))
        log.warning("billing_key_not_removed", billing_key_id=removal.key_id, cause=failed.cause)
        if self.clock.now() - removal.asked_at >= self.deadline:
            await self.database.run(
                lambda connection: _call_a_person(connection, removal, failed.cause)
            )
        return "later"

    async def _ask(self, removal: Removal) -> StillUnresolved | None:
        """Have the gateway forget a key; the reservations first, for they outlive it."""
        try:
            return await self.gateway.revoke_schedules(
                removal.customer_uid
            ) or await self.gateway.delete_key(
                removal.customer_uid, reason=removal.reason, requester=removal.requester
            )
        except Exception as error:
            log.exception("billing_key_removal_failed", billing_key_id=removal.key_id)
            return StillUnresolved(f"{type(error).__name__} in our own code")

    async def _write(self, connection: AsyncConnection, removal: Removal) -> str:
        if not await billing_keys.removed(connection, removal.key_id):
            return "deleted already"
        await outbox.write(connection, [_deleted(removal, self.clock.now())])
        return "deleted"


async def _call_a_person(connection: AsyncConnection, removal: Removal, cause: str) -> None:
    """Keep the removal for a person, once; working its letter again is harmless."""
    job = RemoveJob(billing_key_ids=(removal.key_id,))
    message = {"queue": job.queue, "args": [], "kwargs": job.model_dump(mode="json")}
    await dead_letters.bury_message_once(
        connection, job.task, f"not removed since {removal.asked_at}: {cause}", message
    )


def _deleted(removal: Removal, now: datetime) -> Event:
    data: dict[str, Json] = {
        "billing_key_id": removal.key_id,
        "reason": removal.reason,
        "requester": removal.requester,
        "at": now.isoformat(),
    }
    return Event(EventName.BILLING_KEY_DELETED, None, data)
