"""Messages nobody should have sent: each is kept or dropped, and the worker goes on."""

import base64
import json
import uuid
from typing import Any

import redis
from celery import Celery

from shared.jobs.contracts import CHARGE_QUEUE
from shared.jobs.envelope import envelope as enveloped
from tests.support.system import System, ready


def envelope(
    task: str, body: object, content_type: str = "application/json", encoding: str = "utf-8"
) -> dict[str, Any]:
    """Return a message as Celery's protocol puts it on Redis."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    task_id = str(uuid.uuid4())
    return {
        "body": base64.b64encode(raw).decode(),
        "content-encoding": encoding,
        "content-type": content_type,
        "headers": {"lang": "py", "task": task, "id": task_id, "root_id": task_id},
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": CHARGE_QUEUE},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }


def call(*args: object, **kwargs: object) -> list[object]:
    """Return a body that calls a task."""
    return [list(args), kwargs, {"callbacks": None, "errbacks": None, "chain": None}]


MALFORMED = {
    "no ids": call(invoice_ids=[]),
    "text for ids": call(invoice_ids="1,2,3"),
    "a text among ids": call(invoice_ids=[1, "2"]),
    "a fraction": call(invoice_ids=[1.5]),
    "a truth value": call(invoice_ids=[True]),
    "zero": call(invoice_ids=[0]),
    "too large": call(invoice_ids=[2**63]),
    "too many": call(invoice_ids=list(range(1, 502))),
    "another field": call(invoice_ids=[1], amount=1),
    "positional": call([1]),
    "nothing": call(),
    "text that cannot be stored": call(invoice_ids=["\x00\ud800"]),
}


def test_a_malformed_message_becomes_a_dead_letter_with_the_validators_words(
    system: System,
) -> None:
    ready(system.worker())
    with redis.Redis.from_url(system.servers.valkey.url) as client:
        for body in MALFORMED.values():
            client.lpush(CHARGE_QUEUE, json.dumps(envelope("invoice.charge", body)))
        system.wait(
            lambda: system.value("SELECT count(*) FROM dead_letters") == len(MALFORMED),
            "every malformed message is kept",
        )
        assert client.llen(CHARGE_QUEUE) == 0
        system.wait(lambda: client.hlen("unacked") == 0, "every message is acknowledged")

    causes = [row["cause"] for row in system.rows("SELECT cause FROM dead_letters ORDER BY id")]
    assert any("invoice_ids" in cause and "at least 1 item" in cause for cause in causes)
    assert any("takes no positional arguments" in cause for cause in causes)
    assert any("amount: Extra inputs are not permitted" in cause for cause in causes)


GARBAGE = {
    "no envelope": b"not a message",
    "not even text": b"\xff\xfe\x00",
    "half an envelope": b'{"body": 1}',
    "an envelope of nothing": b'{"body": null, "headers": {}, "properties": {}}',
    "a list": b"[1, 2, 3]",
    "deeply nested": b"[" * 100_000,
    "unknown task": json.dumps(envelope("no.such.task", call())).encode(),
    "no JSON body": json.dumps(envelope("invoice.charge", b"{{{")).encode(),
    "pickle": json.dumps(
        envelope("invoice.charge", b"cos\nsystem\n", "application/x-python-serialize")
    ).encode(),
}


# What Celery lets anybody who reaches the broker tell a worker.
STEERED: dict[str, dict[str, object]] = {
    "shutdown": {},
    "cancel_consumer": {"queue": CHARGE_QUEUE},
    "add_consumer": {"queue": "planted"},
    "rate_limit": {"task_name": "invoice.charge", "rate_limit": "1/h"},
    "time_limit": {"task_name": "invoice.charge", "hard": 0.001},
    "pool_shrink": {"n": 4},
    "pool_grow": {"n": 100_000},
    "pool_restart": {},
    "autoscale": {"max": 0},
    "disable_events": {},
    "revoke": {"task_id": "planted", "terminate": True, "signal": "KILL"},
    "revoke_by_stamped_headers": {"headers": {"a": ["b"]}},
    "terminate": {"signal": "KILL", "task_id": "planted"},
    "election": {"id": "1", "topic": "task", "action": {"task": "invoice.charge"}},
    "hello": {"from_node": "planted", "revoked": {"planted": 1}},
    "report": {},
    "memdump": {},
    "nonsense": {},
}
ASKED = ("active", "active_queues", "conf", "ping", "registered", "reserved", "scheduled", "stats")


def told(body: object, **headers: object) -> bytes:
    """Return a broadcast as Celery's protocol writes it."""
    message = envelope("", body)
    message["headers"] = headers
    return json.dumps(message).encode()


