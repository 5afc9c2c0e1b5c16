"""Forecasts: days, sums, and a digest that any change shows in."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.consent import ConsentKind
from shared.billing.forecast import (
    Day,
    Digest,
    Expected,
    Forecast,
    Missing,
    Outlook,
    Totals,
    Why,
    head_of,
    id_of,
)
from shared.billing.money import Price

DAY = Day(date(2026, 2, 3))
MADE_AT = datetime(2026, 2, 2, 12, tzinfo=UTC)
WON = st.integers(0, 10**9)
ROWS = st.builds(
    Expected,
    st.uuids(),
    st.integers(0, 10_000),
    st.datetimes(datetime(2026, 2, 1), datetime(2026, 2, 5), timezones=st.just(UTC)),  # noqa: DTZ001
    st.builds(Price, WON),
    st.sampled_from(Why),
    st.sampled_from(Outlook),
    st.none() | st.text(max_size=20),
    st.none() | st.integers(1, 2**40),
    st.lists(
        st.tuples(st.sampled_from(["credit", "setup"]), st.integers(-100, 100)), max_size=2
    ).map(tuple),
    st.lists(st.integers(1, 99), max_size=2).map(tuple),
    st.lists(
        st.builds(Missing, st.sampled_from(ConsentKind), WON, st.none() | st.integers(1, 9)),
        max_size=2,
    ).map(tuple),
)


def expected(at: datetime, amount: int = 9_900, **changes: object) -> Expected:
    values = {"why": Why.RENEWAL, **changes}
    return Expected(UUID(int=1), 4, at, Price(amount, amount // 11), **values)  # type: ignore[arg-type]


def test_a_day_is_koreas() -> None:
    assert DAY.begins_at == datetime(2026, 2, 2, 15, tzinfo=UTC)
    assert DAY.ends_at - DAY.begins_at == timedelta(days=1)
    assert DAY.holds(DAY.begins_at)
    assert not DAY.holds(DAY.ends_at)
    assert Day.of(datetime(2026, 2, 2, 14, 59, tzinfo=UTC)).following == DAY
    assert str(DAY) == "2026-02-03"


@given(row=ROWS)
def test_a_row_is_told_to_machines_and_read_again(row: Expected) -> None:
    assert Expected.of_json(row.as_json()) == row


@given(rows=st.lists(ROWS, min_size=1, max_size=4), other=ROWS)
def test_the_digest_shows_every_change(rows: list[Expected], other: Expected) -> None:
    def digest_of(some: list[Expected], **head: object) -> str:
        digest = Digest({**head_of(DAY, MADE_AT, 7, {}), **head})
        for row in some:
            digest.add([row])
        return digest.end({})

    whole = Digest(head_of(DAY, MADE_AT, 7, {}))
    whole.add(rows)
    assert digest_of(rows) == whole.end({}) != digest_of(rows[1:])
    assert digest_of(rows) != digest_of(rows, events_until=8)
    if other != rows[0]:
        assert digest_of(rows) != digest_of([other, *rows[1:]])


def test_sums_are_of_the_day_and_of_what_is_charged() -> None:
    totals, at = Totals(), DAY.begins_at + timedelta(hours=9, minutes=30)
    missing = (Missing(ConsentKind.PRICE_INCREASE, 12_000, 7),)
    totals.add(expected(at), DAY)
    totals.add(expected(at, 5_500, why=Why.RETRY, missing=missing), DAY)
    totals.add(expected(at, 1_000, outlook=Outlook.WAITS), DAY)
    totals.add(expected(DAY.begins_at - timedelta(hours=1), 700), DAY)
    totals.add(expected(DAY.begins_at - timedelta(hours=1), 700, outlook=Outlook.VOID), DAY)
    assert totals.as_json() == {
        "charges": {"count": 2, "amount": 15_400},
        "tax_free": 1_400,
        "reasons": {
            "renewal": {"count": 1, "amount": 9_900},
            "retry": {"count": 1, "amount": 5_500},
        },
        "hours": {"9": {"count": 2, "amount": 15_400}},
        "others": {"waits": {"count": 1, "amount": 1_000}},
        "consents_missing": {"price_increase": 1},
        "before_the_day": {"count": 1, "amount": 700},
    }


def test_a_forecast_is_named_by_its_day_and_its_instant() -> None:
    forecast = Forecast(DAY, MADE_AT, 7, {"a": 1}, {}, "0" * 64)
    assert forecast.id == id_of(DAY, MADE_AT) != id_of(DAY, MADE_AT + timedelta(microseconds=1))
    assert forecast.as_json()["rules"] == {"a": 1}
    with pytest.raises(AttributeError):
        forecast.digest = ""  # type: ignore[misc]
