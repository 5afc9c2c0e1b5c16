"""A receiver in this process, on a real broker, asked over ASGI."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import pytest
import structlog
from pydantic import SecretStr
from redis.asyncio import Redis

from deploy.launcher.servers import OwnServers
from shared.config import ReceiverSettings
from shared.jobs.contracts import WEBHOOK_QUEUE
from shared.jobs.enqueue import RedisEnqueue
from worker.receiver import application, broker

R = TypeVar("R")
PATH = "/webhooks/portone"
PORTONE = "52.78.100.19"


@dataclass
class Door:
    """A receiver and whoever knocks at it."""

    runner: asyncio.Runner
    redis: Redis
    settings: ReceiverSettings
    peer: str = PORTONE
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    def set(self, **values: Any) -> None:
        """Have the next receiver use other settings."""
        self.settings = ReceiverSettings.model_validate({**self.settings.model_dump(), **values})
        self.clients.clear()

    async def knock(self, method: str = "POST", path: str = PATH, **options: Any) -> httpx.Response:
        """Send one request."""
        if not self.clients:
            app = application(self.settings, RedisEnqueue(self.redis))
            transport = httpx.ASGITransport(app, client=(self.peer, 4711))
            self.clients.append(httpx.AsyncClient(transport=transport, base_url="http://here"))
        return await self.clients[0].request(method, path, **options)

    def ask(self, method: str = "POST", path: str = PATH, **options: Any) -> httpx.Response:
        """Send one request and wait for the answer."""
        return self.run(self.knock(method, path, **options))

    def said(self, body: object) -> tuple[int, str]:
        """Send a webhook as JSON; the status and words of the answer."""
        answer = self.ask(json=body)
        return answer.status_code, answer.text.strip()

    def queued(self) -> list[dict[str, Any]]:
        """What the messages in the queue say, oldest first."""

        async def read() -> list[dict[str, Any]]:
            found = await self.redis.lrange(WEBHOOK_QUEUE, 0, -1)
            bodies = [base64.b64decode(json.loads(one)["body"]) for one in reversed(found)]
            return [json.loads(body)[1] for body in bodies]

        return self.run(read())

    def run(self, work: Awaitable[R]) -> R:
        """Wait for something on the receiver's loop."""

        async def wait() -> R:
            return await work

        return self.runner.run(wait())


@pytest.fixture
def door(servers: OwnServers) -> Iterator[Door]:
    """A receiver with an empty queue behind it."""
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    with asyncio.Runner() as runner:
        redis = broker(servers.valkey.url)
        runner.run(_empty(redis))
        settings = ReceiverSettings(redis_url=SecretStr(servers.valkey.url))
        try:
            yield Door(runner, redis, settings)
        finally:
            runner.run(redis.aclose())
            structlog.reset_defaults()


async def _empty(redis: Redis) -> None:
    await redis.flushall()
