"""A merchant's endpoint for webhooks: it keeps what arrives and answers as it is told."""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True)
class Arrival:
    """One webhook that arrived."""

    path: str
    content_type: str
    body: bytes

    @property
    def values(self) -> dict[str, Any]:
        """What it says, in either content type."""
        if self.content_type == "application/json":
            values: dict[str, Any] = json.loads(self.body)
            return values
        assert self.content_type == "application/x-www-form-urlencoded"
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass
class Receiver:
    """A server on a free loopback port."""

    status: int = 200
    location: str | None = None
    arrivals: list[Arrival] = field(default_factory=list)
    server: ThreadingHTTPServer = field(init=False)

    def __post_init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                receiver.arrivals.append(Arrival(self.path, self.headers["Content-Type"], body))
                self.send_response(receiver.status)
                if receiver.location is not None:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where webhooks are to be sent."""
        return f"http://127.0.0.1:{self.server.server_port}/webhook"

    def statuses(self) -> list[tuple[str, str]]:
        """What arrived, as merchant_uid and status."""
        return [
            (arrival.values["merchant_uid"], arrival.values["status"])
            for arrival in list(self.arrivals)
        ]

    def close(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()
