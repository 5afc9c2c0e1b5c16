"""Connections that are slow, huge, malformed or many: honest webhooks get in all the while."""

import asyncio
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
import redis

from deploy.launcher.servers import OwnServers
from shared.jobs.contracts import WEBHOOK_QUEUE
from tests.integration.receiver.process import (
    ANSWER_TIMEOUT_S,
    CONNECTIONS_MAX,
    ReceiverProcess,
    running_receiver,
    statuses,
    webhook,
)
from worker.receiver_body import LENGTH_MAX

# What an honest request may take while others misbehave; PortOne waits 15 seconds.
HONEST_S = 5.0
MEMORY_GROWTH_MAX_MIB = 64
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def receiver(
    servers: OwnServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ReceiverProcess]:
    """A receiver for all tests here: what one of them leaves behind, the next one meets."""
    with redis.Redis.from_url(servers.valkey.url) as client:
        client.flushall()
    log = tmp_path_factory.mktemp("receiver") / "receiver.log"
    with running_receiver(servers.valkey.url, log) as running:
        asyncio.run(running.ask())
        before_mib = running.memory_mib()
        yield running
        assert running.memory_mib() - before_mib < MEMORY_GROWTH_MAX_MIB
        assert running.child.is_alive
        assert "Traceback" not in running.child.output()


async def answered_soon(receiver: ReceiverProcess) -> None:
    """Fail unless an honest webhook is taken in soon."""
    started_s = time.monotonic()
    assert await receiver.ask() == 200
    assert time.monotonic() - started_s < HONEST_S


async def until_closed(reader: asyncio.StreamReader, bound_s: float) -> bytes:
    """Return what comes until the other side closes; fail if it does not in time."""
    try:
        return await asyncio.wait_for(reader.read(), bound_s)
    except ConnectionError:
        return b""


SLOW = {
    "nothing at all": (b"", b""),
    "a head, byte by byte": (b"POST /webhooks/portone HTTP/1.1\r\nHost: here\r\n", b"x"),
    "headers without an end": (b"POST /webhooks/portone HTTP/1.1\r\n", b"X: y\r\n"),
    "a body, byte by byte": (webhook(body=b" " * LENGTH_MAX)[:100], b" "),
    "a body of chunks": (
        webhook().partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n",
        b"1\r\n \r\n",
    ),
    "a body that was answered already": (
        b"POST /nowhere HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\n",
        b"x",
    ),
    "a second head, after an answer": (webhook() + b"GET /healthz HTTP/1.1\r\n", b"X"),
}


def test_those_that_are_slow_are_dropped_however_busy_they_look(receiver: ReceiverProcess) -> None:
    async def trickle(begun: bytes, drop: bytes) -> float:
        async with receiver.connection() as (reader, writer):
            started_s = time.monotonic()
            writer.write(begun)
            closed = asyncio.ensure_future(until_closed(reader, 20 * ANSWER_TIMEOUT_S))
            while not closed.done():
                writer.write(drop)
                await asyncio.wait({closed}, timeout=0.05)
            await closed
            return time.monotonic() - started_s

    async def all_of_them() -> dict[str, float]:
        took_s = await asyncio.gather(*(trickle(*slow) for slow in SLOW.values()))
        return dict(zip(SLOW, took_s, strict=True))

    took_s = asyncio.run(all_of_them())
    # Twice: a request may have been answered before.
    bound_s = 2 * ANSWER_TIMEOUT_S + HONEST_S
    assert {name: s for name, s in took_s.items() if not ANSWER_TIMEOUT_S / 2 < s < bound_s} == {}


def test_a_crowd_of_slow_ones_keeps_nobody_out(receiver: ReceiverProcess) -> None:
    async def crowd() -> None:
        opened = [receiver.connection() for _ in range(2 * CONNECTIONS_MAX)]
        try:
            for number, connection in enumerate(opened):
                _, writer = await connection.__aenter__()
                writer.write(webhook()[: 40 + number % 150])
                if number % 10 == 9:
                    await answered_soon(receiver)
            await answered_soon(receiver)
        finally:
            for connection in opened:
                await connection.__aexit__(None, None, None)

    asyncio.run(crowd())
    assert '"why": "crowd"' in receiver.child.output()


