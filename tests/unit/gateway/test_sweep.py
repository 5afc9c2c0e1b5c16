"""Every record of a span is met, however many there are and whatever becomes of them meanwhile."""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.gateway.errors import GatewayUnavailable
from worker.gateway.sweep import Page, Sweep, Window

PAGE = 5
SPAN = Window(1_000, 1_400)


@dataclass(frozen=True)
class Row:
    """A record of the gateway's, and the instant of the status it has."""

    uid: int
    at_s: int
    version: int = 0


@dataclass
class Book:
    """A gateway that counts, cuts into pages, and goes on living between two questions."""

    rows: dict[int, Row]
    between: Iterator[Callable[[dict[int, Row]], None]] = field(default_factory=lambda: iter(()))
    counts: bool = True
    second_of: Callable[[Row], int] = field(default=lambda row: row.at_s)
    asked: list[tuple[Window, int]] = field(default_factory=list)
    longest: int = 0

    async def ask(self, window: Window, number: int) -> Page[Row]:
        """Answer as things stand, then go on."""
        self.asked.append((window, number))
        found = [row for row in self.rows.values() if window.begin_s <= row.at_s < window.end_s]
        found.sort(key=lambda row: row.uid)
        shown = found[(number - 1) * PAGE : number * PAGE]
        self.longest = max(self.longest, len(shown))
        for change in self.between:
            change(self.rows)
            break
        if self.counts:
            return Page(shown, len(found), is_last=number * PAGE >= len(found))
        return Page(shown, None, is_last=len(shown) < PAGE)


def book_of(instants: Sequence[int], **more: object) -> Book:
    return Book({uid: Row(uid, at_s) for uid, at_s in enumerate(instants)}, **more)  # type: ignore[arg-type]


def swept(book: Book, span: Window = SPAN, window_max_s: int = 90) -> list[Row]:
    async def run() -> list[Row]:
        sweep = Sweep(book.ask, book.second_of, window_max_s, PAGE)
        return [row async for row in sweep(span)]

    return asyncio.run(run())


INSTANTS = st.lists(
    st.one_of(
        st.integers(SPAN.begin_s - 20, SPAN.end_s + 20),
        # Busy hours, and seconds in which more happens than a page holds.
        st.integers(1_100, 1_110),
        st.just(1_250),
    ),
    max_size=60,
)


@given(instants=INSTANTS, counts=st.booleans(), told=st.sampled_from([0, 1, 10**9, None]))
def test_what_stands_still_is_met_once_second_by_second(
    instants: list[int], counts: bool, told: int | None
) -> None:
    """Also where the records tell nonsense of their time, by which windows are only guessed."""
    book = book_of(instants, counts=counts)
    if told is not None:
        book.second_of = lambda row: told * row.at_s

    found = swept(book)

    expected = [row for row in book.rows.values() if SPAN.begin_s <= row.at_s < SPAN.end_s]
    assert sorted(found, key=lambda row: row.uid) == expected
    assert all(window.length_s <= 90 for window, _ in book.asked)
    assert all(number == 1 or window.length_s == 1 for window, number in book.asked)
    assert book.longest <= PAGE


