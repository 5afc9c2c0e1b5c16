"""Seeded lives: nothing is wrong at their end, and a seed is the same life whenever it is lived."""

import multiprocessing
import os
import random
import signal
import threading
from contextlib import suppress

import pytest

from deploy.launcher.servers import OwnServers
from tests.simulation.crew import live_all
from tests.simulation.installation import Host, host_on
from tests.simulation.lives import Climate, live
from tests.support.databases import fresh_database

# Short and stormy: what is rare in two years is common here.
SHORT = Climate(subscriptions=10, days=45, storms=2, storm_steps=(25, 40), outages=0)
# Each under another policy of duplicates.
SEEDS = range(1, 7)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_wrong_at_the_end_of_a_life(host: Host, seed: int) -> None:
    verdict = live(host, seed, SHORT)
    assert not verdict.violations, (verdict.policy, verdict.violations, verdict.notes)
    assert verdict.charges > 0
    assert verdict.subscription_years > 0


def test_a_seed_is_one_life_whatever_was_lived_before(host: Host, servers: OwnServers) -> None:
    first = live(host, 7, SHORT)
    other = live(host, 8, SHORT)
    again = live(host, 7, SHORT)
    assert first == again
    assert first.digest != other.digest
    with fresh_database(servers.postgres) as url, host_on(url) as another:
        assert live(another, 7, SHORT) == first


def test_a_seed_is_one_life_in_every_process_however_often_that_stands_still() -> None:
    ended = threading.Event()
    stopped = threading.Thread(target=_stop_now_and_then, args=(ended,))
    stopped.start()
    try:
        one, other = live_all([9, 9], SHORT, 2)
    finally:
        ended.set()
        stopped.join()
    assert one.verdict is not None
    assert one.verdict == other.verdict


def _stop_now_and_then(ended: threading.Event) -> None:
    """Stop one child after the other for a moment, so that real time is another one in each."""
    dice = random.Random()  # noqa: S311 - any instant will do
    while not ended.wait(dice.uniform(0.0, 0.3)):
        for child in multiprocessing.active_children():
            if child.pid is not None and dice.random() < 0.5:
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGSTOP)
                    ended.wait(dice.uniform(0.0, 0.1))
                    os.kill(child.pid, signal.SIGCONT)
