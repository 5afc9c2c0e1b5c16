"""When a billing period begins and ends.

Period *n* is always counted from the anchor (``anchor + n x interval``), never from period *n-1*:
the 31st comes back after February, and a yearly 29 February after three 28ths. All counting is
done in the subscription's own time zone, since a Korean midnight is 15:00 UTC of the day before
and counting in UTC bills on the wrong Korean date.
"""

import calendar
import enum
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.billing.errors import InvalidCycleError

# A charge every hundred years is a mistake of input, not a plan; the bound keeps dates in range.
INTERVAL_COUNT_MAX = 1200
_DAYS_PER_WEEK = 7
_MONTHS_PER_YEAR = 12
# Files that lie among the zones and mean something else on the next machine, or nothing.
_NO_ZONES = frozenset({"Factory", "localtime", "posixrules"})


class IntervalUnit(enum.StrEnum):
    """What a billing cycle counts in."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


_AVERAGES = {
    IntervalUnit.DAY: timedelta(days=1),
    IntervalUnit.WEEK: timedelta(days=_DAYS_PER_WEEK),
    IntervalUnit.MONTH: timedelta(days=30.436875),
    IntervalUnit.YEAR: timedelta(days=365.2425),
}


@dataclass(frozen=True, slots=True)
class Interval:
    """A number of days, weeks, months or years between two renewals."""

    unit: IntervalUnit
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse an interval that does not move time forward."""
        if self.unit not in set(IntervalUnit):
            message = f"interval unit must be one of {', '.join(IntervalUnit)}, not {self.unit!r}"
            raise InvalidCycleError(message)
        if type(self.count) is not int or not 1 <= self.count <= INTERVAL_COUNT_MAX:
            message = f"interval count must be 1 to {INTERVAL_COUNT_MAX}, not {self.count!r}"
            raise InvalidCycleError(message)

    @property
    def average(self) -> timedelta:
        """How long it is on average: months and years differ."""
        return _AVERAGES[self.unit] * self.count


@dataclass(frozen=True, slots=True)
class Period:
    """A half-open billing period ``[start_at, end_at)`` in UTC, with its index from the anchor.

    It is empty only where a zone skipped a whole day (Apia, 30 December 2011) in a daily cycle.
    """

    index: int
    start_at: datetime
    end_at: datetime

    def __post_init__(self) -> None:
        """Refuse a backward period."""
        if self.index < 0 or self.start_at > self.end_at:
            message = f"period {self.index} must not end before it starts"
            raise InvalidCycleError(message)

    @property
    def is_empty(self) -> bool:
        """Whether no instant lies in the period, so that nothing is owed for it."""
        return self.start_at == self.end_at


@dataclass(frozen=True, slots=True)
class BillingCycle:
    """The recurrence of a subscription.

    Attributes:
        anchor_at: The aware instant at which period 0 begins; kept in UTC, so that cycles of one
            instant count alike, however its wall time was written.
        interval: How far apart two renewals are.
        time_zone: IANA name of the zone in which days and months are counted.
        anchor_index: The index of the period that begins at the anchor. It is above 0 where a
            cycle follows an earlier one (another interval, a pause): indices go on, and those
            before are the earlier cycle's.
    """

    anchor_at: datetime
    interval: Interval
    time_zone: str = "Asia/Seoul"
    anchor_index: int = 0

    def __post_init__(self) -> None:
        """Refuse a naive anchor, a zone nobody knows, or an anchor beyond the zone's calendar."""
        if self.anchor_at.utcoffset() is None:
            message = "anchor_at must carry a time zone"
            raise InvalidCycleError(message)
        try:
            anchor_at = self.anchor_at.astimezone(UTC)
            anchor_at.astimezone(_zone(self.time_zone))
        except OverflowError as error:
            message = f"anchor_at lies beyond the calendar (years 1 to 9999): {self.anchor_at}"
            raise InvalidCycleError(message) from error
        if self.anchor_index < 0:
            message = f"anchor_index must be 0 or more, not {self.anchor_index}"
            raise InvalidCycleError(message)
        object.__setattr__(self, "anchor_at", anchor_at)

    def period(self, index: int) -> Period:
        """Return period ``index``, counted from the anchor."""
        if index < self.anchor_index:
            message = f"period index must be {self.anchor_index} or more, not {index}"
            raise InvalidCycleError(message)
        return Period(index, self._boundary(index), self._boundary(index + 1))

    def index_at(self, instant: datetime) -> int:
        """Return the index of the period that contains ``instant``.

        An instant before the anchor lies in no period of this cycle and gives the index before
        the anchor's: -1 as a rule.
        """
        # Two times of one zone compare by their wall clocks, which go backward once a year.
        instant = instant.astimezone(UTC)
        if instant < self.anchor_at:
            return self.anchor_index - 1
        # A first guess by average lengths is off by at most a few periods; step to the exact one.
        index = self.anchor_index + int((instant - self.anchor_at) / self.interval.average)
        while index > self.anchor_index and self._boundary(index) > instant:
            index -= 1
        while self._boundary(index + 1) <= instant:
            index += 1
        return index

    def _boundary(self, index: int) -> datetime:
        """Return the start of period ``index`` in UTC."""
        zone = _zone(self.time_zone)
        anchor = self.anchor_at.astimezone(zone)
        steps = (index - self.anchor_index) * self.interval.count
        wall = anchor.replace(tzinfo=None, fold=0)
        try:
            match self.interval.unit:
                case IntervalUnit.DAY:
                    wall += timedelta(days=steps)
                case IntervalUnit.WEEK:
                    wall += timedelta(days=steps * _DAYS_PER_WEEK)
                case IntervalUnit.MONTH:
                    wall = _add_months(wall, steps)
                case IntervalUnit.YEAR:
                    wall = _add_months(wall, steps * _MONTHS_PER_YEAR)
            # zoneinfo reads a wall time that a clock change skips with the offset before the
            # change: the boundary moves forward by the gap, and of a doubled wall time the first
            # one counts.
            boundary = wall.replace(tzinfo=zone).astimezone(UTC)
        except (OverflowError, ValueError) as error:
            message = f"period {index} lies beyond the calendar (year 9999)"
            raise InvalidCycleError(message) from error
        # The first period begins at the anchor itself, also when its wall time happens twice.
        return self.anchor_at if steps == 0 else boundary


def _add_months(wall: datetime, months: int) -> datetime:
    """Add whole months, keeping the day or, where the month is shorter, its last day."""
    years, month_index = divmod(wall.month - 1 + months, _MONTHS_PER_YEAR)
    year, month = wall.year + years, month_index + 1
    last_day = calendar.monthrange(year, month)[1]
    return wall.replace(year=year, month=month, day=min(wall.day, last_day))


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    """Return the zone of an IANA name, or refuse it in words."""
    message = f"{name!r} is not an IANA time zone; 'Asia/Seoul' is one"
    if name in _NO_ZONES or name.startswith(("posix/", "right/")):
        raise InvalidCycleError(message)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidCycleError(message) from error
