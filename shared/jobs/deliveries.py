"""How often a message came back, because whoever worked it died before the end.

A message that kills its worker is handed to the next one for ever, and no scan stands behind a
command that could look for the reason. So deliveries without an end are counted, on the broker,
where the message is: whoever empties one empties the other.
"""

from dataclasses import dataclass

from redis.asyncio import Redis

# Longer than the broker keeps a message that nobody acknowledges, several times over.
_KEPT_FOR_S = 86_400


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Counts on the broker, one for each message that came back."""

    redis: Redis

    async def begin(self, tag: str) -> int:
        """Return how many deliveries of a message that came back have begun since one ended."""
        pipeline = self.redis.pipeline(transaction=True)
        pipeline.incr(_key(tag))
        pipeline.expire(_key(tag), _KEPT_FOR_S)
        begun, _ = await pipeline.execute()
        return int(begun)

    async def end(self, tag: str) -> None:
        """Forget the deliveries of a message, for whoever worked it lives."""
        await self.redis.delete(_key(tag))


def _key(tag: str) -> str:
    return f"dalmada:deliveries:{tag}"
