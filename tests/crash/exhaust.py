"""All deaths of one scenario: none, one at every point, one more at every later point.

What two deaths leave alike is recovered alike (``tests.crash.state``), so a state that was lived
through to its end is not lived through again: every point and every pair is accounted for, and
each distinct state that one or two deaths leave is lived once. It is lived from where the life
that it shares everything before with has stood (``tests.crash.standing``), up to where, between
two messages, it stands as one did that ended well.
"""

import random
import time
from collections.abc import Container, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace

from tests.crash import coverage
from tests.crash.course import Lived, Watch, live, prepare
from tests.crash.standing import Standing, stand
from tests.crash.state import state_of
from tests.crash.story import Life, Scenario
from tests.simulation import seam
from tests.simulation.installation import Host
from tests.simulation.seam import Point

# How many violations of one scenario are told in full.
TOLD_MAX = 5


@dataclass(frozen=True, slots=True)
class Violation:
    """A life that went wrong, with the fewest deaths that were seen to do it."""

    deaths: tuple[int, ...]
    at: tuple[str, ...]
    wrong: tuple[str, ...]


@dataclass(slots=True)
class Result:
    """What became of a scenario.

    Attributes:
        points: At how many points one death was tried, lived or known.
        pairs: At how many pairs of points two deaths were.
        lives: How many lives were lived for that.
        anew: How many of them were begun anew, since what was put in place was not what was kept.
        found: How many lives went wrong.
        places: The calls that touched the outside (``coverage.Place``).
    """

    name: str
    points: int = 0
    pairs: int = 0
    lives: int = 0
    anew: int = 0
    seconds: float = 0.0
    found: int = 0
    violations: list[Violation] = field(default_factory=list)
    places: set[coverage.Place] = field(default_factory=set)


class NotKeptError(Exception):
    """What was put in place is not what was kept."""


@dataclass(slots=True)
class _Way:
    """What one life went through after the deaths that it was to die.

    Attributes:
        deaths: Those deaths.
        keeps: Where it is kept where the life stood, by the state that a death would leave there.
        states: What a death would leave at each of the points, by their numbers.
        rests: The states between two messages, each with the number of points before it.
        known: The state from which what follows was known, so that it was not lived.
    """

    deaths: tuple[int, ...]
    keeps: MutableMapping[bytes, Standing] | None = None
    states: dict[int, bytes] = field(default_factory=dict)
    rests: list[tuple[bytes, int]] = field(default_factory=list)
    known: bytes | None = None

    def is_after(self, number: int) -> bool:
        """Say whether a point comes after the last of the deaths."""
        return not self.deaths or number > self.deaths[-1]


