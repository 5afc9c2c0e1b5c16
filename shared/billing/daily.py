"""What is done once a day of Korea's, from a time of day on."""

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final

from shared.billing.charge_hours import KST
from shared.billing.errors import InvalidPolicyError

_CLOCK: Final = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")


@dataclass(frozen=True, slots=True)
class DailyTime:
    """A time of Korea's day; whatever is due then stays due until it is done."""

    at: time

    def __str__(self) -> str:
        """Write it as a setting does."""
        return f"{self.at:%H:%M}"

    @classmethod
    def parse(cls, written: str) -> "DailyTime":
        """Read ``HH:MM``.

        Raises:
            InvalidPolicyError: It is written otherwise.
        """
        if _CLOCK.fullmatch(written.strip()) is None:
            message = f"a time of day is written like 04:30, not {written!r}"
            raise InvalidPolicyError(message)
        return cls(time.fromisoformat(written.strip()))

    def latest(self, now: datetime) -> datetime:
        """Return the last instant up to ``now``, itself included, at which it was this time."""
        wall = now.astimezone(KST)
        today = datetime.combine(wall.date(), self.at, KST)
        return today if today <= wall else today - timedelta(days=1)
