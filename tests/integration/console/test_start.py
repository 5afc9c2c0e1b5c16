"""How the console starts: help, version, and what it does not load."""

import subprocess
import sys
import tomllib

import pytest

from tests.integration.console.commands import CHECKOUT, Commands

HEAVY = ("sqlalchemy", "psycopg", "redis", "pydantic_settings", "structlog", "stamina")
NEVER = ("celery", "kombu", "httpx", "httpx_aiohttp", "aiohttp", "flower")
LOADED = """
import sys
from worker.console.app import app
try:
    app(sys.argv[1:])
finally:
    print(*sys.modules, file=sys.stderr)
"""


def loaded(dalmada: Commands, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        capture_output=True,
        encoding="utf-8",
        env=dalmada.process_environment(),
        cwd=CHECKOUT,
        timeout=60,
        check=True,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("subscription", "add", "--help"),
        ("billing-key", "register", "--help"),
        ("payment", "refund", "--help"),
    ],
)
def test_help_loads_nothing_heavy(dalmada: Commands, arguments: tuple[str, ...]) -> None:
    assert loaded(dalmada, *arguments).isdisjoint({*HEAVY, *NEVER})


@pytest.mark.parametrize(
    "arguments",
    [
        ("subscription", "list"),
        ("invoice", "list"),
        ("payment", "list"),
        ("billing-key", "list"),
        ("dead-letter", "list"),
        ("audit", "list"),
        ("status",),
    ],
)
def test_no_command_loads_celery_or_an_http_client(
    dalmada: Commands, arguments: tuple[str, ...]
) -> None:
    modules = loaded(dalmada, *arguments)
    assert "sqlalchemy" in modules
    assert modules.isdisjoint(NEVER)


def test_help_names_every_command(dalmada: Commands) -> None:
    done = dalmada.process("--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("Usage: dalmada ")
    nouns = ("subscription", "invoice", "payment", "billing-key", "dead-letter", "audit")
    for word in (*nouns, "status", "--version", "DALMADA_DATABASE_URL", "--yes"):
        assert word in done.out


@pytest.mark.parametrize(
    ("noun", "verbs"),
    [
        ("subscription", ("add", "list", "show", "cancel")),
        ("invoice", ("list", "show")),
        ("payment", ("list", "show", "refund")),
        ("billing-key", ("list", "show", "register", "change", "delete")),
        ("dead-letter", ("list", "show", "requeue", "discard")),
        ("audit", ("list",)),
    ],
)
def test_help_of_a_noun_names_its_verbs(
    dalmada: Commands, noun: str, verbs: tuple[str, ...]
) -> None:
    done = dalmada(noun, "--help")
    assert done.status == 0
    for verb in verbs:
        assert f"\n  {verb} " in done.out


def test_help_of_add_says_how_the_billing_key_comes_in(dalmada: Commands) -> None:
    words = " ".join(dalmada("subscription", "add", "--help").out.split())
    assert "reads it from stdin" in words
    assert "DALMADA_CUSTOMER_UID" in words


def test_the_version_is_that_of_the_project(dalmada: Commands) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    done = dalmada.process("--version", DALMADA_DATABASE_URL=None, DALMADA_REDIS_URL=None)
    assert (done.status, done.out) == (0, f"dalmada {project['version']}\n")


@pytest.mark.parametrize("arguments", [("charge",), ("subscription", "delete"), ("--jsn",)])
def test_an_unknown_command_is_refused(dalmada: Commands, arguments: tuple[str, ...]) -> None:
    done = dalmada(*arguments)
    assert (done.status, done.out) == (2, "")
    assert arguments[-1] in done.err


def test_korean_survives_a_terminal_that_cannot_show_it(dalmada: Commands) -> None:
    dalmada.add()
    people = dalmada.process("subscription", "list", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (people.status, people.err) == (0, "")
    assert "\\uc694\\uae08\\uc81c" in people.out
    programs = dalmada.process(
        "subscription", "list", "--json", PYTHONIOENCODING="ascii", PYTHONUTF8="0"
    )
    assert programs.json["subscriptions"][0]["order_name"] == "Slim 요금제"


def test_a_reader_that_goes_away_is_no_fault_of_ours(dalmada: Commands) -> None:
    for _ in range(3):
        dalmada.add()
    with subprocess.Popen(
        [sys.executable, "-m", "worker.console", "subscription", "list", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dalmada.process_environment(),
        cwd=CHECKOUT,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        process.wait(60)