HUGE = {
    "a body that says so": webhook(body=b" " * (3 * MEGABYTE)),
    "a body that says too much": webhook().replace(b"Length: 20", b"Length: " + b"9" * 30),
    "chunks": b"POST /webhooks/portone HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + (b" " * 1024 + b"\r\n400\r\n") * 3_000,
    "chunks of one byte": (
        b"POST /webhooks/portone HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 50_000
    ),
    "a chunk's extension": b"POST /webhooks/portone HTTP/1.1\r\nHost: here\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * MEGABYTE,
    "a header": b"GET /healthz HTTP/1.1\r\nHost: here\r\nX: " + b"x" * MEGABYTE,
    "headers": b"GET /healthz HTTP/1.1\r\nHost: here\r\n" + b"X: y\r\n" * 200_000,
    "an address": b"GET /" + b"x" * MEGABYTE,
    "a method": b"G" * MEGABYTE,
    "nothing but line ends": b"\r\n" * 500_000,
}


@pytest.mark.parametrize("name", HUGE)
def test_one_that_is_huge_is_refused_and_kept_nowhere(receiver: ReceiverProcess, name: str) -> None:
    async def send() -> list[int]:
        answers = await asyncio.gather(*(receiver.send(HUGE[name]) for _ in range(4)))
        await answered_soon(receiver)
        return [status for answer in answers for status in statuses(answer)]

    assert set(asyncio.run(send())) <= {400, 413, 415}


def test_as_much_as_is_taken_is_taken(receiver: ReceiverProcess) -> None:
    body = b'{"imp_uid": "imp_1"}'.ljust(LENGTH_MAX)
    sent = webhook(headers="Connection: close\r\n", body=body)
    assert statuses(asyncio.run(receiver.send(sent))) == [200]


def head(line: str, *headers: str, body: str = "") -> bytes:
    """Return a request as it is written here."""
    return "\r\n".join([line, *headers, "", body]).encode("latin-1")


