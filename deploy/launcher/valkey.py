"""A private Valkey or Redis server on a free port of 127.0.0.1."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from deploy.launcher.binaries import ServerProgram
from deploy.launcher.children import Child
from deploy.launcher.directories import make_directory
from deploy.launcher.ports import HOST
from deploy.launcher.private import PrivateServer

_REPLY_TIMEOUT_S = 2.0


class ValkeyServer(PrivateServer):
    """One server with one data directory."""

    name = "valkey"
    ready_timeout_s = 30.0

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
        super().__init__(directory)
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

    def _prepare(self) -> None:
        """Make its directory; it makes the rest itself."""
        make_directory(self.directory)

    def _server(self, port: int) -> Child:
        return Child(
            "valkey",
            [self._program.path, self._configuration(port)],
            log=self._logs / "valkey.log",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd=self.directory,
        )

    def _configuration(self, port: int) -> Path:
        # In a file and not as arguments, which every user of the machine can read.
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
