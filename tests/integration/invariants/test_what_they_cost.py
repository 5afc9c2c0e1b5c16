"""The measurement of what a look costs measures every invariant, where all of them hold."""

import asyncio
import io

from rich.console import Console

from shared.db.invariants import INVARIANTS
from tests.bench.invariants import measure


def test_every_invariant_is_measured(database_url: str) -> None:
    measured = asyncio.run(measure(database_url, 300, Console(file=io.StringIO())))
    assert [cost.name for cost in measured.costs] == [invariant.name for invariant in INVARIANTS]
    assert all(0 < cost.median_ms <= cost.longest_ms for cost in measured.costs)
    assert measured.whole_s > 0
