"""What docs/messages.md and docs/messages-life.md say: sections, examples, and programs."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.architecture.checkout import read

PAGE = "docs/messages.md"
# The life of a subscription has a page of its own.
LIFE_PAGE = "docs/messages-life.md"
# The subscription that the page's programs end; a test puts a real one in its place.
SUBSCRIPTION_ID = "0c6f4a9e-3f0b-4a77-9d57-2f4bb0a7c1d5"
_HEADING = re.compile(r"^(?P<level>#{2,3}) (?P<title>.+)$", re.MULTILINE)
_RESULT = re.compile(
    r"^\| (?P<tasks>`[\w.]+`(?:, `[\w.]+`)*) \| (?P<names>`\w+`.*) \|$", re.MULTILINE
)
_FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@cache
def sections() -> dict[str, dict[str, str]]:
    """The text below every heading of the third level, by the heading above it and its own."""
    found: dict[str, dict[str, str]] = {}
    for page in (PAGE, LIFE_PAGE):
        for above, title, text in _sections(read(page)):
            below = found.setdefault(above, {})
            assert title not in below, f"{title} is told of twice"
            below[title] = text
    return found


def _sections(page: str) -> Iterator[tuple[str, str, str]]:
    headings = list(_HEADING.finditer(page))
    ends = [*(heading.start() for heading in headings[1:]), None]
    above = ""
    for heading, end in zip(headings, ends, strict=True):
        title = heading["title"].strip("`")
        if heading["level"] == "##":
            above = title
        else:
            yield above, title, page[heading.end() : end]


@cache
def results() -> dict[str, frozenset[str]]:
    """What the result of every command names, by its task."""
    found = {}
    for page in (PAGE, LIFE_PAGE):
        table = read(page).partition("\n| task | result |\n")[2].partition("\n\n")[0]
        for row in _RESULT.finditer(table):
            for task in re.findall(r"`([\w.]+)`", row["tasks"]):
                found[task] = frozenset(re.findall(r"`(\w+)`", row["names"]))
    return found


def example(section: str, name: str) -> dict[str, Any]:
    """The JSON example of one message or event."""
    (text,) = blocks(sections()[section][name], "json")
    value: dict[str, Any] = json.loads(text)
    return value


def program(title: str, language: str) -> str:
    """The program below one heading of the part on publishing."""
    (text,) = blocks(sections()["Publishing"][title], language)
    return text


def reader() -> str:
    """The program that reads events."""
    (text,) = blocks(read(PAGE).partition("\n## Events\n")[2], "python")
    return text


def blocks(text: str, language: str) -> Iterator[str]:
    """The fenced blocks of one language, in order."""
    return iter([m["text"] for m in _FENCE.finditer(text) if m["language"] == language])
