"""Who finds a mutant: the simulation's lives, judged by its checkers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from tests.mutants.chase import Climate, chase
from tests.simulation.installation import host_on
from tests.simulation.races import race

# Takes a seed and returns everything that was wrong in its life.
Trap: TypeAlias = Callable[[int], Sequence[str]]


@contextmanager
def open_trap(url: str, climate: Climate) -> Iterator[Trap]:
    """Yield what lives the seeds of a climate on one database."""
    with host_on(url) as host:
        if climate.is_race:
            yield lambda seed: race(host, seed).violations
        else:
            yield lambda seed: chase(host, seed, climate)[0]
