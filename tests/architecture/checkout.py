"""The checkout under test: its files, its locks, and its tools."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[2]
VENV = Path(sys.executable).parent.parent

# What .gitignore names, for a checkout that came without git.
_NOT_OURS = frozenset(
    {
        *(".git", ".venv", ".dalmada", "__pycache__", "dist"),
        *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache"),
    }
)
_TOOL_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended; `output` is all it said."""

    status: int
    output: str


@dataclass(frozen=True, slots=True)
class Locked:
    """One requirement of a lock."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)


def tool(name: str, *arguments: str | Path) -> list[str]:
    """The call of a command that the environment's packages install."""
    return [str(VENV / "bin" / name), *map(str, arguments)]


def run(argv: list[str], *, cwd: Path = CHECKOUT, env: Mapping[str, str] | None = None) -> Ran:
    """Run a command to its end."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_TOOL_TIMEOUT_S,
    )
    return Ran(done.returncode, done.stdout)


def own_files() -> list[str]:
    """Every file that is, or would be, under version control."""
    try:
        listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    except FileNotFoundError:
        return sorted(_walk())
    if listed.status != 0:
        return sorted(_walk())
    return sorted(name for name in listed.output.split("\0") if (CHECKOUT / name).is_file())


def _walk() -> Iterator[str]:
    for folder, folders, files in os.walk(CHECKOUT):
        folders[:] = [name for name in folders if name not in _NOT_OURS]
        inside = Path(folder).relative_to(CHECKOUT)
        yield from (str(inside / name) for name in files if name != ".env")


def python_files() -> list[str]:
    """Every Python file of ours."""
    return [name for name in own_files() if name.endswith(".py")]


def read(name: str) -> str:
    return (CHECKOUT / name).read_text(encoding="utf-8")


def pyproject() -> dict[str, Any]:
    return tomllib.loads(read("pyproject.toml"))


def read_lock(name: str) -> list[Locked]:
    """What a lock says, line by line."""
    logical_lines = read(name).replace("\\\n", " ").splitlines()
    lines = [line for line in logical_lines if line.strip() and not line.startswith("#")]
    return [_locked(line) for line in lines]


def _locked(line: str) -> Locked:
    requirement, *hashes = line.split(" --hash=")
    return Locked(Requirement(requirement.strip()), tuple(part.strip() for part in hashes))
