"""Every wait has an end, and the end says whether the charge or the refund may have left."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from aiohttp.connector import AddrInfoType

from shared.billing.outcome import NotSent, Paid, Unknown
from tests.integration.gateway.clients import (
    Sending,
    charge,
    client_of,
    idle_connections,
    open_fence,
    until,
)
from tests.integration.gateway.raw_server import (
    AGAIN,
    Received,
    Wire,
    pay,
    payment,
    raw_server,
)
from worker.gateway.errors import GatewayUnavailable
from worker.gateway.fence import Departure, Fence
from worker.gateway.transport import Sockets

pytestmark = pytest.mark.anyio


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """Listen, and let nobody in: the queue of waiting connections is full."""
    with socket.socket() as listener, contextlib.ExitStack() as queue:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(4):
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(address)
        yield f"http://127.0.0.1:{address[1]}"


def narrow_listener() -> socket.socket:
    """Return a listening socket that takes little in before somebody reads."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    listener.bind(("127.0.0.1", 0))
    return listener


def swallow_late(listener: socket.socket, read_on: threading.Event) -> int:
    """Take one connection, read nothing until told to, and return how much came."""
    count = 0
    connection, _ = listener.accept()
    with connection, contextlib.suppress(ConnectionResetError):
        read_on.wait(10)
        while part := connection.recv(1 << 16):
            count += len(part)
    return count


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def keep_waiting(wire: Wire, _request: Received) -> None:
    await wire.reader.read()


async def test_a_refused_connection_sends_nothing(sending: Sending) -> None:
    async with client_of(f"http://127.0.0.1:{closed_port()}") as client:
        outcome = await sending(client)

    assert isinstance(outcome, NotSent)
    assert "ConnectError" in outcome.cause


async def test_a_name_that_does_not_resolve_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with client_of("http://gateway.invalid") as client:
        outcome = await client.charge(charge(), open_fence())

    assert isinstance(outcome, NotSent)
    assert "ClientConnectorDNSError" in outcome.cause


async def test_a_connection_that_is_never_accepted_sends_nothing(sending: Sending) -> None:
    with black_hole() as url:
        async with client_of(url, connect_timeout_s=0.2, pool_timeout_s=0.2) as client:
            began = time.monotonic()
            outcome = await sending(client)

    assert isinstance(outcome, NotSent)
    assert "ConnectTimeout" in outcome.cause
    assert time.monotonic() - began < 3


async def test_a_charge_that_waits_too_long_for_a_connection_is_not_sent(sending: Sending) -> None:
    async with (
        raw_server(keep_waiting) as server,
        client_of(
            server.url, connections_max=1, pool_timeout_s=0.1, connect_timeout_s=0.2
        ) as client,
    ):
        holding = asyncio.create_task(sending(client, 1))
        await server.arrival_of("sub1p1n1")
        outcome = await sending(client, 2)
        holding.cancel()

        assert isinstance(outcome, NotSent)
        assert [request.fields["merchant_uid"] for request in server.sends] == ["sub1p1n1"]


async def test_a_server_that_never_answers_leaves_the_charge_unknown(sending: Sending) -> None:
    async with (
        raw_server(keep_waiting) as server,
        client_of(server.url, read_timeout_s=0.2) as client,
    ):
        outcome = await sending(client)

        assert isinstance(outcome, Unknown)
        assert "ReadTimeout" in outcome.cause
        assert len(server.sends) == 1


async def test_a_reply_that_drips_is_ended_by_the_total_timeout(sending: Sending) -> None:
    async def drip(wire: Wire, _request: Received) -> None:
        wire.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not wire.writer.is_closing():
                wire.writer.write(b" ")
                await wire.writer.drain()
                await asyncio.sleep(0.02)

    async with (
        raw_server(drip) as server,
        client_of(server.url, read_timeout_s=1.0, total_timeout_s=1.2) as client,
    ):
        began = time.monotonic()
        outcome = await sending(client)

        assert outcome == Unknown("TotalTimeout: not over within 1.2 s")
        assert time.monotonic() - began < 4


async def test_the_total_timeout_is_not_sent_while_the_token_is_awaited(sending: Sending) -> None:
    async with (
        raw_server(keep_waiting) as server,
        client_of(server.url, total_timeout_s=0.3) as client,
    ):
        server.token_life_s = 0
        outcome = await sending(client)

        assert isinstance(outcome, NotSent)
        assert server.sends == []


@pytest.mark.parametrize("limit", ["read_timeout_s", "total_timeout_s"])
async def test_a_connection_given_up_is_reset_and_not_flushed(limit: str, sending: Sending) -> None:
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def watch(wire: Wire, _request: Received) -> None:
        ended.set_result(await wire.ended_by())

    limits: dict[str, Any] = {limit: 0.3}
    async with raw_server(watch) as server, client_of(server.url, **limits) as client:
        await sending(client)

        assert await asyncio.wait_for(ended, 5) == "rst"


