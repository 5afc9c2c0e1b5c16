"""The only reader of the wall clock."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Whoever can say what time it is."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""

    def boot_s(self) -> float:
        """Return seconds of a clock that never jumps and never stands still."""


class WallClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        return datetime.now(UTC)

    def boot_s(self) -> float:
        """Return the seconds since the machine was started, asleep or not."""
        return boot_clock_s()


class FixedClock:
    """A clock that stands where a test puts it."""

    def __init__(self, instant: datetime) -> None:
        """Start at ``instant``."""
        self.instant = instant

    def now(self) -> datetime:
        """Return the instant it was put to."""
        return self.instant

    def boot_s(self) -> float:
        """Return seconds that pass as the instant does."""
        return self.instant.timestamp()


# Counts while the machine sleeps, where the system offers it: a worker that wakes up must know
# that its claim is old.
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_clock_s() -> float:
    """Return seconds of a clock that never jumps and never stands still."""
    return time.clock_gettime(_BOOT_CLOCK)
