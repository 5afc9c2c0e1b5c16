"""The sandbox's own time: the wall clock, moved when a test asks for it."""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_DAY_S: Final = 86_400
_KOREA_AHEAD_S: Final = 9 * 3600  # no summer time since 1988


class SandboxClock:
    """Tell the time in unix seconds, `offset_s` away from the machine's clock."""

    __slots__ = ("offset_s",)

    def __init__(self) -> None:
        self.offset_s = 0.0

    def now(self) -> float:
        """Give the present instant."""
        return time.time() + self.offset_s  # noqa: TID251  # no clock of ours is known here

    def move_to(self, instant: float) -> None:
        """Make it `instant` now; time goes on from there."""
        self.offset_s += instant - self.now()


def korean_day(instant: float) -> str:
    """Give the calendar day of an instant in Korea, as YYYYMMDD."""
    return _day_name(int(instant + _KOREA_AHEAD_S) // _DAY_S)


@lru_cache(maxsize=64)
def _day_name(days: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days)).strftime("%Y%m%d")
