"""What a request looks like to the gateway, and what its replies may do to us."""

import gc
import gzip
import json
import ssl
import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from shared.billing.money import Price
from shared.billing.outcome import Misconfigured, NotSent, Paid, Unknown
from shared.clock import FixedClock
from tests.integration.gateway.clients import charge, client_of, open_fence, settings_for
from tests.integration.gateway.raw_server import (
    AGAIN,
    TOKEN,
    Received,
    Wire,
    pay,
    payment,
    raw_server,
    token,
)
from worker.gateway.client import PortOne
from worker.gateway.fence import Fence
from worker.gateway.transport import REPLY_BYTES_MAX

pytestmark = pytest.mark.anyio

BUSAN_MORNING = datetime(2026, 8, 14, 22, 0, tzinfo=UTC)


async def test_a_charge_is_sent_as_json_with_a_bearer_token() -> None:
    asked = charge(
        price=Price(9_900, tax_free=100),
        buyer_name="홍길동",
        buyer_email="hong@example.invalid",
        buyer_tel="010-1234-5678",
        naver_use_cfm=date(2026, 8, 15),
    )
    async with raw_server(pay) as server:
        client = PortOne(settings_for(server.url), clock=FixedClock(BUSAN_MORNING))
        outcome = await client.charge(asked, open_fence())
        await client.aclose()

    (sent,) = server.charges
    assert isinstance(outcome, Paid)
    assert sent.fields == {
        "customer_uid": "customer-1",
        "merchant_uid": "sub1p1n1",
        "amount": 9900,
        "tax_free": 100,
        "name": "정기구독",
        "buyer_name": "홍길동",
        "buyer_email": "hong@example.invalid",
        "buyer_tel": "010-1234-5678",
        "extra": {"naverUseCfm": "20260815"},
    }
    assert sent.headers == {
        "host": server.url.removeprefix("http://"),
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "dalmada",
        "authorization": f"Bearer {TOKEN}-1",
        "content-type": "application/json",
        "content-length": str(len(sent.body)),
    }


async def test_what_a_buyer_did_not_tell_is_not_sent() -> None:
    async with raw_server(pay) as server, client_of(server.url) as client:
        await client.charge(charge(), open_fence())

        assert set(server.charges[0].fields) == {
            "customer_uid",
            "merchant_uid",
            "amount",
            "tax_free",
            "name",
        }


async def test_a_charge_that_is_unfit_calls_nobody() -> None:
    async with raw_server(pay) as server, client_of(server.url) as client:
        outcome = await client.charge(charge(price=Price(9)), open_fence())

        assert isinstance(outcome, Misconfigured)
        assert server.received == []


async def test_no_cookie_is_kept() -> None:
    async def pay_with_cookie(wire: Wire, request: Received) -> None:
        wire.reply(payment(request), 200, "Set-Cookie: session=planted; Path=/")

    async with raw_server(pay_with_cookie) as server, client_of(server.url) as client:
        for number in range(3):
            assert isinstance(await client.charge(charge(number), open_fence()), Paid)

        assert all("cookie" not in request.headers for request in server.received)
        assert not client._channel._client.cookies
        with pytest.raises(AttributeError, match="no cookies"):
            client._channel._client.cookies = {"a": "b"}


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    async with raw_server(pay) as server, client_of(server.url) as client:
        assert isinstance(await client.charge(charge(), open_fence()), Paid)


@pytest.mark.parametrize("framing", ["length", "chunks", "end of connection"])
async def test_a_reply_beyond_any_reply_of_the_gateway_is_given_up(framing: str) -> None:
    flood = b" " * (REPLY_BYTES_MAX + 1)

    async def flooding(wire: Wire, _request: Received) -> None:
        match framing:
            case "length":
                wire.reply(flood)
            case "chunks":
                wire.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                wire.writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(flood), flood))
            case _:
                wire.writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + flood)
                await wire.writer.drain()
                wire.writer.close()

    async with raw_server(flooding) as server, client_of(server.url) as client:
        outcome = await client.charge(charge(), open_fence())

        assert outcome == Unknown(f"ReadError: the reply is longer than {REPLY_BYTES_MAX} bytes")


async def test_a_reply_in_chunks_is_read_to_its_end() -> None:
    async def in_chunks(wire: Wire, request: Received) -> None:
        wire.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for byte in json.dumps(payment(request)).encode():
            wire.writer.write(b"1\r\n%c\r\n" % byte)
        wire.writer.write(b"0\r\n\r\n")

    async with raw_server(in_chunks) as server, client_of(server.url) as client:
        assert isinstance(await client.charge(charge(), open_fence()), Paid)


