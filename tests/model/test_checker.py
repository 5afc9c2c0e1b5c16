"""The checker itself, on models small enough to be done by hand."""

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.checker import STUCK, Step, brief, check


class Well(NamedTuple):
    """A bucket in a well: ``depth`` steps down, ``rope`` left."""

    depth: int = 0
    rope: int = 3
    is_broken: bool = False


class Bucket:
    """Goes down while there is rope, and up again unless the rope is broken."""

    def __init__(self, *, breaks: bool) -> None:
        self.breaks = breaks

    def initial(self) -> Well:
        return Well()

    def steps(self, state: Well) -> Iterator[Step[Well]]:
        if state.rope:
            yield "down", True, state._replace(depth=state.depth + 1, rope=state.rope - 1)
        if state.depth and not state.is_broken:
            yield "up", True, state._replace(depth=state.depth - 1)
        if state.depth == 2 and self.breaks:
            yield "the rope breaks", False, state._replace(is_broken=True)
        if state.is_broken:
            yield "somebody climbs down", False, Well(rope=0)

    def wrong(self, before: Well, after: Well) -> Iterator[str]:
        if after.depth == 3:
            yield "too deep"
        if after.depth < before.depth == 2:
            yield "seen at two"

    def is_good_end(self, state: Well) -> bool:
        return state.depth == 0 and state.rope == 0


def test_every_state_is_visited_and_the_shortest_way_is_told() -> None:
    found = check(Bucket(breaks=False))

    assert found.complete
    assert found.traces["too deep"].actions == ("down", "down", "down")
    assert found.traces["seen at two"].actions == ("down", "down", "up")
    assert found.violations == 2
    assert found.stuck == 0
    assert found.actions == {"down", "up"}


def test_a_state_that_only_help_brings_to_an_end_is_stuck() -> None:
    found = check(Bucket(breaks=True), until=(STUCK,))

    assert found.traces[STUCK].actions == ("down", "down", "the rope breaks")
    assert found.traces[STUCK].state == "Well(depth=2, rope=1, is_broken=True)"
    assert found.complete


def test_it_stops_when_it_has_found_what_it_looks_for() -> None:
    found = check(Bucket(breaks=False), until=("seen at two",))

    assert found.traces.keys() == {"seen at two"}
    assert not found.complete


def test_a_state_is_told_by_what_is_not_as_usual() -> None:
    assert brief(Well()) == "Well()"
    assert brief((Well(rope=1), 2)) == "[Well(rope=1), 2]"
