"""Ends what a launcher started when the launcher itself is gone, however it went.

Called as `python -I -S watchdog.py FD`: notes arrive on the pipe FD, and the end of the pipe means
that the launcher has ended. Its children are then ended with everything below them, and the
scratch directories it named are removed.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

# The program runs isolated from the user's Python settings, so it names its own root.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy.launcher import processes

_POLITE_S = 3.0
_POLL_S = 0.02


class Note(TypedDict, total=False):
    """One line on the pipe; which fields it has depends on `op`."""

    op: Literal["watch", "forget", "remove_at_end", "keep"]
    pid: int
    group: bool
    signal: int
    path: str


@dataclass(frozen=True, slots=True)
class Ward:
    """One watched child: `polite` is a signal to try first, 0 for none."""

    process: processes.Process
    group: bool
    polite: int


def watch(fd: int) -> None:
    """Take notes until the pipe ends, then end the wards and remove the scratch directories."""
    wards: dict[int, Ward] = {}
    scratch: set[str] = set()
    for note in _notes(fd):
        match note["op"]:
            case "watch":
                process = processes.lookup(note["pid"])
                if process is not None:
                    wards[note["pid"]] = Ward(process, note["group"], note["signal"])
            case "forget":
                wards.pop(note["pid"], None)
            case "remove_at_end":
                scratch.add(note["path"])
            case "keep":
                scratch.discard(note["path"])
    _end(list(wards.values()))
    for path in scratch:
        shutil.rmtree(path, ignore_errors=True)


def _notes(fd: int) -> Iterator[Note]:
    rest = b""
    while chunk := os.read(fd, 65536):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)


def _end(wards: list[Ward]) -> None:
    victims = _victims(wards)
    for ward in wards:
        if ward.polite:
            _signal(ward.process, ward.polite)
    polite = [ward.process for ward in wards if ward.polite]
    until = time.monotonic() + _POLITE_S
    while any(processes.is_running(process) for process in polite) and time.monotonic() < until:
        time.sleep(_POLL_S)
    # What was born since the first look is found by the second.
    for victim in victims + _victims(wards):
        _signal(victim, signal.SIGKILL)


def _victims(wards: list[Ward]) -> list[processes.Process]:
    running = processes.snapshot()
    victims: list[processes.Process] = []
    for ward in wards:
        leader = running.get(ward.process.pid)
        if leader is not None and leader.started != ward.process.started:
            continue
        if leader is not None:
            victims.append(leader)
        if ward.group:
            # A group outlives its leader, and its number is not given away while it does.
            victims.extend(p for p in running.values() if p.group == ward.process.pid)
        victims.extend(processes.descendants(ward.process.pid, running))
    return victims


def _signal(process: processes.Process, number: int) -> None:
    if processes.is_running(process):
        try:
            os.kill(process.pid, number)
        except OSError:
            return


if __name__ == "__main__":
    # A terminal's Ctrl-C and a polite end are meant for the launcher; this must outlive it.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    watch(int(sys.argv[1]))
