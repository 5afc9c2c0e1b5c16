"""The only place that sends a message."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

from redis.asyncio import Redis

from shared.jobs.contracts import Job
from shared.jobs.envelope import envelope

if TYPE_CHECKING:
    from celery import Celery

T = TypeVar("T")


class Enqueue(Protocol):
    """Whoever can send messages."""

    async def __call__(self, jobs: Sequence[Job]) -> None:
        """Send every job once; a job that is lost is sent again by the next scan."""

    async def waiting(self, queue: str) -> int:
        """Return how many messages wait in a queue."""


class CeleryEnqueue:
    """Sends through Celery's producer, off the event loop, several messages a round trip."""

    def __init__(self, app: "Celery", redis: Redis) -> None:
        """Take the app whose broker is used, and a client of the same broker to count messages."""
        self._app = app
        self._redis = redis

    async def __call__(self, jobs: Sequence[Job]) -> None:
        """Send every job once."""
        if jobs:
            await asyncio.to_thread(self._publish, jobs)

    async def waiting(self, queue: str) -> int:
        """Return how many messages wait in a queue, those being worked left out."""
        return int(await self._redis.llen(queue))

    def _publish(self, jobs: Sequence[Job]) -> None:
        with self._app.producer_pool.acquire(block=True, timeout=10) as producer:
            for job in jobs:
                self._app.send_task(
                    job.task,
                    kwargs=job.model_dump(mode="json"),
                    queue=job.queue,
                    producer=producer,
                    ignore_result=True,
                )


@dataclass(frozen=True, slots=True)
class RedisEnqueue:
    """Sends one message straight to its list: one round trip, no thread, no repetition of ours.

    How long it may take is the client's matter.
    """

    redis: Redis

    async def __call__(self, job: Job) -> int:
        """Send a job and return how many messages wait in its queue by then."""
        message = envelope(job.task, job.model_dump(mode="json", exclude_defaults=True), job.queue)
        return int(await self.redis.lpush(job.queue, message))

    async def again(
        self, task: str, queue: str, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> None:
        """Send a message that was kept once more, as it came, whether it keeps its contract or not.

        Whoever works it is the one to judge: a command by its ``command_id``, a webhook by what the
        gateway shows, our own by the rows.
        """
        await self.redis.lpush(queue, envelope(task, kwargs, queue, args))

    async def waiting(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        return int(await self.redis.llen(queue))


def batches(items: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    """Split items into runs of ``size``, the last one shorter."""
    iterator = iter(items)
    while batch := tuple(islice(iterator, size)):
        yield batch
