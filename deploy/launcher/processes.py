"""What the kernel says about other processes: who runs, since when, and who started whom."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One running process; `started` tells it from a later one with the same number."""

    pid: int
    parent: int
    group: int
    started: str


def snapshot() -> dict[int, Process]:
    """Every running process by its number; zombies are not running."""
    if (_PROC / "self" / "stat").exists():
        found = (_from_proc(int(entry.name)) for entry in _PROC.iterdir() if entry.name.isdigit())
        return {process.pid: process for process in found if process is not None}
    return _from_ps()


def lookup(pid: int) -> Process | None:
    """The running process with this number, or None."""
    if (_PROC / "self" / "stat").exists():
        return _from_proc(pid)
    return _from_ps().get(pid)


def is_running(process: Process) -> bool:
    """Whether this very process still runs, not a later one with its number."""
    now = lookup(process.pid)
    return now is not None and now.started == process.started


def descendants(pid: int, processes: Mapping[int, Process]) -> list[Process]:
    """Children of `pid`, their children and so on, parents before children."""
    by_parent: dict[int, list[Process]] = {}
    for process in processes.values():
        by_parent.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    waiting = [pid]
    while waiting:
        children = by_parent.pop(waiting.pop(0), [])
        found.extend(children)
        waiting.extend(child.pid for child in children)
    return found


@cache
def _boot_id() -> str:
    # Start times count from the boot, so without it a number could repeat after a restart.
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _from_proc(pid: int) -> Process | None:
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in brackets may itself hold spaces and brackets, so count from the last one.
    fields = stat.rpartition(")")[2].split()
    state, parent, group, started = fields[0], fields[1], fields[2], fields[19]
    if state in {"Z", "X", "x"}:
        return None
    return Process(pid, int(parent), int(group), f"{_boot_id()}:{started}")


def _from_ps() -> dict[int, Process]:
    listing = subprocess.run(
        ["/bin/ps", "-A", "-o", "pid=,ppid=,pgid=,stat=,lstart="],
        capture_output=True,
        text=True,
        check=True,
    )
    found = {}
    for line in listing.stdout.splitlines():
        pid, parent, group, state, started = line.split(maxsplit=4)
        if not state.startswith("Z"):
            found[int(pid)] = Process(int(pid), int(parent), int(group), started)
    return found
