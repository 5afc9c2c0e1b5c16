"""Posts to real servers of this machine: what goes over the wire, and where it never goes."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import trustme
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks import Webhook

from deploy.launcher.ports import free_port
from shared.billing.delivery import Answer
from shared.clock import WallClock
from shared.db.deliveries import Parcel
from tests.support.endpoints import PATIENCE, PATIENCE_S, Receiver, posting, receiver
from worker.events import addresses, http
from worker.events.http import EventPoster, Patience
from worker.events.signature import make_secret

SECRET = make_secret()
HASTY = Patience(connect_s=0.3, read_s=0.3, total_s=0.6)


class Names(AbstractResolver):
    """Says where names lead to: one answer for each time it is asked, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Answer."""
        del family
        self.asked.append(host)
        places = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=place,
                port=port,
                family=socket.AF_INET6 if ":" in place else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for place in places
        ]

    async def close(self) -> None:
        """Hold nothing."""


def parcel(url: str, *, private: bool = True) -> Parcel:
    return Parcel(
        delivery_id=1,
        endpoint_id=2,
        try_number=1,
        failures=0,
        url=url,
        secrets=[SECRET],
        allow_private=private,
        event_id=41,
        name="invoice.paid",
        subscription_id=None,
        data={"이름": "값"},
        created_at=WallClock().now(),
    )


async def post(poster: EventPoster, url: str, *, private: bool = True) -> Answer:
    async with asyncio.timeout(PATIENCE_S):
        return await poster(parcel(url, private=private), WallClock().now())


def test_what_arrives_is_verified_by_the_conventions_own_package() -> None:
    async def scenario() -> Receiver:
        async with receiver() as shop, posting() as poster:
            assert await post(poster, shop.url) == Answer(204)
            return shop

    ((headers, body),) = asyncio.run(scenario()).requests
    said = Webhook(SECRET).verify(body, dict(headers))
    assert said["data"]["이름"] == "값"
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"] == "Dalmada"
    assert "Cookie" not in headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    async def scenario() -> None:
        async with receiver() as shop, receiver() as other, posting() as poster:
            shop.answers(status, headers={"Location": other.url})
            assert await post(poster, shop.url) == Answer(status, f"HTTP {status}")
            assert (len(shop.requests), other.requests) == (1, [])

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        ("120", timedelta(seconds=120)),
        ("0", timedelta(0)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", timedelta(0)),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("9" * 30, None),
        ("", None),
    ],
)
def test_how_long_an_endpoint_asks_us_to_wait_is_read(said: str, waits: timedelta | None) -> None:
    async def scenario() -> None:
        async with receiver() as shop, posting() as poster:
            shop.answers(503, headers={"Retry-After": said})
            assert await post(poster, shop.url) == Answer(503, "HTTP 503", waits)

    asyncio.run(scenario())


def test_a_date_to_wait_for_is_read() -> None:
    async def scenario() -> None:
        async with receiver() as shop, posting() as poster:
            at = WallClock().now() + timedelta(hours=2)
            shop.answers(429, headers={"Retry-After": f"{at:%a, %d %b %Y %H:%M:%S} GMT"})
            waits = (await post(poster, shop.url)).retry_after
            assert waits is not None
            assert timedelta(hours=1, minutes=59) < waits <= timedelta(hours=2)

    asyncio.run(scenario())


class TestWhereNothingIsSent:
    @pytest.mark.parametrize(
        "places",
        [
            ["127.0.0.1"],
            ["10.0.0.5"],
            ["169.254.169.254"],
            ["::1"],
            ["::ffff:127.0.0.1"],
            ["100.64.0.1"],
            ["192.168.0.1", "10.0.0.5", "fd00::1"],
        ],
    )
    def test_a_name_that_leads_inside_is_not_followed(self, places: list[str]) -> None:
        async def scenario() -> Answer:
            async with posting(resolver=lambda: Names(places)) as poster:
                return await post(poster, "https://shop.example.com/", private=False)

        answer = asyncio.run(scenario())
        assert answer.status is None
        assert answer.cause is not None
        assert any(place in answer.cause for place in places)
        assert answer.cause.endswith(" address")

    def test_a_name_that_leads_elsewhere_the_next_time_is_looked_at_each_time(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rebinding: a name that was found harmless leads inside when it is connected to."""
        internet, looked_at = "127.0.0.1", []

        def refusal(host: str, *, allow_private: bool) -> str | None:
            looked_at.append(host)
            return (
                None if host == internet else addresses.refusal(host, allow_private=allow_private)
            )

        async def scenario() -> None:
            names = Names([internet], ["10.0.0.5"], [internet, "10.0.0.5"])
            async with posting(resolver=lambda: names) as poster:
                url = f"https://shop.example.com:{free_port()}/"
                causes = [(await post(poster, url, private=False)).cause for _ in range(3)]
            assert len(names.asked) == 3
            assert "Connect call failed" in str(causes[0])
            assert causes[1] == "no connection: 10.0.0.5 is a private address"
            assert "10.0.0.5 is a private address" in str(causes[2])

        monkeypatch.setattr(http, "refusal", refusal)
        asyncio.run(scenario())
        assert looked_at[:2] == [internet, "10.0.0.5"]

    def test_whatever_is_written_as_an_address_is_looked_at_too(self) -> None:
        async def scenario() -> None:
            async with receiver() as shop, posting() as poster:
                port = shop.url.split(":")[2].split("/")[0]
                for host in ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "127.1"):
                    answer = await post(poster, f"https://{host}:{port}/", private=False)
                    assert answer.status is None, host
                answer = await post(poster, f"http://localhost:{port}/", private=False)
                assert "https" in str(answer.cause)
                assert shop.requests == []

        asyncio.run(scenario())

    def test_what_one_endpoint_is_allowed_no_other_is(self) -> None:
        async def scenario() -> None:
            async with receiver() as shop, posting() as poster:
                assert (await post(poster, shop.url)).is_delivered
                url = shop.url.replace("http://", "https://")
                assert "loopback" in str((await post(poster, url, private=False)).cause)
                assert len(shop.requests) == 1

        asyncio.run(scenario())

    def test_no_proxy_of_the_environment_is_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scenario() -> None:
            async with receiver() as shop, receiver() as proxy, posting() as poster:
                for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
                    monkeypatch.setenv(name, proxy.url)
                assert (await post(poster, shop.url)).is_delivered
                assert proxy.requests == []

        asyncio.run(scenario())


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    async def _posted(self, authority: trustme.CA, certified: str, name: str) -> Answer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(certified).configure_cert(context)
        asked: list[Any] = []
        context.sni_callback = lambda _socket, told, _context: asked.append(told)
        shop = Receiver()
        runner = web.ServerRunner(web.Server(shop.handle))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            trusted = ssl.create_default_context()
            authority.configure_trust(trusted)
            names = Names(["127.0.0.1"])
            async with posting(ssl_context=trusted, resolver=lambda: names) as poster:
                port = runner.addresses[0][1]
                answer = await post(poster, f"https://{name}:{port}/hooks")
            assert asked == [name]
            assert [headers["Host"] for headers, _ in shop.requests] == (
                [f"{name}:{port}"] if answer.is_delivered else []
            )
            return answer
        finally:
            await runner.cleanup()

    def test_the_name_is_what_is_asked_for_and_certified(self, authority: trustme.CA) -> None:
        told = asyncio.run(self._posted(authority, "shop.example.com", "shop.example.com"))
        assert told == Answer(204)

    def test_a_server_with_another_name_gets_nothing(self, authority: trustme.CA) -> None:
        told = asyncio.run(self._posted(authority, "other.example.com", "shop.example.com"))
        assert told.status is None
        assert "certificate is not valid for 'shop.example.com'" in str(told.cause)


