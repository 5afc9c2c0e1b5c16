"""Events onto a Redis stream, in order; a reader knows a repetition by the event's id."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from shared.db.outbox import StoredEvent


@dataclass(frozen=True, slots=True)
class StreamPublisher:
    """Appends events to one stream, whose length is bounded."""

    redis: Redis
    stream: str
    length_max: int

    async def __call__(self, events: Sequence[StoredEvent]) -> None:
        """Append events in one round trip, in order."""
        pipeline = self.redis.pipeline(transaction=False)
        for event in events:
            pipeline.xadd(
                self.stream,
                {
                    "id": str(event.id),
                    "name": event.name,
                    "subscription_id": str(event.subscription_id or ""),
                    "created_at": event.created_at.isoformat(),
                    "data": json.dumps(event.data, ensure_ascii=False, separators=(",", ":")),
                },
                maxlen=self.length_max,
                approximate=True,
            )
        await pipeline.execute()
