"""TCP proxies of ours between our processes and the gateway, the database and the broker.

A fault comes over a link for a while. Which connections it hits is drawn for each, those that are
opened meanwhile included. A connection that has lost bytes cannot be healed: it is reset when the
fault is over, as the keep-alive of a real one would find out.
"""

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from deploy.launcher.ports import HOST, free_port
from tests.chaos.plan import Deed, Kind

T = TypeVar("T")

_CHUNK = 65_536
_SLICE = 128
_PORT_TRIES = 5
_ANSWER_TIMEOUT_S = 10.0
# What a fault may add to the way of one request; see what `gateway_settings` promises.
_LATENCY_S = (0.05, 0.9)
_BYTES_A_SECOND = (1_500.0, 20_000.0)
_TRUNCATED_AT_MAX = 200
_GONE = (ConnectionError, OSError, asyncio.IncompleteReadError)


@dataclass(frozen=True, slots=True)
class Fault:
    """What a fault does to the connections that it hits."""

    kind: Kind
    share: float
    strength: float
    for_s: float

    @property
    def latency_s(self) -> float:
        """How long bytes take."""
        low, high = _LATENCY_S
        return low + self.strength * (high - low)

    @property
    def bytes_a_second(self) -> float:
        """How many bytes come through."""
        low, high = _BYTES_A_SECOND
        return low + self.strength * (high - low)

    @property
    def is_upwards(self) -> bool:
        """Whether what is said to the server is lost, or what it answers."""
        return self.strength < 1 / 2


class Link:
    """One proxy: a port of its own in front of a server."""

    def __init__(self, name: str, upstream: tuple[str, int], chance: random.Random) -> None:
        """Take the server's address; nothing is listened to yet."""
        self.name = name
        self.port = 0
        self.touched: Counter[Kind] = Counter()
        self._upstream = upstream
        self._chance = chance
        self._fault: Fault | None = None
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Take connections in, on the same port as before if there was one."""
        for left in reversed(range(1 if self.port else _PORT_TRIES)):
            port = self.port or free_port()
            try:
                self._server = await asyncio.start_server(
                    self._serve, HOST, port, reuse_address=True, backlog=256
                )
            except OSError:
                if not left:
                    raise
            else:
                self.port = port
                return

    async def close(self) -> None:
        """Refuse new connections; those that are open stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def begin(self, fault: Fault) -> None:
        """Let a fault come over the link."""
        self._fault = fault
        if fault.kind is Kind.REFUSE:
            await self.close()
            self.touched[fault.kind] += 1
        for connection in list(self._connections):
            self._draw(connection)

    async def end(self) -> None:
        """Let the fault pass."""
        self._fault = None
        for connection in list(self._connections):
            connection.heal()
        if self._server is None:
            await self.listen()

    async def stop(self) -> None:
        """End everything."""
        await self.close()
        for connection in list(self._connections):
            connection.reset()

    def _draw(self, connection: "_Connection") -> None:
        fault = self._fault
        if fault is None or self._chance.random() >= fault.share:
            return
        connection.fault = fault
        if fault.kind in {Kind.RESET, Kind.REFUSE}:
            delay_s = self._chance.uniform(0.0, fault.for_s) if fault.kind is Kind.RESET else 0.0
            asyncio.get_running_loop().call_later(delay_s, connection.break_off, fault)
        if fault.kind is Kind.TRUNCATE:
            connection.left = self._chance.randrange(_TRUNCATED_AT_MAX)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, writer)
        self._connections.add(connection)
        self._draw(connection)
        try:
            await connection.run(reader, self._upstream)
        except _GONE:
            connection.reset()
        finally:
            self._connections.discard(connection)


