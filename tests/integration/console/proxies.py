"""Servers that misbehave between the console and PostgreSQL."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import make_url

HOST = "127.0.0.1"


class CuttingProxy:
    """Hands everything through, but cuts connections whose COMMIT has just been carried out.

    Attributes:
        cuts: How many of them it cuts.
        spares: How many it hands through before the first cut.
        closes: Whether it takes no connection any more after the first cut.
    """

    def __init__(self, database_url: str, *, cuts: int, closes: bool, spares: int) -> None:
        address = make_url(database_url)
        assert address.host
        assert address.port
        self.cuts = cuts
        self.spares = spares
        self.closes = closes
        self._server = (address.host, address.port)
        self._listener = socket.create_server((HOST, 0))
        port = self._listener.getsockname()[1]
        self.url = address.set(host=HOST, port=port).render_as_string(hide_password=False)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Take no connection any more and wait until all are gone."""
        # A listener that is shut down wakes the thread that accepts; closing alone does not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server:
            replies = threading.Thread(target=_pump, args=(server, client))
            replies.start()
            with contextlib.suppress(OSError):
                while chunk := client.recv(65536):
                    if b"COMMIT" in chunk and self._is_to_be_cut():
                        self._cut(client, server, chunk)
                        break
                    server.sendall(chunk)
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            replies.join(10)

    def _is_to_be_cut(self) -> bool:
        if self.spares > 0:
            self.spares -= 1
            return False
        return self.cuts > 0

    def _cut(self, client: socket.socket, server: socket.socket, chunk: bytes) -> None:
        """Have the server commit, and tell nobody."""
        self.cuts -= 1
        if self.closes:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        client.shutdown(socket.SHUT_WR)
        server.sendall(chunk)
        # The client is gone; PostgreSQL ends the session only after it has worked the COMMIT.
        server.shutdown(socket.SHUT_WR)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)


@contextmanager
def cutting_proxy(
    database_url: str, *, cuts: int, closes: bool, spares: int = 0
) -> Iterator[CuttingProxy]:
    """Yield a proxy before a database, and end it."""
    proxy = CuttingProxy(database_url, cuts=cuts, closes=closes, spares=spares)
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def silent_server() -> Iterator[int]:
    """Yield a port where connections are taken and nothing is ever said."""
    with socket.create_server((HOST, 0)) as listener:
        yield listener.getsockname()[1]
