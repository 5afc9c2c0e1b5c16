"""Beat with a lease: run two, and one ticks.

The lease saves work, it does not keep anything safe: a leader that is paused past its lease may
still send one tick beside the new one, and every scan is safe to run twice. So losing Redis is no
reason to end either: a beat that cannot reach it stands by and tries again.
"""

import os
import socket
import uuid
from typing import Any

import structlog
from celery.beat import Scheduler
from redis import Redis
from redis.exceptions import RedisError

from shared.config import load
from shared.jobs.beat import LEASE_KEY

log = structlog.get_logger(__name__)

# How often a beat that stands by looks whether the lease is free, as a share of the lease.
_STANDBY_SHARE = 1 / 3
_RENEW = """
if redis.call('get', KEYS[1]) == ARGV[1] then
    return redis.call('pexpire', KEYS[1], ARGV[2])
end
return redis.call('set', KEYS[1], ARGV[1], 'nx', 'px', ARGV[2]) and 1 or 0
"""
_RELEASE = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0
"""


class Lease:
    """A key in Redis that one process holds and keeps alive."""

    def __init__(self, redis: "Redis", key: str, duration_s: float) -> None:
        """Take the client, the key and how long the lease holds without renewal."""
        self._redis = redis
        self._key = key
        self._duration_ms = int(duration_s * 1000)
        self._token = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        self._renew = redis.register_script(_RENEW)
        self._release = redis.register_script(_RELEASE)

    def hold(self) -> bool:
        """Take or renew the lease; False while another process holds it or Redis is away."""
        try:
            return bool(self._renew(keys=[self._key], args=[self._token, self._duration_ms]))
        except RedisError as error:
            reason = " ".join(str(error).split())
            log.warning("beat_lease_unreachable", error=type(error).__name__, reason=reason)
            return False

    def release(self) -> None:
        """Give the lease up, so that the next leader need not wait for its end."""
        try:
            self._release(keys=[self._key], args=[self._token])
        except RedisError as error:
            log.warning("beat_lease_unreachable", error=type(error).__name__)


class LeaderScheduler(Scheduler):
    """Celery's scheduler, ticking only while it holds the lease."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Prepare the lease; nothing is asked of Redis yet."""
        settings = load()
        self._lease = Lease(
            Redis.from_url(
                settings.redis_url.get_secret_value(), socket_timeout=2, socket_connect_timeout=2
            ),
            LEASE_KEY,
            settings.leader_lease_s,
        )
        self._standby_s = settings.leader_lease_s * _STANDBY_SHARE
        self._leads = False
        self._is_closed = False
        super().__init__(*args, **kwargs)
        # The leader must come back to renew its lease well before it ends.
        self.max_interval = max(1, int(self._standby_s))

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due if this process leads; return the seconds until the next look.

        Raises:
            SystemExit: It was closed, by the signal to end. That raises it as well, in the middle
                of whatever is done; what is done then, an exchange with the broker above all, may
                turn it into an error of its own, which Celery survives.
        """
        if self._is_closed:
            raise SystemExit
        leads = self._lease.hold()
        if leads != self._leads:
            self._leads = leads
            log.info("beat_leads" if leads else "beat_stands_by")
        if not leads:
            return self._standby_s
        return min(super().tick(*args, **kwargs), self._standby_s)

    def close(self) -> None:
        """Give the lease up and close, for good."""
        self._is_closed = True
        if self._leads:
            self._lease.release()
        super().close()
