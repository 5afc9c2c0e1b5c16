"""Deliver events to merchants' endpoints: claim, post, settle.

1. *Claim*, in one transaction: a lease on what is due, and which try it is.
2. *Post*, with no transaction open: one request, never repeated here.
3. *Settle*, under compare-and-set by the number of the try.

A death in between leaves a lease that runs out, and the event is delivered again under the same id.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.delivery import Answer, DeliveryPolicy, DeliveryStatus, Tried, after_try
from shared.billing.events import Event, EventName, Json
from shared.clock import Clock
from shared.db import deliveries, endpoints, outbox
from shared.db.deliveries import Parcel
from shared.db.engine import Database
from worker.services.ports import PostEvent

log = structlog.get_logger(__name__)

# How long after its claim an event may still be posted, and how much longer than that and the
# post's own time-out a claim holds.
_SEND_WINDOW = timedelta(seconds=10)
_LEASE_MARGIN = timedelta(seconds=30)
# How long one message goes on with what is due next: hands are needed for other endpoints too.
_GOES_ON_FOR_S = 15.0
_GONE = "the endpoint answered 410 Gone"


@dataclass(frozen=True, slots=True)
class DeliverEvents:
    """Deliver those of the events that are due, and what is due next at their endpoint.

    Attributes:
        post_timeout: After how long a post has ended, whatever the endpoint does.
    """

    database: Database
    post: PostEvent
    clock: Clock
    policy: DeliveryPolicy
    post_timeout: timedelta

    async def __call__(self, delivery_ids: Sequence[int]) -> list[str]:
        """Return the name of every ending, for people."""
        until_s = self.clock.boot_s() + _GOES_ON_FOR_S
        # Read before the claim is written, so that the send window never outlives the lease.
        claimed_at_s, now = self.clock.boot_s(), self.clock.now()
        claimed = await self.database.run(
            lambda connection: deliveries.claim(connection, delivery_ids, now, self._lease)
        )
        endings = await asyncio.gather(
            *(self._deliver_on(parcel, claimed_at_s, until_s) for parcel in claimed)
        )
        return [ending for several in endings for ending in several]

    @property
    def _lease(self) -> timedelta:
        return _SEND_WINDOW + self.post_timeout + _LEASE_MARGIN

    async def _deliver_on(
        self, parcel: Parcel | None, claimed_at_s: float, until_s: float
    ) -> list[str]:
        """Deliver one event after another to an endpoint until one fails or time is up."""
        endings: list[str] = []
        while parcel is not None:
            endings.append(await self._deliver(parcel, claimed_at_s))
            if endings[-1] != DeliveryStatus.DELIVERED or self.clock.boot_s() >= until_s:
                break
            claimed_at_s = self.clock.boot_s()
            parcel = await self._claim_next(parcel)
        return endings

    async def _claim_next(self, after: Parcel) -> Parcel | None:
        now = self.clock.now()
        return await self.database.run(
            lambda connection: deliveries.claim_next(connection, after, now, self._lease)
        )

    async def _deliver(self, parcel: Parcel, claimed_at_s: float) -> str:
        if self.clock.boot_s() - claimed_at_s > _SEND_WINDOW.total_seconds():
            # The process stood still: by now another may be about to deliver it.
            return "late"
        answer = await self._post(parcel)
        tried = after_try(
            answer, parcel.delivery_id, parcel.failures, self.policy, self.clock.now()
        )
        _tell(parcel, answer, tried)
        try:
            return await self.database.run(
                lambda connection: self._settle(connection, parcel, answer, tried)
            )
        except SQLAlchemyError as error:
            # It stays claimed; after the lease it is delivered again.
            log.exception(
                "settlement_failed", delivery_id=parcel.delivery_id, error=type(error).__name__
            )
            return "unsettled"

    async def _post(self, parcel: Parcel) -> Answer:
        try:
            return await self.post(parcel, self.clock.now())
        except Exception as error:
            log.exception("delivery_failed", delivery_id=parcel.delivery_id)
            return Answer(None, f"{type(error).__name__} in our own code")

    async def _settle(
        self, connection: AsyncConnection, parcel: Parcel, answer: Answer, tried: Tried
    ) -> str:
        now = self.clock.now()
        if not await deliveries.settle(connection, parcel, answer, tried, now):
            return "tried again meanwhile"
        if answer.is_delivered:
            await endpoints.note_success(connection, parcel.endpoint_id)
            return DeliveryStatus.DELIVERED
        since = await endpoints.note_failure(connection, parcel.endpoint_id, now)
        if since is not None:
            await self._judge(connection, parcel.endpoint_id, tried, since, now)
        return "failed" if tried.status is DeliveryStatus.WAITING else str(tried.status)

    async def _judge(
        self,
        connection: AsyncConnection,
        endpoint_id: int,
        tried: Tried,
        since: datetime,
        now: datetime,
    ) -> None:
        """Disable an endpoint that wants nothing any more, or has failed for days."""
        if tried.is_gone:
            reason = _GONE
        elif now - since >= self.policy.disable_after:
            reason = f"nothing could be delivered since {since.isoformat()}"
        else:
            return
        if await endpoints.disable(connection, endpoint_id, reason, now, failing_since=since):
            await outbox.write(connection, [_disabled(endpoint_id, reason, since, now)])
            log.error("endpoint_disabled", endpoint_id=endpoint_id, reason=reason)


def _tell(parcel: Parcel, answer: Answer, tried: Tried) -> None:
    """Log what failed: the endpoint by its number, for its address may hold a token."""
    if tried.status is DeliveryStatus.DELIVERED:
        return
    write = log.error if tried.status is DeliveryStatus.GIVEN_UP else log.warning
    write(
        "event_given_up" if tried.status is DeliveryStatus.GIVEN_UP else "event_not_delivered",
        endpoint_id=parcel.endpoint_id,
        event_id=parcel.event_id,
        status=answer.status,
        cause=answer.cause,
        failures=tried.failures,
    )


def _disabled(endpoint_id: int, reason: str, since: datetime, now: datetime) -> Event:
    data: dict[str, Json] = {
        "endpoint_id": endpoint_id,
        "reason": reason,
        "failing_since": since.isoformat(),
        "at": now.isoformat(),
    }
    return Event(EventName.ENDPOINT_DISABLED, None, data)
