"""Messages nobody should have sent: each is kept or dropped, and the worker goes on."""

import base64
import json
import uuid
from typing import Any

import redis

from shared.jobs.contracts import CHARGE_QUEUE
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


def test_garbage_on_the_queue_does_not_stop_a_worker(system: System) -> None:
    worker = system.worker()
    ready(worker)
    with redis.Redis.from_url(system.servers.valkey.url) as client:
        for garbage in GARBAGE.values():
            client.lpush(CHARGE_QUEUE, garbage)
        system.wait(lambda: client.llen(CHARGE_QUEUE) == 0, "the garbage is taken")

    system.subscribe(3)
    ready(system.scan_worker())
    system.beat()
    system.wait_until_collected()

    assert system.verdict().clean
    assert len(system.sandbox.paid()) == 3
    assert worker.is_alive
    assert "Connection to broker lost" not in worker.output()
