"""How many charge requests a second the sandbox answers on one core.

Run `python tests/bench/sandbox.py`. The sandbox runs as its own process on one core and is loaded
over kept-alive connections from this process on another, where the system can pin them. The last
line reads `sandbox: again_per_s=… cpu_s_per_1k=…`: medians over the rounds, and the second is the
sandbox's own CPU time, the figure that holds on a busy machine.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final, cast

if sys.platform == "win32":
    from asyncio import run
else:
    from uvloop import run

ROOT: Final = Path(__file__).resolve().parents[2]
_CUSTOMERS: Final = 1_000
_WARM_UP: Final = 2_000
_HEAD_END: Final = b"\r\n\r\n"
_PAID: Final = b'"status":"paid"'


@dataclass(frozen=True, slots=True)
class Round:
    """One round's figures; cpu_s_per_1k is None where the system does not tell it."""

    requests: int
    seconds: float
    again_per_s: float
    cpu_s_per_1k: float | None
    cpu_share: float | None


class _Connection(asyncio.Protocol):
    """Send one charge after the other; the next leaves when the reply is whole."""

    def __init__(self, payloads: Iterator[bytes]) -> None:
        self._payloads = payloads
        self._buffer = b""
        self.paid = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        head_end = buffer.find(_HEAD_END)
        if head_end < 0:
            self._buffer = buffer
            return
        length = int(buffer[:head_end].split(b"Content-Length: ", 1)[1].split(b"\r\n", 1)[0])
        if len(buffer) < head_end + len(_HEAD_END) + length:
            self._buffer = buffer
            return
        self._buffer = b""
        self.paid += buffer.endswith(b"}}") and _PAID in buffer
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the sandbox closed a connection"))

    def _send(self) -> None:
        payload = next(self._payloads, None)
        if payload is not None:
            self._transport.write(payload)
            return
        self.done.set_result(None)
        self._transport.close()


def _charges(token: str, prefix: str, count: int) -> Iterator[bytes]:
    for n in range(count):
        body = json.dumps(
            {
                "customer_uid": f"customer-{n % _CUSTOMERS}",
                "merchant_uid": f"{prefix}{n}",
                "amount": 1004,
                "name": "Slim 요금제",
                "tax_free": 0,
                "extra": {"naverUseCfm": "20990101"},
            }
        ).encode()
        head = (
            "POST /subscribe/payments/again HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n"
            "Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nUser-Agent: bench\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        yield head.encode() + body


async def _load(port: int, token: str, prefix: str, requests: int, connections: int) -> int:
    loop = asyncio.get_running_loop()
    each = [requests // connections + (n < requests % connections) for n in range(connections)]
    loads = [_Connection(_charges(token, f"{prefix}x{n}x", count)) for n, count in enumerate(each)]
    for load in loads:
        await loop.create_connection(partial(_itself, load), "127.0.0.1", port)
    await asyncio.gather(*(load.done for load in loads))
    return sum(load.paid for load in loads)


def _itself(load: _Connection) -> _Connection:
    return load


@contextmanager
def _running_sandbox() -> Iterator[tuple[int, int]]:
    """Run a sandbox and give its process id and port."""
    command = [sys.executable, "-m", "deploy.sandbox", "--port", "0"]
    command += ["--imp-key", "bench", "--imp-secret", "bench"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            yield process.pid, int(address.rpartition(":")[2])
        finally:
            process.terminate()


def _ask(port: int, method: str, path: str, body: object = None) -> Any:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body).encode() if body else None, headers)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def _cpu_s(pid: int) -> float | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pin(pid: int) -> bool:
    """Keep the sandbox on one core and this process on another, where that can be asked for."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return False
    os.sched_setaffinity(pid, {cores[0]})
    os.sched_setaffinity(0, {cores[1]})
    return True


def _run_round(port: int, pid: int, requests: int, connections: int) -> Round:
    _ask(port, "POST", "/_sandbox/reset")
    customers = [f"customer-{n}" for n in range(_CUSTOMERS)]
    _ask(port, "POST", "/_sandbox/billing-keys", {"customer_uids": customers})
    credentials = {"imp_key": "bench", "imp_secret": "bench"}
    token = _ask(port, "POST", "/users/getToken", credentials)["response"]["access_token"]
    run(_load(port, token, "w", _WARM_UP, connections))
    cpu_before = _cpu_s(pid)
    begin = time.perf_counter()
    paid = run(_load(port, token, "r", requests, connections))
    seconds = time.perf_counter() - begin
    cpu_after = _cpu_s(pid)
    booked = _ask(port, "GET", "/_sandbox/requests")["results"]["booked_paid"]
    if (paid, booked) != (requests, requests + _WARM_UP):
        raise SystemExit(f"sandbox: {requests} requests, {paid} paid replies, {booked} booked")
    cpu_s = None if cpu_before is None or cpu_after is None else cpu_after - cpu_before
    return Round(
        requests,
        seconds,
        requests / seconds,
        None if cpu_s is None else cpu_s / requests * 1000,
        None if cpu_s is None else cpu_s / seconds,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the sandbox's charge endpoint.")
    parser.add_argument("--requests", type=int, default=40_000, help="in each round")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print every round as JSON")
    options = parser.parse_args()
    with _running_sandbox() as (pid, port):
        pinned = _pin(pid)
        rounds = [
            _run_round(port, pid, options.requests, options.connections)
            for _ in range(options.rounds)
        ]
    if options.json:
        print(json.dumps({"pinned": pinned, "rounds": [asdict(each) for each in rounds]}))
    per_s = statistics.median(each.again_per_s for each in rounds)
    cpu = [each.cpu_s_per_1k for each in rounds if each.cpu_s_per_1k is not None]
    cpu_text = f"{statistics.median(cpu):.3f}" if cpu else "unknown"
    print(f"sandbox: again_per_s={per_s:.0f} cpu_s_per_1k={cpu_text}")


if __name__ == "__main__":
    main()
