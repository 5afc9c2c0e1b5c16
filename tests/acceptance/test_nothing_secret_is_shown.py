"""What people and machines may read of our work: ids, and nothing of a buyer, a key or a login."""

import base64
import json
import re
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
import redis
from celery import Celery

from deploy.launcher.ports import HOST, free_port
from shared.billing.subscription import Buyer
from shared.jobs.contracts import CHARGE_QUEUE, COMMAND_QUEUE
from shared.jobs.envelope import envelope
from tests.acceptance.echoing_gateway import echoing_gateway
from tests.support.sandbox import IMP_KEY, IMP_SECRET
from tests.support.system import System, ready

CANARY = Buyer(name="가나리아새", email="canary@example.test", tel="010-9182-7364")
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


DATABASE_LOGIN = ("planted_login", "planted-database-password")
BROKER_LOGIN = ("planted_user", "planted-broker-password")
FAULT = "planted refusal"
# The first writes of every kind are refused, and all but the server's message repeats every billing
# key and buyer there is. A sequence goes on although what asked it is rolled back.
REFUSAL = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('refusals_' || TG_TABLE_NAME || '_' || lower(TG_OP)) = 1 THEN
        RAISE integrity_constraint_violation USING
            MESSAGE = 'planted refusal',
            DETAIL = NEW::text || (SELECT string_agg(k::text, ',') FROM billing_keys k),
            HINT = (SELECT string_agg(k::text, ',') FROM billing_keys k);
    END IF;
    RETURN NEW;
