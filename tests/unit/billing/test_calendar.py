from datetime import UTC, date, datetime, time, timedelta, timezone
from itertools import pairwise
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.billing.calendar import (
    INTERVAL_COUNT_MAX,
    BillingCycle,
    Interval,
    IntervalUnit,
    Period,
)
from shared.billing.errors import InvalidCycleError
from tests.unit.billing import oracle

DAY, WEEK, MONTH, YEAR = IntervalUnit
SEOUL: Final = "Asia/Seoul"
NEW_YORK: Final = "America/New_York"
# Together: no clock changes, changes by an hour, by half an hour, by two, at midnight, twice around
# Ramadan, a day that never was (Apia, Kwajalein, Kiritimati), odd offsets, and none at all.
ZONES: Final = (
    SEOUL,
    NEW_YORK,
    "Europe/London",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/Sao_Paulo",
    "UTC",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Europe/Dublin",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
)
MICROSECOND: Final = timedelta(microseconds=1)
# Periods per unit so that the longest cycle still ends inside the walked calendar.
INDEX_MAX: Final = {DAY: 4000, WEEK: 1000, MONTH: 600, YEAR: 60}


@st.composite
def month_ends(draw: st.DrawFn) -> datetime:
    """Instants on the last days of months, where months differ in length."""
    year = draw(st.integers(1970, 2119) | st.sampled_from([1999, 2000, 2024, 2096, 2099, 2100]))
    on = date(year, draw(st.integers(1, 12)), 1) - timedelta(days=draw(st.integers(1, 4)))
    hour, minute = draw(st.integers(0, 23)), draw(st.sampled_from([0, 1, 30, 59]))
    return datetime.combine(on, time(hour, minute), UTC)


@st.composite
def leap_days(draw: st.DrawFn) -> datetime:
    """Instants on 29 February and around it."""
    year = draw(st.sampled_from([1972, 1996, 2000, 2024, 2028, 2096, 2104]))
    return datetime(year, 2, 29, tzinfo=UTC) + draw(st.timedeltas(-DAYS_2, DAYS_2))


