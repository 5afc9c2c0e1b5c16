"""When charges may be made: hours of the day, maintenance, days to avoid, and a burst spread out.

All of it moves the *attempt*, never the period: who owes what for which days stays as it is. Hours
are those of Korea, whose clocks have not been changed since 1988. What only asks the gateway, or
gives money back, is bound by none of this.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Final, TypeAlias
from uuid import UUID

from shared.billing.attempt import AttemptOrigin
from shared.billing.errors import InvalidPolicyError

KST: Final = timezone(timedelta(hours=9), "KST")
# A claim is sent within its send window, so hours must be open for longer than that in one piece.
OPEN_MIN: Final = timedelta(minutes=10)
# The longest run of bank holidays and week-ends is ten days or so; what avoids every day is a
# fault.
DAYS_OFF_MAX: Final = 31
SPREAD_MAX: Final = timedelta(days=1)

_DAY: Final = timedelta(days=1)
_CLOCK: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_RANGE: Final = re.compile(rf"(?P<begin>{_CLOCK})-(?P<end>{_CLOCK}|24:00)")

# Whether no charge shall be made on a day of Korea's.
DayOff: TypeAlias = Callable[[date], bool]


@dataclass(frozen=True, slots=True)
class DailyHours:
    """A half-open range ``[begin, end)`` of every day, over midnight if it ends no later."""

    begin: time
    end: time

    def __post_init__(self) -> None:
        """Refuse a range of nothing, or of the whole day: which of the two it is nobody knows."""
        if self.begin == self.end:
            message = f"{self}: begin and end must differ"
            raise InvalidPolicyError(message)

    def __str__(self) -> str:
        """Write it as a setting does."""
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"

    @classmethod
    def parse(cls, written: str) -> "DailyHours":
        """Read ``HH:MM-HH:MM``; 24:00 is the end of the day.

        Raises:
            InvalidPolicyError: It is written otherwise.
        """
        match = _RANGE.fullmatch(written.strip())
        if match is None:
            message = f"hours are written like 09:00-22:00, not {written!r}"
            raise InvalidPolicyError(message)
        end = "00:00" if match["end"] == "24:00" else match["end"]
        return cls(time.fromisoformat(match["begin"]), time.fromisoformat(end))

    def holds(self, at: time) -> bool:
        """Say whether a time of the day lies within."""
        if self.begin < self.end:
            return self.begin <= at < self.end
        return at >= self.begin or at < self.end


@dataclass(frozen=True, slots=True)
class ChargeHours:
    """When an attempt may be made; without any of it, at all hours.

    Attributes:
        open: The hours of the day in which charges are made, or None for the whole day.
        maintenance: Hours in which none is made, whoever asks for it.
        spread: Over how much open time first attempts that are due at once are spread.
        is_day_off: Which days are avoided, or None for none.
        binds: Whether any instant is closed at all.
    """

    open: DailyHours | None = None
    maintenance: tuple[DailyHours, ...] = ()
    spread: timedelta = timedelta(0)
    is_day_off: DayOff | None = None
    binds: bool = field(init=False)

    def __post_init__(self) -> None:
        """Refuse hours that never open for long enough, or a spread out of range."""
        object.__setattr__(
            self, "binds", bool(self.open or self.maintenance or self.is_day_off is not None)
        )
        if not timedelta(0) <= self.spread <= SPREAD_MAX:
            message = f"the spread of charges must be 0 to {SPREAD_MAX}, not {self.spread}"
            raise InvalidPolicyError(message)
        if not any(self._is_open_for_long(begin) for begin in self._edges):
            hours = [str(self.open)] if self.open else []
            closed = ", ".join(str(one) for one in self.maintenance) or "none"
            message = (
                f"charge hours {hours[0] if hours else '00:00-24:00'} without maintenance {closed}"
                f" leave less than {OPEN_MIN} open in one piece"
            )
            raise InvalidPolicyError(message)

    def of(self, origin: AttemptOrigin) -> "ChargeHours":
        """Return the hours that bind an attempt: a buyer's own wish waits for maintenance only."""
        if origin is AttemptOrigin.SCHEDULE or not self.binds:
            return self
        return ChargeHours(maintenance=self.maintenance)

    def allows(self, at: datetime) -> bool:
        """Say whether an attempt may be made at an instant."""
        if not self.binds:
            return True
        wall = at.astimezone(KST)
        return self._allows_time(wall.time()) and not self._is_off(wall.date())

    def next(self, at: datetime) -> datetime:
        """Return the earliest instant from ``at`` on at which an attempt may be made.

        Raises:
            InvalidPolicyError: Every day is one to be avoided.
        """
        if not self.binds:
            return at
        wall = at.astimezone(KST)
        if self._allows_time(wall.time()) and not self._is_off(wall.date()):
            return at
        for _ in range(DAYS_OFF_MAX):
            if not self._is_off(wall.date()):
                for candidate in self._opens_on(wall):
                    return candidate.astimezone(UTC)
            wall = datetime.combine(wall.date() + _DAY, time.min, KST)
        message = f"no charge may be made within {DAYS_OFF_MAX} days from {at}"
        raise InvalidPolicyError(message)

    def next_claim(self, at: datetime, send_window: timedelta) -> datetime:
        """Return the earliest instant from which what is claimed is sent within the hours, too."""
        if not self.binds:
            return at
        begin = self.next(at)
        # A piece too short to send in is passed over; one that is long enough comes every day.
        while self._closes(begin) - begin <= send_window:
            begin = self.next(self._closes(begin))
        return begin

    def first(self, subscription_id: UUID, start_at: datetime, now: datetime) -> datetime:
        """Return when a period that begins at ``start_at`` is collected first.

        A subscription has its place within the spread for ever, counted in open time, so that what
        comes due at night is spread over the morning. What is found late is not made later still.
        """
        if not self.binds and not self.spread:
            return max(start_at, now)
        left = self.spread * _share(subscription_id)
        at = self.next(start_at)
        while self.binds and left >= (stretch := self._closes(at) - at):
            left -= stretch
            at = self.next(self._closes(at))
        return max(at + left, self.next(max(start_at, now)))

    @property
    def _edges(self) -> tuple[time, ...]:
        """The times of the day at which anything opens or closes."""
        ranges = (*((self.open,) if self.open else ()), *self.maintenance)
        return tuple(sorted({time.min, *(t for one in ranges for t in (one.begin, one.end))}))

    def _allows_time(self, at: time) -> bool:
        is_open = self.open is None or self.open.holds(at)
        return is_open and not any(one.holds(at) for one in self.maintenance)

    def _is_open_for_long(self, begin: time) -> bool:
        """Say whether a piece that opens at an edge of the day stays open for long enough."""
        if not self._allows_time(begin):
            return False
        opened = datetime.combine(date(2026, 1, 1), begin)
        upcoming = [datetime.combine(opened.date(), edge) for edge in self._edges]
        upcoming += [edge + _DAY for edge in upcoming]
        ends = (edge for edge in upcoming if edge > opened and not self._allows_time(edge.time()))
        return next(ends, opened + _DAY) - opened >= OPEN_MIN

    def _is_off(self, day: date) -> bool:
        return self.is_day_off is not None and self.is_day_off(day)

    def _opens_on(self, wall: datetime) -> Iterable[datetime]:
        """Return the instants of a day, from a wall time on, at which attempts become allowed."""
        candidates = (wall.time(), *(edge for edge in self._edges if edge > wall.time()))
        return (
            datetime.combine(wall.date(), candidate, KST)
            for candidate in candidates
            if self._allows_time(candidate)
        )

    def _closes(self, at: datetime) -> datetime:
        """Return when the piece of open time that holds an instant is over: in a day at most."""
        wall = at.astimezone(KST)
        midnight = datetime.combine(wall.date(), time.min, KST)
        for day in (midnight, midnight + _DAY):
            for edge in self._edges:
                closes = datetime.combine(day.date(), edge, KST)
                if closes > wall and not self.allows(closes):
                    return closes.astimezone(UTC)
        return at + _DAY


def _share(subscription_id: UUID) -> float:
    """Return a subscription's place among all: from 0 up to 1, the same for ever."""
    digest = hashlib.blake2b(subscription_id.bytes, digest_size=4).digest()
    return int.from_bytes(digest) / (1 << 32)
