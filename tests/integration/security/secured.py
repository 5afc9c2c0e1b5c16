"""Servers that want a password, behind TLS that a certificate of the test's own proves.

The servers that the tests run from wheels were built without TLS. So it ends before them, in a
proxy that speaks it as the servers themselves do: PostgreSQL's after the client has asked for it,
Valkey's from the first byte. Everything that our processes say and check is the same.
"""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import trustme

from deploy.launcher.binaries import find_postgres, find_valkey
from deploy.launcher.postgres import DATABASE, USER, PostgresServer
from deploy.launcher.servers import CHECKOUT, OwnServers
from deploy.launcher.valkey import ValkeyServer
from tests.support.billing import until

HOST = "127.0.0.1"
# With everything in it that an address has to escape.
POSTGRES_PASSWORD = "planted-p@ss/w:rd%?#1"
VALKEY_USER = "billing"
VALKEY_PASSWORD = "planted-p@ss/w:rd%?#2"
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
_GSS_REQUEST = bytes.fromhex("0000000804d21630")
_PATIENCE_S = 10.0


@dataclass
class TlsProxy:
    """Speaks TLS with clients and hands what they say to a server without it.

    Attributes:
        asks_first: Whether a client asks for TLS in the clear, as PostgreSQL's do; one that does
            not is let go, as by a server that takes nobody without.
        handshakes: How many were completed.
    """

    server_port: int
    context: ssl.SSLContext
    asks_first: bool
    port: int = 0
    handshakes: int = 0

    async def listen(self) -> asyncio.Server:
        """Listen on a free port."""
        context = None if self.asks_first else self.context
        server = await asyncio.start_server(self._serve, HOST, 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            if not self.asks_first or await self._is_asked(reader, writer):
                self.handshakes += 1
                far_reader, far_writer = await asyncio.open_connection(HOST, self.server_port)
                writers.append(far_writer)
                await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Whoever resets a connection, or ends the proxy, ends it here as well.
            pass
        finally:
            for each in writers:
                each.transport.abort()

    async def _is_asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        asked = await reader.readexactly(len(_SSL_REQUEST))
        if asked == _GSS_REQUEST:
            writer.write(b"N")
            asked = await reader.readexactly(len(_SSL_REQUEST))
        if asked != _SSL_REQUEST:
            return False
        writer.write(b"S")
        await writer.start_tls(self.context)
        return True


async def let_close() -> None:
    """Let a loop close what was given up: TLS waits for the other side, and a loop does not."""
    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]  # the stubs leave it out
    # Its own wake-up socket is always there.
    await until(lambda: len(selector.get_map()) <= 1, _PATIENCE_S)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        # Whoever resets a connection ends it.
        pass
    finally:
        writer.close()


@contextmanager
def _running(*proxies: TlsProxy) -> Iterator[None]:
    """Have proxies serve in a thread of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin() -> list[asyncio.Server]:
        return [await proxy.listen() for proxy in proxies]

    async def end(listening: list[asyncio.Server]) -> None:
        for server in listening:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await let_close()

    try:
        listening = asyncio.run_coroutine_threadsafe(begin(), loop).result(_PATIENCE_S)
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(end(listening), loop).result(_PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE_S)
        loop.close()


@dataclass(frozen=True, slots=True)
class Secured:
    """Both servers with their passwords and what stands before them, and how they are addressed.

    Attributes:
        trusted: The certificate of the authority that has signed the servers'.
        stranger: That of another one.
    """

    servers: OwnServers
    postgres: TlsProxy
    valkey: TlsProxy
    trusted: Path
    stranger: Path

    def database_url(
        self,
        *,
        database: str = DATABASE,
        user: str = USER,
        password: str = POSTGRES_PASSWORD,
        host: str = HOST,
        port: int | None = None,
        ca: Path | None = None,
    ) -> str:
        """Return an address of PostgreSQL that checks everything; what is given is otherwise."""
        said = urlencode({"sslmode": "verify-full", "sslrootcert": str(ca or self.trusted)})
        login = f"{user}:{quote(password, safe='')}"
        return f"postgresql://{login}@{host}:{port or self.postgres.port}/{database}?{said}"

    def redis_url(
        self,
        *,
        scheme: str = "rediss",
        user: str = VALKEY_USER,
        password: str = VALKEY_PASSWORD,
        host: str = HOST,
        port: int | None = None,
        ca: Path | None = None,
        says_tls: bool = True,
    ) -> str:
        """Return an address of Valkey that checks everything; what is given is otherwise."""
        said = urlencode({"ssl_cert_reqs": "required", "ssl_ca_certs": str(ca or self.trusted)})
        login = f"{user}:{quote(password, safe='')}"
        where = f"{scheme}://{login}@{host}:{port or self.valkey.port}/0"
        return f"{where}?{said}" if says_tls else where


@contextmanager
def secured_servers(directory: Path) -> Iterator[Secured]:
    """Start both servers and what stands before them; an address leads to them by TLS only."""
    authority, stranger = trustme.CA(), trustme.CA()
    paths = directory / "authority.pem", directory / "stranger.pem"
    for made, path in zip((authority, stranger), paths, strict=True):
        made.cert_pem.write_to_path(str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    postgres = PostgresServer(
        find_postgres(CHECKOUT),
        directory / "postgres",
        logs=directory / "logs",
        password=POSTGRES_PASSWORD,
    )
    valkey = ValkeyServer(
        find_valkey(CHECKOUT),
        directory / "valkey",
        logs=directory / "logs",
        password="planted-default-password",
        settings={"user": f"{VALKEY_USER} on >{VALKEY_PASSWORD} ~* &* +@all -@admin"},
    )
    with ExitStack() as undo:
        for server in (postgres, valkey):
            undo.callback(server.stop)
            server.start()
        before_postgres = TlsProxy(postgres.port, context, asks_first=True)
        before_valkey = TlsProxy(valkey.port, context, asks_first=False)
        undo.enter_context(_running(before_postgres, before_valkey))
        yield Secured(OwnServers(postgres, valkey), before_postgres, before_valkey, *paths)
