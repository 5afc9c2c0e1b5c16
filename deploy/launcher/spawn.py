"""Turns itself into a child: a small program that sets its own process up and then becomes another.

The set-up runs in a process of its own because doing it between fork and exec is unsafe where
threads run, and because the process announces itself to the watchdog before anything can go wrong.
Called as `python -I -S spawn.py SPEC` with SPEC the JSON of a `Spec`.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn, TypedDict

SPAWN_PROGRAM = Path(__file__).resolve()
_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
_CANNOT_RUN = 126
_NOT_FOUND = 127


class IdentitySpec(TypedDict):
    """Who the child is: `same` user, another `user`, or a user `namespace` of its own."""

    kind: str
    uid: int
    gid: int


class Spec(TypedDict):
    """What the process shall become; signal numbers of 0 and a watchdog_fd of -1 mean none."""

    argv: list[str]
    cwd: str
    parent: int
    leads_group: bool
    death_signal: int
    watchdog_fd: int
    watchdog_signal: int
    identity: IdentitySpec


def become(spec: Spec) -> NoReturn:
    """Set this process up as the spec says and replace it by the program named there."""
    if spec["watchdog_fd"] >= 0:
        _announce(spec)
    _take_identity(spec["identity"])
    os.chdir(spec["cwd"])
    if spec["death_signal"] and sys.platform == "linux":
        # After the change of user: the kernel forgets the setting when credentials change.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, spec["death_signal"], 0, 0, 0)
        if os.getppid() != spec["parent"]:
            os.kill(os.getpid(), signal.SIGKILL)
    # Python ignores these two for itself, and what is ignored stays so over exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execvp(spec["argv"][0], spec["argv"])  # noqa: S606 - the point of this program


def _announce(spec: Spec) -> None:
    watchdog_fd = spec["watchdog_fd"]
    note = {
        "op": "watch",
        "pid": os.getpid(),
        "group": spec["leads_group"],
        "signal": spec["watchdog_signal"],
    }
    try:
        os.write(watchdog_fd, json.dumps(note).encode() + b"\n")
    except BrokenPipeError:
        return
    finally:
        os.close(watchdog_fd)


def _take_identity(identity: IdentitySpec) -> None:
    uid, gid = identity["uid"], identity["gid"]
    if identity["kind"] == "user":
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    elif identity["kind"] == "namespace":
        outer_uid, outer_gid = os.geteuid(), os.getegid()
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"no user namespace: {os.strerror(number)}")
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} {outer_uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {outer_gid} 1", encoding="ascii")


def main() -> NoReturn:
    """Become what the first argument says; on failure name the step on standard error."""
    spec: Spec = json.loads(sys.argv[1])
    try:
        become(spec)
    except OSError as error:
        sys.stderr.write(f"cannot run {spec['argv'][0]}: {error}\n")
        sys.exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _CANNOT_RUN)


if __name__ == "__main__":
    main()
