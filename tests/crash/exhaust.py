"""All deaths of one scenario: none, one at every point, one more at every later point.

What two deaths leave alike is recovered alike (``tests.crash.state``), so a state that was lived
through to its end is not lived through again: every point and every pair is accounted for, and
each distinct state that one or two deaths leave is lived once, from its beginning, with those
deaths in it.
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.crash import coverage
from tests.crash.state import state_of
from tests.crash.story import Life, Lived, Scenario, Watch, live, prepare
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
        found: How many lives went wrong.
        places: The calls that touched the outside (``coverage.Place``).
    """

    name: str
    points: int = 0
    pairs: int = 0
    lives: int = 0
    seconds: float = 0.0
    found: int = 0
    violations: list[Violation] = field(default_factory=list)
    places: set[coverage.Place] = field(default_factory=set)


class Exhaustion:
    """Lives one scenario again and again."""

    def __init__(self, host: Host, scenario: Scenario) -> None:
        """Take what lives are lived on."""
        self._host = host
        self._scenario = scenario
        self._beginning = prepare(host, scenario)
        self._known: set[bytes] = set()
        self._undisturbed: Lived | None = None
        self.result = Result(scenario.name)

    def run(self, points: int | None, pairs: int | None, dice: random.Random) -> Result:
        """Live all lives; of points and pairs only so many, drawn by the dice, if told so."""
        began_s = time.perf_counter()
        seam.touched.clear()
        result = self.result
        undisturbed, states = self._observed(())
        self._undisturbed = undisturbed
        self._judge(undisturbed, ())
        firsts: dict[bytes, list[int]] = {}
        for number, state in enumerate(states):
            firsts.setdefault(state, []).append(number)
        if points is not None:
            kept = dice.sample(list(firsts), min(points, len(firsts)))
            firsts = {state: firsts[state] for state in kept}
        result.points = sum(len(alike) for alike in firsts.values())
        drawn = self._drawn(firsts, pairs, dice)
        for state, alike in firsts.items():
            if pairs is None or alike[0] in drawn:
                self._with_all_seconds(state, alike, drawn.get(alike[0]), dice)
            else:
                self._lived((alike[0],), state)
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

    def _with_all_seconds(
        self, state: bytes, alike: Sequence[int], most: int | None, dice: random.Random
    ) -> None:
        """Live with a first death, and with every second one after it, or with some of them."""
        first = alike[0]
        recovered, states = self._observed((first,))
        self._judge(recovered, (first,))
        self._known.add(state)
        seconds = list(range(first + 1, len(recovered.passed)))
        if most is not None:
            seconds = sorted(dice.sample(seconds, min(most, len(seconds))))
        self.result.pairs += len(seconds) * (len(alike) if most is None else 1)
        for second in seconds:
            self._lived((first, second), states[second])

    def _lived(self, deaths: tuple[int, ...], state: bytes) -> None:
        """Live with deaths that leave a state, unless it is known what follows from it."""
        if state in self._known:
            return
        self._judge(self._live(Watch(frozenset(deaths), thorough=False)), deaths)
        self._known.add(state)

    def _observed(self, deaths: tuple[int, ...]) -> tuple[Lived, list[bytes]]:
        """Live, and name what a death would leave at each of the points."""
        states: list[bytes] = []

        def note(life: Life, number: int) -> None:
            states.append(state_of(life, self._host.seam.passed[number]))

        return self._live(Watch(frozenset(deaths), at_point=note)), states

    def _live(self, watch: Watch) -> Lived:
        self.result.lives += 1
        return live(self._host, self._scenario, watch, self._beginning)

    def _judge(self, lived: Lived, deaths: tuple[int, ...]) -> None:
        """Note what was wrong, and in what the end differs from the undisturbed one."""
        wrong = [*lived.wrong, *self._differences(lived)]
        if not wrong:
            return
        self.result.found += 1
        if len(self.result.violations) < TOLD_MAX:
            at = tuple(str(lived.passed[death]) for death in deaths if death < len(lived.passed))
            self.result.violations.append(Violation(deaths, at, tuple(wrong)))

    def _differences(self, lived: Lived) -> Iterator[str]:
        assert self._undisturbed is not None
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
