"""The museum's page says what its tests say, and the language of stories says what it can say."""

from itertools import chain
from typing import Any

import pytest

from tests.museum import page
from tests.support.story import StoryError
from tests.support.storytelling import Tell
from tests.support.telling import SENTENCES


def test_the_page_is_what_the_tests_say() -> None:
    written = page.PAGE.read_text(encoding="utf-8")
    assert written == page.page(), "write it anew: python -m tests.museum.page"


def test_forty_public_issues_and_more_are_shown() -> None:
    shown = list(chain.from_iterable(page.exhibits(path) for _, path in page.rooms()))
    assert len({each.issue for each in shown}) >= 40
    assert len({each.test for each in shown}) == len(shown)


def test_an_exhibit_that_cites_nothing_is_refused(tmp_path: Any) -> None:
    room = tmp_path / "test_room.py"
    room.write_text('def test_a() -> None:\n    """Somebody said so."""\n', encoding="utf-8")
    with pytest.raises(ValueError, match="owner/repository#number"):
        list(page.exhibits(room))


@pytest.mark.parametrize("each", SENTENCES, ids=lambda each: each.example.replace(" ", "_"))
def test_each_sentence_has_an_example_that_it_understands(each: Any) -> None:
    matches = [other for other in SENTENCES if other.pattern.fullmatch(each.example)]
    assert matches == [each]


def test_a_sentence_that_nobody_knows_is_answered_with_those_it_may_have_meant(
    story: Tell,
) -> None:
    with pytest.raises(StoryError, match=r"did you mean .*subscribe monthly for"):
        story("on 2026-01-31 subscribes monthly at 9900")


def test_a_story_goes_forward(story: Tell) -> None:
    with pytest.raises(StoryError, match="stories go forward"):
        story("on 2026-01-31 subscribe monthly for 9900\nuntil 2026-01-30")


def test_an_expectation_that_is_not_met_names_its_line(story: Tell) -> None:
    with pytest.raises(AssertionError, match="expect 2 charges: 1: 9900 on 2026-01-31"):
        story("on 2026-01-31 subscribe monthly for 9900\nexpect 2 charges")


def test_a_fault_that_no_sentence_speaks_of_is_found_at_the_end(
    story: Tell,
) -> None:
    """The audit is no ornament: a payment that the book does not hold is told."""

    with pytest.raises(AssertionError, match="the book holds no such"):
        story(
            """
            on 2026-01-31 subscribe monthly for 9900
            forget the book
            """
        )