class Exhaustion:
    """Lives one scenario again and again."""

    def __init__(self, host: Host, scenario: Scenario, *, plainly: bool = False) -> None:
        """Take what lives are lived on.

        Args:
            plainly: Every life is lived from its beginning to its end.
        """
        self._host = host
        self._scenario = scenario
        self._plainly = plainly
        self._beginning = prepare(host, scenario)
        # Left by deaths, and lived from there.
        self._lived: set[bytes] = set()
        # Stood in between two messages by a life that then ended well without another death, with
        # how many points followed.
        self._ended_well: dict[bytes, int] = {}
        # Those of them from which a death at every later point is lived as well.
        self._exhausted: set[bytes] = set()
        # Where the undisturbed life stood, and the one that is lived with all second deaths.
        self._firsts: dict[bytes, Standing] = {}
        self._seconds: dict[bytes, Standing] = {}
        self._undisturbed: Lived | None = None
        self.result = Result(scenario.name)

    def run(self, points: int | None, pairs: int | None, dice: random.Random) -> Result:
        """Live all lives; of points and pairs only so many, drawn by the dice, if told so."""
        began_s = time.perf_counter()
        seam.touched.clear()
        result = self.result
        way = _Way((), self._firsts)
        self._undisturbed = self._observed(way, None)
        firsts: dict[bytes, list[int]] = {}
        for number, state in way.states.items():
            firsts.setdefault(state, []).append(number)
        if points is not None:
            kept = dice.sample(list(firsts), min(points, len(firsts)))
            firsts = {state: firsts[state] for state in kept}
        elif pairs is None:
            # Every death from there on is a first one.
            self._exhausted.update(self._well(way))
        result.points = sum(len(alike) for alike in firsts.values())
        drawn = self._drawn(firsts, pairs, dice)
        for state, alike in firsts.items():
            if pairs is None:
                self._with_all_seconds(state, alike)
            elif alike[0] in drawn:
                self._with_some_seconds(state, alike[0], drawn[alike[0]], dice)
            else:
                self._from((alike[0],), state, self._firsts.get(state))
        result.places = coverage.places(seam.touched)
        result.seconds = time.perf_counter() - began_s
        return result

    def _drawn(
        self, firsts: Mapping[bytes, Sequence[int]], pairs: int | None, dice: random.Random
    ) -> dict[int, int]:
        """Spread a number of pairs over first deaths."""
        drawn: dict[int, int] = {}
        candidates = [alike[0] for alike in firsts.values()]
        for _ in range(pairs or 0):
            first = dice.choice(candidates)
            drawn[first] = drawn.get(first, 0) + 1
        return drawn

    def _with_all_seconds(self, state: bytes, alike: Sequence[int]) -> None:
        """Live with a first death, and with every second one after it."""
        first, standing = alike[0], self._firsts.get(state)
        self._seconds.clear()
        way = _Way((first,), self._seconds)
        passed = len(self._observed(way, standing, self._exhausted).passed)
        self._lived.add(state)
        # What follows from a known state was lived already, with a second death at every point.
        passed += 0 if way.known is None else self._ended_well[way.known]
        self.result.pairs += (passed - first - 1) * len(alike)
        for second, left in way.states.items():
            # Where nothing could be kept, its life goes on from the first death.
            self._from((first, second), left, self._seconds.get(left, standing))
        self._exhausted.update(self._well(way))

    def _with_some_seconds(self, state: bytes, first: int, most: int, dice: random.Random) -> None:
        """Live with a first death, and with some second ones after it."""
        standing = self._firsts.get(state)
        way = _Way((first,))
        self._observed(way, standing)
        self._lived.add(state)
        seconds = sorted(dice.sample(list(way.states), min(most, len(way.states))))
        self.result.pairs += len(seconds)
        for second in seconds:
            self._from((first, second), way.states[second], standing)

    def _from(self, deaths: tuple[int, ...], state: bytes, standing: Standing | None) -> None:
        """Live with deaths that leave a state, unless it is known what follows from it."""
        if state in self._lived or state in self._ended_well:
            return
        watch = Watch(frozenset(deaths), thorough=False)
        self._live(watch, _Way(deaths), standing, self._ended_well)
        self._lived.add(state)

    def _observed(
        self, way: _Way, standing: Standing | None, known: Container[bytes] = ()
    ) -> Lived:
        """Live, and name what a death would leave at each of the points."""

        def note(life: Life, number: int) -> None:
            if not way.is_after(number):
                return
            state = way.states[number] = state_of(life, self._host.seam.passed[number])
            unknown = state not in self._lived and state not in self._ended_well
            if way.keeps is not None and unknown and state not in way.keeps and not self._plainly:
                kept = stand(life.installation, life.changing, state)
                if kept is not None:
                    way.keeps[state] = kept

        return self._live(Watch(frozenset(way.deaths), at_point=note), way, standing, known)

    def _live(
        self, watch: Watch, way: _Way, standing: Standing | None, known: Container[bytes]
    ) -> Lived:
        """Live and judge; end where it is known what follows."""
        unseen = [] if standing is None else [standing.name]

        def rest(life: Life) -> bool:
            if life.installation.sandbox.census.in_flight:
                # Nothing names how far it is.
                return False
            state, count = state_of(life), len(self._host.seam.passed)
            if unseen and state != unseen.pop():
                raise NotKeptError
            if not way.is_after(count):
                return False
            if state in known:
                way.known = state
                return True
            way.rests.append((state, count))
            return False

        watch.at_rest = None if self._plainly else rest
        self.result.lives += 1
        try:
            lived = live(self._host, self._scenario, watch, self._beginning, standing)
        except NotKeptError:
            # Nothing is concluded from it: what it was to show is lived from the beginning.
            self.result.anew += 1
            way.states.clear()
            if way.keeps is not None:
                way.keeps.clear()
            return self._live(replace(watch, life=None, over=False), way, None, known)
        wrong = self._judge(lived, way.deaths)
        if not wrong:
            passed = len(lived.passed)
            passed += 0 if way.known is None else self._ended_well[way.known]
            for state, count in way.rests:
                self._ended_well.setdefault(state, passed - count)
        return lived

    def _well(self, way: _Way) -> Iterator[bytes]:
        """Walk through the states between two messages of a life that ended well."""
        return (state for state, _ in way.rests if state in self._ended_well)

    def _judge(self, lived: Lived, deaths: tuple[int, ...]) -> bool:
        """Note what was wrong, and in what the end differs from the undisturbed one."""
        wrong = [*lived.wrong, *self._differences(lived)]
        if not wrong:
            return False
        self.result.found += 1
        if len(self.result.violations) < TOLD_MAX:
            at = tuple(str(lived.passed[death]) for death in deaths if death < len(lived.passed))
            self.result.violations.append(Violation(deaths, at, tuple(wrong)))
        return True

    def _differences(self, lived: Lived) -> Iterator[str]:
        if lived.outcome is None or self._undisturbed is None or not self._undisturbed.outcome:
            return
        for name, expected in self._undisturbed.outcome.items():
            found = lived.outcome.get(name)
            if name not in self._scenario.varies and found != expected:
                yield f"{name} end as {found}, undisturbed as {expected}"


@dataclass(frozen=True, slots=True)
class Replayed:
    """One life, with the virtual second of every point it passed."""

    trace: tuple[tuple[float, Point], ...]
    wrong: tuple[str, ...]


def trace(host: Host, scenario: Scenario, deaths: Sequence[int]) -> Replayed:
    """Live one life, and return everything it passed."""
    seconds: list[float] = []
    watch = Watch(
        frozenset(deaths), at_point=lambda _life, _number: seconds.append(host.loop.time())
    )
    lived = live(host, scenario, watch, prepare(host, scenario))
    return Replayed(tuple(zip(seconds, lived.passed, strict=True)), lived.wrong)


def named(host: Host, scenario: Scenario) -> Sequence[tuple[Point, bytes]]:
    """Live once, undisturbed, and name what a death would leave at each of the points."""
    named: list[tuple[Point, bytes]] = []

    def note(life: Life, number: int) -> None:
        point = host.seam.passed[number]
        named.append((point, state_of(life, point)))

    live(host, scenario, Watch(frozenset(), at_point=note), prepare(host, scenario))
    return named
