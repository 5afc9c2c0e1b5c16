"""Whom a server runs as: PostgreSQL refuses to be root, so root hands it to somebody else."""

import json
import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deploy.launcher.spawn import SPAWN_PROGRAM, IdentitySpec, Spec

_NOBODY_ID = 65534
_PROBE_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a child runs as.

    `same` is this process's user; `user` another one, which only root may choose; `namespace` a
    user namespace in which this process's user is called by another number: files stay ours.
    """

    kind: Literal["same", "user", "namespace"]
    uid: int = 0
    gid: int = 0

    @property
    def owner(self) -> tuple[int, int]:
        """The user and group outside any namespace: who must own the files."""
        if self.kind == "user":
            return self.uid, self.gid
        return os.geteuid(), os.getegid()

    def spec(self) -> IdentitySpec:
        """The identity as the spawn program reads it."""
        return {"kind": self.kind, "uid": self.uid, "gid": self.gid}


SAME_USER = Identity("same")


def candidates() -> list[Identity]:
    """The identities a server that refuses root could run under, the plainest first."""
    if os.geteuid() != 0:
        return [SAME_USER]
    try:
        entry = pwd.getpwnam("nobody")
        uid, gid = entry.pw_uid, entry.pw_gid
    except KeyError:
        uid, gid = _NOBODY_ID, _NOBODY_ID
    # In a namespace the number must be one that has a name: initdb asks for it.
    return [Identity("user", uid, gid), Identity("namespace", uid, gid)]


def can_run(identity: Identity, program: Path, directory: Path) -> bool:
    """Whether the identity reaches both the program and the directory, tried with `--version`."""
    spec: Spec = {
        "argv": [str(program), "--version"],
        "cwd": str(directory),
        "parent": os.getpid(),
        "leads_group": False,
        "death_signal": 0,
        "watchdog_fd": -1,
        "watchdog_signal": 0,
        "identity": identity.spec(),
    }
    probe = subprocess.run(
        [sys.executable, "-I", "-S", str(SPAWN_PROGRAM), json.dumps(spec)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=_PROBE_TIMEOUT_S,
    )
    return probe.returncode == 0


def give(path: Path, identity: Identity) -> None:
    """Make the identity the owner of a file or directory of ours and of all that is in it."""
    if os.geteuid() != 0:
        return
    uid, gid = identity.owner
    if path.stat().st_uid == uid:
        return
    for each in (path, *path.rglob("*")):
        os.chown(each, uid, gid, follow_symlinks=False)
