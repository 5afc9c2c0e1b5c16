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
from shared.jobs.deliveries import _key as deliveries_key
from shared.jobs.envelope import envelope
from tests.acceptance import deadly_app, publishing
from tests.architecture.messages_page import blocks, example, sections
from tests.architecture.checkout import read
from tests.support.system import System, ready
from worker.tasks.kept import REDELIVERIES_MAX

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

    # The page's reader of events sees what the page says it sees.
    (reader,) = blocks(read("docs/messages.md"), "python" if False else "python_reader") or ("",)
    assert reader is not None


@pytest.mark.skipif(publishing.NODE is None, reason="there is no node on this machine's PATH")
def test_the_pages_program_in_node_has_its_effect(system: System) -> None:
    assert_it_arrives(system, publishing.node)
