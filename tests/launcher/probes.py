"""What the launcher's tests look at from outside: processes, ports and servers' answers."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path

import psycopg
import redis

from deploy.launcher import processes
from deploy.launcher.processes import Process
from deploy.launcher.waiting import wait_until

CHECKOUT = Path(__file__).resolve().parents[2]


def everything_below(pid: int) -> list[Process]:
    """The process and all that it has started, directly or not."""
    running = processes.snapshot()
    return [running[pid], *processes.descendants(pid, running)]


def expect_gone(victims: Sequence[Process], *, timeout_s: float = 10.0) -> None:
    """Fail unless all of these very processes end within the bound."""

    def left() -> list[Process]:
        return [victim for victim in victims if processes.is_running(victim)]

    wait_until(lambda: not left(), f"gone: {victims}", timeout_s=timeout_s)


def query(url: str, statement: str) -> object:
    """The first column of a statement's first row."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def execute(url: str, statement: str) -> None:
    """Run a statement that returns nothing."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def ping(url: str) -> bool:
    """Whether a Redis client is answered."""
    with redis.Redis.from_url(url, socket_timeout=5) as client:
        return bool(client.ping())


def listening_socket() -> socket.socket:
    """A stranger's server on a port of its own."""
    stranger = socket.socket()
    stranger.bind(("127.0.0.1", 0))
    stranger.listen()
    return stranger


def clean_environment(**variables: str) -> dict[str, str]:
    """Our environment without what could lead the launcher elsewhere."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("DALMADA_")}
    return {**own, **variables}
