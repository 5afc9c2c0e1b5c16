"""PostgreSQL and Valkey together: given by URL, or started from wheels or the system's programs.

For tests and benchmarks:

    with temporary_servers() as servers:
        os.environ.update(servers.environment)
        servers.postgres.restart()
        servers.valkey.kill()
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.launcher.binaries import find_postgres, find_valkey
from deploy.launcher.children import Child
from deploy.launcher.directories import scratch_directory
from deploy.launcher.postgres import PostgresServer
from deploy.launcher.terminal import Terminal
from deploy.launcher.valkey import ValkeyServer

__all__ = [
    "GivenServer",
    "OwnServers",
    "Passwords",
    "PostgresServer",
    "Server",
    "Servers",
    "ValkeyServer",
    "prefers_system",
    "start_servers",
    "temporary_servers",
]

CHECKOUT = Path(__file__).resolve().parents[2]
DATABASE_VARIABLE = "DALMADA_DATABASE_URL"
REDIS_VARIABLE = "DALMADA_REDIS_URL"


class Server(Protocol):
    """What can be asked of a server, whoever runs it."""

    @property
    def url(self) -> str:
        """Where clients find it."""

    @property
    def label(self) -> str:
        """For a status line."""

    @property
    def child(self) -> Child | None:
        """Our process, None when somebody else runs it."""

    def start(self) -> None:
        """Have it run and accept clients."""

    def stop(self) -> None:
        """End it if it is ours."""


@dataclass(frozen=True, slots=True)
class GivenServer:
    """A server that somebody else runs: never started, never stopped."""

    name: str
    url: str
    child: None = None

    @property
    def label(self) -> str:
        """For a status line; without the URL, which may hold a password."""
        return f"{self.name} as given by URL"

    def start(self) -> None:
        """Nothing: it is expected to run."""

    def stop(self) -> None:
        """Nothing: it is not ours."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The pair that every part of Dalmada needs."""

    postgres: Server
    valkey: Server

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead Dalmada's processes to them."""
        return {DATABASE_VARIABLE: self.postgres.url, REDIS_VARIABLE: self.valkey.url}

    @property
    def children(self) -> list[Child]:
        """The processes of those that are ours."""
        found = (self.valkey.child, self.postgres.child)
        return [child for child in found if child is not None]

    def stop(self) -> None:
        """End those that are ours, in reverse order of starting."""
        try:
            self.valkey.stop()
        finally:
            self.postgres.stop()


@dataclass(frozen=True, slots=True)
class OwnServers(Servers):
    """A pair of our own, which may therefore be stopped, killed and restarted."""

    postgres: PostgresServer
    valkey: ValkeyServer


@dataclass(frozen=True, slots=True)
class Passwords:
    """What clients of a lasting pair must know; empty for a throw-away pair."""

    postgres: str = ""
    valkey: str = ""


def prefers_system() -> bool:
    """Whether DALMADA_SYSTEM_SERVERS asks for the system's programs before the wheels'."""
    return os.environ.get("DALMADA_SYSTEM_SERVERS", "") not in {"", "0"}


def start_servers(
    directory: Path,
    *,
    logs: Path,
    terminal: Terminal,
    durable: bool = False,
    passwords: Passwords | None = None,
    checkout: Path = CHECKOUT,
) -> Servers:
    """Start the pair, each server given by its URL variable or run privately in `directory`.

    Nothing is left running when it fails.
    """
    secrets = passwords or Passwords()
    system = prefers_system()
    with ExitStack() as undo:
        pair: list[Server] = []
        given = os.environ.get(DATABASE_VARIABLE)
        if given:
            pair.append(GivenServer("postgres", given))
        else:
            pair.append(
                PostgresServer(
                    find_postgres(checkout, prefer_system=system),
                    directory / "postgres",
                    logs=logs,
                    durable=durable,
                    password=secrets.postgres,
                )
            )
        given = os.environ.get(REDIS_VARIABLE)
        if given:
            pair.append(GivenServer("redis", given))
        else:
            pair.append(
                ValkeyServer(
                    find_valkey(checkout, prefer_system=system),
                    directory / "valkey",
                    logs=logs,
                    durable=durable,
                    password=secrets.valkey,
                )
            )
        for name, server in zip(("postgres", "valkey"), pair, strict=True):
            with terminal.step(f"starting {name}") as step:
                undo.callback(server.stop)
                server.start()
                step.result = server.label
        undo.pop_all()
        return Servers(*pair)


@contextmanager
def temporary_servers(
    *,
    durable: bool = False,
    postgres_settings: Mapping[str, str] | None = None,
    valkey_settings: Mapping[str, str] | None = None,
    logs: Path | None = None,
    checkout: Path = CHECKOUT,
) -> Iterator[OwnServers]:
    """A throw-away pair that always is our own, whatever the environment names.

    Both are empty, on free ports, and gone with their data at the end, even if this process is
    killed. `durable` keeps fsync on, for measuring. `logs` is where their logs go, by default
    away with the data.
    """
    system = prefers_system()
    with scratch_directory() as scratch, ExitStack() as undo:
        postgres = PostgresServer(
            find_postgres(checkout, prefer_system=system),
            scratch / "postgres",
            logs=logs or scratch / "logs",
            durable=durable,
            settings=postgres_settings,
        )
        valkey = ValkeyServer(
            find_valkey(checkout, prefer_system=system),
            scratch / "valkey",
            logs=logs or scratch / "logs",
            settings=valkey_settings,
        )
        for server in (postgres, valkey):
            undo.callback(server.stop)
            server.start()
        yield OwnServers(postgres, valkey)
