"""Redis: how many messages wait there, and one more published; both with a bound on the answer."""

import asyncio
from collections.abc import Awaitable, Callable

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from shared.jobs.contracts import (
    CHARGE_QUEUE,
    COMMAND_QUEUE,
    EVENT_QUEUE,
    INQUIRY_QUEUE,
    REFUND_QUEUE,
    SCAN_QUEUE,
    WEBHOOK_QUEUE,
)
from shared.jobs.enqueue import RedisEnqueue
from worker.console.endings import MisusedError
from worker.console.health import Queues
from worker.services.commanding import CommandRefusedError
from worker.services.letters import Parcel

QUEUES = (
    CHARGE_QUEUE,
    INQUIRY_QUEUE,
    REFUND_QUEUE,
    COMMAND_QUEUE,
    WEBHOOK_QUEUE,
    EVENT_QUEUE,
    SCAN_QUEUE,
)
_TIMEOUT_S = 3.0
# What the parser says of an address is left out, for it may quote a password.
_BAD_URL = "DALMADA_REDIS_URL is not an address: redis://host:6379/0"


def connect(url: str) -> Redis:
    """Return a client that asks once, and not for long; nothing is connected yet.

    Raises:
        MisusedError: The address cannot be read.
    """
    try:
        return Redis.from_url(
            url,
            socket_connect_timeout=_TIMEOUT_S,
            socket_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        raise MisusedError(_BAD_URL) from None


def measure(url: str) -> Queues:
    """Return the length of every queue, or the fault that keeps it from being known.

    Raises:
        MisusedError: The address cannot be read.
    """
    client = connect(url)
    try:
        # Messages are lists whose name is the queue's; a priority would add a suffix, and none is
        # ever set.
        return Queues({queue: client.llen(queue) for queue in QUEUES})
    except (RedisError, OSError) as error:
        return Queues({}, _away(error))
    finally:
        client.close()


def publisher(url: str) -> Callable[[Parcel], Awaitable[None]]:
    """Return whoever publishes a message once, or refuses in words.

    Raises:
        MisusedError: The address cannot be read.
    """
    try:
        client = AsyncRedis.from_url(
            url,
            socket_connect_timeout=_TIMEOUT_S,
            socket_timeout=_TIMEOUT_S,
            retry=AsyncRetry(NoBackoff(), 0),
        )
    except ValueError:
        raise MisusedError(_BAD_URL) from None

    async def publish(parcel: Parcel) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await RedisEnqueue(client).again(
                    parcel.task, parcel.queue, parcel.args, parcel.kwargs
                )
        except (RedisError, OSError, TimeoutError) as error:
            raise CommandRefusedError(
                f"{_away(error)} The letter waits as before; to publish its message twice would"
                " harm nothing, so ask again."
            ) from None
        finally:
            await client.aclose()

    return publish


def _away(error: Exception) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return f"Redis cannot be reached: {words} (is DALMADA_REDIS_URL right?)."
