"""Remembers for which inputs the environment was made, so that an up-to-date one costs nothing."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

_FILE_NAME = "dalmada-stamp.json"
_FORMAT = "1"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an environment was made from.

    Attributes:
        interpreter: digest of the Python it runs on and of the place it was made for.
        packages: digest of the lock its packages come from.
        project: digest of the project's own description.
    """

    interpreter: str
    packages: str
    project: str


def wanted(venv: Path, lock: Path, pyproject: Path) -> Stamp:
    """The stamp the environment would have if it were up to date."""
    return Stamp(
        interpreter=_interpreter(venv),
        packages=_digest(lock.read_bytes()),
        project=_digest(pyproject.read_bytes()),
    )


def recorded(venv: Path) -> Stamp | None:
    """The stamp the environment was given when it was last finished."""
    try:
        return Stamp(**json.loads((venv / _FILE_NAME).read_text(encoding="ascii")))
    except (OSError, ValueError, TypeError):
        return None


def record(venv: Path, stamp: Stamp) -> None:
    """Say that the environment is finished; whole or not at all."""
    draft = venv / f"{_FILE_NAME}.draft"
    draft.write_text(json.dumps(asdict(stamp)), encoding="ascii")
    draft.replace(venv / _FILE_NAME)


def erase(venv: Path) -> None:
    """Say that the environment is unfinished."""
    (venv / _FILE_NAME).unlink(missing_ok=True)


def _interpreter(venv: Path) -> str:
    python = venv / "bin" / "python"
    try:
        program = python.resolve(strict=True)
        # The version is in the configuration; size and date tell a Python replaced in its place.
        configuration = (venv / "pyvenv.cfg").read_bytes()
        status = program.stat()
    except OSError:
        return ""
    facts = f"{venv}\n{program}\n{status.st_size}\n{status.st_mtime_ns}\n"
    return _digest(facts.encode(errors="surrogateescape") + configuration)


def _digest(content: bytes) -> str:
    return hashlib.sha256(_FORMAT.encode() + content).hexdigest()
