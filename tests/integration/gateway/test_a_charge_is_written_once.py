"""No layer writes a charge twice, whatever the server does to the connection, and when."""

import asyncio
from collections import Counter

import pytest

from shared.billing.outcome import NotSent, Paid, Unknown
from tests.integration.gateway.clients import (
    charge,
    client_of,
    idle_connections,
    open_fence,
    until,
)
from tests.integration.gateway.raw_server import (
    AGAIN,
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


def seen(server: RawServer) -> Counter[str]:
    """How often each charge arrived."""
    return Counter(request.fields["merchant_uid"] for request in server.charges)


@pytest.mark.parametrize(
    "breaking", [close, reset, half_head, half_body, half_chunk, no_http, endless_head]
)
async def test_a_charge_whose_reply_breaks_off_is_unknown_and_arrived_once(
    breaking: Script,
) -> None:
    async with raw_server(breaking) as server, client_of(server.url) as client:
        outcome = await client.charge(charge(), open_fence())

        assert isinstance(outcome, Unknown)
        assert seen(server) == {"sub1p1n1": 1}


@pytest.mark.parametrize("breaking", [close, reset, half_body])
async def test_a_charge_on_a_used_connection_that_breaks_is_unknown_and_arrived_once(
    breaking: Script,
) -> None:
    async def pay_once(wire: Wire, request: Received) -> None:
        await (pay if len(server.charges) == 1 else breaking)(wire, request)

    async with raw_server(pay_once) as server, client_of(server.url) as client:
        first = await client.charge(charge(1), open_fence())
        second = await client.charge(charge(2), open_fence())

        assert isinstance(first, Paid)
        assert isinstance(second, Unknown)
        # It is the used connection that broke, which is where layers like to repeat.
        assert len({request.connection for request in server.charges}) == 1
        assert seen(server) == {"sub1p1n1": 1, "sub1p1n2": 1}


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_server_that_closes_right_after_its_reply_sees_no_charge_twice(how: str) -> None:
    async def pay_and_close(wire: Wire, request: Received) -> None:
        await pay(wire, request)
        await wire.writer.drain()
        if how == "fin":
            wire.writer.close()
        else:
            # The reply must get through before the reset overtakes it.
            asyncio.get_running_loop().call_later(0.001, wire.reset)

    async with raw_server(pay_and_close) as server, client_of(server.url) as client:
        outcomes = [await client.charge(charge(n), open_fence()) for n in range(60)]

        arrived = seen(server)
        assert set(arrived.values()) == {1}
        for number, outcome in enumerate(outcomes):
            assert isinstance(outcome, Paid | Unknown | NotSent)
            if isinstance(outcome, NotSent):
                assert f"sub1p1n{number}" not in arrived
            if isinstance(outcome, Paid):
                assert f"sub1p1n{number}" in arrived


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_connection_that_ends_under_the_first_byte_of_a_charge_is_not_replaced(
    how: str,
) -> None:
    first_bytes: list[bytes] = []

    async def pay_then_watch(wire: Wire, request: Received) -> None:
        await pay(wire, request)
        first_bytes.append(await wire.reader.read(1))
        wire.writer.close() if how == "fin" else wire.reset()

    async with raw_server(pay_then_watch) as server, client_of(server.url) as client:
        assert isinstance(await client.charge(charge(1), open_fence()), Paid)
        outcome = await client.charge(charge(2), open_fence())

        assert isinstance(outcome, Unknown)
        assert first_bytes == [b"P"]
        assert seen(server) == {"sub1p1n1": 1}


async def test_many_charges_over_connections_that_die_at_random_arrive_at_most_once() -> None:
    async def mostly_pay(wire: Wire, request: Received) -> None:
        if request.target == AGAIN:
            number = int(request.fields["merchant_uid"].removeprefix("sub1p1n"))
            await [pay, pay, close, pay, reset, half_body][number % 6](wire, request)
            if number % 6 == 1:
                wire.writer.close()

    async with raw_server(mostly_pay) as server, client_of(server.url) as client:
        for wave in range(5):
            outcomes = await asyncio.gather(
                *(client.charge(charge(wave * 100 + n), open_fence()) for n in range(100))
            )
            assert all(isinstance(outcome, Paid | Unknown | NotSent) for outcome in outcomes)

        assert set(seen(server).values()) == {1}


async def test_a_second_reply_to_one_charge_does_not_answer_the_next() -> None:
    async def pay_twice_over(wire: Wire, request: Received) -> None:
        await pay(wire, request)
        wire.reply(payment(request, merchant_uid="sub1p1n2", customer_uid="customer-2"))

    async with raw_server(pay_twice_over) as server, client_of(server.url) as client:
        assert isinstance(await client.charge(charge(1), open_fence()), Paid)
        outcome = await client.charge(charge(2), open_fence())

        # A connection of its own, on which it was really asked for.
        assert isinstance(outcome, Paid)
        assert seen(server) == {"sub1p1n1": 1, "sub1p1n2": 1}
        assert len({request.connection for request in server.charges}) == 2


async def test_a_reply_that_comes_while_nobody_asks_does_not_answer_the_next_charge() -> None:
    idle = asyncio.Event()

    async def pay_and_chatter(wire: Wire, request: Received) -> None:
        await pay(wire, request)
        await wire.writer.drain()
        if len(server.charges) == 1:
            await idle.wait()
            wire.reply(payment(request, merchant_uid="sub1p1n2", customer_uid="customer-2"))

    async with raw_server(pay_and_chatter) as server, client_of(server.url) as client:
        assert isinstance(await client.charge(charge(1), open_fence()), Paid)
        idle.set()
        await until(lambda: any(kept.should_close for kept in idle_connections(client)))
        outcome = await client.charge(charge(2), open_fence())

        assert isinstance(outcome, NotSent)
        assert seen(server) == {"sub1p1n1": 1}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async def elsewhere(wire: Wire, _request: Received) -> None:
        wire.reply(b"", status, f"Location: {server.url}/elsewhere")

    async with raw_server(elsewhere) as server, client_of(server.url) as client:
        outcome = await client.charge(charge(), open_fence())

        assert outcome == Unknown(f"HTTP {status}")
        assert [request.target for request in server.received[1:]] == [AGAIN]
