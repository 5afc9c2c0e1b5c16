"""The way from our client to a sandbox of this process, without a socket between them."""

from collections.abc import Callable
from dataclasses import dataclass

import httpx

from deploy.sandbox.calls import Call
from deploy.sandbox.replies import Reply, Wire
from deploy.sandbox.routes import ROUTES
from deploy.sandbox.state import Sandbox
from worker.gateway.fence import Departure


def _nothing(*_: object) -> None:
    """There is nobody to tell, and no connection that could be dropped."""


@dataclass
class InProcess(httpx.AsyncBaseTransport):
    """The way there and back.

    Attributes:
        before: Told of the path of every request that has left; what it raises befalls the client.
        after: Told of the method of every request that was served, of what was asked and answered.
    """

    sandbox: Sandbox
    before: Callable[[str], None] = _nothing
    after: Callable[[str, Call, Reply], None] = _nothing

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry a request to the sandbox and its reply back."""
        departure: Departure = request.extensions["departure"]
        departure.boards(_nothing)
        departure.leaves()
        body = b"".join([part async for part in request.stream])  # type: ignore[union-attr]
        path, _, query = request.url.raw_path.decode("ascii").partition("?")
        self.before(path)
        match = ROUTES.match(request.method, path)
        assert match is not None, f"the sandbox knows no {request.method} {path}"
        assert match.endpoint.name is not None, f"{path} is not the gateway's"
        content_type = request.headers.get("Content-Type", "")
        call = Call(path, match.parameters, query, content_type, body, request.headers)
        reply = await match.endpoint.serve(self.sandbox, call)
        assert reply.wire is Wire.DELIVER
        self.after(request.method, call, reply)
        headers = {"Content-Type": reply.content_type, **dict(reply.headers)}
        return httpx.Response(reply.status, headers=headers, content=reply.body)
