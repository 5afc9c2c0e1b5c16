"""A private Valkey or Redis server on a free port of 127.0.0.1."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from deploy.launcher.binaries import ServerProgram
from deploy.launcher.children import Child
from deploy.launcher.directories import make_directory
from deploy.launcher.errors import ChildDiedError
from deploy.launcher.ports import HOST, free_port
from deploy.launcher.waiting import wait_until

_READY_TIMEOUT_S = 30.0
_PORT_TRIES = 5
_REPLY_TIMEOUT_S = 2.0


class ValkeyServer:
    """One server with one data directory; it keeps its port over restarts.

    Attributes:
        port: the port on 127.0.0.1, 0 before the first start.
    """

    def __init__(
        self,
        program: ServerProgram,
        directory: Path,
        *,
        logs: Path,
        durable: bool = False,
        password: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the server; nothing runs yet.

        One that is not `durable` forgets everything when it ends. `settings` are names of its
        configuration file.
        """
        self.directory = directory
        self.port = 0
        self.child: Child | None = None
        self._program = program
        self._logs = logs
        self._password = password
        self._settings = {
            "bind": HOST,
            "daemonize": "no",
            "save": '""',
            "appendonly": "yes" if durable else "no",
            **({"requirepass": password} if password else {}),
            **(settings or {}),
        }

    @property
    def url(self) -> str:
        """The URL of database 0, the same after a restart."""
        credentials = f":{self._password}@" if self._password else ""
        return f"redis://{credentials}{HOST}:{self.port}/0"

    @property
    def label(self) -> str:
        """For a status line."""
        return f"valkey {self._program.label}, {HOST}:{self.port}"

    def start(self) -> None:
        """Start it; returns once it answers."""
        if self.child is not None and self.child.is_alive:
            return
        tries = 1 if self.port else _PORT_TRIES
        for left in reversed(range(tries)):
            port = self.port or free_port()
            child = Child(
                "valkey",
                [self._program.path, self._configuration(port)],
                log=self._logs / "valkey.log",
                env={"PATH": os.defpath, "LC_ALL": "C"},
                cwd=self.directory,
            )
            child.start()
            self.child = child
            try:
                wait_until(
                    lambda: self._answers(port),  # noqa: B023 - used in this round only
                    "valkey answers",
                    timeout_s=_READY_TIMEOUT_S,
                    check=child.require_alive,
                )
            except ChildDiedError as error:
                if left and "in use" in error.remedy:
                    continue
                raise
            self.port = port
            return

    def stop(self) -> None:
        """End it politely."""
        if self.child is not None:
            self.child.stop()

    def restart(self) -> None:
        """Stop and start on the same port; without `durable` it comes back empty."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL it, as a crash would."""
        if self.child is not None:
            self.child.kill()

    def _configuration(self, port: int) -> Path:
        # In a file and not as arguments, which every user of the machine can read.
        make_directory(self.directory)
        path = self.directory / "valkey.conf"
        path.touch(mode=0o600)
        settings = {**self._settings, "port": str(port), "dir": f'"{self.directory}"'}
        lines = [f"{name} {value}\n" for name, value in settings.items()]
        path.write_text("".join(lines), encoding="utf-8")
        return path

    def _answers(self, port: int) -> bool:
        """Whether this very process answers on the port, and not somebody else's server."""
        asked = f"AUTH {self._password}\r\n" if self._password else ""
        reply = b""
        try:
            with socket.create_connection((HOST, port), timeout=_REPLY_TIMEOUT_S) as client:
                client.sendall(f"{asked}INFO server\r\nQUIT\r\n".encode())
                while chunk := client.recv(65536):
                    reply += chunk
        except OSError:
            return False
        return self.child is not None and f"process_id:{self.child.pid}\r\n".encode() in reply
