"""A receiver as a process of its own, and raw connections to it."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.launcher.children import Child
from deploy.launcher.ports import HOST

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CHECKOUT = Path(__file__).resolve().parents[3]
# The receiver with less patience and room, so that the tests need less of both.
ANSWER_TIMEOUT_S = 2.0
CONNECTIONS_MAX = 32
_START = f"""
from worker import receiver, receiver_protocol
receiver_protocol.ANSWER_TIMEOUT_S = {ANSWER_TIMEOUT_S}
receiver.CONNECTIONS_MAX = receiver_protocol.CONNECTIONS_MAX = {CONNECTIONS_MAX}
receiver.main()
"""
_ANSWER_BOUND_S = 15.0
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def webhook(imp_uid: str = "imp_1", headers: str = "", body: bytes | None = None) -> bytes:
    """Return an honest request."""
    body = f'{{"imp_uid": "{imp_uid}"}}'.encode() if body is None else body
    head = (
        "POST /webhooks/portone HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{headers}\r\n"
    )
    return head.encode() + body


@dataclass(frozen=True, slots=True)
class ReceiverProcess:
    """A running receiver."""

    child: Child
    port: int

    @asynccontextmanager
    async def connection(
        self,
    ) -> AsyncIterator[Connection]:
        """Yield a connection to it."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def send(self, request: bytes) -> bytes:
        """Send bytes; return what comes until the receiver closes, or nothing if it just does."""
        async with self.connection() as (reader, writer):
            try:
                writer.write(request)
                return await asyncio.wait_for(reader.read(), _ANSWER_BOUND_S)
            except ConnectionError:
                return b""

    async def ask(self) -> int:
        """Send an honest webhook over a connection of its own; the status of the answer."""
        return statuses(await self.send(webhook(headers="Connection: close\r\n")))[0]

    def memory_mib(self) -> int:
        """Return how much memory the process holds."""
        status = Path(f"/proc/{self.child.pid}/status").read_text(encoding="ascii")
        found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        assert found, status
        return int(found[1]) // 1024


def statuses(answer: bytes) -> list[int]:
    """Return the statuses in what was answered."""
    return [int(status) for status in _STATUS.findall(answer)]


@contextmanager
def running_receiver(redis_url: str, log: Path) -> Iterator[ReceiverProcess]:
    """Yield a receiver on a free port."""
    child = Child(
        "receiver",
        [sys.executable, "-c", _START, "--port", "0"],
        log=log,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("DALMADA_")},
            "DALMADA_REDIS_URL": redis_url,
            "PYTHONPATH": str(CHECKOUT),
        },
        cwd=CHECKOUT,
    )
    child.start()
    try:
        port = int(child.wait_for_log(r"^receiver: http://\S+:(\d+)$", timeout_s=60)[1])
        yield ReceiverProcess(child, port)
    finally:
        child.kill()
