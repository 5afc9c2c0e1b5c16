"""What is wished for while PortOne executes: one payment a period, whoever comes first."""

import pytest

from tests.simulation.installation import Host
from tests.simulation.races import SUBSCRIPTIONS, race

# Each under another policy of duplicates; the whole is in ``make test-simulation``.
SEEDS = (1, 5, 6)


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_pays_twice_whoever_comes_first(host: Host, seed: int) -> None:
    verdict = race(host, seed)
    assert not verdict.violations, (verdict.policy, verdict.violations, verdict.notes)
    rows = host.reader.execute("SELECT status FROM reservations").fetchall()
    assert len(rows) >= SUBSCRIPTIONS
    # Some were executed, and some were revoked in time: neither always comes first.
    assert {status for (status,) in rows} >= {"collected", "revoked"}


def test_a_seed_is_one_race_however_many_were_lived_before(host: Host) -> None:
    """The third was another one, while statements were prepared after so many uses."""
    assert race(host, 1) == race(host, 1) == race(host, 1)
