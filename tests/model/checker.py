"""A small explicit-state checker: every reachable state, the shortest way to what is wrong.

A model says where it begins, what may happen in a state, what is wrong with a step, and which
states are good ends. The checker walks breadth-first, so the first way to a state is a shortest
one. *Stuck* is a state from which no good end can be reached any more by calm steps only: without
a crash, a fault or somebody's help (in temporal logic: not AG EF good).
"""

import gc
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import process_time
from typing import Generic, NamedTuple, Protocol, TypeAlias, TypeVar

S = TypeVar("S", bound=Hashable)
# What a model says may happen: its name, whether it needs no misfortune, and what comes of it.
Step: TypeAlias = tuple[str, bool, S]
STUCK = "stuck"


class Model(Protocol[S]):
    """What can be checked; states are compared and hashed, so equal ones are visited once."""

    def initial(self) -> S:
        """Return the state that everything begins in."""

    def steps(self, state: S) -> Iterable[Step[S]]:
        """Return whatever may happen in a state."""

    def wrong(self, before: S, after: S) -> Iterable[str]:
        """Return the kinds of what is wrong with a step, or with the state that it leads to."""

    def is_good_end(self, state: S) -> bool:
        """Say whether a life may end here."""


class Trace(NamedTuple):
    """A shortest way to something wrong, as the names of what happened."""

    actions: tuple[str, ...]
    state: str

    def __str__(self) -> str:
        """Return it for people, one action a line."""
        lines = [f"{number:3d}  {action}" for number, action in enumerate(self.actions, start=1)]
        return "\n".join([*lines, f"  =  {self.state}"])


def brief(value: object) -> str:
    """Return a state in words: of named fields, those that are not as they are by default."""
    if not isinstance(value, tuple):
        return str(value)
    defaults = getattr(value, "_field_defaults", None)
    if defaults is None:
        return "[" + ", ".join(brief(item) for item in value) + "]"
    told = [
        f"{name}={brief(item)}"
        for name, item in zip(getattr(value, "_fields", ()), value, strict=True)
        if name not in defaults or item != defaults[name]
    ]
    return f"{type(value).__name__}({', '.join(told)})"


@dataclass(slots=True)
class Report:
    """What a check found.

    Attributes:
        complete: Whether every reachable state was visited.
        stuck: How many states are stuck.
        actions: Every action that was possible anywhere.
        traces: One shortest way to each kind of wrong, ``stuck`` included.
    """

    states: int = 0
    transitions: int = 0
    seconds: float = 0.0
    complete: bool = False
    stuck: int = 0
    good_ends: int = 0
    actions: set[str] = field(default_factory=set)
    traces: dict[str, Trace] = field(default_factory=dict)

    @property
    def violations(self) -> int:
        """How many kinds of wrong were found, not counting stuck states."""
        return sum(kind != STUCK for kind in self.traces)


class _Walk(Generic[S]):
    """The states found so far, numbered in the order in which they were found."""

    def __init__(self, first: S) -> None:
        self.numbers: dict[S, int] = {first: 0}
        self.states: list[S] = [first]
        self.came_from: list[tuple[int, str]] = [(-1, "")]
        # By which calm steps a state is reached: walked backwards from the good ends.
        self.calmly_from: list[list[int]] = [[]]

    def enter(self, state: S, from_number: int, action: str) -> tuple[int, bool]:
        """Return the number of a state, and whether it was not known before."""
        number = self.numbers.setdefault(state, len(self.states))
        if number < len(self.states):
            return number, False
        self.states.append(state)
        self.came_from.append((from_number, action))
        self.calmly_from.append([])
        return number, True

    def trace(self, number: int, last: tuple[str, S] | None = None) -> Trace:
        """Return the way to a state, and one step further if asked to."""
        end = last[1] if last else self.states[number]
        actions = [last[0]] if last else []
        while number > 0:
            number, action = self.came_from[number]
            actions.append(action)
        return Trace(tuple(reversed(actions)), brief(end))

    def stuck(self, good: Iterable[int]) -> list[int]:
        """Return the states from which no good one is reached calmly, in order."""
        saved = bytearray(len(self.states))
        open_ = deque(good)
        for number in open_:
            saved[number] = 1
        while open_:
            for number in self.calmly_from[open_.popleft()]:
                if not saved[number]:
                    saved[number] = 1
                    open_.append(number)
        return [number for number, is_saved in enumerate(saved) if not is_saved]


def check(
    model: Model[S],
    *,
    until: Collection[str] = (),
    states_max: int = 5_000_000,
    saw: Callable[[S, str, S], None] | None = None,
) -> Report:
    """Walk through every reachable state of a model and return what is wrong.

    What follows from a wrong step is not looked at: its ways would only be longer.

    Args:
        model: What is checked.
        until: Look for these kinds of wrong only, and stop as soon as all of them were found.
        states_max: Stop after so many states; the report is not complete then.
        saw: Is told every step.
    """
    began_s = process_time()
    report = Report()
    with _no_collection():
        _walk(model, report, until, states_max, saw)
    report.seconds = process_time() - began_s
    return report


@contextmanager
def _no_collection() -> Iterator[None]:
    """Look for no garbage meanwhile: every state is kept, and none points back."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _walk(  # noqa: C901 - one loop, seen as a whole
    model: Model[S],
    report: Report,
    until: Collection[str],
    states_max: int,
    saw: Callable[[S, str, S], None] | None,
) -> None:
    walk = _Walk(model.initial())
    good: list[int] = []
    wrong_at: set[int] = set()
    at = 0
    while at < len(walk.states) < states_max:
        state = walk.states[at]
        if model.is_good_end(state):
            good.append(at)
        for action, is_calm, after in [] if at in wrong_at else model.steps(state):
            report.transitions += 1
            report.actions.add(action)
            if saw is not None:
                saw(state, action, after)
            kinds = [kind for kind in model.wrong(state, after) if not until or kind in until]
            for kind in kinds:
                if kind not in report.traces:
                    report.traces[kind] = walk.trace(at, (action, after))
            number, is_new = walk.enter(after, at, action)
            if kinds and is_new:
                wrong_at.add(number)
            if is_calm:
                walk.calmly_from[number].append(at)
        at += 1
        if until and report.traces.keys() >= set(until):
            break
    report.complete = at == len(walk.states)
    report.states, report.good_ends = at, len(good)
    if report.complete:
        stuck = walk.stuck([*good, *wrong_at])
        report.stuck = len(stuck)
        if stuck:
            report.traces[STUCK] = walk.trace(stuck[0])


def told(reports: Sequence[Report]) -> str:
    """Return the sums of several checks in one line."""
    states = sum(report.states for report in reports)
    violations = sum(report.violations for report in reports)
    stuck = sum(report.stuck for report in reports)
    return (
        f"model: configurations={len(reports)} states={states}"
        f" violations={violations} stuck={stuck}"
    )
