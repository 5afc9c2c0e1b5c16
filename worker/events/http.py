"""Events by HTTP to merchants' endpoints, signed, and to addresses that may be reached only."""

import asyncio
import email.utils
import errno
import json
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from aiohttp.connector import AddrInfoType
from httpx_aiohttp import AiohttpTransport

from shared.billing.delivery import Answer
from shared.db.deliveries import Parcel
from shared.jobs.event_schemas import version_of
from worker.events.addresses import refusal, url_fault
from worker.events.signature import signatures

_USER_AGENT = "Dalmada"
# Nobody reads what an endpoint answers; this much is taken in, so that it may end in peace.
_ANSWER_BYTES_MAX = 16_384
_SECONDS = re.compile(r"[0-9]{1,9}")
_FAILURES: tuple[tuple[type[Exception], str], ...] = (
    (httpx.ConnectTimeout, "no connection in time"),
    (httpx.TimeoutException, "no answer in time"),
    (httpx.NetworkError, "the connection broke"),
    (httpx.RemoteProtocolError, "the answer is no HTTP"),
    (httpx.HTTPError, "no answer"),
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an endpoint is waited for, in seconds."""

    connect_s: float
    read_s: float
    total_s: float


@dataclass(slots=True)
class EventPoster:
    """Posts events, each over a connection of its own.

    A connection that is kept may be closed by the other side at the moment of the next post, which
    would read as a failure of the endpoint.

    Attributes:
        ssl_context: What a server must show; the system's authorities if left out.
        resolver: Whom to ask where a name leads to; the system if left out.
    """

    patience: Patience
    connections_max: int = 200
    ssl_context: ssl.SSLContext | None = None
    resolver: Callable[[], AbstractResolver] | None = None
    _clients: dict[bool, httpx.AsyncClient] = field(default_factory=dict)

    async def __call__(self, parcel: Parcel, now: datetime) -> Answer:
        """Post one event, once, and return what the endpoint answered."""
        body, headers = packed(parcel, now)
        try:
            async with asyncio.timeout(self.patience.total_s):
                return await self._exchange(parcel, body, headers, now)
        except TimeoutError:
            return Answer(None, f"no whole answer within {self.patience.total_s:g} s")
        except httpx.InvalidURL:
            return Answer(None, "its address cannot be read")
        except httpx.HTTPError as error:
            return Answer(None, _cause(error))
        except aiohttp.ClientError:
            # The library between the two leaves some of these as they are.
            return Answer(None, "the answer is no HTTP")

    async def aclose(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.aclose()

    async def _exchange(
        self, parcel: Parcel, body: bytes, headers: dict[str, str], now: datetime
    ) -> Answer:
        if fault := url_fault(parcel.url, allow_private=parcel.allow_private):
            return Answer(None, fault)
        client = self._client(allow_private=parcel.allow_private)
        async with client.stream("POST", parcel.url, content=body, headers=headers) as reply:
            taken = 0
            async for part in reply.aiter_raw():
                taken += len(part)
                if taken > _ANSWER_BYTES_MAX:
                    break
            answer = Answer(reply.status_code, None, _retry_after(reply.headers, now))
        if answer.is_delivered:
            return answer
        return Answer(answer.status, f"HTTP {answer.status}", answer.retry_after)

    def _client(self, *, allow_private: bool) -> httpx.AsyncClient:
        """Return the client of those endpoints, opened in the loop that first asks for it."""
        if allow_private not in self._clients:
            self._clients[allow_private] = httpx.AsyncClient(
                transport=AiohttpTransport(
                    verify=self.ssl_context or True,
                    trust_env=False,
                    client=lambda: self._session(allow_private=allow_private),
                ),
                timeout=httpx.Timeout(
                    self.patience.total_s,
                    connect=self.patience.connect_s,
                    read=self.patience.read_s,
                ),
                follow_redirects=False,
                trust_env=False,
            )
        return self._clients[allow_private]

    def _session(self, *, allow_private: bool) -> aiohttp.ClientSession:
        def connect(address: AddrInfoType) -> socket.socket:
            return checked_socket(address, allow_private=allow_private)

        connector = aiohttp.TCPConnector(
            limit=self.connections_max,
            force_close=True,
            use_dns_cache=False,
            resolver=None if self.resolver is None else self.resolver(),
            ssl=self.ssl_context or ssl.create_default_context(),
            socket_factory=connect,
        )
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )


def checked_socket(address: AddrInfoType, *, allow_private: bool) -> socket.socket:
    """Return a socket for an address that may be reached.

    It is asked for with the very address that is connected to next, whatever the name led to
    before, and whether it came from a name at all.

    Raises:
        OSError: It may not be.
    """
    family, kind, protocol, _, place = address
    why = refusal(str(place[0]), allow_private=allow_private)
    if why is not None:
        raise OSError(errno.EACCES, why)
    return socket.socket(family, kind, protocol)


def packed(parcel: Parcel, now: datetime) -> tuple[bytes, dict[str, str]]:
    """Return the body of an event and its signed headers.

    The body and ``webhook-id`` are the same in every try and replay; the timestamp is the try's.
    """
    body = json.dumps(
        {
            "type": parcel.name,
            "timestamp": parcel.created_at.astimezone(UTC).isoformat(),
            "data": {
                **parcel.data,
                "event_id": parcel.event_id,
                "schema_version": version_of(parcel.name),
                "subscription_id": parcel.subscription_id and str(parcel.subscription_id),
            },
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
    message_id, timestamp_s = f"msg_{parcel.event_id}", int(now.timestamp())
    return body, {
        "content-type": "application/json",
        "user-agent": _USER_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": signatures(message_id, timestamp_s, body, parcel.secrets),
    }


def _retry_after(headers: httpx.Headers, now: datetime) -> timedelta | None:
    """Return how long the endpoint asks us to wait, in seconds or until a date."""
    said = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(said):
        return timedelta(seconds=int(said))
    try:
        until = email.utils.parsedate_to_datetime(said)
    except ValueError:
        return None
    return max(timedelta(0), (until if until.tzinfo else until.replace(tzinfo=UTC)) - now)


def _cause(error: httpx.HTTPError) -> str:
    """Say what went wrong in a few words; the library's own may tell an address with a token."""
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientConnectorError):
        # Whatever the library between the two calls it.
        return f"no connection: {cause.os_error.strerror or type(cause.os_error).__name__}"
    words = next(words for kind, words in _FAILURES if isinstance(error, kind))
    return words if cause is None else f"{words}: {type(cause).__name__}"
