"""What people and machines may read of a charge: ids, and nothing of the buyer."""

import base64
import json
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
import redis
from celery import Celery

from deploy.launcher.ports import free_port
from shared.billing.subscription import Buyer
from shared.jobs.contracts import COMMAND_QUEUE
from shared.jobs.envelope import envelope
from tests.support.sandbox import IMP_SECRET
from tests.support.system import System, ready

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


LOGIN = "planted-user:planted-password"
WITH_A_LOGIN = {"FLOWER_BASIC_AUTH": LOGIN, "DALMADA_PORTONE_PG": "naverpay.partner"}
# What a merchant's command says of a person, in every form in which it could be written.
PLANTED = (
    *("가나리아새", "\\uac00\\ub098", "canary@", "9182-7364"),
    *("planted-customer-uid", "planted-positional", "planted-shadow"),
)
SAID = {
    "customer_uid": "planted-customer-uid",
    "order_name": "슬림 요금제",
    "amount": 9_900,
    "buyer_name": CANARY.name,
    "buyer_email": CANARY.email,
    "buyer_tel": CANARY.tel,
}


@pytest.mark.parametrize("system", [WITH_A_LOGIN], indirect=True)
def test_what_a_command_says_is_shown_nowhere(system: System) -> None:
    flower = _start_flower(system)
    told = _hear_events(system)
    receiver = system.receiver()
    ready(system.command_worker(threads=1))
    with _held_up(system, "held-up"), Celery(broker=system.servers.valkey.url) as merchant:
        # As a merchant's application may be set up: it tells everybody what it sends.
        merchant.conf.task_send_sent_event = True
        for command_id, args, shadow in (
            ("held-up", (), None),
            # These two wait behind it.
            ("waiting", (), "planted-shadow"),
            ("malformed", ("planted-positional",), None),
        ):
            merchant.send_task(
                "billing_key.register",
                args,
                {**SAID, "command_id": command_id},
                queue=COMMAND_QUEUE,
                shadow=shadow,
            )
        merchant.send_task("billing_key.unknown", (), SAID, queue=COMMAND_QUEUE)
        _push_what_is_no_call(system)
        httpx.post(f"{receiver}/webhooks/portone", json={"imp_uid": "imp_1", **SAID})
        inspect = merchant.control.inspect(timeout=5)
        system.wait(lambda: any((inspect.active() or {}).values()), "a command is being worked")
        shown = {"inspect": str([inspect.active(), inspect.reserved(), inspect.scheduled()])}
        (active,) = next(iter((inspect.active() or {}).values()))
        shown["inspect"] += str(inspect.query_task(active["id"]))
        shown["pages while it is worked"] = _pages(flower, active["id"])
    system.wait(
        lambda: (
            system.value("SELECT count(*) FROM commands") == 2
            and system.value("SELECT count(*) FROM dead_letters") >= 4
        ),
        "all is worked",
    )
    system.wait(lambda: "succeeded" in _pages(flower, active["id"]).lower(), "Flower knows")

    shown["pages"] = _pages(flower, active["id"])
    shown["log"] = system.written()
    shown["our events"] = "\n".join(told)
    shown["events out"] = str(system.rows("SELECT * FROM events"))
    shown["results"] = str(system.rows("SELECT * FROM commands"))
    for place, text in shown.items():
        assert "billing_key.register" in text, f"nothing of a command in {place}: the test is blind"
        assert [planted for planted in PLANTED if planted in text] == [], place
    assert {row["name"] for row in system.rows("SELECT name FROM events")} >= {
        "command.done",
        "billing_key.registration_requested",
        "message.malformed",
    }
    # It was all there, and lies in the database as it came.
    assert "가나리아새" in str(system.rows("SELECT payload FROM dead_letters"))


@contextmanager
def _held_up(system: System, command_id: str) -> Iterator[None]:
    """Keep whoever works a command waiting, for somebody else seems to be working it."""
    with psycopg.connect(system.database_url) as connection:
        connection.execute(
            "INSERT INTO commands (command_id, task, digest, result) VALUES (%s, '', '', '{}')",
            (command_id,),
        )
        yield
        connection.rollback()


def _push_what_is_no_call(system: System) -> None:
    """Put messages on the queue that name no task, no call, or hold no JSON."""
    message = envelope("billing_key.register", SAID, COMMAND_QUEUE)
    messages = [json.loads(message) for _ in range(4)]
    del messages[0]["headers"]["task"]
    del messages[1]["headers"]["id"]
    messages[2]["content-type"] = "application/x-python-serialize"
    messages[3]["body"] = base64.b64encode(f"{{{SAID}".encode()).decode()
    with redis.Redis.from_url(system.servers.valkey.url) as client:
        client.lpush(COMMAND_QUEUE, *[json.dumps(one) for one in messages])


def _hear_events(system: System) -> list[str]:
    """Return a list that fills with what our own workers tell through Celery."""
    told: list[str] = []
    listening = threading.Event()

    def hear() -> None:
        app = Celery(broker=system.servers.valkey.url, set_as_current=False)
        with app, app.connection_for_read() as connection, suppress(Exception):
            receiver = app.events.Receiver(connection, handlers={"*": keep})
            listening.set()
            # It ends with the broker, at the latest with the session.
            receiver.capture(limit=None, timeout=None, wakeup=False)

    def keep(event: dict[str, object]) -> None:
        if str(event.get("hostname")).startswith("command"):
            told.append(json.dumps(event, ensure_ascii=False))

    threading.Thread(target=hear, daemon=True).start()
    assert listening.wait(30)
    return told


def _pages(flower: str, task_id: str) -> str:
    """Return what Flower shows of tasks and workers, its API included."""
    workers = _read(f"{flower}/api/workers?refresh=true")
    paths = [
        "tasks",
        "workers",
        "metrics",
        "api/tasks?limit=100",
        f"task/{task_id}",
        f"api/task/info/{task_id}",
        *(f"worker/{name}" for name in json.loads(workers)),
        (
            "tasks/datatable?draw=1&start=0&length=50&search[value]=&order[0][column]=0"
            "&order[0][dir]=asc&columns[0][data]=name"
        ),
    ]
    return "\n".join([workers, *(_read(f"{flower}/{path}") for path in paths)])


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
    credentials = base64.b64encode(LOGIN.encode()).decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {credentials}"})  # noqa: S310 - our own loopback
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - the same
        return str(response.read().decode())


def _stored(system: System) -> list[str]:
    """Return what is left on the broker: the stream of events, and whatever else there is."""
    with redis.Redis.from_url(system.servers.valkey.url, decode_responses=True) as client:
        return [str(entry) for entry in client.xrange("dalmada:events")]
