"""No life of a refund gives back twice or gets stuck, and without one of its rules one does."""

import pytest

from tests.model.checker import check
from tests.model.refund import Bounds, Refund, World, configurations
from tests.model.refund_mistakes import MISTAKES, Mistake


@pytest.mark.parametrize(
    "model", [pytest.param(model, id=name) for name, model in configurations()]
)
def test_whatever_happens_money_goes_back_once(model: Refund) -> None:
    found = check(model)

    assert found.complete
    assert not found.traces, "\n".join(f"{kind}\n{way}" for kind, way in found.traces.items())
    assert found.stuck == 0
    assert found.good_ends


def test_the_checksum_needs_no_settle_delay() -> None:
    late = Refund(world=World(finishes_in_time=False), bounds=Bounds(refunds=1, refusals=1))

    assert not check(late).traces


@pytest.mark.parametrize("mistake", [pytest.param(item, id=item.name) for item in MISTAKES])
def test_what_is_left_out_is_missed(mistake: Mistake) -> None:
    found = check(mistake.model, until=(mistake.found,))

    assert mistake.found in found.traces, sorted(found.traces)
