"""What every command says when its environment or its database is not as it should be."""

import time

import pytest
from sqlalchemy import text

from deploy.launcher.ports import free_port
from shared.db.engine import connect
from tests.integration.console.commands import ADD, KEY, Commands, Printed
from tests.integration.console.proxies import silent_server
from tests.support.billing import World
from worker.console.endings import DatabaseFaultError
from worker.console.session import faults_in_words

NOBODY = "00000000-0000-0000-0000-000000000007"
BECAUSE = ("--reason", "reason", "--requester", "admin", "--yes")
WINDOW = ("--amount", "9900", "--name", "Slim", "--buyer-tel", "010-1", "--customer-uid", "-")
EVERY_COMMAND = [
    (*ADD, "--customer-uid", "-"),
    ("subscription", "list"),
    ("subscription", "show", NOBODY),
    ("subscription", "cancel", NOBODY, "--when", "now", *BECAUSE),
    ("invoice", "list"),
    ("invoice", "show", "7"),
    ("payment", "list"),
    ("payment", "show", "imp_7"),
    ("payment", "refund", "--imp-uid", "imp_7", "--all", *BECAUSE),
    ("billing-key", "list"),
    ("billing-key", "show", "7"),
    ("billing-key", "register", *WINDOW, "--yes"),
    ("billing-key", "change", *WINDOW, "--yes"),
    ("billing-key", "delete", "7", *BECAUSE),
    ("dead-letter", "list"),
    ("dead-letter", "show", "7"),
    ("dead-letter", "requeue", "7", "--yes"),
    ("dead-letter", "discard", "7", "--reason", "reason", "--yes"),
    ("audit", "list"),
]
NAMES = [" ".join(command[:2]) for command in EVERY_COMMAND]
# Time-outs of connecting and of trying again, and a slow machine.
BOUND_S = 20.0

every_command = pytest.mark.parametrize("command", EVERY_COMMAND, ids=NAMES)


def run(dalmada: Commands, command: tuple[str, ...], **variables: str | None) -> Printed:
    done = dalmada(*command, stdin=KEY, **variables)
    assert done.out == ""
    assert "Traceback" not in done.err
    assert KEY not in done.err
    return done


@pytest.mark.parametrize("command", [*EVERY_COMMAND, ("status",)], ids=[*NAMES, "status"])
def test_a_missing_database_url_is_named(dalmada: Commands, command: tuple[str, ...]) -> None:
    done = run(dalmada, command, DALMADA_DATABASE_URL=None)
    assert done.status == 2
    assert "DALMADA_DATABASE_URL" in done.err


def test_all_faults_are_told_at_once(dalmada: Commands) -> None:
    done = run(
        dalmada,
        ("status",),
        DALMADA_DATABASE_URL=None,
        DALMADA_REDIS_URL="http://127.0.0.1",
        DALMADA_MINIMUM_AMOUNT="ten",
    )
    assert done.status == 2
    for name in ("DALMADA_DATABASE_URL", "DALMADA_REDIS_URL", "DALMADA_MINIMUM_AMOUNT"):
        assert done.err.count(name) == 1


@pytest.mark.parametrize(
    ("variable", "value", "right"),
    [
        ("DALMADA_INQUIRY_GAPS_S", "60,120", "a list is written as JSON"),
        ("DALMADA_CHARGE_HOURS", "nonsense", "hours are written like 09:00-22:00"),
    ],
)
def test_a_setting_of_many_values_is_refused_in_words(
    dalmada: Commands, variable: str, value: str, right: str
) -> None:
    done = run(dalmada, ("forecast",), **{variable: value})
    assert done.status == 2
    assert right in done.err


def test_a_statement_that_is_given_up_says_after_how_long(world: World) -> None:
    hasty = connect(world.url, connections_max=1, statement_timeout_s=1.0)

    async def wait() -> None:
        try:
            await hasty.run(lambda connection: connection.execute(text("SELECT pg_sleep(30)")))
        finally:
            await hasty.aclose()

    with pytest.raises(DatabaseFaultError, match="did not answer within 1 s"), faults_in_words(1.0):
        world.run(wait())


