"""Pages: whatever they are given is text, and charts fit."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from worker.console import pages
from worker.console.endings import MisusedError
from worker.console.pages import As, Bar, Colour, Place

NASTY = "<script>&\"'\x1b[31m홍길동"
SHOWN = "<script>&\"'\\x1b[31m홍길동"


def read(page: str) -> ET.Element:
    return ET.fromstring(page.removeprefix("<!doctype html>\n"))  # noqa: S314 - our own page


def test_no_text_becomes_markup() -> None:
    table = pages.table(
        [(NASTY, As.TEXT), ("", As.NUMBER), ("", As.CODE)], [(NASTY, NASTY, NASTY)], "none"
    )
    root = read(
        pages.page(
            NASTY,
            (
                pages.heading(NASTY),
                pages.paragraph(NASTY, is_good=False),
                table,
                pages.chart(NASTY, [Place((Bar(1, NASTY),), NASTY, NASTY)]),
                pages.legend(NASTY, NASTY, NASTY),
            ),
        )
    )
    assert not list(root.iter("script"))
    said = [each.text for each in root.iter() if each.text and "script" in each.text]
    # In the head and above the page, a heading, a paragraph, four cells, and what the chart says.
    assert said == [SHOWN] * (2 + 2 + 4 + 3)
    assert root.find(".//svg[@aria-label]").get("aria-label") == SHOWN  # type: ignore[union-attr]


def test_a_table_of_nothing_says_so_and_one_without_names_has_no_head() -> None:
    columns = [("", As.TEXT), ("", As.NUMBER)]
    assert pages.table(columns, [], "None.") == "<p>None.</p>"
    assert "<th" not in pages.table(columns, [("a", "1")])


def test_bars_are_as_high_as_their_amounts() -> None:
    both = Bar(2_000, "two"), Bar(500, "half", Colour.SECOND)
    root = ET.fromstring(pages.chart("won", [Place(both), Place(())]))  # noqa: S314 - our own
    high, low = root.iter("rect")
    assert float(high.attrib["height"]) == 4 * float(low.attrib["height"]) > 0
    assert float(high.attrib["x"]) + float(high.attrib["width"]) == float(low.attrib["x"])
    assert [text.text for text in root.iter("text")] == ["2,000 KRW", "0"]
    # Of nothing there is nothing to draw.
    (flat,) = ET.fromstring(pages.chart("won", [Place((Bar(0, "no"),))])).iter("rect")  # noqa: S314
    assert float(flat.attrib["height"]) == 0


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(MisusedError, match=r"--csv .*: No such file or directory"):
        pages.write("--csv", tmp_path / "none" / "x.csv", "a\r\n")
