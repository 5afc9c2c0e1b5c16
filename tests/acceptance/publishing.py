"""The ways of docs/messages.md to publish: its own programs, each ending another subscription."""

import json
import os
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable
from urllib.parse import urlsplit

from tests.architecture.messages_page import SUBSCRIPTION_ID, program

NODE = shutil.which("node")
_TIMEOUT_S = 30


def celery(url: str, subscription_id: uuid.UUID) -> str:
    """Publish from Python with Celery; return the command's id."""
    text = _about(program("From Python with Celery", "python"), subscription_id)
    _run([sys.executable, "-c", text], url)
    return "cancel-celery-0001"


def kombu(url: str, subscription_id: uuid.UUID) -> str:
    """Publish from Python with kombu alone; return the command's id."""
    text = _about(program("From Python with kombu", "python"), subscription_id)
    _run([sys.executable, "-c", text], url)
    return "cancel-kombu-0001"


def node(url: str, subscription_id: uuid.UUID) -> str:
    """Publish from Node without a package; return the command's id."""
    assert NODE is not None
    _run([NODE, "-e", _about(program("From Node", "js"), subscription_id)], url)
    return "cancel-node-0001"


def raw(url: str, subscription_id: uuid.UUID) -> str:
    """Push the page's JSON with one LPUSH over a bare socket; return the command's id."""
    text = _about(program("From anything that speaks Redis", "json"), subscription_id)
    message = "".join(text.splitlines())
    json.loads(message)
    assert lpush(url, "billing.command", message).startswith(":")
    return "cancel-redis-0001"


PYTHON_AND_RAW: tuple[Callable[[str, uuid.UUID], str], ...] = (celery, kombu, raw)


def lpush(url: str, queue: str, message: str) -> str:
    """Send the bytes that redis-cli sends, and return the first line of the answer."""
    address = urlsplit(url)
    parts = [part.encode() for part in ("LPUSH", queue, message)]
    request = b"*%d\r\n" % len(parts)
    request += b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    with socket.create_connection(
        (address.hostname or "", address.port or 6379), timeout=_TIMEOUT_S
    ) as connection:
        connection.sendall(request)
        return connection.makefile("r").readline()


def _about(text: str, subscription_id: uuid.UUID) -> str:
    """Return a program of the page with a subscription that exists in it."""
    assert text.count(SUBSCRIPTION_ID) == 1
    return text.replace(SUBSCRIPTION_ID, str(subscription_id))


def _run(argv: list[str], url: str) -> None:
    done = subprocess.run(
        argv,
        env={**os.environ, "REDIS_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
