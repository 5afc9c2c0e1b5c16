"""A calendar found by walking, to compare ours with.

It shares no reasoning with ``shared.billing.calendar``. Dates are not computed: every day from 1960
on is laid out one after the other, grouped into the months in which it was met, and "n months
later" is the n-th group from here; no month length, division or leap-year rule is written down.
Instants are not taken from ``datetime.replace(tzinfo=..., fold=...)``, the direction in which clock
changes are ambiguous, but searched for with the other one (UTC to local time, which has exactly one
answer): a wall time is where a clock that runs through that day is seen to show it.

What both trust is ``datetime``'s next day and the zone data.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from shared.billing.calendar import IntervalUnit

FIRST_ON = date(1960, 1, 1)
LAST_ON = date(2460, 12, 31)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Walk:
    """Every day in order, the months as they were met, and the months of each name."""

    days: list[date]
    months: list[list[date]]
    month_first_days: list[date]
    namesakes: dict[int, list[list[date]]]


@cache
def walk() -> Walk:
    """Walk from the first day to the last, once."""
    days: list[date] = []
    months: list[list[date]] = []
    on = FIRST_ON
    while on <= LAST_ON:
        if on.day == 1:
            months.append([])
        days.append(on)
        months[-1].append(on)
        on += timedelta(days=1)
    namesakes: dict[int, list[list[date]]] = {number: [] for number in range(1, 13)}
    for month in months:
        namesakes[month[0].month].append(month)
    return Walk(days, months, [month[0] for month in months], namesakes)


def date_after(on: date, unit: IntervalUnit, steps: int) -> date:
    """Return the date ``steps`` units after ``on``, on its last day where a month is shorter."""
    walked = walk()
    match unit:
        case IntervalUnit.DAY:
            return walked.days[bisect_right(walked.days, on) - 1 + steps]
        case IntervalUnit.WEEK:
            weekday_of_on = walked.days[bisect_right(walked.days, on) - 1 :: 7]
            return weekday_of_on[steps]
        case IntervalUnit.MONTH:
            here = bisect_right(walked.month_first_days, on) - 1
            month = walked.months[here + steps]
        case IntervalUnit.YEAR:
            since = [month for month in walked.namesakes[on.month] if month[-1] >= on]
            month = since[steps]
    return month[on.day - 1] if on.day <= len(month) else month[-1]


def local(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return what a clock in ``zone`` shows at ``instant``, as a naive time."""
    return instant.astimezone(UTC).astimezone(zone).replace(tzinfo=None)


def instants_showing(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return every instant at which a clock in ``zone`` shows ``wall``: none, one or two."""
    found = {as_utc(wall - offset) for _, offset in _offsets_around(wall.date(), zone)}
    return sorted(instant for instant in found if local(instant, zone) == wall)


def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant that shows ``wall``.

    A skipped one is taken when a clock that nobody had put forward would show it.
    """
    if shown := instants_showing(wall, zone):
        return shown[0]
    offset_before = [
        offset
        for seen_at, offset in _offsets_around(wall.date(), zone)
        if local(seen_at, zone) < wall
    ][-1]
    return as_utc(wall - offset_before)


def boundary(
    anchor_at: datetime, unit: IntervalUnit, count: int, time_zone: str, index: int
) -> datetime:
    """Return when period ``index`` of a cycle begins."""
    if index == 0:
        return anchor_at
    zone = ZoneInfo(time_zone)
    anchor = local(anchor_at, zone)
    on = date_after(anchor.date(), unit, index * count)
    return instant_of(datetime.combine(on, anchor.time()), zone)


@cache
def clock_changes(time_zone: str, first_year: int, last_year: int) -> tuple[datetime, ...]:
    """Return the instants, to the minute, at which the offset of a zone changes."""
    zone = ZoneInfo(time_zone)
    found = []
    stride = timedelta(days=5)
    at = datetime(first_year, 1, 1, tzinfo=UTC)
    while at.year <= last_year:
        if _offset(at, zone) != _offset(at + stride, zone):
            before, after = at, at + stride
            while after - before > timedelta(minutes=1):
                middle = before + (after - before) / 2
                if _offset(middle, zone) == _offset(at, zone):
                    before = middle
                else:
                    after = middle
            found.append(after.replace(second=0, microsecond=0))
        at += stride
    return tuple(found)


def as_utc(naive: datetime) -> datetime:
    """Return a naive reading of UTC as an instant."""
    return naive.replace(tzinfo=UTC)


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    """Return how far local time is ahead of UTC, as the difference of the two readings."""
    return local(instant, zone) - instant.replace(tzinfo=None)


@cache
def _offsets_around(on: date, zone: ZoneInfo) -> tuple[tuple[datetime, timedelta], ...]:
    """Return every offset in force at an hour at which it could be this date anywhere.

    Each comes with the first such hour, in order; on most days there is one.
    """
    midnight = datetime.combine(on, time(), UTC)
    runs: list[tuple[datetime, timedelta]] = []
    for step in range(-27, 24 + 28):
        instant = midnight + _HOUR * step
        offset = _offset(instant, zone)
        if not runs or runs[-1][1] != offset:
            runs.append((instant, offset))
    return tuple(runs)
