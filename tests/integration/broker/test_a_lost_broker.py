"""What a worker does with the messages it holds when the broker is lost."""

import uuid
from typing import Any

from kombu import Connection

from deploy.launcher.servers import OwnServers
from shared.jobs.broker import CarefulTransport


def test_a_worker_that_loses_the_broker_while_it_holds_messages_does_not_end(
    servers: OwnServers,
) -> None:
    """kombu puts them back over a connection of which not even the address is left, and raises."""
    name = f"test-{uuid.uuid4().hex}"
    with Connection(servers.valkey.url, transport=CarefulTransport) as connection:
        queue = connection.SimpleQueue(name)
        queue.put({"held": True})
        message = queue.get(timeout=5)
        channel: Any = queue.channel
        assert channel.qos._delivered
        # As Celery's consumer leaves a connection whose server is gone.
        channel._disconnect_pools()
        transport: Any = connection.transport
        transport.client = None
        channel.close()
        transport.client = connection
        # The task that worked it ends after that: its channel is closed.
        assert channel.connection is None
        channel.basic_ack(message.delivery_tag)
        channel.basic_reject(message.delivery_tag, requeue=True)
    with Connection(servers.valkey.url) as connection:
        # It is unacknowledged still, and comes back when its time is over.
        channel = connection.default_channel
        client = channel.client
        held = client.hgetall("unacked")
        tags = [tag for tag, message in held.items() if name.encode() in message]
        assert len(tags) == 1
        client.hdel("unacked", *tags)
        client.zrem("unacked_index", *tags)
