"""httpx's transport seam over aiohttp's connections, guarded at the moment at which bytes leave.

httpx's own connection pool collapses above some fifty connections; aiohttp's does not. What the
kept library ``httpx-aiohttp`` leaves open where money is moved is closed here:

- *Has it left?* aiohttp writes in a task of its own, after waiting for a connection. The request
  is hooked there, so that the fence is asked and the departure recorded directly before the write.
- *What failed?* The library calls a connection that is lost after the request was written
  ``ConnectTimeout``, which reads as "nothing was sent". The failures are named anew.
- *No late bytes.* A connection given up is reset and never flushed: neither our buffers nor the
  kernel's may deliver a charge that has been written off.
- *Bounds.* Replies have a largest size. Writing has a time-out, which must be the kernel's: a
  charge fits into the buffers below us, so that every write of ours ends at once.
"""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import aiohttp
import httpx
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_middlewares import ClientHandlerType
from aiohttp.connector import AddrInfoType, Connection
from httpx_aiohttp import AiohttpTransport
from multidict import CIMultiDict
from yarl import URL

from worker.gateway.fence import Departure, FenceExpired

REPLY_BYTES_MAX = 1 << 20
# A request may ask for more: a page of a thousand payments, each with what the merchant noted.
LONG_REPLY_BYTES_MAX = 1 << 25

# By the nearest class of the failure; what is not aiohttp's is left as it is.
AIOHTTP_FAILURES: dict[type[Exception], type[httpx.TransportError]] = {
    aiohttp.ClientError: httpx.TransportError,
    aiohttp.ClientConnectionError: httpx.NetworkError,
    aiohttp.ClientConnectionResetError: httpx.WriteError,
    aiohttp.ClientConnectorError: httpx.ConnectError,
    aiohttp.ClientHttpProxyError: httpx.ProxyError,
    aiohttp.ClientPayloadError: httpx.ReadError,
    aiohttp.ClientProxyConnectionError: httpx.ProxyError,
    aiohttp.ClientResponseError: httpx.RemoteProtocolError,
    aiohttp.ConnectionTimeoutError: httpx.ConnectTimeout,
    aiohttp.InvalidURL: httpx.UnsupportedProtocol,
    aiohttp.NonHttpUrlClientError: httpx.UnsupportedProtocol,
    aiohttp.ServerDisconnectedError: httpx.RemoteProtocolError,
    aiohttp.ServerFingerprintMismatch: httpx.ConnectError,
    aiohttp.ServerTimeoutError: httpx.TimeoutException,
    aiohttp.SocketTimeoutError: httpx.ReadTimeout,
}


@dataclass(frozen=True, slots=True)
class Sockets:
    """How connections are opened and kept.

    Attributes:
        ssl_context: What a server must show.
        connections_max: Connections held at once.
        keep_alive_s: How long an idle one is trusted.
        write_timeout_s: How long the kernel may try to deliver what nobody acknowledges.
    """

    ssl_context: ssl.SSLContext
    connections_max: int
    keep_alive_s: float
    write_timeout_s: float

    def open(self, address: AddrInfoType) -> socket.socket:
        """Return a socket that is reset when it is closed, and that gives up on a dead peer."""
        family, kind, protocol, _, _ = address
        opened = socket.socket(family, kind, protocol)
        # Zero seconds of linger: bytes not yet delivered are thrown away, even by our own death.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = max(1, int(self.write_timeout_s * 1000))
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        return opened

    def session(self) -> aiohttp.ClientSession:
        """Return a pool of such connections; a loop must be running."""
        connector = aiohttp.TCPConnector(
            limit=self.connections_max,
            keepalive_timeout=self.keep_alive_s,
            ssl=self.ssl_context,
            socket_factory=self.open,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=GuardedRequest,
            auto_decompress=False,
            trust_env=False,
        )


class GuardedRequest(aiohttp.ClientRequest):
    """A request that keeps its departure's record, and lets it stop the write."""

    departure: Departure

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Begin to send on the connection the request was given.

        Raises:
            httpx.ConnectError: The connection holds bytes nobody asked for. They would be taken
                for the answer to this request.
        """
        transport = _open_transport(conn)
        self.departure.boards(partial(_abort, conn, transport))
        return await super().send(conn)

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Write head and body, which is where they leave; a refusal becomes the request's end."""
        try:
            # Between here and the write nothing is waited for.
            _open_transport(conn)
            self.departure.leaves()
        except (FenceExpired, httpx.ConnectError) as refusal:
            if not writer.output_size:
                self.departure.stays()
            if conn.protocol is not None:
                conn.protocol.set_exception(refusal)
        else:
            await super().write_bytes(writer, conn, content_length)


