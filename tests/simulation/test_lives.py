"""Seeded lives: nothing is wrong at their end, and a seed is the same life whenever it is lived."""

import pytest

from deploy.launcher.servers import OwnServers
from tests.simulation.installation import Host, host_on
from tests.simulation.lives import Climate, live
from tests.support.databases import fresh_database

# Short and stormy: what is rare in two years is common here.
SHORT = Climate(
    subscriptions=10, days=45, storms=2, storm_steps=(25, 40), outages=0, observed_every=4
)
# Each under another policy of duplicates.
SEEDS = range(1, 10)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_wrong_at_the_end_of_a_life(host: Host, seed: int) -> None:
    verdict = live(host, seed, SHORT)
    assert not verdict.violations, (verdict.policy, verdict.violations, verdict.notes)
    assert verdict.charges > 0
    assert verdict.subscription_years > 0
    assert bool(verdict.steps) == (seed % SHORT.observed_every == 0)


def test_a_seed_is_one_life_whatever_was_lived_before(host: Host, servers: OwnServers) -> None:
    first = live(host, 7, SHORT)
    other = live(host, 8, SHORT)
    again = live(host, 7, SHORT)
    assert first == again
    assert first.digest != other.digest
    with fresh_database(servers.postgres) as url, host_on(url) as another:
        assert live(another, 7, SHORT) == first