class _Connection:
    """One connection and its other half to the server."""

    def __init__(self, link: Link, client: asyncio.StreamWriter) -> None:
        self.fault: Fault | None = None
        self.left = 0
        self._link = link
        self._writers = [client]
        self._is_spoilt = False

    async def run(self, reader: asyncio.StreamReader, upstream: tuple[str, int]) -> None:
        client = self._writers[0]
        if self.fault is not None and self.fault.kind is Kind.BLACK_HOLE:
            # Taken in, and never answered.
            self._spoil(self.fault)
            while await reader.read(_CHUNK):
                pass
            return
        answers, server = await asyncio.open_connection(*upstream)
        self._writers.append(server)
        await asyncio.gather(
            self._pump(reader, server, upwards=True), self._pump(answers, client, upwards=False)
        )

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, upwards: bool
    ) -> None:
        """Pass on what one side says until it ends, and then end the other half."""
        try:
            while chunk := await reader.read(_CHUNK):
                await self._pass_on(chunk, writer, upwards=upwards)
        except _GONE:
            _reset(writer)
        finally:
            writer.close()

    async def _pass_on(self, chunk: bytes, writer: asyncio.StreamWriter, *, upwards: bool) -> None:
        fault = self.fault
        if self._is_spoilt and fault is None:
            return
        match fault.kind if fault else None:
            case Kind.LATENCY if fault:
                self._touch(fault)
                # It goes on its way although its sender may be gone meanwhile.
                await asyncio.sleep(fault.latency_s)
            case Kind.THROTTLE if fault:
                self._touch(fault)
                chunk = await self._trickle(chunk, writer, fault)
            case Kind.BLACK_HOLE if fault:
                self._spoil(fault)
                return
            case Kind.HALF_OPEN if fault and fault.is_upwards == upwards:
                self._spoil(fault)
                return
            case Kind.TRUNCATE if fault and fault.is_upwards == upwards:
                if len(chunk) > self.left:
                    self._touch(fault)
                    writer.write(chunk[: self.left])
                    await writer.drain()
                    raise ConnectionAbortedError
                self.left -= len(chunk)
            case _:
                pass
        if writer.is_closing():
            raise ConnectionAbortedError
        writer.write(chunk)
        await writer.drain()

    async def _trickle(self, chunk: bytes, writer: asyncio.StreamWriter, fault: Fault) -> bytes:
        """Pass on little by little; return what is left when the fault has passed."""
        while chunk and self.fault is fault and not writer.is_closing():
            writer.write(chunk[:_SLICE])
            chunk = chunk[_SLICE:]
            await asyncio.sleep(_SLICE / fault.bytes_a_second)
        return chunk

    def break_off(self, fault: Fault) -> None:
        """Reset the connection, if the fault is still over it."""
        if self.fault is fault:
            self._touch(fault)
            self.reset()

    def heal(self) -> None:
        """Let go of the fault; what has lost bytes is reset."""
        self.fault = None
        if self._is_spoilt:
            self.reset()

    def reset(self) -> None:
        """End both halves with a RST."""
        for writer in self._writers:
            _reset(writer)

    def _spoil(self, fault: Fault) -> None:
        self._touch(fault)
        self._is_spoilt = True

    def _touch(self, fault: Fault) -> None:
        self._link.touched[fault.kind] += 1


def _reset(writer: asyncio.StreamWriter) -> None:
    opened: socket.socket | None = writer.get_extra_info("socket")
    if opened is not None:
        with suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Weather:
    """Every link of a run, on an event loop in a thread of its own."""

    def __init__(self, upstreams: dict[str, tuple[str, int]], seed: int) -> None:
        """Take the address of the server behind each link."""
        self.links = {
            name: Link(name, upstream, random.Random(f"{seed}/connections/{name}"))  # noqa: S311
            for name, upstream in upstreams.items()
        }
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="weather", daemon=True)

    def start(self) -> None:
        """Listen on every link."""
        self._thread.start()
        for link in self.links.values():
            self._do(link.listen())

    def begin(self, deed: Deed) -> None:
        """Let a fault come over a link."""
        fault = Fault(deed.kind, deed.share, deed.strength, deed.for_s)
        self._do(self.links[deed.target].begin(fault))

    def end(self, names: Sequence[str] | None = None) -> None:
        """Let the faults of some links pass, or of all."""
        for name in self.links if names is None else names:
            self._do(self.links[name].end())

    def touched(self, kind: Kind) -> int:
        """Return how often a kind of fault has hit anything."""
        return sum(link.touched[kind] for link in self.links.values())

    def stop(self) -> None:
        """End every connection and the loop."""
        if not self._thread.is_alive():
            return
        for link in self.links.values():
            self._do(link.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_TIMEOUT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        # A reset that arrives while its connection is closed already is no news.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        self._loop.run_forever()
        self._loop.run_until_complete(self._cancel_all())
        self._loop.close()

    async def _cancel_all(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER_TIMEOUT_S)
