"""What the transport sets on a socket, and whose connection it may abort."""

import asyncio
import socket
import ssl
import struct

import httpx
import pytest
from pydantic import SecretStr
from yarl import URL

from shared.billing.money import Price
from shared.billing.outcome import Unknown
from worker.gateway.channel import Channel, Reply
from worker.gateway.client import PortOne
from worker.gateway.fence import Departure, Fence
from worker.gateway.requests import ChargeRequest
from worker.gateway.settings import GatewaySettings
from worker.gateway.transport import (
    GatewayTransport,
    GuardedRequest,
    Sockets,
    _abort,
    _open_transport,
)

pytestmark = pytest.mark.anyio

SETTINGS = GatewaySettings("http://127.0.0.1:9", SecretStr("k"), SecretStr("s"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Transport(asyncio.Transport):
    """A transport that only remembers what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def close(self) -> None:
        self.asked.append("close")

    def abort(self) -> None:
        self.asked.append("abort")

    def is_closing(self) -> bool:
        return bool(self.asked)


class Protocol:
    """A connection's protocol, as far as the guard looks at it."""

    def __init__(self, *, should_close: bool = False) -> None:
        self.should_close = should_close


class Connection:
    """A connection of a pool, as far as the guard looks at it."""

    def __init__(self, transport: Transport | None, protocol: Protocol | None) -> None:
        self.transport = transport
        self.protocol = protocol


def test_a_socket_forgets_its_bytes_when_it_is_closed_and_gives_up_on_the_dead() -> None:
    sockets = Sockets(ssl.create_default_context(), 10, 15.0, write_timeout_s=7.5)
    address = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 9))

    with sockets.open(address) as opened:
        linger = opened.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
        assert struct.unpack("ii", linger) == (1, 0)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7500


def test_a_system_without_that_timeout_can_still_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT", raising=False)
    sockets = Sockets(ssl.create_default_context(), 10, 15.0, write_timeout_s=7.5)

    sockets.open((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 9))).close()


def test_the_connection_of_a_request_given_up_is_aborted() -> None:
    transport = Transport()
    _abort(Connection(transport, Protocol()), transport)  # type: ignore[arg-type]

    assert transport.asked == ["abort"]


def test_a_connection_that_was_only_closed_is_aborted_too() -> None:
    transport = Transport()
    transport.close()
    # aiohttp takes the connection from the request when it closes it.
    _abort(Connection(None, None), transport)  # type: ignore[arg-type]

    assert transport.asked == ["close", "abort"]


def test_a_connection_that_went_back_to_the_pool_is_left_to_the_next_charge() -> None:
    transport = Transport()
    _abort(Connection(None, None), transport)  # type: ignore[arg-type]

    assert transport.asked == []


def test_nothing_is_written_to_a_connection_that_is_over_or_speaks_unasked() -> None:
    closing = Transport()
    closing.close()
    for connection in (
        Connection(None, None),
        Connection(None, Protocol()),
        Connection(closing, Protocol()),
        Connection(Transport(), Protocol(should_close=True)),
    ):
        with pytest.raises(httpx.ConnectError):
            _open_transport(connection)  # type: ignore[arg-type]

    usable = Transport()
    assert _open_transport(Connection(usable, Protocol())) is usable  # type: ignore[arg-type]


class Writer:
    """A writer, as far as the guard looks at it."""

    def __init__(self, output_size: int) -> None:
        self.output_size = output_size


@pytest.mark.parametrize(("written", "left"), [(0, False), (1, True)])
@pytest.mark.parametrize("waited_for", [True, False])
async def test_only_a_request_of_which_nothing_was_written_is_recorded_as_turned_back(
    written: int,
    left: bool,
    waited_for: bool,
) -> None:
    told: list[Exception] = []

    class Waiting(Protocol):
        def set_exception(self, error: Exception) -> None:
            told.append(error)

    loop = asyncio.get_running_loop()
    request = GuardedRequest("POST", URL("http://gateway/"), data=b"x", loop=loop)
    request.departure = Departure(Fence(0.0, 1.0, lambda: 2.0))
    request.departure.boards(lambda: None)
    connection = Connection(Transport(), Waiting() if waited_for else None)

    await request.write_bytes(Writer(written), connection)  # type: ignore[arg-type]

    assert request.departure.bytes_may_have_left is left
    assert len(told) == waited_for


def test_certificates_and_names_are_verified_and_old_tls_is_not_spoken() -> None:
    channel = Channel(SETTINGS)
    transport = channel._client._transport
    assert isinstance(transport, GatewayTransport)
    context = transport.ssl_context

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_a_reply_to_a_charge_that_was_not_seen_to_leave_is_unknown() -> None:
    class Blind:
        """A channel whose guard has come off."""

        async def post(self, _path: str, _body: bytes, **_rest: object) -> Reply:
            return Reply(200, httpx.Headers(), b'{"code": 0}')

    client = PortOne(SETTINGS)
    client._sends._channel = Blind()  # type: ignore[assignment]
    client._tokens._token = _EVERLASTING  # type: ignore[assignment]
    request = ChargeRequest("m1", "c1", Price(100), "n")

    outcome = await client.charge(request, Fence(0.0, 1.0, lambda: 0.0))

    assert outcome == Unknown("a reply came to a request that was not seen to leave")


class _Everlasting:
    text = "t"
    refresh_at_s = float("inf")


_EVERLASTING = _Everlasting()


def test_a_reply_tells_its_size_only() -> None:
    reply = Reply(200, httpx.Headers({"Set-Cookie": "planted"}), b"planted")

    assert repr(reply) == "Reply(status_code=200, 7 bytes)"


def test_a_departure_without_a_connection_can_be_aborted() -> None:
    Departure().abort()
