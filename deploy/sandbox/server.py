"""The HTTP edge: from a request to a call and from a reply to bytes, or to a broken connection."""

import asyncio
import logging
import socket
import struct
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final, NoReturn

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from deploy.sandbox import texts
from deploy.sandbox.calls import Call
from deploy.sandbox.due import run_due
from deploy.sandbox.replies import LOST, Reply, Wire, control, failed
from deploy.sandbox.routes import CONTROL, ROUTES, Match
from deploy.sandbox.state import Sandbox

CONTROL_PREFIX: Final = "/_sandbox"

_BODY_BYTES_MAX: Final = 1024**2
# A bulk of behaviours for every customer of a benchmark is larger than any gateway request.
_CONTROL_BODY_BYTES_MAX: Final = 256 * 1024**2
_SHUTDOWN_S: Final = 0.2
# How late a schedule may be executed, also after the clock was moved.
_TICK_S: Final = 0.2
_BACKLOG: Final = 2048

logger = logging.getLogger("sandbox")

# What aiohttp would log as errors is what clients sent or how they left: here, part of the test.
_quiet = logging.getLogger("sandbox.aiohttp")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


class _BrokenReply(web.Response):
    """A reply that never arrives whole; aiohttp ends the connection when `prepare` raises."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self._reply = reply

    async def prepare(self, request: web.BaseRequest) -> NoReturn:
        transport = request.transport
        if transport is not None:
            if self._reply.wire is Wire.RESET:
                _abort_with_rst(transport)
            elif self._reply.wire is Wire.TRUNCATE:
                transport.write(_half(self._reply))
        raise ConnectionResetError


class _ClosingReply(web.Response):
    """A whole reply after which the connection is closed although it promised to stay."""

    _transport: asyncio.Transport | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self._transport = request.transport
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        await super().write_eof(data)
        if self._transport is not None:
            self._transport.close()


class _Listener(web.Server):
    """aiohttp's low-level server, which also says when a client has left."""

    def __init__(self, handler: Any) -> None:
        super().__init__(
            handler,
            request_factory=self._request,
            access_log=None,
            auto_decompress=False,
            logger=_quiet,
        )
        self._leaving: dict[Any, asyncio.Future[None]] = {}

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: Any,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        is_control = message.path.startswith(CONTROL_PREFIX)
        limit = _CONTROL_BODY_BYTES_MAX if is_control else _BODY_BYTES_MAX
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=limit
        )

    async def client_left(self, request: web.BaseRequest) -> None:
        """Wait until the client closes its connection, or the server stops."""
        left = self._loop.create_future()
        self._leaving[request.protocol] = left
        await left

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        left = self._leaving.pop(handler, None)
        if left is not None and not left.done():
            left.set_result(None)

    def release_all(self) -> None:
        """Stop waiting for clients that never leave."""
        for left in self._leaving.values():
            if not left.done():
                left.set_result(None)


class SandboxServer:
    """Serve one sandbox on one address."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._listener = _Listener(self._handle)
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and give the port (a free one where `port` is 0)."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._listener, host, port, backlog=_BACKLOG)
        bound: int = self._server.sockets[0].getsockname()[1]
        self._sandbox.webhooks.start()
        self._ticking = loop.create_task(self._tick())
        return bound

    async def stop(self) -> None:
        """Stop listening, give running requests a moment and close every connection."""
        if self._server is not None:
            self._server.close()
        if self._ticking is not None:
            self._ticking.cancel()
        self._listener.release_all()
        await self._listener.shutdown(_SHUTDOWN_S)
        await self._sandbox.webhooks.stop()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            try:
                run_due(self._sandbox)
            except Exception:
                logger.exception("schedules_failed")

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        match = ROUTES.match(request.method, path)
        if match is None:
            return _response(_nothing_there(request.method, path))
        if match.endpoint.name is None:
            return _response(await self._serve(request, match, path, query))
        census = self._sandbox.census
        census.enter(match.endpoint.name)
        status = 0
        try:
            reply = await self._serve(request, match, path, query)
            status = reply.status
            if reply.wire is Wire.HANG:
                await self._listener.client_left(request)
        finally:
            census.leave(status)
        return _response(reply)

    async def _serve(self, request: web.BaseRequest, match: Match, path: str, query: str) -> Reply:
        sandbox = self._sandbox
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _not_read(path, 413, "the body is too large")
        except ConnectionError:  # the client left before its request was whole
            return LOST
        except web.RequestPayloadError as error:
            return _not_read(path, 400, f"the body cannot be read: {error}")
        if match.endpoint.needs_token:
            authorization = request.headers.get("Authorization")
            if not sandbox.tokens.admits(authorization, at=sandbox.clock.now()):
                return failed(401, texts.UNAUTHORIZED)
        content_type = request.headers.get("Content-Type", "")
        call = Call(path, match.parameters, query, content_type, body, request.headers)
        try:
            return await match.endpoint.serve(sandbox, call)
        except Exception:
            logger.exception("sandbox_failed")
            return _not_read(path, 500, "failed; its error output has the reason")


def _response(reply: Reply) -> web.StreamResponse:
    if reply.wire is not Wire.DELIVER:
        return _BrokenReply(reply)
    kind = _ClosingReply if reply.closing else web.Response
    headers = {"Content-Type": reply.content_type, **dict(reply.headers)}
    return kind(status=reply.status, body=reply.body, headers=headers)


def _half(reply: Reply) -> bytes:
    head = (
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n"
        f"Content-Type: {reply.content_type}\r\n"
        f"Content-Length: {len(reply.body)}\r\n\r\n"
    )
    return head.encode() + reply.body[: len(reply.body) // 2]


def _abort_with_rst(transport: asyncio.Transport) -> None:
    # A linger of zero seconds makes the kernel answer with RST instead of FIN.
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _nothing_there(method: str, path: str) -> Reply:
    is_control = path.startswith(CONTROL_PREFIX)
    methods = ROUTES.methods(path)
    if methods:
        what = f"{method} is not possible here; use {', '.join(methods)}"
        allow = (("Allow", ", ".join(methods)),)
        reply = failed(405, texts.SANDBOX + what, headers=allow)
        return replace(control({"error": what}, status=405), headers=allow) if is_control else reply
    if is_control:
        known = ", ".join(f"{endpoint.method} {endpoint.path}" for endpoint in CONTROL)
        return control({"error": f"no such endpoint; known are {known}"}, status=404)
    return failed(404, f"{texts.SANDBOX}no such endpoint")


def _not_read(path: str, status: int, what: str) -> Reply:
    if path.startswith(CONTROL_PREFIX):
        return control({"error": what}, status=status)
    return failed(status, texts.SANDBOX + what)