BROADCAST = {
    "no JSON": b"planted",
    "deeply nested": b"[" * 100_000,
    "no object": b"5",
    "no envelope": b"{}",
    "no number": b'{"__type__": "decimal", "__value__": "planted"}',
    "no call": told([1]),
    "a list for a name": told({"method": ["planted"]}),
    "a text for a clock": told({"method": "ping"}, clock="planted"),
    "a number for who is answered": told({"method": "ping", "reply_to": 5}),
    "packed": told({"method": "ping"}, compression="zlib"),
}


def test_neither_garbage_nor_orders_from_afar_stop_a_worker(system: System) -> None:
    worker = system.worker()
    ready(worker)
    with redis.Redis.from_url(system.servers.valkey.url) as client:
        for garbage in GARBAGE.values():
            client.lpush(CHARGE_QUEUE, garbage)
        _steer(system, client)
        system.wait(lambda: client.llen(CHARGE_QUEUE) == 0, "the garbage is taken")

    system.subscribe(3)
    ready(system.scan_worker())
    system.beat()
    system.wait_until_collected()

    assert system.verdict().clean
    assert len(system.sandbox.paid()) == 3
    assert worker.is_alive
    assert "Connection to broker lost" not in worker.output()


def _steer(system: System, client: "redis.Redis") -> None:
    """Tell the worker whatever it might obey; see that it still does what it did."""
    with Celery(broker=system.servers.valkey.url, set_as_current=False) as anybody:
        for name, arguments in STEERED.items():
            anybody.control.broadcast(name, arguments=arguments)
        for broadcast in BROADCAST.values():
            assert client.publish("/0.celery.pidbox", broadcast) >= 1
        inspect = anybody.control.inspect(timeout=10, limit=1)
        # What was told before is through when this is answered.
        system.wait(inspect.ping, "the worker answers")
        answers = {name: getattr(inspect, name)() for name in ASKED}
    assert [name for name, answer in answers.items() if not answer] == []
    (queues,) = answers["active_queues"].values()
    taken = {queue["name"] for queue in queues}
    assert CHARGE_QUEUE in taken
    assert "planted" not in taken


# What Celery keeps on the broker about messages that are being worked, as nobody should write it.
UNREADABLE = {
    "planted-1": b"planted",
    "planted-2": b'[5, "", "x"]',
    "planted-3": b'[{"headers": {}, "properties": {"delivery_info": {}}}, "nowhere", "x"]',
    "planted-4": b"[" * 100_000,
}


def test_what_cannot_be_given_back_keeps_nothing_else_from_it(system: System) -> None:
    (subscription,) = system.subscribe()
    said = {
        "command_id": "c-1",
        "subscription_id": str(subscription.id),
        "when": "now",
        "reason": "그만",
        "requester": "customer",
    }
    message = json.loads(enveloped("subscription.cancel", said, "billing.command"))
    with redis.Redis.from_url(system.servers.valkey.url) as client:
        client.hset("unacked", mapping=UNREADABLE)
        # A worker died of this one, and the way that it came is known to nobody any more.
        client.hset("unacked", "honest", json.dumps([message, "forgotten", "billing.command"]))
        client.zadd("unacked_index", {**dict.fromkeys(UNREADABLE, 2.0), "honest": 1.0})
        worker = system.command_worker()
        ready(worker)
        system.wait(lambda: system.rows("SELECT FROM commands"), "the command is worked")
        system.wait(lambda: client.hlen("unacked") == 0, "the rest is forgotten")

    assert worker.is_alive
    assert "planted" not in worker.output()
