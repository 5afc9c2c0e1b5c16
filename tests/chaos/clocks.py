"""The clocks of every process of a run: one offset for all of them, and one for each."""

import mmap
import struct
from datetime import datetime, timedelta
from pathlib import Path

from shared.clock import WallClock

# On PYTHONPATH, it makes Python read the offsets before any module of ours is imported.
CLOCK_SITE = Path(__file__).with_name("clock_site")
_NUMBER = struct.Struct("d")
_EVERYONE = "everyone"


class Clocks:
    """Offsets in files of eight bytes each, which the processes have mapped."""

    def __init__(self, directory: Path) -> None:
        """Take an empty directory."""
        self._directory = directory
        self._files: dict[str, mmap.mmap] = {}
        self._wall = WallClock()

    def variables(self, name: str) -> dict[str, str]:
        """Return what a process of that name must be started with."""
        self._file(_EVERYONE)
        self._file(name)
        return {"CHAOS_CLOCKS": f"{self._path(_EVERYONE)}:{self._path(name)}"}

    def step(self, name: str, offset_s: float) -> None:
        """Have one process's wall clock go wrong by so much."""
        _NUMBER.pack_into(self._file(name), 0, offset_s)

    def agree(self) -> None:
        """Put every process's own offset back to nothing."""
        for name in self._files:
            if name != _EVERYONE:
                self.step(name, 0.0)

    @property
    def slept_s(self) -> float:
        """How far the whole system has been moved forwards."""
        return float(_NUMBER.unpack_from(self._file(_EVERYONE))[0])

    def sleep(self, seconds: float) -> None:
        """Have the whole system wake up so much later; nothing of it may run meanwhile."""
        _NUMBER.pack_into(self._file(_EVERYONE), 0, self.slept_s + seconds)

    def now(self) -> datetime:
        """Return the time that all clocks would show if they agreed."""
        return self._wall.now() + timedelta(seconds=self.slept_s)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.clock"

    def _file(self, name: str) -> mmap.mmap:
        if name not in self._files:
            path = self._path(name)
            path.write_bytes(_NUMBER.pack(0.0))
            with path.open("r+b") as file:
                self._files[name] = mmap.mmap(file.fileno(), _NUMBER.size)
        return self._files[name]
