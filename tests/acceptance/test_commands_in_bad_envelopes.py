"""Envelopes that Celery stumbles over: each is kept or dropped, quoted nowhere, and harmless."""

import base64
import json
from collections.abc import Callable
from typing import Any

import redis

from shared.jobs.contracts import COMMAND_QUEUE
from shared.jobs.envelope import envelope
from tests.support.system import System, ready

SAID = {"command_id": "c-1", "buyer_tel": "planted-number"}
NO_CALL = "it is no call as Celery's protocol writes one"
UNREADABLE = "it cannot be read as JSON in utf-8"
Message = dict[str, Any]


def body(value: object) -> Callable[[Message], None]:
    """Put another body in."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return lambda message: message.update(body=base64.b64encode(raw).decode())


def headers(**values: object) -> Callable[[Message], None]:
    """Put other headers in."""
    return lambda message: message["headers"].update(values)


# What each says of itself, or None where it is worked as any other malformed command.
KEPT: dict[str, tuple[Callable[[Message], object], str | None]] = {
    "no id": (lambda m: m["headers"].pop("id"), NO_CALL),
    "a number for an id": (headers(id=5), "headers.id must be text"),
    "no id's text": (headers(id=""), "headers.id must be text"),
    "no task": (lambda m: m["headers"].pop("task"), "it names no task: headers.task is missing"),
    "a list for a task": (headers(task=["x"]), NO_CALL),
    "another task": (
        headers(task="payment.refnud"),
        "no task of this queue is called payment.refn",
    ),
    "a task that is no name": (
        headers(task="planted-number"),
        "no task of this queue is called hid",
    ),
    "no eta": (headers(eta="planted-number"), "headers.eta and headers.expires must be ISO 8601"),
    "no expiry": (headers(expires="planted-n"), "headers.eta and headers.expires must be ISO 8601"),
    "no time limits": (headers(timelimit=5), NO_CALL),
    "texts for time limits": (headers(timelimit=["planted-number", "b"]), None),
    "no stamps": (headers(stamped_headers=5), NO_CALL),
    "another name": (headers(shadow={"planted-number": 1}), None),
    "no count of retries": (headers(retries="planted-number"), None),
    "no group": (headers(group=[1]), None),
    "no compression": (headers(compression="planted"), UNREADABLE),
    "too few parts": (body([[]]), NO_CALL),
    "nothing": (body(None), NO_CALL),
    "an object": (body({"a": 1}), NO_CALL),
    "a text": (body("planted-number"), NO_CALL),
    "lists for arguments": (body([[], [], {}]), "the body must be [[], {keyword arguments}, {}]"),
    "a text for arguments": (
        body(["planted", {}, {}]),
        "the body must be [[], {keyword arguments}",
    ),
    "a number for what follows": (body([[], SAID, 5]), "nothing may follow a message"),
    "callbacks": (body([[], SAID, {"callbacks": [{"task": "t"}]}]), "nothing may follow a message"),
    "a chain": (body([[], SAID, {"chain": [{"task": "t"}]}]), "nothing may follow a message"),
    "what Celery writes": (body([[], SAID, dict.fromkeys(["callbacks", "chain"])]), None),
    "no JSON": (body(b"{planted-number"), UNREADABLE),
    "no UTF-8": (body(b'"\xff\xfe planted"'), UNREADABLE),
    "deep": (body(b"[" * 50_000), UNREADABLE),
    "pickle": (
        lambda m: m.update({"content-type": "application/x-python-serialize"}),
        "it must be application/json in utf-8",
    ),
    "no Base64 at all": (lambda m: m.update(body="%%%"), NO_CALL),
    "protocol 1": (
        lambda m: (
            m.update(headers={}),
            body({"task": "subscription.cancel", "id": "1", "args": [], "kwargs": SAID})(m),
        ),
        None,
    ),
}
DROPPED: dict[str, Callable[[Message], object]] = {
    "half of Base64": lambda m: m.update(body="planted"),
    "an object for a body": lambda m: m.update(body={"planted-number": 1}),
    "another encoding": lambda m: m["properties"].update(body_encoding="rot13"),
    "no tag": lambda m: m["properties"].pop("delivery_tag"),
    "no properties": lambda m: m.pop("properties"),
}


def made(change: Callable[[Message], object]) -> str:
    message: Message = json.loads(envelope("subscription.cancel", SAID, COMMAND_QUEUE))
    change(message)
    return json.dumps(message)


def test_each_is_kept_with_a_reason_or_dropped_and_the_worker_goes_on(system: System) -> None:
    (subscription,) = system.subscribe()
    worker = system.command_worker(threads=1)
    ready(worker)
    good = {
        "command_id": "good",
        "subscription_id": str(subscription.id),
        "when": "now",
        "reason": "그만",
        "requester": "customer",
    }
    with redis.Redis.from_url(system.servers.valkey.url) as client:
        for number, (name, (change, reason)) in enumerate(KEPT.items(), start=1):
            client.lpush(COMMAND_QUEUE, made(change))
            system.wait(lambda: letters(system) == number, f"{name}: it is kept")  # noqa: B023
            (letter,) = system.rows("SELECT cause FROM dead_letters ORDER BY id DESC LIMIT 1")
            assert letter["cause"].startswith(reason or "subscription_id: Field required"), name
            assert "planted" not in letter["cause"], name
        client.lpush(COMMAND_QUEUE, *[made(change) for change in DROPPED.values()])
        client.lpush(COMMAND_QUEUE, envelope("subscription.cancel", good, COMMAND_QUEUE))
        system.wait(lambda: system.rows("SELECT FROM commands"), "the good one is worked")
        system.wait(lambda: client.hlen("unacked") == 0, "every message is acknowledged")
        assert client.llen(COMMAND_QUEUE) == 0

    assert letters(system) == len(KEPT)
    assert worker.is_alive
    assert "planted" not in worker.output()
    assert "planted" not in str(system.rows("SELECT * FROM events"))
    names = system.rows("SELECT DISTINCT name FROM events WHERE subscription_id IS NULL")
    assert {row["name"] for row in names} == {"message.malformed", "command.done"}


def letters(system: System) -> int:
    return int(system.value("SELECT count(*) FROM dead_letters"))
