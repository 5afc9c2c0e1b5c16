"""The token is fetched once for everybody, kept while it lives, and renewed once on a 401."""

import asyncio

import pytest

from shared.billing.outcome import FaultScope, Misconfigured, NotSent, Paid, Throttled, Unknown
from tests.integration.gateway.clients import charge, client_of, open_fence
from tests.integration.gateway.raw_server import (
    GET_TOKEN,
    TOKEN,
    Received,
    Wire,
    pay,
    raw_server,
    token,
)
from worker.gateway.errors import GatewayMisconfigured, GatewayThrottled, GatewayUnavailable
from worker.gateway.fence import Fence

pytestmark = pytest.mark.anyio

UNAUTHORIZED = {"code": -1, "message": "Unauthorized", "response": None}


async def test_four_hundred_charges_with_an_ended_token_fetch_one_new() -> None:
    async def refuse_the_first_token(wire: Wire, request: Received) -> None:
        if request.headers["authorization"] == f"Bearer {TOKEN}-1":
            wire.reply(UNAUTHORIZED, 401)
        else:
            await pay(wire, request)

    async with raw_server(refuse_the_first_token) as server, client_of(server.url) as client:
        outcomes = await asyncio.gather(
            *(client.charge(charge(number), open_fence()) for number in range(400))
        )

        assert all(isinstance(outcome, Paid) for outcome in outcomes)
        assert server.tokens_given == 2
        assert len(server.charges) == 800


async def test_a_second_401_is_our_fault_and_there_is_no_third_try() -> None:
    async def refuse(wire: Wire, _request: Received) -> None:
        wire.reply(UNAUTHORIZED, 401)

    async with raw_server(refuse) as server, client_of(server.url) as client:
        outcome = await client.charge(charge(), open_fence())

        assert outcome == Misconfigured("Unauthorized", FaultScope.GATEWAY)
        assert len(server.charges) == 2
        with pytest.raises(GatewayMisconfigured, match="Unauthorized"):
            await client.payments_of("sub1p1n1")


async def test_a_lookup_renews_its_token_too() -> None:
    async def refuse_the_first_token(wire: Wire, request: Received) -> None:
        if request.headers["authorization"] == f"Bearer {TOKEN}-1":
            wire.reply(UNAUTHORIZED, 401)
        else:
            wire.reply({"code": 0, "response": {"total": 0, "next": 0, "list": []}})

    async with raw_server(refuse_the_first_token) as server, client_of(server.url) as client:
        assert await client.payments_of("sub1p1n1") == []
        assert server.tokens_given == 2


async def test_after_a_401_the_fence_is_asked_again() -> None:
    now_s = 0.0

    async def refuse_late(wire: Wire, _request: Received) -> None:
        nonlocal now_s
        now_s = 31.0
        wire.reply(UNAUTHORIZED, 401)

    async with raw_server(refuse_late) as server, client_of(server.url) as client:
        outcome = await client.charge(charge(), Fence(0.0, 30.0, lambda: now_s))

        # The 401 says that nothing was done, so this is certain.
        assert isinstance(outcome, NotSent)
        assert len(server.charges) == 1


async def test_a_charge_lost_after_a_401_is_unknown() -> None:
    async def refuse_then_hang_up(wire: Wire, _request: Received) -> None:
        if len(server.charges) == 1:
            wire.reply(UNAUTHORIZED, 401)
        else:
            wire.writer.close()

    async with raw_server(refuse_then_hang_up) as server, client_of(server.url) as client:
        assert isinstance(await client.charge(charge(), open_fence()), Unknown)
        assert len(server.charges) == 2


@pytest.mark.parametrize(
    ("status", "body", "headers", "expected"),
    [
        (401, UNAUTHORIZED, (), Misconfigured("Unauthorized", FaultScope.GATEWAY)),
        (401, b"", (), Misconfigured("HTTP 401", FaultScope.GATEWAY)),
        (403, b"<html>", (), Misconfigured("HTTP 403", FaultScope.GATEWAY)),
        (429, b"", ("Retry-After: 7",), Throttled("HTTP 429", 7.0)),
        (503, b"", ("Retry-After: 9",), Throttled("HTTP 503", 9.0)),
        (503, b"", (), NotSent("no token: HTTP 503, unreadable: body: Invalid JSON: ")),
        (500, b"oops", (), NotSent("no token: HTTP 500, unreadable: body: Invalid JSON: ")),
        (200, b"{", (), NotSent("no token: HTTP 200, unreadable: body: Invalid JSON: ")),
        (201, token("t", 9), (), NotSent("no token: HTTP 201, unreadable: a token beside that")),
        (200, token("t", 0), (), NotSent("no token: the token ended 0 s before it was given")),
        (200, token("a b", 9), (), NotSent("no token: HTTP 200, unreadable: response.access_t")),
        (
            200,
            {"code": -1, "message": "점검 중", "response": None},
            (),
            NotSent("no token: HTTP 200, code -1: 점검 중"),
        ),
    ],
    ids=str,
)
async def test_a_charge_without_a_token_is_not_sent(
    status: int,
    body: bytes | dict[str, object],
    headers: tuple[str, ...],
    expected: NotSent | Misconfigured | Throttled,
) -> None:
    async def no_token(wire: Wire, request: Received) -> None:
        assert request.target == GET_TOKEN
        wire.reply(body, status, *headers)

    async with raw_server(no_token) as server, client_of(server.url) as client:
        server.token_life_s = 0
        outcome = await client.charge(charge(), open_fence())

        if isinstance(expected, NotSent):
            assert isinstance(outcome, NotSent)
            assert outcome.cause.startswith(expected.cause)
        else:
            assert outcome == expected


async def test_everybody_who_waits_is_told_and_the_failure_is_not_kept() -> None:
    async def fail_once(wire: Wire, request: Received) -> None:
        if request.target != GET_TOKEN:
            await pay(wire, request)
            return
        server.token_life_s = 1800
        wire.reply(b"", 500)

    async with raw_server(fail_once) as server, client_of(server.url) as client:
        server.token_life_s = 0
        outcomes = await asyncio.gather(
            *(client.charge(charge(number), open_fence()) for number in range(50))
        )

        assert all(isinstance(outcome, NotSent) for outcome in outcomes)
        assert len(server.received) == 1
        assert isinstance(await client.charge(charge(99), open_fence()), Paid)


async def test_a_lookup_without_a_token_says_why() -> None:
    async def throttle(wire: Wire, _request: Received) -> None:
        wire.reply(b"", 429, "Retry-After: 3")

    async with raw_server(throttle) as server, client_of(server.url) as client:
        server.token_life_s = 0
        with pytest.raises(GatewayThrottled) as throttled:
            await client.payments_of("sub1p1n1")

        assert throttled.value.retry_after_s == 3.0


async def test_a_token_fetch_that_nobody_answers_is_unavailable_for_those_who_wait() -> None:
    async def hang_up(wire: Wire, _request: Received) -> None:
        wire.reset()

    async with raw_server(hang_up) as server, client_of(server.url) as client:
        server.token_life_s = 0
        with pytest.raises(GatewayUnavailable):
            await client.find("sub1p1n1")
