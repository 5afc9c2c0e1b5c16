"""docs/security.md: whatever it says is stopped names the test that shows it, and that exists."""

import re
from itertools import pairwise

import pytest

from tests.architecture.checkout import read
from tests.architecture.test_guide_pages import missing, rows

PAGE = "docs/security.md"
HEAD = "| threat | is stopped by | shown by |"
_TEST = re.compile(r"`(tests/[\w./]+/test_\w+\.py)(?:::\w+)?`")


def untested(text: str) -> list[str]:
    """Return every threat that is said to be stopped, and not by a test."""
    sections = {
        section.partition("\n")[0].strip()
        for section in re.split(r"^##+ ", text, flags=re.MULTILINE)
        if HEAD in section
    }
    return [
        row.cells[0]
        for row in rows(text.replace("\n### ", "\n## "))
        if row.section in sections and not (len(row.cells) == 3 and _TEST.search(row.cells[2]))
    ]


def test_everything_that_the_page_names_exists() -> None:
    assert missing(read(PAGE)) == []


def test_whatever_is_stopped_is_shown_by_a_test() -> None:
    assert untested(read(PAGE)) == []


def test_every_table_is_of_a_known_form() -> None:
    heads = [before for before, rule in _heads(read(PAGE)) if rule]
    assert set(heads) == {
        HEAD,
        "| what | where it is | where it never is |",
        "| who | reaches | can, even so | cannot |",
        "| role | for | may | may not, among others |",
        "| wrong | said |",
    }


def _heads(text: str) -> list[tuple[str, bool]]:
    lines = text.splitlines()
    return [
        (line, set(below) <= set("|- ") and below.startswith("|"))
        for line, below in pairwise(lines)
    ]


def test_what_is_not_defended_is_said() -> None:
    _, _, rest = read(PAGE).partition("## Not defended")
    assert len(re.findall(r"^- ", rest, re.MULTILINE)) >= 5


def test_the_readme_leads_to_it() -> None:
    assert "[docs/security.md](docs/security.md)" in read("README.md")


@pytest.mark.parametrize(
    "cell", ["", "a review", "`tests/nowhere`", "`shared/jobs/quiet.py`", "`tests/conftest.py`"]
)
def test_a_threat_without_a_test_is_reported(cell: str) -> None:
    text = f"## A\n\n{HEAD}\n| --- | --- | --- |\n| theft | locks | {cell} |\n"
    assert untested(text) == ["theft"]
