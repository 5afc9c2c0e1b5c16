"""Move the clocks of this process by what two small files say; Python imports this at its start.

``CHAOS_CLOCKS`` names the file that everyone reads and the one that is this process's own, divided
by a colon; each holds one number of seconds. The wall clock follows both. The boot clock follows
the first only: it counts what a machine has slept, and does not care what time it is told to be.
"""

import mmap
import os
import struct
from datetime import datetime, timedelta
from pathlib import Path

from shared import clock

_NUMBER = struct.Struct("d")


def _open(path: str) -> mmap.mmap:
    with Path(path).open("rb") as file:
        return mmap.mmap(file.fileno(), _NUMBER.size, access=mmap.ACCESS_READ)


def _move_clocks(everyone: mmap.mmap, own: mmap.mmap) -> None:
    wall_now, boot_s = clock.WallClock.now, clock.boot_clock_s

    def seconds(file: mmap.mmap) -> float:
        return float(_NUMBER.unpack_from(file)[0])

    def now(self: clock.WallClock) -> datetime:
        return wall_now(self) + timedelta(seconds=seconds(everyone) + seconds(own))

    def boot_clock_s() -> float:
        return boot_s() + seconds(everyone)

    clock.WallClock.now = now  # type: ignore[method-assign]
    clock.boot_clock_s = boot_clock_s


if files := os.environ.get("CHAOS_CLOCKS"):
    _move_clocks(*(_open(path) for path in files.split(":")))
