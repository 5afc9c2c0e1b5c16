"""Commands at real workers: published in every way the page shows, in crowds, and deadly ones."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import redis

from shared.jobs.contracts import COMMAND_QUEUE
from shared.jobs.envelope import envelope
from tests.acceptance import publishing
from tests.architecture.messages_page import example, reader
from tests.support.system import System, ready
from worker.tasks.kept import REDELIVERIES_MAX

# What tests/acceptance/deadly_app.py dies of.
DEADLY = "deadly-1"
Publish = Callable[[str, uuid.UUID], str]


def cancel(subscription_id: uuid.UUID, command_id: str, **values: str) -> dict[str, str]:
    return {
        "command_id": command_id,
        "subscription_id": str(subscription_id),
        "when": "period_end",
        "reason": "구매자 요청",
        "requester": "customer",
        **values,
    }


def push(system: System, *messages: str) -> None:
    with redis.Redis.from_url(system.servers.valkey.url) as client:
        client.lpush(COMMAND_QUEUE, *messages)


def result(system: System, command_id: str) -> Any:
    rows = system.rows("SELECT result FROM commands WHERE command_id = %s", command_id)
    return rows[0]["result"] if rows else None


def streamed(system: System) -> list[dict[str, str]]:
    with redis.Redis.from_url(system.servers.valkey.url, decode_responses=True) as client:
        return [fields for _, fields in client.xrange("dalmada:events")]


def assert_it_arrives(system: System, *ways: Publish) -> None:
    """Every way has its effect: a row, a result, an event on the stream as the page shows it."""
    subscriptions = system.subscribe(len(ways))
    system.start(workers=1)
    ready(system.command_worker())
    for way, subscription in zip(ways, subscriptions, strict=True):
        command_id = way(system.servers.valkey.url, subscription.id)
        system.wait(lambda id_=command_id: result(system, id_), f"{way.__name__} has a result")  # type: ignore[misc]

        assert result(system, command_id)["status"] == "done"
        (row,) = system.rows(
            "SELECT cancel_at, cancel_reason FROM subscriptions WHERE id = %s", subscription.id
        )
        assert row["cancel_at"] is not None
        assert row["cancel_reason"] == "구매자 요청"

        def told(id_: str = command_id) -> list[dict[str, str]]:
            return [
                fields
                for fields in streamed(system)
                if fields["name"] == "command.done"
                and json.loads(fields["data"])["command_id"] == id_
            ]

        (event,) = system.wait(told, f"{way.__name__} is answered on the stream")
        data = json.loads(event["data"])
        assert data["result"]["subscription_id"] == str(subscription.id)
        shown = example("Events", "command.done")
        assert data.keys() == shown.keys()
        assert data["result"].keys() == shown["result"].keys()


def test_the_pages_programs_in_python_and_its_raw_message_have_their_effect(
    system: System,
) -> None:
    assert_it_arrives(system, *publishing.PYTHON_AND_RAW)

    read = subprocess.run(
        [sys.executable, "-c", reader().replace("block=5000", "block=100")],
        env={**os.environ, "REDIS_URL": system.servers.valkey.url},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert [line.split()[:2] for line in read.stdout.splitlines()] == [
        [fields["id"], fields["name"]] for fields in streamed(system)
    ]


@pytest.mark.skipif(publishing.NODE is None, reason="there is no node on this machine's PATH")
def test_the_pages_program_in_node_has_its_effect(system: System) -> None:
    assert_it_arrives(system, publishing.node)


def test_every_answer_is_as_the_page_shows_it(system: System) -> None:
    (subscription,) = system.subscribe()
    ready(system.command_worker())
    good = cancel(subscription.id, "c-1")
    messages = [
        envelope("subscription.cancel", good, COMMAND_QUEUE),
        envelope("subscription.cancel", cancel(uuid.uuid4(), "c-2"), COMMAND_QUEUE),
        envelope("subscription.cancel", cancel(subscription.id, "c-3", when="soon"), COMMAND_QUEUE),
        # Words that no task answers to.
        envelope("subscription.stop", {"command_id": "c-4"}, COMMAND_QUEUE),
    ]
    push(system, *messages)
    system.wait(lambda: result(system, "c-1") and result(system, "c-2"), "the commands are done")
    push(
        system, messages[0], envelope("subscription.cancel", {**good, "when": "now"}, COMMAND_QUEUE)
    )
    system.wait(lambda: len(answers(system)) == 5, "every command has its answer")

    assert sorted(answers(system)) == [
        ("command.done", "c-1"),
        ("command.refused", "c-1"),
        ("command.refused", "c-2"),
        ("message.malformed", "c-3"),
        ("message.malformed", "c-4"),
    ]
    for row in system.rows("SELECT name, data FROM events"):
        assert row["data"].keys() == example("Events", row["name"]).keys(), row["name"]
    letters = system.rows("SELECT kind, payload FROM dead_letters")
    assert [letter["kind"] for letter in letters] == ["message"] * 3
    assert all(letter["payload"]["message"]["kwargs"] for letter in letters)


def answers(system: System) -> list[tuple[str, str]]:
    rows = system.rows(
        "SELECT name, data ->> 'command_id' AS id FROM events"
        " WHERE name LIKE 'command.%%' OR name LIKE 'message.%%'"
    )
    return [(row["name"], row["id"]) for row in rows]


def test_the_same_command_twenty_times_at_two_workers_is_done_once(system: System) -> None:
    subscriptions = system.subscribe(5)
    for worker in (system.command_worker("command1"), system.command_worker("command2")):
        ready(worker)
    said = [cancel(one.id, f"c-{number}") for number, one in enumerate(subscriptions)]

    push(
        system,
        *[envelope("subscription.cancel", one, COMMAND_QUEUE) for _ in range(20) for one in said],
    )
    with redis.Redis.from_url(system.servers.valkey.url) as client:
        system.wait(
            lambda: client.llen(COMMAND_QUEUE) == client.hlen("unacked") == 0, "all is worked"
        )

    assert sorted(answers(system)) == [("command.done", f"c-{number}") for number in range(5)]
    scheduled = "SELECT count(*) FROM events WHERE name = 'subscription.cancellation_scheduled'"
    assert system.value(scheduled) == 5
    assert system.value("SELECT count(*) FROM dead_letters") == 0


def test_a_restarted_database_loses_no_command(system: System) -> None:
    subscriptions = system.subscribe(40)
    ready(system.command_worker())
    messages = [
        envelope("subscription.cancel", cancel(one.id, f"c-{number}"), COMMAND_QUEUE)
        for number, one in enumerate(subscriptions)
    ]
    push(system, *messages[:20])
    system.servers.postgres.stop()
    push(system, *messages[20:])
    system.servers.postgres.start()

    system.wait(
        lambda: system.value("SELECT count(*) FROM commands") == 40, "every command has a result"
    )
    assert sorted(answers(system)) == sorted(("command.done", f"c-{n}") for n in range(40))


def test_a_command_that_kills_its_worker_is_kept_in_the_end_and_holds_up_nobody(
    system: System,
) -> None:
    (subscription,) = system.subscribe()
    deadly = envelope("subscription.cancel", cancel(subscription.id, DEADLY), COMMAND_QUEUE)
    tag = json.loads(deadly)["properties"]["delivery_tag"]
    app = "tests.acceptance.deadly_app"
    with redis.Redis.from_url(system.servers.valkey.url) as client:
        # All but the last of its deliveries have been.
        client.set(f"dalmada:deliveries:{tag}", REDELIVERIES_MAX - 1)
        push(system, deadly)
        first = system.command_worker(app=app)
        system.wait(lambda: not first.is_alive, "the first worker is dead")
        come_back_at_once(client, tag)
        second = system.command_worker(app=app)
        system.wait(lambda: not second.is_alive, "the second worker is dead")
        assert system.value("SELECT count(*) FROM dead_letters") == 0
        come_back_at_once(client, tag)

        third = system.command_worker(app=app)
        push(
            system,
            envelope("subscription.cancel", cancel(subscription.id, "c-1"), COMMAND_QUEUE),
        )
        system.wait(lambda: ("command.parked", DEADLY) in answers(system), "it is kept")
        system.wait(lambda: result(system, "c-1"), "the other command is done")
        system.wait(lambda: client.hlen("unacked") == 0, "both are acknowledged")
        assert not client.exists(f"dalmada:deliveries:{tag}")

    assert third.is_alive
    (letter,) = system.rows("SELECT cause, payload FROM dead_letters")
    assert letter["cause"] == "delivered 5 times again, and each time its worker died"
    assert letter["payload"]["message"]["kwargs"]["command_id"] == DEADLY
    assert result(system, DEADLY) is None


def come_back_at_once(client: redis.Redis, tag: str) -> None:
    """Have the broker think that a message was handed out long ago."""
    assert client.hexists("unacked", tag)
    client.zadd("unacked_index", {tag: 0})
