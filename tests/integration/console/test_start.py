"""How the console starts: help, version, and what it does not load."""

import json
import subprocess
import sys
import tomllib

import pytest

from tests.integration.console.commands import CHECKOUT, Commands

HEAVY = ("sqlalchemy", "psycopg", "redis", "pydantic_settings", "structlog", "stamina")
NEVER = ("celery", "kombu", "httpx", "httpx_aiohttp", "aiohttp", "flower")
# Each command in turn, and what is loaded after it; the first that loads too much is seen.
LOADED = """
import json, sys
from worker.console.app import app
for arguments in json.loads(sys.argv[1]):
    try:
        app(arguments)
    except SystemExit as end:
        found = {"status": end.code, "modules": sorted(sys.modules)}
        print(json.dumps(found), file=sys.stderr)
"""


def expect_unloaded(
    dalmada: Commands, modules: tuple[str, ...], *commands: tuple[str, ...]
) -> set[str]:
    """Run commands in one process; none may load these modules. Return what all have loaded."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, json.dumps(commands)],
        capture_output=True,
        encoding="utf-8",
        env=dalmada.process_environment(),
        cwd=CHECKOUT,
        timeout=60,
        check=True,
    )
    lines = done.stderr.splitlines()
    assert len(lines) == len(commands), done.stderr
    for command, line in zip(commands, lines, strict=True):
        found = json.loads(line)
        assert found["status"] == 0, command
        assert set(found["modules"]).isdisjoint(modules), command
    return set(found["modules"])


def test_help_loads_nothing_heavy(dalmada: Commands) -> None:
    expect_unloaded(
        dalmada,
        (*HEAVY, *NEVER),
        ("--help",),
        ("subscription", "add", "--help"),
        ("subscription", "change", "--help"),
        ("price", "change", "--help"),
        ("invoice", "retry", "--help"),
        ("billing-key", "register", "--help"),
        ("payment", "refund", "--help"),
    )


def test_no_command_loads_celery_or_an_http_client(dalmada: Commands) -> None:
    modules = expect_unloaded(
        dalmada,
        NEVER,
        ("subscription", "list"),
        ("invoice", "list"),
        ("payment", "list"),
        ("billing-key", "list"),
        ("dead-letter", "list"),
        ("audit", "list"),
        ("status",),
    )
    assert modules >= {"sqlalchemy", "redis"}


def test_help_names_every_command(dalmada: Commands) -> None:
    done = dalmada.process("--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("Usage: dalmada ")
    nouns = ("subscription", "price", "invoice", "payment", "billing-key", "dead-letter", "audit")
    for word in (*nouns, "status", "--version", "DALMADA_DATABASE_URL", "--yes"):
        assert word in done.out


@pytest.mark.parametrize(
    ("noun", "verbs"),
    [
        (
            "subscription",
            (
                *("add", "list", "show", "cancel", "start", "pause", "resume", "change"),
                *("withdraw-change", "reactivate", "adjust", "dunning", "consent"),
            ),
        ),
        ("price", ("change",)),
        ("invoice", ("list", "show", "retry")),
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