async def test_a_compressed_reply_that_nobody_asked_for_is_unknown() -> None:
    async def compressed(wire: Wire, request: Received) -> None:
        wire.reply(
            gzip.compress(json.dumps(payment(request)).encode()), 200, "Content-Encoding: gzip"
        )

    async with raw_server(compressed) as server, client_of(server.url) as client:
        outcome = await client.charge(charge(), open_fence())

        assert outcome == Unknown("DecodingError: the reply is packed, and nobody asked for that")


async def test_an_address_may_have_a_path_of_its_own() -> None:
    async def below_the_prefix(wire: Wire, request: Received) -> None:
        if request.target == "/prefix/users/getToken":
            wire.reply(token("t", 1800))
        else:
            await pay(wire, request)

    async with raw_server(below_the_prefix) as server:
        async with client_of(f"{server.url}/prefix/") as client:
            assert isinstance(await client.charge(charge(), open_fence()), Paid)

        assert server.received[1].target == f"/prefix{AGAIN}"


async def test_a_server_that_speaks_no_tls_gets_nothing() -> None:
    async with raw_server(pay) as server:
        url = server.url.replace("http:", "https:")
        async with client_of(url, connect_timeout_s=0.5) as client:
            outcome = await client.charge(charge(), open_fence())

        assert isinstance(outcome, NotSent)
        assert server.charges == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that nobody has signed, with its key in one file."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl to make a certificate with")
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return both


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def trusting_context(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


async def test_a_certificate_nobody_trusts_gets_nothing(certificate: Path) -> None:
    async with raw_server(pay, tls=server_context(certificate)) as server:
        async with client_of(server.url) as client:
            outcome = await client.charge(charge(), open_fence())

        assert isinstance(outcome, NotSent)
        assert "CERTIFICATE_VERIFY_FAILED" in outcome.cause
        assert server.received == []


async def test_charges_go_over_tls_and_keep_their_connection(certificate: Path) -> None:
    trusting = trusting_context(certificate)
    async with (
        raw_server(pay, tls=server_context(certificate)) as server,
        client_of(server.url, ssl_context=trusting) as client,
    ):
        for number in range(3):
            assert isinstance(await client.charge(charge(number), open_fence()), Paid)

        assert server.connections == 1
        assert trusting.minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_old_tls_gets_nothing(certificate: Path) -> None:
    old = server_context(certificate)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    trusting = trusting_context(certificate)
    trusting.minimum_version = ssl.TLSVersion.TLSv1_3
    async with (
        raw_server(pay, tls=old) as server,
        client_of(server.url, ssl_context=trusting) as client,
    ):
        # Whoever asks for more than TLS 1.2 keeps it.
        assert isinstance(await client.charge(charge(), open_fence()), NotSent)


async def test_a_charge_over_tls_that_is_given_up_is_reset(certificate: Path) -> None:
    async def wait(wire: Wire, _request: Received) -> None:
        await wire.reader.read()

    async with (
        raw_server(wait, tls=server_context(certificate)) as server,
        client_of(
            server.url, ssl_context=trusting_context(certificate), read_timeout_s=0.3
        ) as client,
    ):
        outcome = await client.charge(charge(), open_fence())

        assert isinstance(outcome, Unknown)
        assert [request.target for request in server.received] == ["/users/getToken", AGAIN]


async def test_the_fence_is_asked_after_the_tls_handshake(certificate: Path) -> None:
    async with (
        raw_server(pay, tls=server_context(certificate)) as server,
        client_of(server.url, ssl_context=trusting_context(certificate)) as client,
    ):
        fence = Fence(0.0, 30.0, lambda: 31.0 if server.connections else 0.0)
        outcome = await client.charge(charge(), fence)

        assert isinstance(outcome, NotSent)
        assert server.charges == []


async def test_a_charge_leaves_nothing_to_the_garbage_collector() -> None:
    async with raw_server(pay) as server, client_of(server.url) as client:
        await client.charge(charge(), open_fence())
        gc.collect()
        gc.disable()
        try:
            for number in range(100):
                await client.charge(charge(number), open_fence())
            left = gc.collect()
        finally:
            gc.enable()

    # It was 31 objects a charge, and a sixth of all its time.
    assert left < 100