POST = "POST /webhooks/portone HTTP/1.1"
JSON = ("Host: here", "Content-Type: application/json")
BODY = '{"imp_uid": "imp_1"}'
CHUNKED = f"14\r\n{BODY}\r\n0\r\n\r\n"
INNER = "POST /webhooks/portone HTTP/1.1\r\nHost: here\r\n\r\n"
MALFORMED = {
    "two lengths": head(POST, *JSON, "Content-Length: 20", "Content-Length: 5", body=BODY),
    "a length and chunks": head(
        POST, *JSON, "Content-Length: 30", "Transfer-Encoding: chunked", body=CHUNKED
    ),
    "chunks and a length": head(
        POST, *JSON, "Transfer-Encoding: chunked", "Content-Length: 4", body=CHUNKED + INNER
    ),
    "a length that is none": head(POST, *JSON, "Content-Length: +20", body=BODY),
    "a negative length": head(POST, *JSON, "Content-Length: -1", body=BODY),
    "a length in hexadecimal": head(POST, *JSON, "Content-Length: 0x14", body=BODY),
    "another coding": head(POST, *JSON, "Transfer-Encoding: gzip, chunked", body=CHUNKED),
    "chunked, hidden": head(POST, *JSON, "Transfer-Encoding: xchunked", body=CHUNKED),
    "chunked, twice": head(POST, *JSON, *["Transfer-Encoding: chunked"] * 2, body=CHUNKED),
    "a space before the colon": head(POST, *JSON, "Content-Length : 20", body=BODY),
    "a folded header": head(POST, *JSON, "X: y", "  Content-Length: 20", body=BODY),
    "a chunk without a length": head(POST, *JSON, "Transfer-Encoding: chunked", body="zz\r\n"),
    "a negative chunk": head(POST, *JSON, "Transfer-Encoding: chunked", body="-1\r\n"),
    "a chunk too long": head(POST, *JSON, "Transfer-Encoding: chunked", body="f" * 40 + "\r\n"),
    "bad chunks of what was answered": head(
        "POST /nowhere HTTP/1.1", *JSON, "Transfer-Encoding: chunked", body="zz\r\n"
    ),
    "a null byte in the address": head("GET /healthz\0 HTTP/1.1", "Host: here"),
    "a null byte in a header": head("GET /healthz HTTP/1.1", "Host: here", "X: a\0b"),
    "bare line ends in a header": head("GET /healthz HTTP/1.1", "Host: here", "X: a\rb"),
    "no host": head("GET /healthz HTTP/1.1"),
    "two hosts": head("GET /healthz HTTP/1.1", "Host: here", "Host: there"),
    "the next version": b"PRI * HTTP/2.0\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "no HTTP": b"\x00\xff\r\n\r\n",
    "an absolute address": head("GET http://elsewhere/healthz HTTP/1.1", "Host: here"),
    "an absolute address that is none": head("GET http://[ HTTP/1.1", "Host: here"),
    "a tunnel": head("CONNECT here:443 HTTP/1.1", "Host: here"),
    "all that there is": head("OPTIONS * HTTP/1.1", "Host: here"),
    "another method": head("DELETE /webhooks/portone HTTP/1.1", "Host: here"),
    "a method of nobody's": head("BREW /healthz HTTP/1.1", "Host: here"),
    "another protocol": head(
        "GET /healthz/ HTTP/1.1", "Host: here", "Upgrade: websocket", "Connection: Upgrade"
    ),
    "a folder above": head("GET /../../etc/passwd HTTP/1.1", "Host: here"),
    "percent signs": head("GET /%00%ff%zz HTTP/1.1", "Host: here"),
    "a slash too many": head("GET /healthz/ HTTP/1.1", "Host: elsewhere"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_one_that_is_malformed_is_refused_and_nothing_after_it_is_read(
    receiver: ReceiverProcess, name: str
) -> None:
    async def send() -> list[int]:
        answer = await receiver.send(MALFORMED[name])
        await answered_soon(receiver)
        return statuses(answer)

    refused = asyncio.run(send())
    assert len(refused) <= 1
    assert set(refused) <= {400, 404, 405}


ODD = {
    "a host that is no address": head("GET /healthz HTTP/1.1", "Host: ["),
    "HTTP 1.0": head("GET /healthz HTTP/1.0"),
    "HTTP 9.9": head("GET /healthz HTTP/9.9", "Host: here", "Connection: close"),
    "a length, said twice alike": head(
        POST, *JSON, "Content-Length: 20", "Content-Length: 20", body=BODY
    ),
    "chunks": head(POST, *JSON, "Transfer-Encoding: chunked", body=CHUNKED),
    "asked before it is sent": head(
        POST, *JSON, "Content-Length: 20", "Expect: 100-continue", body=BODY
    ),
    "an address of somebody else": head(
        POST, *JSON, "Content-Length: 20", "X-Forwarded-For: [::1, \xff, 300.1.1.1", body=BODY
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_one_that_is_odd_is_answered(receiver: ReceiverProcess, name: str) -> None:
    answer = asyncio.run(receiver.send(ODD[name]))
    assert statuses(answer.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")) == [200]


def test_many_over_one_connection_are_each_taken_in_once_and_in_order(
    receiver: ReceiverProcess, servers: OwnServers
) -> None:
    count = 300
    sent = b"".join(webhook(f"imp_{number}") for number in range(count))
    with redis.Redis.from_url(servers.valkey.url, decode_responses=True) as client:
        client.delete(WEBHOOK_QUEUE)
        answer = asyncio.run(receiver.send(sent))
        found = client.lrange(WEBHOOK_QUEUE, 0, -1)
    assert statuses(answer) == [200] * count
    assert len(set(found)) == count


def test_one_that_does_not_read_its_answers_is_dropped(receiver: ReceiverProcess) -> None:
    async def send() -> None:
        async with receiver.connection() as (reader, writer):
            for _ in range(200):
                writer.write(webhook() * 100)
                try:
                    await asyncio.wait_for(writer.drain(), ANSWER_TIMEOUT_S)
                except (TimeoutError, ConnectionError):
                    break
            await answered_soon(receiver)
            del reader

    asyncio.run(send())


def test_what_was_dropped_is_told(receiver: ReceiverProcess) -> None:
    lines = [line for line in receiver.child.output().splitlines() if "connection_dropped" in line]
    assert any('"why": "slow"' in line for line in lines)
    assert all("imp_" not in line for line in lines)
    assert list(pairwise(lines))
