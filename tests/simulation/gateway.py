"""The sandbox without sockets: our client's requests in, its replies out, on virtual time."""

import asyncio
import contextvars
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx

from deploy.sandbox import texts
from deploy.sandbox.calls import Call
from deploy.sandbox.clock import SandboxClock
from deploy.sandbox.replies import LOST, Reply, Wire, failed
from deploy.sandbox.routes import ROUTES
from deploy.sandbox.settings import Settings
from deploy.sandbox.state import Sandbox
from deploy.sandbox.tokens import TokenDesk
from tests.simulation.seam import Seam, site
from worker.gateway.fence import Departure, FenceExpired

# What the gateway is doing, whoever asked for it and is gone by now.
_SERVING: set[asyncio.Task[Reply]] = set()
IMP_KEY, IMP_SECRET = "simulated-key", "simulated-secret"


class VirtualSandboxClock(SandboxClock):
    """The sandbox's clock on the simulation's time."""

    __slots__ = ("_loop", "_start_s")

    def __init__(self, loop: asyncio.AbstractEventLoop, start_at: datetime) -> None:
        """Begin at an instant."""
        super().__init__()
        self._loop = loop
        self._start_s = start_at.timestamp()

    def now(self) -> float:
        """Give the present instant."""
        return self._start_s + self._loop.time() + self.offset_s


def make_sandbox(
    loop: asyncio.AbstractEventLoop, start_at: datetime, settings: Mapping[str, Any]
) -> Sandbox:
    """Return a sandbox with these settings (``deploy/sandbox/settings.py``)."""
    return Sandbox(
        TokenDesk(IMP_KEY, IMP_SECRET),
        Settings.model_validate({"webhook_url": "http://127.0.0.1:9/", **settings}),
        clock=VirtualSandboxClock(loop, start_at),
    )


class SandboxTransport(httpx.AsyncBaseTransport):
    """The way from one process of ours to the sandbox; a process of its own, which outlives ours.

    Attributes:
        refuses: Whether the gateway takes no connections.
    """

    def __init__(self, sandbox: Sandbox, seam: Seam) -> None:
        """Take both ends."""
        self._sandbox = sandbox
        self._seam = seam
        self.refuses = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request there and its reply back."""
        where = site()
        departure: Departure = request.extensions["departure"]
        await self._seam.at("request", "before", where)
        if self.refuses:
            message = "nobody listens"
            raise httpx.ConnectError(message)
        departure.boards(_nothing)
        try:
            departure.leaves()
        except FenceExpired:
            departure.stays()
            raise
        body = b"".join([part async for part in request.stream])  # type: ignore[union-attr]
        # In a context of its own: the gateway goes on when we die.
        serving = asyncio.get_running_loop().create_task(
            self._serve(request, body), context=contextvars.Context()
        )
        _SERVING.add(serving)
        serving.add_done_callback(_SERVING.discard)
        await self._seam.at("request", "under way", where)
        reply = await asyncio.shield(serving)
        await self._seam.at("request", "after", where)
        return _response(reply)

    async def _serve(self, request: httpx.Request, body: bytes) -> Reply:
        path, _, query = request.url.raw_path.decode("ascii").partition("?")
        match = ROUTES.match(request.method, path)
        if match is None or match.endpoint.name is None:
            return failed(404, f"{texts.SANDBOX}no such endpoint")
        headers = request.headers
        sandbox = self._sandbox
        if match.endpoint.needs_token and not sandbox.tokens.admits(
            headers.get("Authorization"), at=sandbox.clock.now()
        ):
            return failed(401, texts.UNAUTHORIZED)
        sandbox.census.enter(match.endpoint.name)
        reply = LOST
        try:
            call = Call(
                path,
                match.parameters,
                query,
                headers.get("Content-Type", ""),
                body,
                headers,
            )
            reply = await match.endpoint.serve(sandbox, call)
        finally:
            sandbox.census.leave(reply.status)
        if reply.wire is Wire.HANG:
            await asyncio.get_running_loop().create_future()
        return reply


def _nothing() -> None:
    """There is no connection that could be dropped."""


def _response(reply: Reply) -> httpx.Response:
    """Return what our client sees of a reply, or raise what it would see."""
    match reply.wire:
        case Wire.CLOSE:
            message = "the server disconnected"
            raise httpx.RemoteProtocolError(message)
        case Wire.RESET:
            message = "connection reset"
            raise httpx.ReadError(message)
        case Wire.TRUNCATE:
            message = "the reply ended early"
            raise httpx.ReadError(message)
        case _:
            headers = {"Content-Type": reply.content_type, **dict(reply.headers)}
            return httpx.Response(reply.status, headers=headers, content=reply.body)
