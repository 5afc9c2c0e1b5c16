"""docs/reconciliation.md says of differences what the code says."""

import re
from datetime import UTC, datetime
from itertools import product

from shared.billing.attempt import AttemptStatus
from shared.billing.inquiry import REGISTRATION, RecordStatus
from shared.billing.reconciliation import (
    DIFFERENCE_BEGINNINGS,
    DIFFERENCE_TRANSITIONS,
    DifferenceStatus,
    Found,
    KeptPayment,
    KnownAttempt,
    KnownWindow,
    Ours,
    Theirs,
    compare,
)
from shared.billing.window import WindowKind, WindowStatus
from tests.architecture.checkout import read

PAGE = "docs/reconciliation.md"
_ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \| (\w+) \| (\w+) \|$", re.MULTILINE)
_EDGE = re.compile(r"^ +(\S+) --> (\S+)$", re.MULTILINE)
_STATE = re.compile(r"^\| `(\w+)` \| [^|]+ \|$", re.MULTILINE)
_AT = datetime(2026, 1, 31, tzinfo=UTC)
_SOMETIMES = (False, True)


def possible() -> set[tuple[str, str, str]]:
    """Every difference that two sides of a payment can come to, with its repair and its owner."""
    theirs = [
        Theirs(
            uid, status, usage, 3, cancelled, of_our_shape=ours, on_our_key=ours, changed_at=None
        )
        for uid, status, usage, cancelled, ours in product(
            ("a", "b"), RecordStatus, (REGISTRATION, "payment"), (0, 3), _SOMETIMES
        )
    ]
    payments = [
        None,
        *(KeptPayment(1, "a", won, back, False) for won, back in ((3, 0), (3, 3), (4, 0))),
    ]
    attempts = [
        None,
        *(
            KnownAttempt(1, status, won, is_of_this_payment=its_own)
            for status, won, its_own in product(
                (AttemptStatus.PAID, AttemptStatus.DECLINED), (3, 4), _SOMETIMES
            )
        ),
    ]
    windows = [None, *(KnownWindow(kind, WindowStatus.EXPIRED) for kind in WindowKind)]
    found = set()
    for side, payment, attempt, window, too_many in product(
        (None, *theirs), payments, attempts, windows, _SOMETIMES
    ):
        verdict = compare(side, Ours(payment, attempt, window, is_one_too_many=too_many), _AT)
        if isinstance(verdict, Found):
            found.add((str(verdict.difference), str(verdict.repair), str(verdict.owner)))
    return found


def test_every_difference_has_its_repair_and_who_looks_at_it() -> None:
    rows = _ROW.findall(read(PAGE))
    assert len(rows) == len(set(rows))
    assert set(rows) == possible()


def test_the_states_of_a_difference_are_drawn_as_they_are() -> None:
    edges = set(_EDGE.findall(read(PAGE)))
    assert edges == {
        *(("[*]", str(status)) for status in DIFFERENCE_BEGINNINGS),
        *(
            (str(before), str(after))
            for before, afters in DIFFERENCE_TRANSITIONS.items()
            for after in afters
        ),
    }
    assert set(_STATE.findall(read(PAGE))) == set(DifferenceStatus)
