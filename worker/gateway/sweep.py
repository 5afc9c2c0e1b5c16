"""Every record of a span of time, however many: read in windows that each fit into one page.

A list that is read page by page by its number shifts while it is read: a record that leaves it
moves its successors forward, and the first of the next page is never seen. So no list is. The span
is walked from its beginning in windows of time so short that one reply holds everything in them,
and one reply is how things stood at one moment. Records move forward in time only (to the instant
of a later status), so what leaves a window that was not read yet is met in a later one, or has left
the span; what is met twice stood otherwise the second time. Memory holds one page.

More records in one second than fit into a page cannot be told apart by time. Such a second is read
by page numbers, again and again until two readings agree.
"""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from worker.gateway.errors import GatewayUnavailable

T = TypeVar("T")

# How much of a page a window should fill: some room for hours that are busier than the last.
_FILL = 0.8
# How much longer than the last one a window may be: after a quiet night comes a busy morning.
_GROWTH_MAX = 16
_READINGS_MAX = 4


@dataclass(frozen=True, slots=True)
class Window:
    """Whole seconds from ``begin_s`` up to, but without, ``end_s``; unix time."""

    begin_s: int
    end_s: int

    @classmethod
    def of(cls, since: datetime, until: datetime) -> "Window":
        """Return the whole seconds that are not before ``since`` and before ``until``."""
        return cls(math.ceil(since.timestamp()), math.ceil(until.timestamp()))

    @property
    def length_s(self) -> int:
        """How many seconds it holds."""
        return self.end_s - self.begin_s


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a window.

    Attributes:
        records: What it shows.
        total: How many records the gateway counts in the window, where it says so.
        is_last: Whether no page follows.
    """

    records: Sequence[T]
    total: int | None
    is_last: bool


@dataclass(frozen=True, slots=True)
class Sweep(Generic[T]):
    """One way to read a span.

    Attributes:
        ask: Returns the page of that number, from 1, of a window.
        second_of: Roughly when a record is, to guess how much of a window fits into a page.
        window_max_s: The longest window that the gateway answers for.
        page_length: How many records a page holds at most.
    """

    ask: Callable[[Window, int], Awaitable[Page[T]]]
    second_of: Callable[[T], int]
    window_max_s: int
    page_length: int

    async def __call__(self, span: Window) -> AsyncIterator[T]:
        """Return every record of a span, window after window.

        Raises:
            GatewayError: Nobody can say, or not all of it.
        """
        begin_s, length_s = span.begin_s, self.window_max_s
        while begin_s < span.end_s:
            window = Window(begin_s, min(begin_s + length_s, span.end_s))
            page = await self.ask(window, 1)
            if not page.is_last and window.length_s > 1:
                length_s = self._narrowed(window, page)
                continue
            if page.is_last:
                for record in _whole(page):
                    yield record
            else:
                async for record in self._crowded(window):
                    yield record
            begin_s = window.end_s
            length_s = self._next_length_s(window, len(page.records))

    def _narrowed(self, window: Window, page: Page[T]) -> int:
        """Return the seconds of a window in place of one that does not fit into a page.

        Pages begin with the oldest, so the first shows how soon the window is full.
        """
        shown = sorted(map(self.second_of, page.records))
        full_s = shown[int(_FILL * len(shown))] if shown else 0
        if not window.begin_s < full_s < window.end_s:
            full_s = window.begin_s + window.length_s // 2
        return max(1, full_s - window.begin_s)

    def _next_length_s(self, window: Window, records: int) -> int:
        """Return the seconds of the window that follows one with so many records."""
        growth = min(_FILL * self.page_length / max(records, 1), _GROWTH_MAX)
        return max(1, min(int(window.length_s * growth), self.window_max_s))

    async def _crowded(self, window: Window) -> AsyncIterator[T]:
        """Return the records of one second that holds more than a page; a changed one comes again.

        Raises:
            GatewayUnavailable: No two readings of it agree.
        """
        shown: set[T] = set()
        last: set[T] | None = None
        for _ in range(_READINGS_MAX):
            reading: set[T] = set()
            number, page = 1, await self.ask(window, 1)
            while not (page.is_last or reading.issuperset(page.records)):
                reading.update(page.records)
                number += 1
                page = await self.ask(window, number)
            reading.update(page.records)
            for record in reading - shown:
                yield record
            shown |= reading
            if reading == last and page.total in {None, len(reading)}:
                return
            last = reading
        message = f"the records of one second differ in each of {_READINGS_MAX} readings"
        raise GatewayUnavailable(message)


def _whole(page: Page[T]) -> Sequence[T]:
    """Return what the only page of a window shows.

    Raises:
        GatewayUnavailable: The gateway counts more than it shows.
    """
    if page.total is not None and page.total > len(page.records):
        message = "the gateway counts records that it does not show"
        raise GatewayUnavailable(message)
    return page.records
