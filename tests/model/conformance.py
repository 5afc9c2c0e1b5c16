"""Whether the rows of real runs move as the models say they may, and which moves were seen.

What a model allows is read from the model: every step that it can take anywhere, seen through the
columns that a row has. An observation is what one transaction did to one invoice or refund.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final, Generic, NamedTuple, Protocol, Self, TypeVar

from tests.model import charge, refund
from tests.model.charge import Bounds, Charge, World
from tests.model.checker import Report, check
from tests.support.book import DuplicatePolicy

SAME: Final = "same send"
NEXT: Final = "next send"
NEW: Final = "new number"
ODD: Final = "numbers that no claim writes"
R = TypeVar("R", bound="Rows")


class Seen(NamedTuple):
    """One step through the columns: what stood before, what stands after, and how it was counted.

    ``before`` is None for rows that did not exist.
    """

    before: tuple[object, ...] | None
    after: tuple[object, ...]
    counted: str

    def __str__(self) -> str:
        """Return it for people."""
        before = "nothing" if self.before is None else _told(self.before)
        return f"{before} -> {_told(self.after)} ({self.counted})"


def _told(columns: tuple[object, ...]) -> str:
    return " ".join(str(column) for column in columns)


class Rows(Protocol):
    """What the rows of one thing show."""

    def since(self, before: Self | None) -> Seen:
        """Return the step that led here, as the model would take it."""


class ChargeRows(NamedTuple):
    """An invoice and its latest attempt as their rows show them; ``attempt`` is empty before one.

    Attributes:
        invoice: ``invoices.status``.
        planned: Whether ``invoices.next_attempt_at`` is set.
        attempt: ``payment_attempts.status`` of the highest ``number``.
        in_doubt: Whether its ``unknown_since`` is set.
        held: Its ``held_by_gateway``.
        seen: Its ``no_records``.
        number: Its ``number``, or 0.
        sends: Its ``send_number``, or 0.
    """

    invoice: str
    planned: bool
    attempt: str = ""
    in_doubt: bool = False
    held: bool = False
    seen: int = 0
    number: int = 0
    sends: int = 0

    def since(self, before: "ChargeRows | None") -> Seen:
        """Return the step that led here; numbers and sends count up as claims write them."""
        columns = self[:-2]
        if before is None:
            return Seen(None, columns, SAME if self.sends == 0 else ODD)
        counted = {
            (before.number, before.sends): SAME,
            (before.number, before.sends + 1): NEXT,
            (before.number + 1, 1): NEW,
        }.get((self.number, self.sends), ODD)
        return Seen(before[:-2], columns, counted)


class RefundRows(NamedTuple):
    """A refund as its row shows it.

    Attributes:
        status: ``refunds.status``.
        in_doubt: Whether its ``unknown_since`` is set.
        is_refused: Whether its ``refusal`` is set.
        checksum: Its ``checksum``, or None.
        sends: Its ``send_number``.
    """

    status: str
    in_doubt: bool = False
    is_refused: bool = False
    checksum: int | None = None
    sends: int = 0

    def since(self, before: "RefundRows | None") -> Seen:
        """Return the step that led here; a checksum never turns into another one."""
        columns = self._columns()
        if before is None:
            return Seen(None, columns, SAME if self.sends == 0 else ODD)
        counted = {before.sends: SAME, before.sends + 1: NEXT}.get(self.sends, ODD)
        if None not in (before.checksum, self.checksum) and before.checksum != self.checksum:
            counted = ODD
        return Seen(before._columns(), columns, counted)

    def _columns(self) -> tuple[object, ...]:
        return (*self[:-2], self.checksum is not None)


@dataclass(frozen=True, slots=True)
class Observation(Generic[R]):
    """What one transaction did.

    Attributes:
        before: The rows before it, or None if there were none.
        after: The rows after it.
        event: What caused it, for people.
        between: The rows after each of its statements but the last, for a transaction in which
            more than one thing happened.
    """

    before: R | None
    after: R
    event: str = ""
    between: Sequence[R] = ()


@dataclass(frozen=True, slots=True)
class Allowed(Generic[R]):
    """Every step that a model can take, and by which actions it takes it.

    Attributes:
        reports: What the checks found that the steps were read from, by configuration.
    """

    steps: Mapping[Seen, frozenset[str]]
    reports: Mapping[str, Report] = field(default_factory=dict)

    def check(self, observations: Iterable[Observation[R]]) -> list[str]:
        """Return every observation that no step of the model explains, in words."""
        return [
            f"{item.event or 'a transaction'}: {item.after.since(item.before)}"
            f" is no step of the model"
            for item in observations
            if self.explain(item) is None
        ]

    def explain(self, item: Observation[R]) -> list[Seen] | None:
        """Return the fewest steps of the model that make up one transaction, or None.

        A transaction may hold several endings, each written by a statement of its own. Whatever
        happened in it ends at the end of a statement, so a step leads from one of these ends to
        another.
        """
        ends: list[R | None] = [item.before, *item.between, item.after]
        # The fewest steps to each end of a statement; rows that stay the same take none.
        ways: list[list[Seen] | None] = [[]] + [None] * (len(ends) - 1)
        for number in range(1, len(ends)):
            for earlier in range(number):
                way, after = ways[earlier], ends[number]
                if way is None or after is None:
                    continue
                found = self._step(ends[earlier], after)
                known = ways[number]
                if found is not None and (known is None or len(way) + len(found) < len(known)):
                    ways[number] = [*way, *found]
        return ways[-1]

    def _step(self, before: R | None, after: R) -> list[Seen] | None:
        if before == after:
            return []
        step = after.since(before)
        return [step] if step in self.steps else None

    def covered(self, observations: Iterable[Observation[R]]) -> set[Seen]:
        """Return the steps of the model that were observed."""
        return {step for item in observations for step in self.explain(item) or ()}

    def uncovered(self, observations: Iterable[Observation[R]]) -> dict[str, list[Seen]]:
        """Return the steps of the model that were not observed, by action."""
        unseen: dict[str, list[Seen]] = {}
        for step in sorted(self.steps.keys() - self.covered(observations), key=str):
            for action in sorted(self.steps[step]):
                unseen.setdefault(action, []).append(step)
        return unseen


class _Steps:
    """The steps of a model as its rows would show them."""

    def __init__(self) -> None:
        self.actions: dict[Seen, set[str]] = {}

    def add(self, step: Seen, action: str) -> None:
        """Remember a step, unless nothing of it shows."""
        if step.before != step.after or step.counted != SAME:
            self.actions.setdefault(step, set()).add(action)

    def allowed(self) -> dict[Seen, frozenset[str]]:
        """Return what was remembered."""
        return {step: frozenset(actions) for step, actions in self.actions.items()}


def _columns(state: charge.State) -> tuple[object, ...]:
    attempt = state.attempt
    planned = state.when != charge.NEVER
    return (state.invoice, planned, attempt.status, attempt.doubt, attempt.held, attempt.seen)


def _watch_charge(steps: _Steps) -> Callable[[charge.State, str, charge.State], None]:
    def saw(before: charge.State, action: str, after: charge.State) -> None:
        if (
            after.attempt is before.attempt
            and after.when is before.when
            and after.invoice is before.invoice
        ):
            return
        counted = SAME
        if len(after.records) > len(before.records):
            counted = NEW
        elif after.attempt.status == charge.CLAIMED and action.startswith("the claim is committed"):
            counted = NEXT
        steps.add(Seen(_columns(before), _columns(after), counted), action)

    return saw


def lives() -> Sequence[tuple[str, Charge]]:
    """Return lives in which everything happens that rows can show, people's doings included."""
    never, if_paid, none = (
        World(DuplicatePolicy.NEVER_REUSABLE),
        World(DuplicatePolicy.REFUSED_IF_PAID),
        World(DuplicatePolicy.NONE),
    )
    trouble = Bounds(crashes=0, faults=1)
    few = {
        "a death": (never, Bounds(crashes=1, faults=0)),
        "a fault": (if_paid, trouble),
        "people": (never, replace(trouble, people=1)),
        "another method": (if_paid, replace(trouble, declines=1, new_methods=1)),
        "an end": (if_paid, replace(trouble, cancellations=1)),
        "a key dead elsewhere": (none, replace(trouble, key_deaths=1)),
        "a key dead elsewhere, then another method": (
            none,
            replace(trouble, declines=1, key_deaths=1, new_methods=1),
        ),
        "dunning rests": (if_paid, replace(trouble, faults=0, switches=1, cancellations=1)),
        "a grace period": (
            if_paid,
            replace(trouble, declines=1, key_deaths=1, new_methods=1, grace=True),
        ),
        "no charge": (none, Bounds(is_charged=False)),
    }
    return [
        (f"charge, {name}", Charge(world=world, bounds=bounds))
        for name, (world, bounds) in few.items()
    ]


