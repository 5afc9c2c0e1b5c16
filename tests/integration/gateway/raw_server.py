"""A bare HTTP server whose every connection is scripted: it can break off wherever a test likes."""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

AGAIN = "/subscribe/payments/again"
CANCEL = "/payments/cancel"
GET_TOKEN = "/users/getToken"
TOKEN = "raw-server-token"


@dataclass(frozen=True)
class Received:
    """One whole request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def fields(self) -> dict[str, Any]:
        """The JSON body."""
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


class Wire:
    """One connection, from the server's end."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number

    async def request(self) -> Received | None:
        """Read one request; None at the end of the connection."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        first, *lines = head.decode().split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.split(": ", 1) for line in lines if line)
        headers = {name.lower(): value for name, value in pairs}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Received(method, target, headers, body, self.number)

    def reply(self, body: bytes | dict[str, Any], status: int = 200, *more: str) -> None:
        """Write one whole reply."""
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        head = [f"HTTP/1.1 {status} Reason", f"Content-Length: {len(body)}", *more, "", ""]
        self.writer.write("\r\n".join(head).encode() + body)

    def reset(self) -> None:
        """Break the connection off with RST, unless it is over already."""
        # ValueError is uvloop's word for a socket that is closed, None its other one.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            kept = self.writer.get_extra_info("socket")
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def ended_by(self) -> str:
        """Return how the client ends the connection: ``fin`` or ``rst``."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionResetError:
            return "rst"
        return "fin"


Script = Callable[[Wire, Received], Awaitable[None]]


@dataclass
class RawServer:
    """The server, and everything it was asked."""

    url: str
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    tokens_given: int = 0
    token_life_s: int = 1800
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def charges(self) -> list[Received]:
        """The charges that arrived whole."""
        return [request for request in self.received if request.target == AGAIN]

    @property
    def sends(self) -> list[Received]:
        """The charges and refunds that arrived whole."""
        return [request for request in self.received if request.target in {AGAIN, CANCEL}]

    async def arrival_of(self, merchant_uid: str) -> None:
        """Wait until a charge or a refund has arrived."""
        async with asyncio.timeout(5):
            while all(one.fields["merchant_uid"] != merchant_uid for one in self.sends):
                self.arrived.clear()
                await self.arrived.wait()


def payment(request: Received, **changes: Any) -> dict[str, Any]:
    """Return PortOne's reply to a charge that was paid, or to a refund that was done."""
    asked = request.fields
    record = {
        "imp_uid": "imps_000000000001",
        "merchant_uid": asked.get("merchant_uid"),
        "customer_uid": asked.get("customer_uid"),
        "customer_uid_usage": "payment",
        "amount": asked.get("amount"),
        "cancel_amount": 0,
        "currency": "KRW",
        "status": "paid",
        "paid_at": 1_780_000_000,
        "fail_reason": None,
        "receipt_url": "https://example.invalid/receipt",
    }
    if request.target == CANCEL:
        record |= cancelled(asked)
    return {"code": 0, "message": None, "response": {**record, **changes}}


def cancelled(asked: dict[str, Any]) -> dict[str, Any]:
    """Return what a first cancel changes in a payment's record."""
    done = {
        "amount": asked["amount"],
        "reason": asked["reason"],
        "cancellation_id": "cancellation_1",
        "cancelled_at": 1_780_000_060,
    }
    return {
        "imp_uid": asked["imp_uid"],
        "customer_uid": "customer-1",
        "amount": asked["checksum"],
        "cancel_amount": asked["amount"],
        "status": "cancelled",
        "cancel_history": [done],
    }


async def pay(wire: Wire, request: Received) -> None:
    """Script: take the money, or give it back."""
    wire.reply(payment(request))


@contextlib.asynccontextmanager
async def raw_server(
    script: Script = pay, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """
    Serve on a free port; tokens are handed out, everything else is the script's.

    The script is called once a request and may end the connection; it is kept alive otherwise.
    """
    state = RawServer("")
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        wire = Wire(reader, writer, state.connections)
        state.connections += 1
        try:
            while (request := await wire.request()) is not None:
                state.received.append(request)
                state.arrived.set()
                if request.target == GET_TOKEN and state.token_life_s:
                    state.tokens_given += 1
                    wire.reply(token(f"{TOKEN}-{state.tokens_given}", state.token_life_s))
                else:
                    await script(wire, request)
                if writer.is_closing():
                    return
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Cancelled only below, at the end of the test.
            pass
        finally:
            serving.discard(asyncio.current_task())
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    state.url = f"{'https' if tls else 'http'}://{'localhost' if tls else '127.0.0.1'}:{port}"
    try:
        yield state
    finally:
        server.close()
        for task in [task for task in serving if task is not None]:
            task.cancel()
            await asyncio.wait([task])


def token(text: str, life_s: int) -> dict[str, Any]:
    """Return PortOne's reply to ``getToken``."""
    response = {"access_token": text, "now": 1_780_000_000, "expired_at": 1_780_000_000 + life_s}
    return {"code": 0, "message": None, "response": response}
