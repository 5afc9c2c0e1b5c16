"""A gateway that fails by repeating what it was told, before it lets a request through."""

import json
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from deploy.launcher.ports import HOST

_PASSED_ON = ("Authorization", "Content-Type", "Accept")


class EchoingGateway(ThreadingHTTPServer):
    """Stands before the gateway at ``url``; ``seen`` counts requests of every kind.

    The first request of a kind is answered with 500, the second with no JSON, the third with JSON
    of other types than the documents say, and each answer holds all that the request held. Later
    ones are passed on.
    """

    def __init__(self, url: str) -> None:
        super().__init__((HOST, 0), _Handler)
        self.url = url
        self.seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def handle_error(self, *_: object) -> None:
        """Be quiet about those who give a request up."""

    def number_of(self, kind: str) -> int:
        """Count a request; how many of its kind there were."""
        with self._lock:
            self.seen[kind] += 1
            return self.seen[kind]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: EchoingGateway

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = "/".join(self.path.partition("?")[0].split("/")[:3])
        echo = f"{self.requestline}\n{self.headers}\n{body.decode()}"
        match self.server.number_of(f"{self.command} {path}"):
            case 1:
                self._answer(500, echo.encode(), "text/html")
            case 2:
                self._answer(200, echo.encode(), "text/plain")
            case 3:
                odd = {"code": 0, "message": [echo], "response": {"status": {echo: echo}}}
                self._answer(200, json.dumps(odd).encode(), "application/json")
            case _:
                self._pass_on(body)

    def _pass_on(self, body: bytes) -> None:
        headers = {name: value for name in _PASSED_ON if (value := self.headers.get(name))}
        request = urllib.request.Request(  # noqa: S310 - our own loopback
            self.server.url + self.path, data=body or None, headers=headers, method=self.command
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - the same
                self._answer(reply.status, reply.read(), reply.headers["Content-Type"])
        except urllib.error.HTTPError as error:
            with error:
                self._answer(error.code, error.read(), error.headers["Content-Type"])
        except OSError:
            self.close_connection = True

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def echoing_gateway(url: str) -> Iterator[EchoingGateway]:
    """Yield a running one."""
    with EchoingGateway(url) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