@pytest.mark.parametrize("command", [*EVERY_COMMAND, ("status",)], ids=[*NAMES, "status"])
def test_only_status_and_requeue_need_redis(dalmada: Commands, command: tuple[str, ...]) -> None:
    # Most end with "there is no …" here; what is looked at is what they ask for.
    done = dalmada(*command, stdin=KEY, DALMADA_REDIS_URL=None)
    needs_it = command[:2] in {("status",), ("dead-letter", "requeue")}
    assert ("DALMADA_REDIS_URL" in done.err) is needs_it
    assert (done.status == 2) is needs_it


@pytest.mark.parametrize(
    "url",
    [
        "",
        "planted-password",
        "mysql://dalmada:planted-password@127.0.0.1/dalmada",
        "postgresql://dalmada:planted-password@127.0.0.1:port/dalmada",
    ],
)
def test_a_database_url_that_is_none_is_refused_without_being_repeated(
    dalmada: Commands, url: str
) -> None:
    done = run(dalmada, ("invoice", "list"), DALMADA_DATABASE_URL=url)
    assert done.status == 2
    assert "postgresql://user:password@host" in done.err
    assert "planted" not in done.err


@pytest.mark.parametrize("url", ["", "planted-password", "redis://:planted@127.0.0.1:port/0"])
def test_a_redis_url_that_is_none_is_refused_without_being_repeated(
    dalmada: Commands, url: str
) -> None:
    done = dalmada("status", DALMADA_REDIS_URL=url)
    assert "planted" not in done.out + done.err
    assert (done.status, done.out) == (2, "")
    assert "redis://host:6379/0" in done.err


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("command", EVERY_COMMAND[:2], ids=NAMES[:2])
def test_a_database_out_of_reach_is_told_in_words(
    dalmada: Commands, command: tuple[str, ...]
) -> None:
    done = run(
        dalmada,
        command,
        DALMADA_DATABASE_URL=f"postgresql://dalmada:planted@127.0.0.1:{free_port()}/dalmada",
    )
    assert done.status == 1
    assert "the database cannot be reached" in done.err
    assert "planted" not in done.err
    # Nothing was sent, so nothing is in doubt.
    assert "not known" not in done.err


def test_a_database_out_of_reach_prints_no_traceback_in_a_process_either(
    dalmada: Commands,
) -> None:
    url = f"postgresql://dalmada:planted@127.0.0.1:{free_port()}/dalmada"
    started_s = time.monotonic()
    done = dalmada.process("invoice", "list", "--json", DALMADA_DATABASE_URL=url)
    assert time.monotonic() - started_s < BOUND_S
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("Error: the database cannot be reached")
    assert "Traceback" not in done.err
    assert len(done.err.splitlines()) == 1


def test_a_database_that_says_nothing_is_given_up(dalmada: Commands) -> None:
    started_s = time.monotonic()
    with silent_server() as port:
        done = run(
            dalmada,
            ("subscription", "list"),
            DALMADA_DATABASE_URL=f"postgresql://dalmada@127.0.0.1:{port}/dalmada",
        )
    assert time.monotonic() - started_s < BOUND_S
    assert done.status == 1
    assert "database" in done.err


def test_a_database_that_does_not_exist_is_named(dalmada: Commands) -> None:
    url = dalmada.environment["DALMADA_DATABASE_URL"].rpartition("/")[0] + "/nowhere"
    done = run(dalmada, ("invoice", "list"), DALMADA_DATABASE_URL=url)
    assert done.status == 1
    assert '"nowhere" does not exist' in done.err


@every_command
def test_a_database_without_tables_asks_for_the_migration(
    dalmada: Commands, empty_url: str, command: tuple[str, ...]
) -> None:
    done = run(dalmada, command, DALMADA_DATABASE_URL=empty_url)
    assert done.status == 1
    assert "python -m shared.db.migrate upgrade" in done.err


def test_status_asks_for_the_migration_as_well(dalmada: Commands, empty_url: str) -> None:
    done = dalmada("status", "--json", DALMADA_DATABASE_URL=empty_url)
    assert done.status == 1
    assert "python -m shared.db.migrate upgrade" in done.json["database"]["error"]
