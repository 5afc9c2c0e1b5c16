"""Webhooks come in as PortOne sends them, and go on as messages that hold ids only."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from celery import Celery

from shared.jobs.commands import ReceiveWebhook
from shared.jobs.contracts import WEBHOOK_QUEUE
from tests.integration.receiver.conftest import Door
from worker import receiver, receiver_body

PAID = {"imp_uid": "imp_448280090638", "merchant_uid": "merchant_1", "status": "paid"}
CANCELLED = {**PAID, "status": "cancelled", "cancellation_id": "cancel_1"}
FORM = "application/x-www-form-urlencoded"


class TestWhatPortOneSends:
    @pytest.mark.parametrize("said", [PAID, CANCELLED])
    def test_as_json(self, door: Door, said: dict[str, str]) -> None:
        assert door.said(said) == (200, "ok")
        (message,) = door.queued()
        assert ReceiveWebhook.model_validate(message) == ReceiveWebhook.model_validate(said)

    @pytest.mark.parametrize("said", [PAID, CANCELLED])
    def test_as_a_form(self, door: Door, said: dict[str, str]) -> None:
        assert door.ask(data=said).status_code == 200
        (message,) = door.queued()
        assert ReceiveWebhook.model_validate(message) == ReceiveWebhook.model_validate(said)

    @pytest.mark.parametrize(
        "kind", ["application/json; charset=utf-8", "Application/JSON", f"{FORM};charset=UTF-8"]
    )
    def test_with_parameters_of_its_kind(self, door: Door, kind: str) -> None:
        body = json.dumps(PAID) if "son" in kind.lower() else "imp_uid=imp_448280090638"
        answer = door.ask(content=body, headers={"content-type": kind})
        assert answer.status_code == 200, answer.text

    def test_fields_that_nobody_knows_are_ignored(self, door: Door) -> None:
        said = {**PAID, "buyer_tel": "010-1234-5678", "more": {"deep": [1]}, "name": None}
        assert door.said(said) == (200, "ok")
        assert door.queued() == [PAID]

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_what_is_null_or_empty_was_not_said(self, door: Door, nothing: str | None) -> None:
        said = {**PAID, "cancellation_id": nothing, "status": nothing, "merchant_uid": nothing}
        assert door.said(said) == (200, "ok")
        assert door.queued() == [{"imp_uid": PAID["imp_uid"]}]

    @pytest.mark.parametrize("name", ["주문-1", "x" * 41, "two words"])
    def test_an_order_that_is_not_ours_may_be_called_anything(self, door: Door, name: str) -> None:
        assert door.said({**PAID, "merchant_uid": name}) == (200, "ok")
        assert door.queued() == [{"imp_uid": PAID["imp_uid"], "status": "paid"}]

    def test_each_is_one_message_that_celery_reads(self, door: Door) -> None:
        door.said(PAID)
        door.said(CANCELLED)
        url = door.settings.redis_url.get_secret_value()
        with Celery(broker=url, set_as_current=False) as app, app.connection_for_read() as broker:
            queue = broker.SimpleQueue(WEBHOOK_QUEUE)
            first, second = queue.get(timeout=5), queue.get(timeout=5)
            assert first.headers["task"] == second.headers["task"] == "webhook.receive"
            assert first.headers["id"] != second.headers["id"]
            assert first.delivery_tag != second.delivery_tag
            assert [first.payload[1], second.payload[1]] == [PAID, CANCELLED]
            first.ack()
            second.ack()
            queue.close()
        assert door.queued() == []


MALFORMED: dict[str, tuple[dict[str, Any], int, str]] = {
    "nothing": ({"content": b"", "headers": {"content-type": "application/json"}}, 400, "no app"),
    "no JSON": (
        {"content": b"{imp", "headers": {"content-type": "application/json"}},
        400,
        "the body is no application/json in UTF-8",
    ),
    "no UTF-8": (
        {"content": b'{"imp_uid": "\xff"}', "headers": {"content-type": "application/json"}},
        400,
        "the body is no application/json in UTF-8",
    ),
    "a list": ({"json": [1]}, 400, "the body must be a JSON object"),
    "a list for an id": ({"json": {"imp_uid": ["imp_1"]}}, 400, "imp_uid: Input should be"),
    "a number": ({"json": {**PAID, "imp_uid": 1}}, 400, "imp_uid: Input should be a valid string"),
    "no imp_uid": ({"json": {"status": "paid"}}, 400, "imp_uid: Field required"),
    "a path": ({"json": {"imp_uid": "../users"}}, 400, "imp_uid: String should match"),
    "twice": (
        {
            "content": b'{"imp_uid": "a", "imp_uid": "b"}',
            "headers": {"content-type": "application/json"},
        },
        400,
        "imp_uid is given twice",
    ),
    "twice in a form": (
        {"content": b"imp_uid=a&imp_uid=b", "headers": {"content-type": FORM}},
        400,
        "imp_uid is given twice",
    ),
    "no form": ({"content": b"imp_uid", "headers": {"content-type": FORM}}, 400, f"no {FORM}"),
    "a form of no text": (
        {"content": b"imp_uid=%ff", "headers": {"content-type": FORM}},
        400,
        f"the body is no {FORM} in UTF-8",
    ),
    "many fields": (
        {"content": b"a=1&" * 200 + b"imp_uid=a", "headers": {"content-type": FORM}},
        400,
        f"the body is no {FORM}",
    ),
    "deep": (
        {"content": b"[" * 10_000, "headers": {"content-type": "application/json"}},
        400,
        "the body is no application/json",
    ),
    "no kind": ({"content": b"{}"}, 415, "send application/json or application/x-www-form"),
    "XML": (
        {"content": b"<x/>", "headers": {"content-type": "text/xml"}},
        415,
        "send application/json or application/x-www-form-urlencoded",
    ),
    "long": ({"json": {**PAID, "more": "x" * 20_000}}, 413, "longer than 16384 bytes"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_cannot_be_read_is_refused_in_words_and_goes_nowhere(door: Door, name: str) -> None:
    request, status, words = MALFORMED[name]
    answer = door.ask(**request)
    assert answer.status_code == status
    assert words in answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    assert door.queued() == []


def test_a_length_that_is_not_told_beforehand_is_counted(door: Door) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 4_096

    answer = door.ask(content=endless(), headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert sent <= 6


def test_a_body_that_does_not_come_is_not_waited_for(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "_BODY_TIMEOUT_S", 0.05)

    async def stuck(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(receiver_body, "_body", stuck)
    answer = door.ask(json=PAID)
    assert (answer.status_code, door.queued()) == (408, [])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_post_is_taken(door: Door, method: str) -> None:
    assert door.ask(method).status_code == 405


@pytest.mark.parametrize("path", ["/", "/webhooks", "/webhooks/other", "/docs"])
def test_nothing_else_is_there(door: Door, path: str) -> None:
    assert door.ask("POST", path, json=PAID).status_code == 404
    assert door.queued() == []


def test_one_line_is_logged_a_request_and_holds_nothing_of_the_body(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    door.said({**PAID, "merchant_uid": "planted-1", "buyer_tel": "planted-2"})
    door.said({"imp_uid": "planted 3"})
    door.ask(content=b"planted-4", headers={"content-type": "application/json"})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "planted" not in "".join(lines)
    assert "status=200" in lines[0]
    assert PAID["imp_uid"] in lines[0]
    assert "status=400" in lines[1]


def test_a_message_holds_nothing_but_what_celery_needs(door: Door) -> None:
    door.said(PAID)
    (raw,) = door.run(door.redis.lrange(WEBHOOK_QUEUE, 0, -1))
    message = json.loads(raw)
    assert json.loads(base64.b64decode(message["body"])) == [[], PAID, {}]
    assert set(message["headers"]) == {"id", "task", "lang"}
