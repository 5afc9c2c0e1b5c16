"""Envelopes that Celery stumbles over: each is kept or dropped, quoted nowhere, and harmless."""

import base64
import bz2
import json
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import redis

from deploy.launcher.children import Child
from shared.jobs.contracts import COMMAND_QUEUE
from shared.jobs.envelope import envelope
from tests.support.system import System, ready

SAID = {"command_id": "c-1", "buyer_tel": "planted-number"}
NO_CALL = "it is no call as Celery's protocol writes one"
UNREADABLE = "it cannot be read as JSON in utf-8"
NOT_OURS = "no task of this queue is called celery."
WAITS = "nothing waits in a worker: leave headers.eta out"
Message = dict[str, Any]
# What a message of a few hundred bytes unpacks to.
BOMB_BYTES = 200_000_000
# A worker's own first work takes some 60 MiB; one bomb unpacked takes all of its bytes.
MEMORY_GROWTH_MAX_MIB = BOMB_BYTES // 2 // 1024**2


def body(value: object) -> Callable[[Message], None]:
    """Put another body in."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return lambda message: message.update(body=base64.b64encode(raw).decode())


def headers(**values: object) -> Callable[[Message], None]:
    """Put other headers in."""
    return lambda message: message["headers"].update(values)


def asks_for(name: str, **arguments: object) -> Callable[[Message], None]:
    """Ask for a task that Celery brings along."""

    def change(message: Message) -> None:
        message["headers"]["task"] = name
        body([[], arguments, {}])(message)

    return change


# A call, as Celery writes what is to be done afterwards.
FOLLOWING: Mapping[str, object] = {
    "task": "subscription.cancel",
    "args": [],
    "kwargs": SAID,
    "options": {"queue": COMMAND_QUEUE},
    "subtask_type": None,
    "immutable": True,
}


def of_a_kind(kind: str, value: object) -> Callable[[Message], None]:
    """Say something in a kind that JSON has not, as Celery's clients write it."""
    return body([[], {**SAID, "subscription_id": {"__type__": kind, "__value__": value}}, {}])


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
    "a long id": (headers(id="planted" * 100), "headers.id must be text"),
    "no eta": (headers(eta="planted-number"), WAITS),
    "a far eta": (headers(eta="9998-01-01T00:00:00+00:00"), WAITS),
    "an eta beyond": (headers(eta="9999-12-31T23:59:59-12:00"), WAITS),
    "no expiry": (headers(expires="planted-number"), "headers.expires must be ISO 8601"),
    "no time limits": (headers(timelimit=5), None),
    "ancestors that are none": (headers(root_id="planted " * 99, parent_id=["planted"]), None),
    "an origin": (headers(origin="planted-number"), None),
    "an end of its own": (headers(ignore_result=False, reply_to="planted", group="g"), None),
    "texts for time limits": (headers(timelimit=["planted-number", "b"]), None),
    "no stamps": (headers(stamped_headers=5), None),
    "another name": (headers(shadow={"planted-number": 1}), None),
    "no count of retries": (headers(retries="planted-number"), None),
    "no group": (headers(group=[1]), None),
    "no compression": (headers(compression="planted"), None),
    "packed": (
        lambda m: (body(zlib.compress(b"[" * BOMB_BYTES))(m), headers(compression="zlib")(m)),
        UNREADABLE,
    ),
    "packed as text": (
        lambda m: (
            body(bz2.compress(b"[" * BOMB_BYTES))(m),
            m.update({"content-type": "application/data", "content-encoding": "bz2"}),
        ),
        UNREADABLE,
    ),
    "another alphabet": (lambda m: m.update({"content-encoding": "punycode"}), None),
    "callbacks in the headers": (headers(callbacks=[FOLLOWING], errbacks=[FOLLOWING]), None),
    "a chain in the headers": (headers(chain=[FOLLOWING]), None),
    "a chord in the headers": (headers(chord=FOLLOWING, group="g"), None),
    "no callbacks in the headers": (headers(callbacks=5, chain=7), None),
    "another task's map": (asks_for("celery.map", task=FOLLOWING, it=[[1]]), NOT_OURS),
    "a group": (asks_for("celery.group", tasks=[FOLLOWING], result=[["r", None], []]), NOT_OURS),
    "chunks": (asks_for("celery.chunks", task=FOLLOWING, it=[[1]], n=1), NOT_OURS),
    "a chord": (asks_for("celery.chord", header=[FOLLOWING], body=FOLLOWING), NOT_OURS),
    "an unlocking": (asks_for("celery.chord_unlock", group_id="g", callback={}), NOT_OURS),
    "a cleaning": (asks_for("celery.backend_cleanup"), NOT_OURS),
    "what shows what it is told": (asks_for("celery.accumulate", index="planted"), NOT_OURS),
    "a UUID": (
        of_a_kind("uuid", {"hex": "0c6f4a9e3f0b4a779d572f4bb0a7c1d5", "version": 4}),
        "Object of type UUID is not JSON serializable",
    ),
    "an instant": (
        of_a_kind("datetime", "2026-01-01T00:00:00"),
        "Object of type datetime is not JSON serializable",
    ),
    "bytes": (of_a_kind("base64", "/////w=="), "Object of type bytes is not JSON serializable"),
    "no number": (body(b'[[], {"amount": NaN, "tax_free": 1e999}, {}]'), "command_id: Field req"),
    "a long number": (body(b'[[], {"amount": ' + b"9" * 5_000 + b"}, {}]"), UNREADABLE),
    "rather deep": (body(b'[[], {"a": ' + b"[" * 900 + b"]" * 900 + b"}, {}]"), "message: Invalid"),
    "long": (body([[], {**SAID, "reason": "planted" * 1_000_000}, {}]), "is longer than 65536"),
    "no kind": (lambda m: m.update({"content-type": ["planted"]}), NO_CALL),
    "a way to nowhere": (
        lambda m: m["properties"].update(
            delivery_info={"exchange": "planted", "routing_key": "unacked"}, priority={"a": 1}
        ),
        None,
    ),
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
    "a body that is no instant": lambda m: m.update(
        body={"__type__": "datetime", "__value__": "planted"}
    ),
    "a body that is no text": lambda m: m.update(body={"__type__": "datetime", "__value__": 5}),
    "a body that is no number": lambda m: m.update(
        body={"__type__": "decimal", "__value__": "planted"}
    ),
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
    memory_mib = most_memory_mib(worker)
    with redis.Redis.from_url(system.servers.valkey.url) as client:
        client.lpush(COMMAND_QUEUE, *[made(change) for change, _ in KEPT.values()])
        system.wait(lambda: letters(system) >= len(KEPT), "each is kept")
        client.lpush(COMMAND_QUEUE, *[made(change) for change in DROPPED.values()])
        client.lpush(COMMAND_QUEUE, envelope("subscription.cancel", good, COMMAND_QUEUE))
        system.wait(lambda: system.rows("SELECT FROM commands"), "the good one is worked")
        system.wait(lambda: client.hlen("unacked") == 0, "every message is acknowledged")
        assert client.llen(COMMAND_QUEUE) == 0

    causes = [row["cause"] for row in system.rows("SELECT cause FROM dead_letters")]
    assert len(causes) == len(KEPT)
    assert missing(causes) == []
    assert "planted" not in str(causes)
    assert worker.is_alive
    assert most_memory_mib(worker) - memory_mib < MEMORY_GROWTH_MAX_MIB
    assert "Traceback" not in worker.output()
    assert "planted" not in worker.output()
    assert "planted" not in str(system.rows("SELECT * FROM events"))
    names = system.rows("SELECT DISTINCT name FROM events WHERE subscription_id IS NULL")
    assert {row["name"] for row in names} == {"message.malformed", "command.done"}


def missing(causes: list[str]) -> list[str]:
    """Return which message was not kept with its reason; every cause counts once."""
    left = sorted(causes)
    lost = []
    # The longest first, since one reason can begin like another.
    for name, (_, reason) in sorted(KEPT.items(), key=lambda item: -len(item[1][1] or "")):
        begins = reason or "subscription_id: Field required"
        found = next((cause for cause in left if cause.startswith(begins)), None)
        if found is None:
            lost.append(name)
        else:
            left.remove(found)
    return lost


def letters(system: System) -> int:
    return int(system.value("SELECT count(*) FROM dead_letters"))


def most_memory_mib(process: Child) -> int:
    """Return the most memory that a process ever held."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert found, status
    return int(found[1]) // 1024
