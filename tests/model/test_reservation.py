"""No life of a reservation charges twice or gets stuck, and without one of its rules one does."""

import pytest

from shared.billing.reserving import RESERVATION_BEGINNINGS, RESERVATION_TRANSITIONS
from tests.model.checker import check
from tests.model.reservation import NO_ROW, State, configurations
from tests.model.reservation_mistakes import MISTAKES, Mistake


def test_whatever_happens_a_period_is_paid_once_by_steps_of_the_code_alone() -> None:
    known = {
        (str(before), str(after))
        for before, ends in RESERVATION_TRANSITIONS.items()
        for after in ends
    }
    known |= {(NO_ROW, str(beginning)) for beginning in RESERVATION_BEGINNINGS}
    taken: set[tuple[str, str]] = set()

    def saw(before: State, _action: str, after: State) -> None:
        if before.row.number != after.row.number:
            taken.add((NO_ROW, str(after.row.status)))
        elif before.row.status != after.row.status:
            taken.add((str(before.row.status), str(after.row.status)))

    for name, model in configurations():
        found = check(model, saw=saw)

        ways = "\n".join(f"{kind}\n{way}" for kind, way in found.traces.items())
        assert not found.traces, f"{name}: {ways}"
        assert (found.complete, found.stuck) == (True, 0), name
        assert found.good_ends, name
    assert taken == known


@pytest.mark.parametrize("mistake", [pytest.param(item, id=item.name) for item in MISTAKES])
def test_what_is_left_out_is_missed(mistake: Mistake) -> None:
    found = check(mistake.model, until=(mistake.found,))

    assert mistake.found in found.traces, sorted(found.traces)