class TestWhoeverAnswersBadly:
    def test_nobody_listens(self) -> None:
        async def scenario() -> Answer:
            async with posting() as poster:
                return await post(poster, f"http://127.0.0.1:{free_port()}/?token=hidden")

        told = asyncio.run(scenario())
        assert told.status is None
        assert str(told.cause).startswith("no connection: ")
        assert "hidden" not in str(told.cause)

    def test_nothing_is_answered(self) -> None:
        async def scenario() -> Answer:
            async with receiver() as shop, posting(HASTY) as poster:
                never = asyncio.Event()

                async def silent(_request: web.BaseRequest) -> web.StreamResponse:
                    await never.wait()
                    raise AssertionError

                shop.answer = silent
                told = await post(poster, shop.url)
                never.set()
                return told

        assert asyncio.run(scenario()) == Answer(None, "no answer in time: SocketTimeoutError")

    def test_an_answer_that_drips_is_given_up_as_a_whole(self) -> None:
        async def scenario() -> Answer:
            async with receiver() as shop, posting(HASTY) as poster:

                async def dripping(request: web.BaseRequest) -> web.StreamResponse:
                    reply = web.StreamResponse()
                    await reply.prepare(request)
                    while True:
                        await reply.write(b"a")
                        await asyncio.sleep(0.1)

                shop.answer = dripping
                return await post(poster, shop.url)

        assert asyncio.run(scenario()) == Answer(None, "no whole answer within 0.6 s")

    def test_of_a_huge_answer_no_more_is_taken_in_than_needed(self) -> None:
        sent = 0

        async def scenario() -> Answer:
            async with receiver() as shop, posting() as poster:

                async def huge(request: web.BaseRequest) -> web.StreamResponse:
                    nonlocal sent
                    reply = web.StreamResponse()
                    await reply.prepare(request)
                    for _ in range(4_000):
                        await reply.write(b"a" * 65_536)
                        sent += 65_536
                    return reply

                shop.answer = huge
                return await post(poster, shop.url)

        assert asyncio.run(scenario()).is_delivered
        assert sent < 64 * 1024 * 1024

    @pytest.mark.parametrize(
        "said",
        [
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 200\x00 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nx: " + b"a" * 100_000,
            b"",
        ],
    )
    def test_what_is_no_whole_answer_is_no_delivery(self, said: bytes) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
            writer.close()

        async def scenario() -> Answer:
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            async with server, posting(PATIENCE) as poster:
                port = server.sockets[0].getsockname()[1]
                return await post(poster, f"http://127.0.0.1:{port}/")

        told = asyncio.run(scenario())
        assert told.status is None, told
        assert told.cause