DAYS_2: Final = timedelta(days=2)
ANCHORS: Final = (
    st.datetimes(datetime(1970, 1, 2), datetime(2119, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
    | month_ends()
    | leap_days()
)


@st.composite
def cycles(draw: st.DrawFn, units: tuple[IntervalUnit, ...] = tuple(IntervalUnit)) -> BillingCycle:
    """Every kind of cycle: any anchor, any zone, one unit or several."""
    count = draw(st.just(1) | st.integers(2, 5))
    interval = Interval(draw(st.sampled_from(units)), count)
    return BillingCycle(draw(ANCHORS), interval, draw(st.sampled_from(ZONES)))


@st.composite
def cycles_with_index(draw: st.DrawFn) -> tuple[BillingCycle, int]:
    """A cycle and one of its periods, near or far."""
    cycle = draw(cycles())
    index_max = INDEX_MAX[cycle.interval.unit] - 1
    return cycle, draw(st.integers(0, min(40, index_max)) | st.integers(0, index_max))


@st.composite
def cycles_that_meet_a_clock_change(draw: st.DrawFn) -> tuple[BillingCycle, int]:
    """A cycle and a period of it that begins within hours of a clock change, often inside it."""
    time_zone = draw(st.sampled_from([zone for zone in ZONES if zone not in {"UTC", SEOUL}]))
    changes = oracle.clock_changes(time_zone, 1985, 2045)
    zone = ZoneInfo(time_zone)
    change_at = draw(st.sampled_from(changes))
    minutes = draw(st.integers(-200, 200) | st.integers(-1500, 1500))
    wall = oracle.local(change_at - MICROSECOND, zone) + timedelta(minutes=minutes)
    unit, days = draw(st.sampled_from([(DAY, 1), (WEEK, 7)]))
    index = draw(st.integers(1, 60))
    anchor_at = oracle.instant_of(wall - timedelta(days=days * index), zone)
    return BillingCycle(anchor_at, Interval(unit), time_zone), index


def expected_start_at(cycle: BillingCycle, index: int) -> datetime:
    interval = cycle.interval
    return oracle.boundary(cycle.anchor_at, interval.unit, interval.count, cycle.time_zone, index)


def local_start(cycle: BillingCycle, index: int) -> datetime:
    return oracle.local(cycle.period(index).start_at, ZoneInfo(cycle.time_zone))


def monthly(anchor_at: datetime, time_zone: str = SEOUL) -> BillingCycle:
    return BillingCycle(anchor_at, Interval(MONTH), time_zone)


def in_zone(time_zone: str, *parts: int, fold: int = 0) -> datetime:
    """Return the instant, in UTC, at which a clock of a zone shows a time (the ``fold``-th)."""
    year, month, day, hour, minute = parts
    wall = datetime(year, month, day, hour, minute)  # noqa: DTZ001 - a wall time has no zone
    return oracle.instants_showing(wall, ZoneInfo(time_zone))[fold]


# --- against the oracle -------------------------------------------------------------------------


@given(cycles_with_index())
def test_every_period_begins_and_ends_where_a_walked_calendar_says(
    drawn: tuple[BillingCycle, int],
) -> None:
    cycle, index = drawn
    period = cycle.period(index)
    assert period.index == index
    assert period.start_at == expected_start_at(cycle, index)
    assert period.end_at == expected_start_at(cycle, index + 1)


@given(cycles_that_meet_a_clock_change())
def test_a_period_that_meets_a_clock_change_begins_where_a_walked_clock_says(
    drawn: tuple[BillingCycle, int],
) -> None:
    cycle, index = drawn
    for near in (index - 1, index, index + 1):
        assert cycle.period(near).start_at == expected_start_at(cycle, near)


@pytest.mark.parametrize("hour", [0, 8, 9, 23])
@pytest.mark.parametrize("year", [1999, 2024, 2025, 2027, 2099])
@pytest.mark.parametrize("time_zone", [SEOUL, NEW_YORK])
def test_every_anchor_day_is_right_for_24_months(time_zone: str, year: int, hour: int) -> None:
    """Exhaustive: 31 days, 24 months; 2000 and 2028 are leap years on the way, 2100 is not."""
    zone = ZoneInfo(time_zone)
    for day in range(1, 32):
        wall = datetime(year, 1, day, hour, 30)  # noqa: DTZ001 - a wall time has no zone
        cycle = monthly(oracle.instant_of(wall, zone), time_zone)
        for index in range(25):
            on = oracle.date_after(wall.date(), MONTH, index)
            expected_at = oracle.instant_of(datetime.combine(on, wall.time()), zone)
            assert cycle.period(index).start_at == expected_at, (day, index)


@pytest.mark.parametrize("time_zone", ZONES)
@pytest.mark.parametrize("unit", IntervalUnit)
def test_nothing_has_drifted_after_600_periods(time_zone: str, unit: IntervalUnit) -> None:
    anchor_at = oracle.instant_of(datetime(2024, 1, 31, 10, 20, 30), ZoneInfo(time_zone))  # noqa: DTZ001
    cycle = BillingCycle(anchor_at, Interval(unit), time_zone)
    for index in range(0, min(INDEX_MAX[unit], 600) + 1, 7):
        assert cycle.period(index).start_at == expected_start_at(cycle, index)


# --- properties ---------------------------------------------------------------------------------


@given(cycles_with_index() | cycles_that_meet_a_clock_change())
def test_periods_abut_and_move_forward(drawn: tuple[BillingCycle, int]) -> None:
    cycle, index = drawn
    periods = [cycle.period(near) for near in range(index, index + 4)]
    for earlier, later in pairwise(periods):
        assert earlier.end_at == later.start_at
    for period in periods:
        assert period.start_at <= period.end_at
        assert period.is_empty == (period.start_at == period.end_at)
        assert period.start_at.utcoffset() == timedelta(0)


@given(cycles_with_index() | cycles_that_meet_a_clock_change())
def test_a_period_is_empty_only_where_its_whole_day_never_was(
    drawn: tuple[BillingCycle, int],
) -> None:
    cycle, index = drawn
    if cycle.period(index).is_empty:
        zone = ZoneInfo(cycle.time_zone)
        skipped_on = oracle.date_after(
            oracle.local(cycle.anchor_at, zone).date(), cycle.interval.unit, index
        )
        noon = datetime.combine(skipped_on, time(12))
        assert oracle.instants_showing(noon, zone) == []
        assert (cycle.interval.unit, cycle.interval.count) == (DAY, 1)


@given(cycles(), st.timedeltas(timedelta(days=-400), timedelta(days=20_000)))
def test_index_at_finds_the_one_period_that_contains_an_instant(
    cycle: BillingCycle, since_anchor: timedelta
) -> None:
    instant = cycle.anchor_at + since_anchor
    index = cycle.index_at(instant)
    if since_anchor < timedelta(0):
        assert index == -1
    else:
        period = cycle.period(index)
        assert period.start_at <= instant < period.end_at


@given(cycles_with_index() | cycles_that_meet_a_clock_change())
def test_index_at_changes_exactly_at_a_boundary(drawn: tuple[BillingCycle, int]) -> None:
    cycle, index = drawn
    period = cycle.period(index)
    first_after = index
    while cycle.period(first_after).is_empty:
        first_after += 1
    last_before = index - 1
    while last_before >= 0 and cycle.period(last_before).is_empty:
        last_before -= 1
    assert cycle.index_at(period.start_at) == first_after
    assert cycle.index_at(period.start_at - MICROSECOND) == last_before


@given(cycles_with_index() | cycles_that_meet_a_clock_change())
def test_the_time_of_day_is_kept_wherever_it_exists(drawn: tuple[BillingCycle, int]) -> None:
    cycle, index = drawn
    zone = ZoneInfo(cycle.time_zone)
    anchor = oracle.local(cycle.anchor_at, zone)
    steps = index * cycle.interval.count
    on = oracle.date_after(anchor.date(), cycle.interval.unit, steps)
    wanted = datetime.combine(on, anchor.time())
    exists = bool(oracle.instants_showing(wanted, zone))
    assert (local_start(cycle, index) == wanted) == exists


@given(cycles_with_index(), st.sampled_from(ZONES))
def test_the_same_anchor_told_in_another_zone_counts_alike(
    drawn: tuple[BillingCycle, int], told_in: str
) -> None:
    cycle, index = drawn
    told = BillingCycle(
        cycle.anchor_at.astimezone(ZoneInfo(told_in)), cycle.interval, cycle.time_zone
    )
    assert told.period(index) == cycle.period(index)


@given(
    st.integers(28, 31),
    st.integers(1970, 2119),
    st.sampled_from([1, 2, 3, 6]),
    st.sampled_from(ZONES),
)
@example(31, 2023, 1, SEOUL)
@example(31, 2099, 1, SEOUL)
@example(30, 2010, 1, "Pacific/Apia")
def test_a_late_anchor_day_comes_back_after_every_short_month(
    day: int, year: int, count: int, time_zone: str
) -> None:
    wall = datetime(year, 1, day, 12, 0)  # noqa: DTZ001 - noon is skipped with its day only
    anchor_at = oracle.instant_of(wall, ZoneInfo(time_zone))
    cycle = BillingCycle(anchor_at, Interval(MONTH, count), time_zone)
    for index in range(30):
        begins = local_start(cycle, index)
        is_last_day = (begins + timedelta(days=1)).day == 1
        # Samoa had no 30 December 2011: what begins there begins a day later.
        before = begins.replace(tzinfo=None) - timedelta(days=1)
        zone = ZoneInfo(time_zone)
        is_skipped = oracle.instant_of(before, zone).astimezone(zone).date() == begins.date()
        assert begins.day == day or (begins.day < day and is_last_day) or is_skipped


@pytest.mark.parametrize("time_zone", ZONES)
def test_a_yearly_29_february_is_kept_in_leap_years_and_the_28th_otherwise(time_zone: str) -> None:
    wall = datetime(1996, 2, 29, 12, 0)  # noqa: DTZ001 - noon is never skipped
    anchor_at = oracle.instant_of(wall, ZoneInfo(time_zone))
    cycle = BillingCycle(anchor_at, Interval(YEAR), time_zone)
    days = {1996 + index: local_start(cycle, index).day for index in range(115)}
    leap_years = {year for year, day in days.items() if day == 29}
    assert set(days.values()) == {28, 29}
    assert leap_years == set(range(1996, 2097, 4)) | {2104, 2108}


@pytest.mark.parametrize(
    ("anchor_on", "february_on"),
    [
        (date(2000, 1, 31), date(2000, 2, 29)),
        (date(2024, 1, 31), date(2024, 2, 29)),
        (date(2025, 1, 29), date(2025, 2, 28)),
        (date(2100, 1, 31), date(2100, 2, 28)),
        (date(2100, 1, 28), date(2100, 2, 28)),
        (date(2400, 1, 30), date(2400, 2, 29)),
    ],
    ids=str,
)
def test_february_ends_when_the_century_rule_says(anchor_on: date, february_on: date) -> None:
    cycle = monthly(datetime.combine(anchor_on, time(12), UTC), "UTC")
    starts = [cycle.period(index).start_at.date() for index in range(3)]
    assert starts == [anchor_on, february_on, anchor_on.replace(month=3)]


# --- clock changes ------------------------------------------------------------------------------


def test_a_skipped_wall_time_moves_forward_by_the_gap_and_only_that_day() -> None:
    """New York, 8 March 2026: 02:30 is skipped, and is 03:30 of the new time."""
    cycle = BillingCycle(in_zone(NEW_YORK, 2026, 3, 7, 2, 30), Interval(DAY), NEW_YORK)
    assert [local_start(cycle, index).isoformat() for index in range(3)] == [
        "2026-03-07T02:30:00",
        "2026-03-08T03:30:00",
        "2026-03-09T02:30:00",
    ]


def test_the_first_of_a_doubled_wall_time_counts() -> None:
    """New York, 1 November 2026: 01:30 comes at 05:30 and again at 06:30 UTC."""
    cycle = BillingCycle(in_zone(NEW_YORK, 2026, 10, 31, 1, 30), Interval(DAY), NEW_YORK)
    assert cycle.period(1).start_at == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    assert cycle.period(2).start_at == datetime(2026, 11, 2, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize("unit", IntervalUnit)
def test_period_0_begins_at_the_anchor_also_when_its_wall_time_is_the_second_of_two(
    unit: IntervalUnit,
) -> None:
    anchor_at = in_zone(NEW_YORK, 2026, 11, 1, 1, 30, fold=1)
    cycle = BillingCycle(anchor_at, Interval(unit), NEW_YORK)
    assert cycle.period(0).start_at == anchor_at == datetime(2026, 11, 1, 6, 30, tzinfo=UTC)
    assert cycle.period(1).start_at == expected_start_at(cycle, 1)
    assert cycle.index_at(anchor_at - MICROSECOND) == -1


def test_the_first_counts_also_where_the_anchor_was_the_second() -> None:
    """1 November is doubled again in 2037."""
    anchor_at = in_zone(NEW_YORK, 2026, 11, 1, 1, 30, fold=1)
    for interval, index in ((Interval(YEAR), 11), (Interval(MONTH), 132), (Interval(DAY), 4018)):
        cycle = BillingCycle(anchor_at, interval, NEW_YORK)
        assert cycle.period(index).start_at == datetime(2037, 11, 1, 5, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time_zone", "day_before", "shown"),
    [
        ("Australia/Lord_Howe", (2026, 10, 3, 2, 15), "2026-10-04T02:45:00"),
        ("Europe/London", (2026, 3, 28, 1, 0), "2026-03-29T02:00:00"),
        ("America/Sao_Paulo", (2018, 11, 3, 0, 0), "2018-11-04T01:00:00"),
        ("Antarctica/Troll", (2026, 3, 28, 1, 30), "2026-03-29T03:30:00"),
        ("Africa/Casablanca", (2026, 3, 21, 2, 30), "2026-03-22T03:30:00"),
    ],
)
def test_a_gap_of_any_size_moves_the_boundary_by_its_size(
    time_zone: str, day_before: tuple[int, ...], shown: str
) -> None:
    cycle = BillingCycle(in_zone(time_zone, *day_before), Interval(DAY), time_zone)
    assert local_start(cycle, 1).isoformat() == shown


def test_a_day_that_never_was_makes_an_empty_period_and_the_next_one_is_whole() -> None:
    """Apia went from 29 to 31 December 2011."""
    cycle = BillingCycle(in_zone("Pacific/Apia", 2011, 12, 28, 9, 0), Interval(DAY), "Pacific/Apia")
    periods = [cycle.period(index) for index in range(4)]
    assert [period.is_empty for period in periods] == [False, False, True, False]
    assert [local_start(cycle, index).day for index in range(5)] == [28, 29, 31, 31, 1]
    assert all(period.end_at - period.start_at == timedelta(1) for period in periods[3:])
    assert cycle.index_at(periods[2].start_at) == 3


@pytest.mark.parametrize("unit", [MONTH, YEAR])
def test_a_longer_cycle_has_no_empty_period_where_a_day_never_was(unit: IntervalUnit) -> None:
    anchor_at = in_zone("Pacific/Apia", 2010, 12, 30, 9, 0)
    cycle = BillingCycle(anchor_at, Interval(unit), "Pacific/Apia")
    assert not any(cycle.period(index).is_empty for index in range(36))


def test_the_same_instant_counts_alike_however_its_wall_time_was_written() -> None:
    """02:30 of 8 March 2026 is no time in New York: written so, it means the instant 03:30."""
    written = datetime(2026, 3, 8, 2, 30, tzinfo=ZoneInfo(NEW_YORK))
    as_written = BillingCycle(written, Interval(DAY), NEW_YORK)
    as_stored = BillingCycle(written.astimezone(UTC), Interval(DAY), NEW_YORK)
    assert as_written.period(0) == as_stored.period(0)
    assert as_written.period(1) == as_stored.period(1)


def test_an_instant_before_a_doubled_anchor_lies_in_no_period_in_whatever_zone_it_is_told() -> None:
    """The anchor is the second 01:30 in New York, the instant the first 01:45."""
    zone = ZoneInfo(NEW_YORK)
    cycle = BillingCycle(datetime(2026, 11, 1, 1, 30, tzinfo=zone, fold=1), Interval(DAY), NEW_YORK)
    before = datetime(2026, 11, 1, 1, 45, tzinfo=zone)
    assert cycle.index_at(before.astimezone(UTC)) == -1
    assert cycle.index_at(before) == -1


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, -1, INTERVAL_COUNT_MAX + 1, True, 1.0, "1", None], ids=repr)
def test_an_interval_that_does_not_move_forward_is_refused(count: object) -> None:
    with pytest.raises(InvalidCycleError, match=r"1 to 1200, not"):
        Interval(MONTH, cast("int", count))


def test_an_interval_in_a_unit_nobody_knows_is_refused() -> None:
    with pytest.raises(InvalidCycleError):
        Interval(cast("IntervalUnit", "fortnight"))


@pytest.mark.parametrize("count", [1, INTERVAL_COUNT_MAX])
def test_an_interval_at_its_bounds_is_taken(count: int) -> None:
    assert Interval(DAY, count).count == count


def test_a_naive_anchor_is_refused() -> None:
    with pytest.raises(InvalidCycleError, match="time zone"):
        monthly(datetime(2026, 1, 31))  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize(
    "time_zone", ["", "Seoul", "asia/seoul", "../etc/passwd", "Asia", "KST\0", "x" * 300], ids=repr
)
def test_a_zone_nobody_knows_is_refused_in_words(time_zone: str) -> None:
    with pytest.raises(InvalidCycleError, match="IANA"):
        monthly(datetime(2026, 1, 31, tzinfo=UTC), time_zone)


@pytest.mark.parametrize("time_zone", ["localtime", "posixrules", "right/Asia/Seoul", "Factory"])
def test_a_file_of_the_zone_folder_that_is_no_iana_zone_is_refused(time_zone: str) -> None:
    """What these mean differs from machine to machine, and "right" counts leap seconds."""
    with pytest.raises(InvalidCycleError, match="IANA"):
        monthly(datetime(2026, 1, 31, tzinfo=UTC), time_zone)


def test_a_period_before_the_anchor_is_refused() -> None:
    with pytest.raises(InvalidCycleError, match="0 or more"):
        monthly(datetime(2026, 1, 31, tzinfo=UTC)).period(-1)


@pytest.mark.parametrize("unit", IntervalUnit)
@pytest.mark.parametrize("index", [3_000_000, 10**9, 10**30], ids=repr)
def test_a_period_beyond_the_calendar_is_refused(unit: IntervalUnit, index: int) -> None:
    cycle = BillingCycle(datetime(2026, 1, 31, tzinfo=UTC), Interval(unit))
    with pytest.raises(InvalidCycleError, match="9999"):
        cycle.period(index)


def test_a_period_whose_local_date_exists_but_whose_instant_does_not_is_refused_too() -> None:
    """31 December 9999, 19:30 in New York, is a day later in UTC: beyond the calendar."""
    cycle = BillingCycle(datetime(2020, 1, 1, 0, 30, tzinfo=UTC), Interval(YEAR), NEW_YORK)
    with pytest.raises(InvalidCycleError, match="9999"):
        cycle.period(9999 - 2019)


def test_an_anchor_that_its_own_zone_cannot_express_is_refused() -> None:
    """The first instant of the calendar is still the year 0 in New York."""
    with pytest.raises(InvalidCycleError):
        monthly(datetime.min.replace(tzinfo=UTC), NEW_YORK).period(0)


def test_a_backward_or_negative_period_is_refused() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    with pytest.raises(InvalidCycleError, match="before it starts"):
        Period(0, noon, noon - MICROSECOND)
    with pytest.raises(InvalidCycleError):
        Period(-1, noon, noon)


def test_a_unit_nobody_knows_moves_no_boundary_and_finds_no_index() -> None:
    """Only code without types could get here: it fails, or stands still, but does not spin."""
    interval = Interval(DAY)
    object.__setattr__(interval, "unit", "fortnight")
    cycle = BillingCycle(datetime(2026, 1, 1, tzinfo=UTC), cast("Any", interval))
    with pytest.raises(KeyError):
        cycle.index_at(datetime(2026, 2, 1, tzinfo=UTC))
    assert cycle.period(3).is_empty


def test_an_offset_is_as_good_a_zone_of_an_anchor_as_any() -> None:
    anchor_at = datetime(2026, 1, 31, tzinfo=timezone(timedelta(hours=9)))
    assert monthly(anchor_at).period(0).start_at == datetime(2026, 1, 30, 15, tzinfo=UTC)
