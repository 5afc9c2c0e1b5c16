"""The only place that sends a message."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol, TypeVar

from celery import Celery
from redis.asyncio import Redis

from shared.jobs.contracts import Job

T = TypeVar("T")


class Enqueue(Protocol):
    """Whoever can send messages."""

    async def __call__(self, jobs: Sequence[Job]) -> None:
        """Send every job once; a job that is lost is sent again by the next scan."""

    async def waiting(self, queue: str) -> int:
        """Return how many messages wait in a queue."""


class CeleryEnqueue:
    """Sends through Celery's producer, off the event loop, several messages a round trip."""

    def __init__(self, app: Celery, redis: Redis) -> None:
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


def batches(items: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    """Split items into runs of ``size``, the last one shorter."""
    iterator = iter(items)
    while batch := tuple(islice(iterator, size)):
        yield batch
