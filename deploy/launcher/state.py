"""What `up` leaves in its state directory: passwords that last, and a file that shells can read."""

import json
import os
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from deploy.launcher.servers import Passwords


def passwords(state: Path) -> Passwords:
    """The servers' passwords, made once and then kept with their data."""
    path = state / "passwords.json"
    if path.exists():
        return Passwords(**json.loads(path.read_text(encoding="ascii")))
    made = Passwords(postgres=secrets.token_urlsafe(24), valkey=secrets.token_urlsafe(24))
    write_private(path, json.dumps(asdict(made)))
    return made


def write_environment(state: Path, variables: Mapping[str, str]) -> Path:
    """Write the variables so that a shell can source them; the file's path."""
    path = state / "env"
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items())]
    write_private(path, "".join(lines))
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    draft.replace(path)
