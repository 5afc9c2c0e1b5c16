"""The pages of messages name every message and event; their examples are what the code takes."""

import json
import re
import uuid

import pytest

from shared.billing.events import EventName
from shared.jobs.command import Command
from shared.jobs.commands import COMMANDS, ReceiveWebhook
from shared.jobs.contracts import JOBS
from shared.jobs.envelope import envelope
from shared.jobs.life_commands import LIFE_COMMANDS
from tests.architecture.checkout import read
from tests.architecture.messages_page import (
    LIFE_PAGE,
    PAGE,
    SUBSCRIPTION_ID,
    example,
    program,
    results,
    sections,
)
from worker.tasks.intake import MESSAGE_LENGTH_MAX

REDIS = "From anything that speaks Redis"


def test_every_command_and_event_has_a_section_and_nothing_else_has() -> None:
    found = sections()
    assert set(found["Commands"]) == {command.task for command in COMMANDS}
    assert set(found["Events"]) == set(EventName)
    assert set(found["Webhooks"]) == {ReceiveWebhook.task}


def test_the_life_of_a_subscription_is_told_on_its_own_page() -> None:
    for command in LIFE_COMMANDS:
        assert f"\n### `{command.task}`\n" in read(LIFE_PAGE)
    assert f"({LIFE_PAGE.removeprefix('docs/')})" in read(PAGE)


def test_the_result_of_every_command_is_named() -> None:
    assert set(results()) == {command.task for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.task)
def test_the_example_of_a_command_keeps_its_contract(command: type[Command]) -> None:
    made = command.model_validate_json(json.dumps(example("Commands", command.task)))
    required = {name for name, field in command.model_fields.items() if field.is_required()}
    assert required <= made.model_fields_set


def test_every_field_of_a_command_is_named() -> None:
    page = sections()["Commands"]
    for command in COMMANDS:
        # A change takes the fields of a registration.
        text = page[command.task] + page["billing_key.register"]
        for name in command.model_fields:
            assert re.search(rf"[`\"]{name}[`\"]", text), f"{command.task}: {name}"


def test_the_example_of_the_webhook_keeps_its_contract() -> None:
    made = ReceiveWebhook.model_validate(example("Webhooks", ReceiveWebhook.task))
    assert made.model_fields_set == set(ReceiveWebhook.model_fields)


@pytest.mark.parametrize("name", EventName)
def test_the_example_of_an_event_says_when_and_names_nobody(name: EventName) -> None:
    data = example("Events", name)
    assert data["at"].endswith("+00:00")
    said = json.dumps(data, ensure_ascii=False)
    for secret in ("customer_uid", "buyer_name", "buyer_tel", "buyer_email", "홍길동", "010-"):
        assert secret not in said


def test_every_message_of_our_own_is_named_under_its_queue() -> None:
    (table,) = re.findall(r"\n\| queue \| messages \|\n\|.*\n((?:\|.*\n)+)", read(PAGE))
    named = {}
    for row in table.splitlines():
        queue, *tasks = re.findall(r"`([\w.]+)`", row)
        named.update(dict.fromkeys(tasks, queue))
    assert named == {job.task: job.queue for job in JOBS}


def test_the_message_for_raw_redis_is_one_that_our_own_sender_would_write() -> None:
    shown = json.loads(program(REDIS, "json"))
    args, kwargs, embed = json.loads(shown["body"])
    ours = json.loads(envelope(shown["headers"]["task"], kwargs, "billing.command"))
    assert (args, embed) == ([], {})
    assert kwargs["subscription_id"] == SUBSCRIPTION_ID
    for part in ("content-type", "content-encoding"):
        assert shown[part] == ours[part]
    assert shown["headers"].keys() <= ours["headers"].keys()
    assert shown["properties"].keys() <= ours["properties"].keys()
    assert shown["properties"]["delivery_info"] == ours["properties"]["delivery_info"]
    assert uuid.UUID(shown["headers"]["id"]) != uuid.UUID(shown["properties"]["delivery_tag"])


def test_the_length_that_is_told_is_the_length_that_is_taken() -> None:
    assert f"{MESSAGE_LENGTH_MAX:,} characters at most" in read(PAGE)
