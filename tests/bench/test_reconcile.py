"""The measurement of comparing books works, on few of them."""

import asyncio

import pytest

from tests.bench.reconcile import compare, fill


def test_what_was_planted_among_thousands_is_found(database_url: str) -> None:
    fill(database_url, 3_000)
    figures = asyncio.run(compare(database_url, 3_000))
    assert (figures["records"], figures["matched"]) == (2_999, 2_997)
    assert figures["differences"] == {"ours_only": 1, "refund_differs": 1, "status_differs": 1}


def test_no_figure_is_given_where_something_else_is_found(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database_url, 100)
    monkeypatch.setattr("tests.bench.reconcile.MadeUpBook.record", lambda *_: None)
    with pytest.raises(AssertionError, match="ours_only"):
        asyncio.run(compare(database_url, 100))
