"""How many messages wait in Redis, asked once and with a bound on the answer."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from shared.jobs.contracts import CHARGE_QUEUE, EVENT_QUEUE, INQUIRY_QUEUE, SCAN_QUEUE
from worker.console.endings import MisusedError
from worker.console.health import Queues

QUEUES = (CHARGE_QUEUE, INQUIRY_QUEUE, EVENT_QUEUE, SCAN_QUEUE)
_TIMEOUT_S = 3.0


def measure(url: str) -> Queues:
    """Return the length of every queue, or the fault that keeps it from being known.

    Raises:
        MisusedError: The address cannot be read.
    """
    try:
        client = Redis.from_url(
            url,
            socket_connect_timeout=_TIMEOUT_S,
            socket_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        # What the parser says is left out, for it may quote a password.
        raise MisusedError("DALMADA_REDIS_URL is not an address: redis://host:6379/0") from None
    try:
        # Messages are lists whose name is the queue's; a priority would add a suffix, and none is
        # ever set.
        return Queues({queue: client.llen(queue) for queue in QUEUES})
    except (RedisError, OSError) as error:
        words = " ".join(str(error).split())
        return Queues({}, f"Redis cannot be reached: {words} (is DALMADA_REDIS_URL right?)")
    finally:
        client.close()