END $$
"""
REFUSED = {
    "payment_attempts": ("insert", "update"),
    "refunds": ("insert", "update"),
    "billing_keys": ("update",),
    "windows": ("insert",),
    "hints": ("insert",),
    "commands": ("insert",),
}
# What is unknown is asked for sooner.
SOONER = {
    "DALMADA_GATEWAY_READ_TIMEOUT_S": "1",
    "DALMADA_GATEWAY_TOTAL_TIMEOUT_S": "2",
    "DALMADA_LEASE_S": "4.5",
    "DALMADA_SETTLE_DELAY_S": "0.5",
}
QUEUES = "charge", "inquiry", "refund", "event", "command", "webhook"


@pytest.mark.parametrize(
    "system", [{**WITH_A_LOGIN, **SOONER, "DALMADA_LOG_LEVEL": "DEBUG"}], indirect=True
)
def test_nothing_secret_is_written_whatever_fails(system: System) -> None:
    subscriptions = system.subscribe(12, buyer=CANARY)
    scripts = ["paid", "paid", "paid", "declined", "lost_reply", "key_ended"]
    for number, subscription in enumerate(subscriptions):
        system.sandbox.behave(subscription.customer_uid, [scripts[number % len(scripts)]])
    with _logins(system) as logins, echoing_gateway(system.sandbox.url) as gateway:
        address = f"http://{HOST}:{gateway.server_port}"
        system.overrides = {**system.overrides, **logins, "DALMADA_PORTONE_BASE_URL": address}
        shown = _live_through_it_all(system)
    shown["broker in the end"] = _held(system)
    shown["log"] = system.written()
    shown["events out"] = str(system.rows("SELECT * FROM events"))
    shown["causes"] = str(system.rows("SELECT kind, cause FROM dead_letters"))
    shown["results"] = str(system.rows("SELECT * FROM commands"))

    secrets = [
        *("가나리아새", "\\uac00\\ub098", "canary@", "9182-7364", "planted-customer-uid"),
        *(IMP_KEY, IMP_SECRET, _token(system), LOGIN.partition(":")[2]),
        *(DATABASE_LOGIN[1], BROKER_LOGIN[1]),
        *(subscription.customer_uid for subscription in subscriptions),
    ]
    for place, text in shown.items():
        assert [secret for secret in secrets if secret in text] == [], place
    # The test is not blind: all of it happened, and is told of.
    for word in (FAULT, "planted exception", "payment.refund", "webhook.receive"):
        assert word in shown["log"], word
    assert '"invoice_ids": [' in shown["broker while messages wait"]
    assert "invoice.charge" in shown["flower"]
    assert {"POST /subscribe", "POST /payments", "GET /payments", "DELETE /subscribe"} <= {
        "/".join(kind.split("/")[:2]) for kind in gateway.seen
    }
    verdict = system.verdict()
    assert (verdict.double_charges, verdict.missed) == (0, 0)


def _live_through_it_all(system: System) -> dict[str, str]:
    """Charge, refund, register, hint, cancel and delete while all fails; what was seen of it."""
    flower = _start_flower(system)
    receiver = system.receiver()
    ready(system.scan_worker())
    system.beat()
    with redis.Redis.from_url(system.servers.valkey.url) as client:
        system.wait(lambda: client.llen(CHARGE_QUEUE), "charges wait")
        waiting = _held(system)
    _refuse_first_writes(system)
    all_queues = ",".join(f"billing.{name}" for name in QUEUES)
    worker = system._worker("all", "tests.acceptance.faulty_app", all_queues, 8)
    ready(worker)
    paid = system.wait(lambda: _paid(system, 4), "some are paid")
    system.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'dalmada'"
    )
    why = {"reason": "구매자 요청", "requester": "customer"}
    for one in paid[:3]:
        _command(system, "payment.refund", imp_uid=one["imp_uid"], amount=1_000, **why)
    _command(system, "billing_key.register", **SAID)
    _command(system, "billing_key.confirm", imp_uid="imp_1", merchant_uid="planted")
    ended = str(paid[3]["subscription_id"])
    _command(system, "subscription.cancel", subscription_id=ended, when="now", **why)
    said = {**SAID, "imp_uid": paid[0]["imp_uid"]}
    httpx.post(f"{receiver}/webhooks/portone", json=said, timeout=10).raise_for_status()
    over = "SELECT FROM subscriptions WHERE status = 'canceled' AND id = %s"
    system.wait(lambda: system.rows(over, ended), "the subscription is over")
    _command(system, "billing_key.delete", customer_uid=paid[3]["customer_uid"], **why)
    system.wait_until_collected()
    system.wait(lambda: _is_all_done(system), "all of it is done")
    (task_id, *_) = json.loads(_read(f"{flower}/api/tasks?limit=1"))
    return {"flower": _pages(flower, task_id), "broker while messages wait": waiting}


@contextmanager
def _logins(system: System) -> Iterator[dict[str, str]]:
    """Have our processes say passwords to the database and to the broker."""
    (user, password), (broker_user, broker_password) = DATABASE_LOGIN, BROKER_LOGIN
    address, broker = urlsplit(system.database_url), urlsplit(system.servers.valkey.url)
    with (
        redis.Redis.from_url(system.servers.valkey.url) as client,
        psycopg.connect(system.database_url, autocommit=True) as connection,
    ):
        connection.execute(f"CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{password}'")
        rights = {"keys": ["*"], "channels": ["*"], "categories": ["+@all"]}
        client.acl_setuser(broker_user, enabled=True, passwords=f"+{broker_password}", **rights)
        try:
            yield {
                "DALMADA_DATABASE_URL": (
                    f"postgresql://{user}:{password}@{address.hostname}:{address.port}{address.path}"
                ),
                "DALMADA_REDIS_URL": (
                    f"redis://{broker_user}:{broker_password}@{broker.hostname}:{broker.port}/0"
                ),
            }
            for child in system.children:
                child.kill()
        finally:
            client.acl_deluser(broker_user)
            connection.execute(f"DROP ROLE {user}")


def _refuse_first_writes(system: System) -> None:
    with psycopg.connect(system.database_url) as connection:
        connection.execute(REFUSAL)
        for table, writes in REFUSED.items():
            for write in writes:
                connection.execute(f"CREATE SEQUENCE refusals_{table}_{write}")
            connection.execute(
                f"CREATE TRIGGER refuse BEFORE {' OR '.join(writes)} ON {table}"
                " FOR EACH ROW EXECUTE FUNCTION refuse()"
            )


def _paid(system: System, count: int) -> list[dict[str, Any]]:
    """Return some payments that were collected, once there are so many."""
    found = system.rows(
        "SELECT a.imp_uid, i.subscription_id, k.customer_uid FROM payment_attempts a"
        " JOIN invoices i ON i.id = a.invoice_id JOIN subscriptions s ON s.id = i.subscription_id"
        " JOIN billing_keys k ON k.id = s.billing_key_id WHERE a.status = 'paid'"
    )
    return found if len(found) >= count else []


def _is_all_done(system: System) -> bool:
    """Say whether everything that was asked for has ended, however it did."""
    left = system.value(
        """
        SELECT (SELECT count(*) FROM refunds WHERE status IN ('waiting', 'claimed', 'unknown'))
             + (SELECT count(*) FROM billing_keys WHERE status = 'deleting')
             + (SELECT count(*) FROM events WHERE relayed_at IS NULL)
             + (SELECT abs(count(*) - 7) FROM commands)
             + (SELECT 1 - least(1, count(*)) FROM hints)
        """
    )
    return left == 0 and system.idle()


def _command(system: System, task: str, **said: object) -> None:
    """Put a command on the queue, named after what it asks for."""
    said = {**said, "command_id": f"{task}-{len(str(said))}-{said.get('imp_uid', '')}"}
    with redis.Redis.from_url(system.servers.valkey.url) as client:
        client.lpush(COMMAND_QUEUE, envelope(task, said, COMMAND_QUEUE))


def _token(system: System) -> str:
    """Return the token that the gateway has handed out, and hands out again while it lives."""
    login = {"imp_key": IMP_KEY, "imp_secret": IMP_SECRET}
    answer = httpx.post(f"{system.sandbox.url}/users/getToken", json=login, timeout=10)
    return str(answer.raise_for_status().json()["response"]["access_token"])


def _held(system: System) -> str:
    """Return all that is on the broker but merchants' commands, which hold what they say."""
    with redis.Redis.from_url(system.servers.valkey.url, decode_responses=True) as client:
        held = [f"{key} {entry}" for key in client.scan_iter() for entry in _entries(client, key)]
    return "\n".join(
        f"{entry} {_body(entry)}" for entry in held if COMMAND_QUEUE not in entry.partition("{")[0]
    )


def _entries(client: "redis.Redis", key: str) -> Iterator[object]:
    read: Mapping[str, Any] = {
        "string": lambda: [client.get(key)],
        "list": lambda: client.lrange(key, 0, -1),
        "hash": lambda: client.hgetall(key).items(),
        "set": lambda: client.smembers(key),
        "zset": lambda: client.zrange(key, 0, -1),
        "stream": lambda: client.xrange(key),
        # A queue that a worker has emptied since it was listed.
        "none": list,
    }
    yield from read[str(client.type(key))]()


def _body(entry: str) -> str:
    """Return what a message says: Celery's bodies are base64."""
    found = re.search(r'"body\\*": \\*"([A-Za-z0-9+/=]+)', entry)
    return base64.b64decode(found[1]).decode(errors="replace") if found else ""


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
