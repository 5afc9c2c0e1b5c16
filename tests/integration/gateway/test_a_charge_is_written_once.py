"""No layer writes a charge or a refund twice, whatever the server does to its connection."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from shared.billing.outcome import NotSent, Unknown
from tests.integration.gateway.clients import (
    Sending,
    client_of,
    idle_connections,
    until,
)
from tests.integration.gateway.raw_server import (
    RawServer,
    Received,
    Script,
    Wire,
    pay,
    payment,
    raw_server,
)

pytestmark = pytest.mark.anyio


async def close(wire: Wire, _request: Received) -> None:
    wire.writer.close()


async def reset(wire: Wire, _request: Received) -> None:
    wire.reset()


async def half_head(wire: Wire, _request: Received) -> None:
    wire.writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await wire.writer.drain()
    wire.writer.close()


async def half_body(wire: Wire, request: Received) -> None:
    wire.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
    wire.writer.write(str(payment(request)).encode()[:200])
    await wire.writer.drain()
    wire.writer.close()


async def half_chunk(wire: Wire, _request: Received) -> None:
    wire.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{")
    await wire.writer.drain()
    wire.reset()


async def no_http(wire: Wire, _request: Received) -> None:
    wire.writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    await wire.writer.drain()
    wire.writer.close()


async def endless_head(wire: Wire, _request: Received) -> None:
    wire.writer.write(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000)
    await wire.writer.drain()
    wire.writer.close()


def of_the_second(request: Received) -> dict[str, Any]:
    """Return what would be a good reply to the charge or the refund that comes next."""
    return payment(request, merchant_uid="sub1p1n2", customer_uid="customer-2", imp_uid="imps_2")


def seen(server: RawServer) -> Counter[str]:
    """How often each charge or refund arrived."""
    return Counter(request.fields["merchant_uid"] for request in server.sends)


@pytest.mark.parametrize(
    "breaking", [close, reset, half_head, half_body, half_chunk, no_http, endless_head]
)
async def test_a_charge_whose_reply_breaks_off_is_unknown_and_arrived_once(
    breaking: Script, sending: Sending
) -> None:
    async with raw_server(breaking) as server, client_of(server.url) as client:
        outcome = await sending(client)

        assert isinstance(outcome, Unknown)
        assert seen(server) == {"sub1p1n1": 1}


@pytest.mark.parametrize("breaking", [close, reset, half_body])
async def test_a_charge_on_a_used_connection_that_breaks_is_unknown_and_arrived_once(
    breaking: Script, sending: Sending
) -> None:
    async def pay_once(wire: Wire, request: Received) -> None:
        await (pay if len(server.sends) == 1 else breaking)(wire, request)

    async with raw_server(pay_once) as server, client_of(server.url) as client:
        first = await sending(client, 1)
        second = await sending(client, 2)

        assert isinstance(first, sending.done)
        assert isinstance(second, Unknown)
        # It is the used connection that broke, which is where layers like to repeat.
        assert len({request.connection for request in server.sends}) == 1
        assert seen(server) == {"sub1p1n1": 1, "sub1p1n2": 1}


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_server_that_closes_right_after_its_reply_sees_no_charge_twice(
    how: str, sending: Sending
) -> None:
    async def pay_and_close(wire: Wire, request: Received) -> None:
        await pay(wire, request)
        await wire.writer.drain()
        if how == "fin":
            wire.writer.close()
        else:
            # The reply must get through before the reset overtakes it.
            asyncio.get_running_loop().call_later(0.001, wire.reset)

    async with raw_server(pay_and_close) as server, client_of(server.url) as client:
        outcomes = [await sending(client, n) for n in range(60)]

        arrived = seen(server)
        assert set(arrived.values()) == {1}
        for number, outcome in enumerate(outcomes):
            assert isinstance(outcome, sending.done | Unknown | NotSent)
            if isinstance(outcome, NotSent):
                assert f"sub1p1n{number}" not in arrived
            if isinstance(outcome, sending.done):
                assert f"sub1p1n{number}" in arrived


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_connection_that_ends_under_the_first_byte_of_a_charge_is_not_replaced(
    how: str, sending: Sending
) -> None:
    first_bytes: list[bytes] = []

    async def pay_then_watch(wire: Wire, request: Received) -> None:
        await pay(wire, request)
        first_bytes.append(await wire.reader.read(1))
        wire.writer.close() if how == "fin" else wire.reset()

    async with raw_server(pay_then_watch) as server, client_of(server.url) as client:
        assert isinstance(await sending(client, 1), sending.done)
        outcome = await sending(client, 2)

        assert isinstance(outcome, Unknown)
        assert first_bytes == [b"P"]
        assert seen(server) == {"sub1p1n1": 1}


async def test_many_charges_over_connections_that_die_at_random_arrive_at_most_once(
    sending: Sending,
) -> None:
    async def mostly_pay(wire: Wire, request: Received) -> None:
        if request.target == sending.path:
            number = int(request.fields["merchant_uid"].removeprefix("sub1p1n"))
            await [pay, pay, close, pay, reset, half_body][number % 6](wire, request)
            if number % 6 == 1:
                wire.writer.close()

    async with raw_server(mostly_pay) as server, client_of(server.url) as client:
        for wave in range(5):
            outcomes = await asyncio.gather(*(sending(client, wave * 100 + n) for n in range(100)))
            assert all(
                isinstance(outcome, sending.done | Unknown | NotSent) for outcome in outcomes
            )

        assert set(seen(server).values()) == {1}


async def test_a_second_reply_to_one_charge_does_not_answer_the_next(sending: Sending) -> None:
    async def pay_twice_over(wire: Wire, request: Received) -> None:
        await pay(wire, request)
        wire.reply(of_the_second(request))

    async with raw_server(pay_twice_over) as server, client_of(server.url) as client:
        assert isinstance(await sending(client, 1), sending.done)
        outcome = await sending(client, 2)

        # A connection of its own, on which it was really asked for.
        assert isinstance(outcome, sending.done)
        assert seen(server) == {"sub1p1n1": 1, "sub1p1n2": 1}
        assert len({request.connection for request in server.sends}) == 2


async def test_a_reply_that_comes_while_nobody_asks_does_not_answer_the_next_charge(
    sending: Sending,
) -> None:
    idle = asyncio.Event()

    async def pay_and_chatter(wire: Wire, request: Received) -> None:
        await pay(wire, request)
        await wire.writer.drain()
        if len(server.sends) == 1:
            await idle.wait()
            wire.reply(of_the_second(request))

    async with raw_server(pay_and_chatter) as server, client_of(server.url) as client:
        assert isinstance(await sending(client, 1), sending.done)
        idle.set()
        await until(lambda: any(kept.should_close for kept in idle_connections(client)))
        outcome = await sending(client, 2)

        assert isinstance(outcome, NotSent)
        assert seen(server) == {"sub1p1n1": 1}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int, sending: Sending) -> None:
    async def elsewhere(wire: Wire, _request: Received) -> None:
        wire.reply(b"", status, f"Location: {server.url}/elsewhere")

    async with raw_server(elsewhere) as server, client_of(server.url) as client:
        outcome = await sending(client)

        assert outcome == Unknown(f"HTTP {status}")
        assert [request.target for request in server.received[1:]] == [sending.path]
