"""A language for lives: one sentence a line, in the order in which things happen.

    with catch_up bill_all
    on 2026-01-31 09:00 subscribe monthly for 9900
    on 2026-02-28 decline 한도초과
    scheduler is down from 2026-03-30 to 2026-04-02
    until 2026-04-30 12:00
    expect periods 2026-01-31 / 2026-02-28 / 2026-03-31 / 2026-04-30
    expect on 2026-03-02 paid 9900

``on`` and ``until`` take time there; ``expect`` looks at the present. Times are Korean, at nine in
the morning unless said otherwise; ``in ZONE`` with the subscription makes them that zone's. What
no sentence can mean is refused with those that it may have meant; ``story_sentences`` has them all.
"""

import difflib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from deploy.timetravel.machine import StuckError
from shared.db.engine import Database
from tests.support import story_sentences
from tests.support.journey import journey_of
from tests.support.telling import (
    NINE,
    SENTENCES,
    WHEN,
    NothingToDoError,
    Sentence,
    StoryError,
    Teller,
)

__all__ = ["StoryError", "Teller", "story_sentences", "tell"]


async def tell(
    database: Database, story: str, *, faultless: bool = True, lenient: bool = False
) -> Teller:
    """Live through a story on empty tables, and find every expectation met; return its teller.

    Whatever the story is about, its end is audited: no period without an end or with two, no gap,
    no overlap, no sum that the gateway's book contradicts. ``faultless`` false leaves that to the
    test.

    Raises:
        StoryError: A line cannot be read.
    """
    lines = [line.strip() for line in story.strip().splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    settings = dict(_settings(lines))
    told = [line for line in lines if not line.startswith("with ")]
    async with journey_of(database, at=_beginning(told), **settings) as journey:
        teller = Teller(journey)
        for line in told:
            meaning, words = _read(line)
            try:
                await meaning.means(teller, *words)
            except NothingToDoError:
                if not lenient:
                    raise
            except (AssertionError, StoryError, StuckError) as error:
                raise type(error)(f"{line}: {error}") from error
        if faultless:
            await journey.machine.look(at_all=True)
            wrong = await journey.violations()
            assert not wrong, "; ".join(wrong)
        return teller


def _settings(lines: Sequence[str]) -> list[tuple[str, Any]]:
    found = []
    for line in lines:
        if line.startswith("with "):
            _, name, value = line.split(" ", 2)
            found.append((name, value.split(", ") if "," in value else value))
    return found


def _beginning(lines: Sequence[str]) -> datetime:
    """Return the first instant that is named, a moment before it in whatever zone."""
    named = next((re.search(WHEN, line) for line in lines if re.search(WHEN, line)), None)
    if named is None:
        message = "a story begins at an instant: on 2026-01-31 09:00 subscribe monthly for 9900"
        raise StoryError(message)
    said = named[1] if " " in named[1] else named[1] + NINE
    return datetime.fromisoformat(said).replace(tzinfo=UTC) - timedelta(hours=15)


def _read(line: str) -> tuple[Sentence, tuple[str | None, ...]]:
    for meaning in SENTENCES:
        if matched := meaning.pattern.fullmatch(line):
            return meaning, matched.groups()
    examples = [meaning.example for meaning in SENTENCES]
    near = difflib.get_close_matches(line, examples, 3, 0.3) or examples
    message = f"no such sentence: {line!r}; did you mean one of " + "; ".join(near)
    raise StoryError(message)
