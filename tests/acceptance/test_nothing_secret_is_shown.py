"""What people and machines may read of a charge: ids, and nothing of the buyer."""

import base64
import re
import socket
import threading
import urllib.request
from urllib.parse import urlsplit

import redis

from deploy.launcher.ports import free_port
from shared.billing.subscription import Buyer
from tests.support.sandbox import IMP_SECRET
from tests.support.system import System

CANARY = Buyer(name="가나리아새", email="canary@example.test", tel="010-9182-7364")


def test_no_key_name_or_number_reaches_a_log_a_message_flower_or_the_stream(
    system: System,
) -> None:
    subscriptions = system.subscribe(30, buyer=CANARY)
    scripts = ["paid", "declined", "lost_reply", "key_ended", "error_500", "garbage", "bad_request"]
    for number, subscription in enumerate(subscriptions):
        system.sandbox.behave(subscription.customer_uid, [scripts[number % len(scripts)]])
    seen = _watch_broker(system)
    flower = _start_flower(system)
    system.start(workers=1)

    system.wait_until_collected()

    pages = [_read(f"{flower}/{page}") for page in ("tasks", "workers", "broker")]
    pages.append(_read(f"{flower}/metrics"))
    seen.extend(_stored(system))
    assert any('"invoice_ids": [' in line for line in seen), "no message's body was read"
    secrets = [
        "가나리아새",
        "\\uac00\\ub098",
        "canary@",
        "9182-7364",
        IMP_SECRET,
        *(subscription.customer_uid for subscription in subscriptions),
    ]
    for place, text in (
        ("log", system.written()),
        ("broker", "\n".join(seen)),
        ("flower", "\n".join(pages)),
    ):
        assert "invoice.charge" in text, f"nothing of a charge in the {place}: the test is blind"
        assert [secret for secret in secrets if secret in text] == [], place


def _watch_broker(system: System) -> list[str]:
    """Return a list that fills with every command the broker gets, until the system ends."""
    seen: list[str] = []
    address = urlsplit(system.servers.valkey.url)
    connection = socket.create_connection((address.hostname, address.port or 6379), timeout=10)
    connection.sendall(b"MONITOR\r\n")
    assert connection.recv(5) == b"+OK\r\n"
    connection.settimeout(None)

    def watch() -> None:
        with connection, connection.makefile("r", errors="replace") as lines:
            for line in lines:
                seen.append(line)
                seen.extend(_bodies(line))

    threading.Thread(target=watch, daemon=True).start()
    return seen


def _bodies(line: str) -> list[str]:
    """Return the messages in a command of the broker: Celery's bodies are base64."""
    return [
        base64.b64decode(found).decode(errors="replace")
        for found in re.findall(r'\\"body\\": \\"([A-Za-z0-9+/=]+)\\"', line)
    ]


def _start_flower(system: System) -> str:
    """Start Flower as the stack does, and return its address."""
    port = free_port()
    system.process(
        "flower",
        *("-m", "celery", "-A", "worker.app", "flower", "--address=127.0.0.1", f"--port={port}"),
        "--conf=deploy/flower/flowerconfig.py",
    )
    url = f"http://127.0.0.1:{port}"
    system.wait(lambda: _answers(f"{url}/healthcheck"), "Flower answers")
    return url


def _answers(url: str) -> bool:
    try:
        return bool(_read(url))
    except OSError:
        return False


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - our own loopback
        return str(response.read().decode())


def _stored(system: System) -> list[str]:
    """Return what is left on the broker: the stream of events, and whatever else there is."""
    with redis.Redis.from_url(system.servers.valkey.url, decode_responses=True) as client:
        return [str(entry) for entry in client.xrange("dalmada:events")]
