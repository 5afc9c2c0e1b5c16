"""What the private servers have in common: a free port, a start that is waited for, an end."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from deploy.launcher.children import Child
from deploy.launcher.errors import ChildDiedError
from deploy.launcher.ports import free_port
from deploy.launcher.waiting import wait_until

_PORT_TRIES = 5
# What both servers say in their logs of a port that somebody else has taken meanwhile.
_PORT_TAKEN = "in use"


class PrivateServer(ABC):
    """One server of our own on 127.0.0.1; it keeps its port over restarts.

    Attributes:
        port: the port on 127.0.0.1, 0 before the first start.
        directory: where its data is.
        child: its process, None before the first start.
    """

    name: ClassVar[str]
    ready_timeout_s: ClassVar[float]

    def __init__(self, directory: Path) -> None:
        """Describe the server; nothing runs yet."""
        self.directory = directory
        self.port = 0
        self.child: Child | None = None

    def start(self) -> None:
        """Start it, with whatever it needs before; returns once it accepts clients."""
        if self.child is not None and self.child.is_alive:
            return
        self._prepare()
        tries = 1 if self.port else _PORT_TRIES
        for left in reversed(range(tries)):
            port = self.port or free_port()
            child = self._server(port)
            child.start()
            self.child = child
            try:
                wait_until(
                    lambda: self._answers(port),  # noqa: B023 - used in this round only
                    f"{self.name} accepts clients",
                    timeout_s=self.ready_timeout_s,
                    check=child.require_alive,
                )
            except ChildDiedError as error:
                if left and _PORT_TAKEN in error.remedy:
                    continue
                raise
            self.port = port
            return

    def stop(self) -> None:
        """End it as an administrator would, its data left consistent."""
        if self.child is not None:
            self.child.stop()

    def restart(self) -> None:
        """Stop and start on the same port, with whatever data lasts."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL it and all its processes, as a crash would."""
        if self.child is not None:
            self.child.kill()

    @abstractmethod
    def _prepare(self) -> None:
        """Make what the server needs before each start."""

    @abstractmethod
    def _server(self, port: int) -> Child:
        """Return the process to start on a port."""

    @abstractmethod
    def _answers(self, port: int) -> bool:
        """Say whether this very process answers on the port, and not somebody else's server."""