def _open_transport(conn: Connection) -> asyncio.Transport:
    """Return the transport of a connection that is open and silent, or raise httpx.ConnectError."""
    protocol, transport = conn.protocol, conn.transport
    if protocol is None or transport is None or transport.is_closing() or protocol.should_close:
        message = "the connection was over before anything was written to it"
        raise httpx.ConnectError(message)
    return transport


def _abort(conn: Connection, transport: asyncio.Transport) -> None:
    """Drop a connection with all that waits in it, unless it has gone back to the pool.

    A whole reply sets the connection free, and the next charge may be on it already.
    """
    if conn.transport is transport or transport.is_closing():
        transport.abort()


class GatewayTransport(AiohttpTransport):
    """The transport of everything we say to the gateway; one reply for one write, or a failure."""

    def __init__(self, sockets: Sockets) -> None:
        """Connect when first used."""
        super().__init__(verify=sockets.ssl_context, trust_env=False, client=sockets.session)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request whose ``departure`` extension records whether it may have left.

        Raises:
            FenceExpired: It was too late; nothing was written.
            httpx.TransportError: There is no whole reply.
        """
        departure = cast("Departure", request.extensions["departure"])
        try:
            return await self._exchange(request, departure)
        except aiohttp.ClientError as error:
            departure.abort()
            failure = renamed(error)
        except BaseException:
            departure.abort()
            raise
        # Raised outside the handler: aiohttp's text tells the address, which may hold a secret.
        raise failure

    async def _exchange(self, request: httpx.Request, departure: Departure) -> httpx.Response:
        """Return the reply, read to its end."""
        timeouts = request.extensions["timeout"]

        async def guard(
            outgoing: aiohttp.ClientRequest, handler: ClientHandlerType
        ) -> aiohttp.ClientResponse:
            cast("GuardedRequest", outgoing).departure = departure
            return await handler(outgoing)

        async with self._session().request(
            request.method,
            URL(str(request.url), encoded=True),
            headers=CIMultiDict(
                [
                    (name.decode("ascii"), value.decode("ascii"))
                    for name, value in request.headers.raw
                ]
            ),
            data=await request.aread() or None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                # aiohttp's one clock for waiting in the pool, resolving and connecting.
                connect=timeouts["pool"] + timeouts["connect"],
                sock_connect=timeouts["connect"],
                sock_read=timeouts["read"],
            ),
            middlewares=(guard,),
        ) as reply:
            if "Content-Encoding" in reply.headers:
                # Unpacked, it could be of any size.
                message = "the reply is packed, and nobody asked for that"
                raise httpx.DecodingError(message)
            bytes_max = request.extensions.get("reply_bytes_max", REPLY_BYTES_MAX)
            body = httpx.ByteStream(await _whole(reply.content, bytes_max))
            return httpx.Response(reply.status, headers=reply.raw_headers, stream=body)

    def _session(self) -> aiohttp.ClientSession:
        """Return the pool, opened in the loop that first asks for it."""
        if not isinstance(self.client, aiohttp.ClientSession):
            self.client = cast("Callable[[], aiohttp.ClientSession]", self.client)()
        return self.client


async def _whole(content: aiohttp.StreamReader, bytes_max: int) -> bytes:
    """Return a reply's body.

    Raises:
        httpx.ReadError: It is longer than any reply of the gateway to such a request.
    """
    parts = bytearray()
    while part := await content.readany():
        parts += part
        if len(parts) > bytes_max:
            message = f"the reply is longer than {bytes_max} bytes"
            raise httpx.ReadError(message)
    return bytes(parts)


def renamed(error: aiohttp.ClientError) -> httpx.TransportError:
    """Return aiohttp's failure under httpx's name for it, with a text that tells no address."""
    kind = next(AIOHTTP_FAILURES[kind] for kind in type(error).__mro__ if kind in AIOHTTP_FAILURES)
    text = type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorError):
        # Host, port and the system's reason.
        text = f"{text}: {error}"
    elif isinstance(error, OSError) and error.errno:
        text = f"{text}: {os.strerror(error.errno)}"
    return kind(text)
