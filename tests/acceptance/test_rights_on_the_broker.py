"""The logins of docs/security.md: each does its work with them, and nothing else."""

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest
import redis
from redis.exceptions import NoPermissionError

from deploy.launcher.servers import OwnServers
from shared.jobs.contracts import COMMAND_QUEUE, WEBHOOK_QUEUE
from tests.acceptance import publishing
from tests.architecture.checkout import read
from tests.support.system import System

PASSWORD = "planted-password"
_RULE = re.compile(r"^ACL SETUSER (?P<user>\w+) (?P<rules>.+)$", re.MULTILINE)
Attempt = Callable[["redis.Redis"], object]

FORBIDDEN: dict[str, Attempt] = {
    "reading what others said": lambda client: client.lrange(COMMAND_QUEUE, 0, -1),
    "taking it away": lambda client: client.rpop(COMMAND_QUEUE),
    "deleting it": lambda client: client.delete(COMMAND_QUEUE),
    "another kind": lambda client: client.set(COMMAND_QUEUE, "x"),
    "charges": lambda client: client.lpush("billing.charge", "x"),
    "scans": lambda client: client.lpush("billing.scan", "x"),
    "what is being worked": lambda client: client.hset("unacked", "x", "x"),
    "events": lambda client: client.xrange("dalmada:events"),
    "beat's lease": lambda client: client.set("dalmada:beat:leader", "x"),
    "orders to workers": lambda client: client.publish("/0.celery.pidbox", "x"),
    "watching": lambda client: client.execute_command("MONITOR"),  # type: ignore[no-untyped-call]
    "emptying": lambda client: client.flushall(),
    "names of keys": lambda client: client.keys(),
    "the configuration": lambda client: client.config_get("*"),
    "others' connections": lambda client: client.client_list(),
    "scripts": lambda client: client.eval("return 1", 0),
}


@contextmanager
def login(servers: OwnServers, user: str, *, how_many: int = 1) -> Iterator[str]:
    """Yield the broker's address with a login that has the page's rights, as many as are given."""
    rules = [match["rules"] for match in _RULE.finditer(read("docs/security.md"))]
    named = [match["user"] for match in _RULE.finditer(read("docs/security.md"))]
    ours = [rule for rule, name in zip(rules, named, strict=True) if name == user][:how_many]
    assert len(ours) == how_many, f"the page has {len(ours)} rules for {user}"
    address = urlsplit(servers.valkey.url)
    with redis.Redis.from_url(servers.valkey.url) as client:
        for rule in ours:
            words = rule.replace("PASSWORD", PASSWORD).split()
            client.execute_command("ACL", "SETUSER", user, *words)
        try:
            yield f"redis://{user}:{PASSWORD}@{address.hostname}:{address.port}/0"
        finally:
            client.acl_deluser(user)


@pytest.fixture
def servers_emptied(servers: OwnServers) -> OwnServers:
    with redis.Redis.from_url(servers.valkey.url) as client:
        client.flushall()
    return servers


@pytest.mark.parametrize(
    ("way", "how_many"), [(publishing.celery, 2), (publishing.kombu, 1)], ids=["celery", "kombu"]
)
def test_a_merchant_can_publish(
    servers_emptied: OwnServers, way: Callable[[str, uuid.UUID], str], how_many: int
) -> None:
    with login(servers_emptied, "merchant", how_many=how_many) as url:
        way(url, uuid.uuid4())
    with redis.Redis.from_url(servers_emptied.valkey.url) as client:
        assert client.llen(COMMAND_QUEUE) == 1


@pytest.mark.parametrize("user", ["merchant", "receiver"])
def test_and_nothing_else(servers_emptied: OwnServers, user: str) -> None:
    how_many = {"merchant": 2, "receiver": 1}[user]
    allowed = []
    with (
        login(servers_emptied, user, how_many=how_many) as url,
        redis.Redis.from_url(url) as client,
    ):
        assert client.ping()
        for name, attempt in FORBIDDEN.items():
            try:
                attempt(client)
            except NoPermissionError:
                continue
            allowed.append(name)
    assert allowed == []


def test_our_processes_work_with_theirs(system: System) -> None:
    with (
        login(system.servers, "dalmada") as ours,
        login(system.servers, "receiver") as receivers,
    ):
        system.overrides = {"DALMADA_REDIS_URL": receivers}
        receiver = system.receiver()
        said = {"imp_uid": "imp_1"}
        assert httpx.get(f"{receiver}/healthz", timeout=10).status_code == 200
        assert httpx.post(f"{receiver}/webhooks/portone", json=said, timeout=10).text == "ok\n"
        with redis.Redis.from_url(system.servers.valkey.url) as client:
            assert client.llen(WEBHOOK_QUEUE) == 1
        system.overrides = {"DALMADA_REDIS_URL": ours}
        system.subscribe(3)
        system.start(workers=1)
        system.wait_until_collected()
        assert "NoPermission" not in system.written()
        for child in system.children:
            child.kill()
    assert system.verdict().clean
