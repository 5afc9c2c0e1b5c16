"""Every request that the client makes, and every reply of the sandbox to it, against the table."""

import asyncio
from functools import cache
from typing import Literal

import pytest

from tests.contract.calls import CALLS, CUSTOMER_UID, TOKEN, ExampleCall, World
from tests.contract.exchange import Exchange, Passage
from tests.contract.surface import surface
from tests.contract.validation import faults_of_reply, faults_of_request
from worker.gateway.client import PortOne

# How the page calls the examples, too.
EXAMPLES = [f"{number}-{call.method}" for number, call in enumerate(CALLS)]

Format = Literal["json", "form"]
FORMATS: tuple[Format, ...] = ("json", "form")

# One operation under two paths (they have one operationId); the client uses the shorter.
SAME_AS = {
    "GET /subscribe/payments/schedule/customers/{customer_uid}": (
        "GET /subscribe/customers/{customer_uid}/schedules"
    )
}


@cache
def course(body_format: Format) -> dict[int, tuple[bool, tuple[Passage, ...]]]:
    """Make every example call, one after the other, and say how each ended and what passed."""

    async def live() -> dict[int, tuple[bool, tuple[Passage, ...]]]:
        exchange, world = Exchange(), World()
        exchange.holds(CUSTOMER_UID)
        client = exchange.client(body_format=body_format)
        found = {}
        for number, call in enumerate(CALLS):
            before = len(exchange.passages)
            result = await call.make(client, world)
            found[number] = call.is_right(result), tuple(exchange.passages[before:])
        await client.aclose()
        return found

    return asyncio.run(live())


@pytest.mark.parametrize("body_format", FORMATS)
@pytest.mark.parametrize(
    ("number", "call"),
    list(enumerate(CALLS)),
    ids=EXAMPLES,
)
def test_a_call_of_the_client_is_what_is_documented_and_so_is_its_answer(
    number: int, call: ExampleCall, body_format: Format
) -> None:
    is_right, passages = course(body_format)[number]

    assert is_right
    assert call.operation in {passage.operation for passage in passages}
    for passage in passages:
        request = passage.request
        assert faults_of_request(request) == []
        assert faults_of_reply(request.method, request.path, passage.status, passage.reply) == []


def test_the_token_is_fetched_as_is_documented() -> None:
    _, passages = course("json")[0]

    assert passages[0].operation == TOKEN
    assert b"imp_secret" in passages[0].request.body


def test_bodies_are_written_as_the_setting_says() -> None:
    for body_format, content_type in (
        ("json", "application/json"),
        ("form", "application/x-www-form-urlencoded"),
    ):
        sent = {
            passage.request.content_type
            for _, passages in course(body_format).values()
            for passage in passages
            if passage.request.body
        }
        assert sent == {content_type}


def test_every_operation_that_naver_pay_supports_is_called() -> None:
    called = {call.operation for call in CALLS} | {TOKEN} | set(SAME_AS)

    assert called == set(surface().operations)
    assert set(SAME_AS.values()) <= called


def test_every_method_of_the_client_is_called() -> None:
    methods = {
        name
        for name in dir(PortOne)
        if not name.startswith("_") and callable(getattr(PortOne, name))
    }

    assert methods == {call.method for call in CALLS} | {"aclose"}