@given(
    instants=INSTANTS,
    now_s=st.integers(SPAN.begin_s, SPAN.end_s + 30),
    changed=st.lists(st.integers(0, 59), max_size=120),
    counts=st.booleans(),
)
def test_what_changes_meanwhile_is_met_all_the_same(
    instants: list[int], now_s: int, changed: list[int], counts: bool
) -> None:
    """Each answer is followed by a change, which takes a record to the present."""

    def changes() -> Iterator[Callable[[dict[int, Row]], None]]:
        for step, uid in enumerate(changed):

            def change(rows: dict[int, Row], uid: int = uid, at_s: int = now_s + step // 3) -> None:
                if uid in rows:
                    rows[uid] = replace(rows[uid], at_s=at_s, version=rows[uid].version + 1)

            yield change

    past = [at_s for at_s in instants if at_s <= now_s]
    book = book_of(past, between=changes(), counts=counts)
    began = dict(book.rows)
    try:
        found = swept(book)
    except GatewayUnavailable:
        # Nobody can say: that is no wrong answer.
        return

    met: dict[int, int] = {}
    for row in found:
        assert row.version > met.get(row.uid, -1)
        met[row.uid] = row.version
    for uid, row in began.items():
        stayed = SPAN.begin_s <= row.at_s and book.rows[uid].at_s < SPAN.end_s
        assert uid in met or not stayed


def test_a_quiet_span_costs_a_few_questions_and_a_busy_one_about_a_page_each() -> None:
    quiet = book_of([1_010])
    busy = book_of([1_000 + number * 2 for number in range(200)])

    assert len(swept(quiet)) == 1
    assert len(swept(busy)) == 200

    assert len(quiet.asked) <= 6
    assert len(busy.asked) <= 2.5 * 200 / PAGE


def test_a_month_of_busy_mornings_costs_little_more_than_its_pages() -> None:
    """A hundred thousand, nineteen of twenty within two hours of each day."""
    instants = [
        day * 86_400 + (number * 7_200 // 3_166 if number < 3_166 else (number - 3_166) * 517)
        for day in range(30)
        for number in range(3_333)
    ]
    instants.sort()
    asked, shown = 0, 0

    async def ask(window: Window, number: int) -> Page[int]:
        nonlocal asked, shown
        first, behind = (bisect_left(instants, at) for at in (window.begin_s, window.end_s))
        records = instants[first:behind][(number - 1) * 1_000 : number * 1_000]
        asked, shown = asked + 1, shown + len(records)
        return Page(records, behind - first, is_last=number * 1_000 >= behind - first)

    async def run() -> int:
        sweep = Sweep(ask, lambda instant: instant, 90 * 86_400, 1_000)
        return len([each async for each in sweep(Window(0, 31 * 86_400))])

    assert asyncio.run(run()) == len(instants)
    assert asked <= 3 * len(instants) / 1_000
    assert shown <= 1.7 * len(instants)


def test_a_second_with_more_than_a_page_is_read_until_two_readings_agree() -> None:
    def leave(rows: dict[int, Row]) -> None:
        del rows[0]

    def nothing(rows: dict[int, Row]) -> None:
        """Let it be."""

    # The first record leaves while page 2 is about to be read: its first would be missed.
    book = book_of([1_200] * 12, between=iter([nothing, leave]))
    found = swept(book, Window(1_200, 1_201))

    assert {row.uid for row in found} == set(range(12))
    assert [number for _, number in book.asked] == [1, 1, 2, 3, 1, 2, 3, 1, 2, 3]


def test_a_second_that_never_stands_still_is_not_told_in_part() -> None:
    def endless() -> Iterator[Callable[[dict[int, Row]], None]]:
        uid = 100
        while True:
            uid += 1

            def enter(rows: dict[int, Row], uid: int = uid) -> None:
                rows[uid] = Row(uid, 1_200)

            yield enter

    with pytest.raises(GatewayUnavailable, match="differ in each of 4 readings"):
        swept(book_of([1_200] * 6, between=endless()), Window(1_200, 1_201))


@pytest.mark.parametrize("length_s", [1, 100])
def test_records_that_are_counted_and_not_shown_are_no_answer(length_s: int) -> None:
    async def hiding(_window: Window, _number: int) -> Page[Row]:
        return Page([Row(1, 1_000)], 2, is_last=True)

    async def run() -> list[Row]:
        sweep = Sweep(hiding, lambda row: row.at_s, 90, PAGE)
        return [row async for row in sweep(Window(1_000, 1_000 + length_s))]

    with pytest.raises(GatewayUnavailable, match="counts records that it does not show"):
        asyncio.run(run())


def test_a_gateway_that_takes_no_page_number_is_not_asked_for_ever() -> None:
    """It shows its first page again and again, and says each time that there is another."""

    async def stuck(_window: Window, _number: int) -> Page[Row]:
        return Page([Row(uid, 1_000) for uid in range(PAGE)], 9, is_last=False)

    async def run() -> list[Row]:
        sweep = Sweep(stuck, lambda row: row.at_s, 90, PAGE)
        return [row async for row in sweep(Window(1_000, 1_001))]

    with pytest.raises(GatewayUnavailable, match="differ in each"):
        asyncio.run(run())


def test_a_window_holds_the_whole_seconds_of_a_half_open_span() -> None:
    noon = datetime(2026, 8, 15, 12, tzinfo=UTC)
    noon_s = int(noon.timestamp())
    half = timedelta(milliseconds=500)

    assert Window.of(noon, noon + timedelta(seconds=2)) == Window(noon_s, noon_s + 2)
    assert Window.of(noon + half, noon + half + timedelta(seconds=1)) == Window(
        noon_s + 1, noon_s + 2
    )
    assert Window.of(noon, noon + half) == Window(noon_s, noon_s + 1)


def test_a_span_of_nothing_asks_nothing() -> None:
    book = book_of([1_000])

    assert swept(book, Window(1_000, 1_000)) == []
    assert book.asked == []
