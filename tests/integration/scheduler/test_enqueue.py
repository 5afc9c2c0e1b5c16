"""Messages on a real broker: what stands in them, where, and how many."""

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from celery import Celery
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from deploy.launcher.ports import free_port
from deploy.launcher.servers import OwnServers
from shared.config import Settings
from shared.jobs.celery_settings import celery_settings
from shared.jobs.contracts import (
    CHARGE_QUEUE,
    EVENT_QUEUE,
    INQUIRY_QUEUE,
    ChargeInvoices,
    InquireAttempts,
    RelayEvents,
)
from shared.jobs.enqueue import CeleryEnqueue


@dataclass
class Broker:
    """A broker with its producer, and a client that looks into its lists."""

    url: str
    client: "Redis"
    app: Celery

    async def enqueue(self, *jobs: Any) -> dict[str, int]:
        """Send jobs, and return how many messages then wait in each queue."""
        redis = AsyncRedis.from_url(self.url)
        try:
            enqueue = CeleryEnqueue(self.app, redis)
            await enqueue(jobs)
            queues = (CHARGE_QUEUE, INQUIRY_QUEUE, EVENT_QUEUE)
            return {queue: await enqueue.waiting(queue) for queue in queues}
        finally:
            await redis.aclose()

    def messages(self, queue: str) -> list[Any]:
        """Return what stands in a queue, oldest first."""
        found: Any = self.client.lrange(queue, 0, -1)
        return [json.loads(raw) for raw in reversed(found)]


def settings(redis_url: str) -> Settings:
    return Settings(
        database_url="postgresql://nowhere",
        redis_url=redis_url,
        portone_imp_key="key",
        portone_imp_secret="secret",
    )


@pytest.fixture
def broker(servers: OwnServers) -> Iterator[Broker]:
    url = servers.valkey.url
    app = Celery("enqueue", set_as_current=False)
    app.conf.update(celery_settings(settings(url)))
    with Redis.from_url(url) as client:
        client.flushall()
        yield Broker(url, client, app)
    app.close()


def test_every_job_goes_to_its_queue_once(broker: Broker) -> None:
    jobs = [ChargeInvoices(invoice_ids=(n,)) for n in range(1, 31)]
    waiting = asyncio.run(broker.enqueue(*jobs, InquireAttempts(attempt_ids=(1, 2)), RelayEvents()))
    assert waiting == {CHARGE_QUEUE: 30, INQUIRY_QUEUE: 1, EVENT_QUEUE: 1}


def test_a_message_carries_its_name_and_ids_and_nothing_else(broker: Broker) -> None:
    asyncio.run(broker.enqueue(ChargeInvoices(invoice_ids=(2**63 - 1, 7))))
    (message,) = broker.messages(CHARGE_QUEUE)
    body = json.loads(base64.b64decode(message["body"]))
    assert body[:2] == [[], {"invoice_ids": [2**63 - 1, 7]}]
    assert message["headers"]["task"] == "invoice.charge"
    assert (message["headers"]["eta"], message["headers"]["expires"]) == (None, None)
    assert message["content-type"] == "application/json"


def test_what_left_can_be_read_again_by_its_contract(broker: Broker) -> None:
    job = InquireAttempts(attempt_ids=(1, 2, 3))
    asyncio.run(broker.enqueue(job))
    (message,) = broker.messages(INQUIRY_QUEUE)
    kwargs = json.loads(base64.b64decode(message["body"]))[1]
    assert InquireAttempts.model_validate_json(json.dumps(kwargs)) == job


def test_nothing_to_send_asks_nothing_of_the_broker(broker: Broker) -> None:
    assert sum(asyncio.run(broker.enqueue()).values()) == 0


def test_a_broker_that_is_away_is_told_to_the_scan(broker: Broker) -> None:
    app = Celery("away", set_as_current=False)
    app.conf.update(celery_settings(settings(f"redis://127.0.0.1:{free_port()}/0")))
    away = Broker(broker.url, broker.client, app)
    with pytest.raises(Exception, match="refused"):
        asyncio.run(away.enqueue(RelayEvents()))
    app.close()
