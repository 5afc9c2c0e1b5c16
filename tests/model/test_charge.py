"""No life of a charge pays twice or gets stuck, and without any one of its rules one does."""

import pytest

from tests.model.charge import PAID_TWICE, Bounds, Charge, World, configurations
from tests.model.checker import check
from tests.model.mistakes import ASSUMPTIONS, DESIGNS, RULES, Mistake
from tests.support.book import DuplicatePolicy

CONFIGURATIONS = configurations()
# Below it, something was cut off rather than checked.
STATES_MIN = 50_000


@pytest.mark.parametrize("model", [pytest.param(model, id=name) for name, model in CONFIGURATIONS])
def test_two_workers_two_deaths_and_two_faults_harm_nothing(model: Charge) -> None:
    bounds = model.bounds
    assert (bounds.workers, bounds.crashes, bounds.faults) == (2, 2, 2)

    found = check(model)

    assert found.complete
    assert not found.traces, "\n".join(f"{kind}\n{way}" for kind, way in found.traces.items())
    assert found.stuck == 0
    assert found.states > STATES_MIN


def test_every_reading_of_the_documents_is_checked() -> None:
    assert {model.world.policy for _, model in CONFIGURATIONS} == set(DuplicatePolicy)


@pytest.mark.parametrize(
    "mistake",
    [pytest.param(mistake, id=mistake.name) for mistake in (*DESIGNS, *RULES, *ASSUMPTIONS)],
)
def test_what_is_left_out_is_missed(mistake: Mistake) -> None:
    found = check(mistake.model, until=(mistake.found,))

    assert mistake.found in found.traces, sorted(found.traces)


def test_the_way_to_a_mistake_is_the_shortest() -> None:
    (mistake,) = [item for item in RULES if item.name == "a lost reply is sent again"]

    found = check(mistake.model, until=(PAID_TWICE,))

    assert found.traces[PAID_TWICE].actions == (
        "a worker locks the due invoice",
        "the claim is committed",
        "the request leaves",
        "the gateway books a payment, the reply is lost",
        "a worker settles: lost",
        "a worker locks the due invoice",
        "the claim is committed, again",
        "the request leaves",
        "the gateway books a payment and says so",
    )


def test_a_design_that_waits_for_nothing_is_saved_by_a_gateway_that_refuses_what_is_paid() -> None:
    (mistake,) = [item for item in DESIGNS if item.name.startswith("E")]
    saved = Charge(mistake.rules, World(DuplicatePolicy.REFUSED_IF_PAID), Bounds(2, 1, 0))

    assert PAID_TWICE not in check(saved).traces
