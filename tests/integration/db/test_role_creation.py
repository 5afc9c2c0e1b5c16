"""Roles belong to the whole server: made once, by whoever may, for every database that migrates."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from alembic import command
from psycopg import sql
from sqlalchemy.exc import DBAPIError

from deploy.launcher.postgres import PostgresServer
from deploy.launcher.servers import temporary_servers
from deploy.launcher.waiting import wait_until
from shared.db import migrate, roles
from shared.db.grants import Role
from tests.integration.db.logins import PASSWORD, url_as
from tests.support.databases import fresh_database

OWNER = "test_owner"
EVERY_ROLE = tuple(Role)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A server that has none of the roles yet."""
    with temporary_servers() as servers:
        yield servers.postgres


@pytest.fixture
def urls(postgres: PostgresServer) -> Iterator[list[str]]:
    """Two empty databases of one server, whose roles are gone again at the end."""
    with ExitStack() as stack:
        yield [stack.enter_context(fresh_database(postgres, migrated=False)) for _ in range(2)]
    for role in found(postgres):
        run(postgres.url, sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def run(url: str, *statements: sql.Composed | str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode() if isinstance(statement, str) else statement)


def somebody_waits(postgres: PostgresServer) -> bool:
    with psycopg.connect(postgres.url) as connection:
        waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')"
        row = connection.execute(waits).fetchone()
        return row is not None and bool(row[0])


def found(postgres: PostgresServer) -> tuple[Role, ...]:
    with migrate.locked(postgres.url) as connection:
        return roles.existing(connection)


def held(url: str) -> set[roles.Privilege]:
    with migrate.locked(url) as connection:
        return set(roles.held(connection))


def wanted() -> set[roles.Privilege]:
    return {privilege for role in Role for privilege in roles.wanted(role)}


@pytest.mark.parametrize("step", ["upgrade", "downgrade"])
def test_a_database_waits_for_another_that_makes_or_drops_them(
    postgres: PostgresServer, urls: list[str], step: str
) -> None:
    first, second = urls
    steps: dict[str, tuple[Any, Callable[[str, str], object], str]] = {
        "upgrade": (command.upgrade, migrate.upgrade, "head"),
        "downgrade": (command.downgrade, migrate.downgrade, "0003"),
    }
    with_alembic, with_ours, revision = steps[step]
    if step == "downgrade":
        migrate.upgrade(first)
        # No grant of the other keeps the first one from dropping them.
        migrate.upgrade(second, "0003")
        run(second, "UPDATE alembic_version SET version_num = '0004'")
    with ThreadPoolExecutor(1) as pool:
        with migrate.locked(first) as connection:
            with_alembic(migrate.alembic_config(connection), revision)
            waiting = pool.submit(with_ours, second, revision)
            wait_until(lambda: somebody_waits(postgres), "the other waits", timeout_s=30)
            assert not waiting.done()
        assert waiting.result(timeout=30) == ()
    assert found(postgres) == (EVERY_ROLE if step == "upgrade" else ())
    assert held(second) == (wanted() if step == "upgrade" else set())


def test_they_are_dropped_by_the_last_database_that_is_taken_back(
    postgres: PostgresServer, urls: list[str]
) -> None:
    for url in urls:
        migrate.upgrade(url)
    assert migrate.downgrade(urls[0], "0003") == EVERY_ROLE
    assert held(urls[0]) == set()
    assert held(urls[1]) == wanted()
    assert migrate.downgrade(urls[1], "base") == ()
    assert found(postgres) == ()


def test_one_that_a_login_is_a_member_of_stays(
    postgres: PostgresServer,
    urls: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    migrate.upgrade(urls[0])
    run(urls[0], "CREATE ROLE test_member LOGIN IN ROLE dalmada_console")
    monkeypatch.setenv("DALMADA_DATABASE_URL", urls[0])
    assert migrate.main(["downgrade", "0003"]) == 0
    assert found(postgres) == (Role.CONSOLE,)
    assert "stay" in (told := capsys.readouterr().err)
    assert told.rstrip().endswith(Role.CONSOLE)
    run(urls[0], "DROP ROLE test_member")


class TestAnOwnerWhoMayMakeNoRole:
    @pytest.fixture
    def owned(self, postgres: PostgresServer, urls: list[str]) -> Iterator[str]:
        """The address by which the owner of a database, who is nothing else, migrates."""
        name = sql.Identifier(urls[0].rpartition("/")[2])
        create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(OWNER), PASSWORD)
        give = sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(OWNER))
        run(postgres.url, create, give)
        yield url_as(urls[0], OWNER)
        run(urls[0], f"DROP OWNED BY {OWNER} CASCADE", f"REASSIGN OWNED BY {OWNER} TO dalmada")
        run(postgres.url, f"DROP ROLE {OWNER}")

    def test_migrates_and_is_told_what_an_administrator_runs(
        self,
        owned: str,
        postgres: PostgresServer,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("DALMADA_DATABASE_URL", owned)
        assert migrate.main(["upgrade"]) == 0
        told = capsys.readouterr().err
        assert "python -m shared.db.migrate roles" in told
        assert all(role in told for role in Role)
        assert PASSWORD not in told
        assert found(postgres) == ()

        assert migrate.main(["roles"]) == 0
        script = capsys.readouterr().out
        for _ in range(2):
            run(postgres.url, script)
        assert found(postgres) == EVERY_ROLE
        assert migrate.main(["upgrade"]) == 0
        assert capsys.readouterr().err == ""
        assert held(owned) == wanted()

    def test_takes_back_what_it_granted_and_names_what_it_may_not_drop(
        self, owned: str, postgres: PostgresServer
    ) -> None:
        run(postgres.url, roles.script())
        assert migrate.upgrade(owned) == ()
        assert held(owned) == wanted()
        assert migrate.downgrade(owned, "0003") == EVERY_ROLE
        assert held(owned) == set()

    def test_grants_the_use_of_a_schema_that_is_not_everybodys(
        self, owned: str, urls: list[str], postgres: PostgresServer
    ) -> None:
        run(postgres.url, roles.script())
        run(urls[0], "REVOKE ALL ON SCHEMA public FROM PUBLIC")
        migrate.upgrade(owned)
        run(postgres.url, "CREATE ROLE test_reader LOGIN IN ROLE dalmada_readonly")
        with psycopg.connect(url_as(owned, "test_reader")) as connection:
            assert connection.execute("SELECT count(*) FROM payments").fetchone() == (0,)
        run(postgres.url, "DROP ROLE test_reader")


def test_a_migration_that_fails_does_not_repeat_a_row(urls: list[str]) -> None:
    run(urls[0], "CREATE TABLE keys (key text)", "INSERT INTO keys VALUES ('planted'), ('planted')")

    def migration() -> None:
        with migrate.locked(urls[0]) as connection:
            connection.exec_driver_sql("CREATE UNIQUE INDEX ON keys (key)")

    with pytest.raises(DBAPIError, match="could not create unique index") as caught:
        migration()
    assert "planted" not in str(caught.value)
