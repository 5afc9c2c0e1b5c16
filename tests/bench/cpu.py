"""CPU time and memory of whole process trees, read from the kernel while they run."""

import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.launcher import processes

_PROC = Path("/proc")
_INTERVAL_S = 0.1
# Who belongs to a tree is looked up now and then: it costs a reading of every process there is.
_SAMPLES_PER_LOOK = 10


@dataclass(frozen=True, slots=True)
class Sample:
    """The CPU seconds that each component's trees had used at an instant of unix time."""

    at_s: float
    cpu_s: Mapping[str, float]


class Sampler:
    """Samples the trees below some processes every 100 ms while entered.

    A tree's time is that of its processes and of the children they have already buried, so it
    never falls when one of them ends. The kernel counts in ticks, mostly of 10 ms.
    """

    def __init__(self, roots: Mapping[str, Sequence[int]], now_s: Callable[[], float]) -> None:
        """Take the trees' roots by component, and the clock of the samples."""
        self.samples: list[Sample] = []
        self._roots = roots
        self._now_s = now_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_stopped, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def used_s(self, component: str, begin_s: float, end_s: float) -> float:
        """Return the CPU seconds between two instants, interpolated between the samples."""
        return self._at(component, end_s) - self._at(component, begin_s)

    def _at(self, component: str, at_s: float) -> float:
        after = bisect_left(self.samples, at_s, key=lambda sample: sample.at_s)
        if not 0 < after < len(self.samples):
            raise ValueError(f"no samples on both sides of {at_s}")
        left, right = self.samples[after - 1], self.samples[after]
        share = (at_s - left.at_s) / (right.at_s - left.at_s)
        return left.cpu_s[component] + share * (right.cpu_s[component] - left.cpu_s[component])

    def _sample_until_stopped(self) -> None:
        looks = 0
        trees: dict[str, list[int]] = {}
        while True:
            if looks % _SAMPLES_PER_LOOK == 0:
                trees = {name: members(roots) for name, roots in self._roots.items()}
            looks += 1
            cpu_s = {name: sum(map(_cpu_s, pids)) for name, pids in trees.items()}
            self.samples.append(Sample(self._now_s(), cpu_s))
            # The last sample is taken after the stop, so that it lies behind every window.
            if self._stop.is_set():
                return
            self._stop.wait(_INTERVAL_S)


def members(roots: Sequence[int]) -> list[int]:
    """Return the numbers of some processes and of everything below them."""
    running = processes.snapshot()
    found = set(roots)
    for root in roots:
        found.update(process.pid for process in processes.descendants(root, running))
    return sorted(found)


def proportional_memory_mb(roots: Sequence[int]) -> float:
    """Return the trees' memory in MB, pages that several processes share divided among them."""
    return sum(_pss_kb(pid) for pid in members(roots)) / 1024


def is_measurable() -> bool:
    """Say whether this system tells what is read here."""
    return (_PROC / "self" / "stat").exists()


def _cpu_s(pid: int) -> float:
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        # It has ended: its parent's count holds its time.
        return 0.0
    # utime, stime, cutime and cstime, counted from behind the name, which may hold anything.
    ticks = stat.rpartition(")")[2].split()[11:15]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def _pss_kb(pid: int) -> int:
    try:
        rollup = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    for line in rollup.splitlines():
        name, *values = line.split()
        if name == "Pss:":
            return int(values[0])
    return 0
