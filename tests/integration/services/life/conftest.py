"""A process that works commands about subscriptions, for every test of this folder."""

import pytest

from tests.support.billing import World
from tests.support.living import Living


@pytest.fixture
def living(world: World) -> Living:
    """Empty tables with one process on them."""
    return Living(world)
