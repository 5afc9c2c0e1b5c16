"""When a period begins, counted another way than the product counts: by walking the calendar."""

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_MONTHS: Final = {"month": 1, "year": 12}
_DAYS: Final = {"day": 1, "week": 7}


def start_of(anchor_at: datetime, unit: str, steps: int, zone: str) -> datetime:
    """Return the instant so many intervals of one unit after an anchor, at the same wall time."""
    wall = anchor_at.astimezone(ZoneInfo(zone))
    if unit in _DAYS:
        day = wall.date() + timedelta(days=_DAYS[unit] * steps)
    else:
        day = wall.date().replace(day=1)
        for _ in range(_MONTHS[unit] * steps):
            day += timedelta(days=monthrange(day.year, day.month)[1])
        day = _nearest(day, wall.day)
    return datetime.combine(day, wall.timetz()).astimezone(UTC)


def _nearest(first: date, number: int) -> date:
    """Return the day of a month with this number, or its last one."""
    return first.replace(day=min(number, monthrange(first.year, first.month)[1]))
