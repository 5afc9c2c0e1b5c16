"""Migrations: they agree with the models, wait for each other, and can be taken back."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from deploy.launcher.ports import free_port
from shared.db import migrate
from shared.db.engine import driver_url
from shared.db.tables import metadata
from tests.support.billing import World, until

CHECKOUT = Path(__file__).resolve().parents[3]

Catalog = dict[str, list[tuple[object, ...]]]
# What Alembic's own comparison does not look at: checks, predicates of indexes, identities.
CATALOG = {
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, column_default,
            is_identity, identity_generation
        FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
          AND conrelid::regclass::text <> 'alembic_version' ORDER BY 1, 2
    """,
    "indexes": """
        SELECT tablename, indexname, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1, 2
    """,
}


def catalog(url: str) -> Catalog:
    with psycopg.connect(url) as connection:
        return {
            name: connection.execute(statement.encode()).fetchall()
            for name, statement in CATALOG.items()
        }


def relations(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        )
        return {row[0] for row in rows}


def test_alembic_finds_no_difference_between_models_and_migrations(module_url: str) -> None:
    engine = create_engine(driver_url(module_url), poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_the_migrated_catalog_is_the_one_that_the_models_make(
    module_url: str, empty_url: str
) -> None:
    engine = create_engine(driver_url(empty_url), poolclass=NullPool)
    metadata.create_all(engine)
    migrated, modelled = catalog(module_url), catalog(empty_url)
    assert len(migrated["constraints"]) > 20
    assert migrated == modelled


def test_upgrading_twice_is_harmless(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    before = catalog(empty_url)
    migrate.upgrade(empty_url)
    assert catalog(empty_url) == before


def test_downgrading_leaves_nothing_and_upgrading_works_again(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    before = catalog(empty_url)
    migrate.downgrade(empty_url, "base")
    assert relations(empty_url) == {"alembic_version", "alembic_version_pkc"}
    migrate.upgrade(empty_url)
    assert catalog(empty_url) == before


def test_many_upgrades_at_once_all_end_well(empty_url: str, module_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate.upgrade, [empty_url] * 4))
    assert catalog(empty_url) == catalog(module_url)


def test_two_processes_may_upgrade_at_once(empty_url: str, module_url: str) -> None:
    arguments = [sys.executable, "-m", "shared.db.migrate", "upgrade"]
    environment = {"DALMADA_DATABASE_URL": empty_url}
    children = [
        subprocess.Popen(
            arguments, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for child in children:
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 0, errors
    assert catalog(empty_url) == catalog(module_url)


def test_an_upgrade_waits_until_the_other_has_committed(world: World, empty_url: str) -> None:
    waiting = """
        SELECT count(*) AS found FROM pg_locks
        WHERE locktype = 'advisory' AND NOT granted
          AND database = (SELECT oid FROM pg_database WHERE datname = :name)
    """
    name = empty_url.rpartition("/")[2]

    async def somebody_waits() -> bool:
        return bool((await world.rows(waiting, name=name))[0].found)

    with ThreadPoolExecutor(1) as pool:
        with migrate.locked(empty_url):
            second = pool.submit(migrate.upgrade, empty_url)
            world.run(until(somebody_waits))
            assert not second.done()
            assert relations(empty_url) == set()
        second.result(timeout=30)
    assert "invoices" in relations(empty_url)


def test_a_migration_that_fails_leaves_nothing_behind(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = command.upgrade

    def fail_at_the_end(config: Config, revision: str) -> None:
        real(config, revision)
        raise RuntimeError("the power is gone")

    monkeypatch.setattr(command, "upgrade", fail_at_the_end)
    with pytest.raises(RuntimeError):
        migrate.upgrade(empty_url)
    assert relations(empty_url) == set()


def test_a_server_that_is_too_old_is_refused_by_name(
    empty_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(migrate, "POSTGRESQL_VERSION_MIN", 990_000)
    monkeypatch.setenv("DALMADA_DATABASE_URL", empty_url)
    assert migrate.main(["upgrade"]) == 1
    assert "PostgreSQL 14 or newer is needed" in capsys.readouterr().err


class TestCommandLine:
    def test_it_says_which_variable_is_missing(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv("DALMADA_DATABASE_URL", raising=False)
        assert migrate.main(["upgrade"]) == 2
        assert "DALMADA_DATABASE_URL is not set" in capsys.readouterr().err

    def test_it_says_that_the_server_cannot_be_reached_without_the_password(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        url = f"postgresql://dalmada:planted-password@127.0.0.1:{free_port()}/x"
        monkeypatch.setenv("DALMADA_DATABASE_URL", url)
        assert migrate.main(["upgrade"]) == 1
        errors = capsys.readouterr().err
        assert errors.startswith("migration failed: ")
        assert "refused" in errors
        assert "planted-password" not in errors

    def test_it_upgrades_names_the_revision_and_downgrades(
        self, empty_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DALMADA_DATABASE_URL", empty_url)
        assert migrate.main(["upgrade"]) == 0
        assert migrate.main(["current"]) == 0
        assert migrate.main(["downgrade", "base"]) == 0
        assert "invoices" not in relations(empty_url)

    @pytest.mark.parametrize(
        ("url", "revision"),
        [
            pytest.param(None, "nowhere", id="a revision that does not exist"),
            pytest.param(
                "mysql://planted@127.0.0.1/x",
                "head",
                id="another kind of server",
            ),
            pytest.param("not a url", "head", id="no address"),
            pytest.param("", "head", id="empty"),
        ],
    )
    def test_it_answers_a_mistake_in_words(
        self,
        url: str | None,
        revision: str,
        module_url: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("DALMADA_DATABASE_URL", module_url if url is None else url)
        assert migrate.main(["upgrade", revision]) in {1, 2}
        assert capsys.readouterr().err.count("\n") == 1


def test_money_that_came_in_before_payments_were_kept_is_kept(empty_url: str) -> None:
    migrate.upgrade(empty_url, "0001")
    with psycopg.connect(empty_url) as connection:
        connection.execute(
            """
            WITH key AS (
                INSERT INTO billing_keys (customer_uid) VALUES ('buyer') RETURNING id
            ), agreed AS (
                INSERT INTO subscriptions (id, billing_key_id, amount, tax_free, order_name,
                    interval_unit, interval_count, anchor_at, time_zone, next_period_index,
                    next_renewal_at)
                SELECT gen_random_uuid(), id, 9900, 100, 'Slim', 'month', 1, now(), 'Asia/Seoul', 2,
                    now() FROM key RETURNING id, billing_key_id
            ), owed AS (
                INSERT INTO invoices (subscription_id, period_index, period_start_at, period_end_at,
                    amount, tax_free, order_name, status, paid_at)
                SELECT id, n, '2026-01-01', '2026-02-01', 9900, 100, 'Slim',
                    CASE n WHEN 0 THEN 'paid' ELSE 'open' END,
                    CASE n WHEN 0 THEN timestamptz '2026-01-02' END
                FROM agreed, generate_series(0, 1) AS n RETURNING id, period_index
            )
            INSERT INTO payment_attempts (invoice_id, number, send_number, merchant_uid,
                billing_key_id, amount, tax_free, status, claimed_at, lease_until, imp_uid)
            SELECT o.id, 1, 1, 'uid' || period_index, a.billing_key_id, 9900, 100,
                CASE period_index WHEN 0 THEN 'paid' ELSE 'declined' END, now(), now(),
                'imps_' || period_index
            FROM owed o, agreed a
            """
        )

    migrate.upgrade(empty_url)

    with psycopg.connect(empty_url) as connection:
        kept = connection.execute(
            "SELECT imp_uid, merchant_uid, amount, tax_free, cancelled_amount, paid_at::date::text"
            " FROM payments"
        ).fetchall()
    assert kept == [("imps_0", "uid0", 9_900, 100, 0, "2026-01-02")]
    migrate.downgrade(empty_url, "0001")
    migrate.upgrade(empty_url)


def test_each_migration_can_be_taken_back_by_itself(empty_url: str) -> None:
    script = ScriptDirectory.from_config(migrate.alembic_config())
    revisions = [script.get_revision(found.revision) for found in script.walk_revisions()]
    for step in reversed(revisions):
        before = catalog(empty_url)
        migrate.upgrade(empty_url, step.revision)
        after = catalog(empty_url)
        migrate.downgrade(empty_url, str(step.down_revision or "base"))
        assert catalog(empty_url) == before
        migrate.upgrade(empty_url, step.revision)
        assert catalog(empty_url) == after