@cache
def charges() -> Allowed[ChargeRows]:
    """Return what may happen to an invoice and its attempts."""
    steps, reports = _Steps(), {}
    for name, model in lives():
        reports[name] = check(model, saw=_watch_charge(steps))
        steps.add(Seen(None, _columns(model.initial()), SAME), "the invoice is opened")
    return Allowed(steps.allowed(), reports)


def _refund_columns(row: refund.Row) -> tuple[object, ...]:
    return (row.status, row.doubt, row.refused, row.checksum != refund.NO_CHECKSUM)


def _watch_refund(steps: _Steps) -> Callable[[refund.State, str, refund.State], None]:
    def saw(before: refund.State, action: str, after: refund.State) -> None:
        if after.rows is before.rows:
            return
        for was, row in zip(before.rows, after.rows, strict=True):
            if was is not row:
                counted = NEXT if action == "the claim is committed" else SAME
                steps.add(Seen(_refund_columns(was), _refund_columns(row), counted), action)

    return saw


@cache
def refunds() -> Allowed[RefundRows]:
    """Return what may happen to a refund."""
    steps, reports = _Steps(), {}
    for name, model in refund.configurations():
        reports[name] = check(model, saw=_watch_refund(steps))
        for row in model.initial().rows:
            steps.add(Seen(None, _refund_columns(row), SAME), "the refund is asked for")
    return Allowed(steps.allowed(), reports)
