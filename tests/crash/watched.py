"""The life in which somebody looks at the invariants; there is nothing else to be done in it."""

from shared.db.invariants import INVARIANTS
from shared.jobs.contracts import CheckInvariants
from tests.crash.story import Life, Scenario


async def _look(life: Life) -> bool:
    """Have beat say: look."""
    life.installation.broker.push(CheckInvariants())
    return True


async def _looked(life: Life) -> bool:
    """Wait until every invariant was looked at, and see that nothing is found where nothing is."""
    if await life.count("invariant_checks") < len(INVARIANTS):
        return False
    assert await life.count("invariant_checks WHERE findings <> '[]'") == 0
    return True


WATCHED = (Scenario("invariants looked at", [_look, _looked]),)