async def test_a_cancelled_charge_resets_its_connection(sending: Sending) -> None:
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def watch(wire: Wire, _request: Received) -> None:
        ended.set_result(await wire.ended_by())

    async with raw_server(watch) as server, client_of(server.url) as client:
        charging = asyncio.create_task(sending(client))
        await server.arrival_of("sub1p1n1")
        charging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await charging

        assert await asyncio.wait_for(ended, 5) == "rst"


@pytest.mark.parametrize("where", ["kernel's", "own"])
async def test_what_waits_in_our_buffers_when_a_call_is_given_up_never_arrives(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Sockets.open
    connections: list[socket.socket] = []

    def open_narrow(sockets: Sockets, address: AddrInfoType) -> socket.socket:
        connection = opened(sockets, address)
        connections.append(connection)
        if where == "own":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        return connection

    monkeypatch.setattr(Sockets, "open", open_narrow)
    read_on = threading.Event()
    departure = Departure()
    with narrow_listener() as listener:
        listener.listen()
        swallowing = asyncio.create_task(asyncio.to_thread(swallow_late, listener, read_on))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with client_of(url) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client._channel.post(AGAIN, b"x" * 900_000, departure=departure)
            # A loop closes a connection in its next round.
            await until(lambda: all(connection.fileno() == -1 for connection in connections))
            read_on.set()

            # What the server's own buffer held already, and nothing that came later.
            assert await swallowing < 200_000
    assert departure.bytes_may_have_left


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux keeps this time-out")
async def test_bytes_that_nobody_takes_are_given_up_by_the_kernel() -> None:
    async def deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    over = asyncio.Event()
    listener = await asyncio.start_server(deaf, sock=narrow_listener(), limit=4096)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with (
        listener,
        client_of(url, write_timeout_s=0.5, total_timeout_s=30, read_timeout_s=30) as client,
    ):
        began = time.monotonic()
        with pytest.raises(httpx.TransportError):
            await client._channel.post(AGAIN, b"x" * 900_000)
        over.set()

    assert time.monotonic() - began < 20


async def test_a_lookup_without_an_answer_in_time_is_unavailable() -> None:
    async with (
        raw_server(keep_waiting) as server,
        client_of(server.url, read_timeout_s=5.0, total_timeout_s=0.3) as client,
    ):
        with pytest.raises(GatewayUnavailable, match=r"no answer within 0\.3 s"):
            await client.payments_of("sub1p1n1")


async def test_four_hundred_charges_wait_side_by_side() -> None:
    together = asyncio.Event()

    async def answer_when_all_are_there(wire: Wire, request: Received) -> None:
        if len(server.charges) == 400:
            together.set()
        await together.wait()
        wire.reply(payment(request))

    async with raw_server(answer_when_all_are_there) as server, client_of(server.url) as client:
        outcomes = await asyncio.gather(
            *(client.charge(charge(number), open_fence()) for number in range(400))
        )

        assert all(isinstance(outcome, Paid) for outcome in outcomes)
        assert server.tokens_given == 1


async def test_an_expired_fence_lets_nothing_out(sending: Sending) -> None:
    async with raw_server(pay) as server, client_of(server.url) as client:
        outcome = await sending(client, 1, Fence(0.0, 30.0, lambda: 31.0))

        assert isinstance(outcome, NotSent)
        assert "FenceExpired" in outcome.cause
        assert server.sends == []


async def test_the_fence_is_asked_after_the_connection_has_been_made(sending: Sending) -> None:
    async with raw_server(pay) as server, client_of(server.url) as client:
        # One connection is for the token; time runs out when the second has been accepted.
        await sending(client, 1)
        for kept in idle_connections(client):
            kept.close()

        def clock() -> float:
            return 31.0 if server.connections > before else 0.0

        before = server.connections
        outcome = await sending(client, 2, Fence(0.0, 30.0, clock))

        assert isinstance(outcome, NotSent)
        assert server.connections > before
        assert len(server.sends) == 1


async def test_the_fence_is_asked_after_the_wait_for_a_free_connection(sending: Sending) -> None:
    free = asyncio.Event()

    async def hold(wire: Wire, request: Received) -> None:
        await free.wait()
        await pay(wire, request)

    async with (
        raw_server(hold) as server,
        client_of(server.url, connections_max=1) as client,
    ):
        holding = asyncio.create_task(sending(client, 1))
        await server.arrival_of("sub1p1n1")
        now_s = 0.0
        waiting = asyncio.create_task(sending(client, 2, Fence(0.0, 30.0, lambda: now_s)))
        await asyncio.sleep(0)
        now_s = 31.0
        free.set()

        assert isinstance(await holding, sending.done)
        assert isinstance(await waiting, NotSent)
        assert len(server.sends) == 1


async def test_a_charge_refused_at_the_fence_harms_no_later_one(sending: Sending) -> None:
    async with raw_server(pay) as server, client_of(server.url) as client:
        for number in range(3):
            late = await sending(client, number, Fence(0.0, 30.0, lambda: 31.0))
            sent = await sending(client, 100 + number)

            assert isinstance(late, NotSent)
            assert isinstance(sent, sending.done)
        assert len(server.sends) == 3
