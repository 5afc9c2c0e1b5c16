"""Beat's lease: run two, and one ticks; losing Redis ends nobody."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from deploy.launcher.ports import free_port
from deploy.launcher.servers import OwnServers
from scheduler.leader import LeaderScheduler, Lease
from shared.jobs.beat import LEASE_KEY

DURATION_S = 30.0
SHORT_S = 0.05


def become(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait until something is so."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


@pytest.fixture
def redis(servers: OwnServers) -> Iterator["Redis"]:
    with Redis.from_url(servers.valkey.url, socket_timeout=2, socket_connect_timeout=2) as client:
        client.delete(LEASE_KEY)
        yield client
        client.delete(LEASE_KEY)


class TestLease:
    def test_one_of_two_holds_it_and_keeps_it(self, redis: "Redis") -> None:
        first, second = (Lease(redis, LEASE_KEY, DURATION_S) for _ in range(2))
        for _ in range(3):
            assert first.hold()
            assert not second.hold()
        assert 0 < redis.pttl(LEASE_KEY) <= DURATION_S * 1000

    def test_it_is_handed_over_at_once_when_it_is_given_up(self, redis: "Redis") -> None:
        first, second = (Lease(redis, LEASE_KEY, DURATION_S) for _ in range(2))
        assert first.hold()
        first.release()
        assert second.hold()
        assert not first.hold()

    def test_it_is_handed_over_when_its_holder_falls_silent(self, redis: "Redis") -> None:
        first, second = Lease(redis, LEASE_KEY, SHORT_S), Lease(redis, LEASE_KEY, DURATION_S)
        assert first.hold()
        become(second.hold)
        assert not first.hold()

    def test_a_holder_that_comes_back_takes_nothing_from_the_new_one(self, redis: "Redis") -> None:
        paused, second = (Lease(redis, LEASE_KEY, DURATION_S) for _ in range(2))
        assert paused.hold()
        redis.delete(LEASE_KEY)
        assert second.hold()
        assert not paused.hold()
        paused.release()
        assert second.hold()

    def test_a_holder_that_comes_back_in_time_for_a_free_lease_holds_it_again(
        self, redis: "Redis"
    ) -> None:
        paused = Lease(redis, LEASE_KEY, DURATION_S)
        assert paused.hold()
        redis.flushall()
        assert paused.hold()

    def test_nobody_holds_it_while_redis_is_away_and_one_does_when_it_is_back(
        self, servers: OwnServers, redis: "Redis"
    ) -> None:
        lease = Lease(redis, LEASE_KEY, DURATION_S)
        assert lease.hold()
        servers.valkey.kill()
        try:
            began_s = time.monotonic()
            assert not lease.hold()
            lease.release()
            # Three tries a call, with pauses in between; beat stands still meanwhile.
            assert time.monotonic() - began_s < 20
        finally:
            servers.valkey.start()
        assert lease.hold()

    def test_an_answer_that_is_no_number_is_survived(self, redis: "Redis") -> None:
        redis.lpush(LEASE_KEY, "somebody else's list")
        lease = Lease(redis, LEASE_KEY, DURATION_S)
        assert not lease.hold()
        lease.release()


class Ticking(LeaderScheduler):
    """A scheduler that counts what it would have sent."""

    sent: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.sent = 0
        super().__init__(*args, **kwargs)

    def apply_async(self, *_args: Any, **_kwargs: Any) -> None:
        """Count one message."""
        self.sent += 1

    def ticks(self) -> bool:
        """Tick, and say whether anything was sent by it."""
        before = self.sent
        self.tick()
        return self.sent > before


@pytest.fixture
def beats(
    servers: OwnServers, redis: "Redis", monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Ticking, Ticking]]:
    """Two beats with the same timetable."""
    assert redis.ping()
    for name, value in {
        "DATABASE_URL": "postgresql://nowhere",
        "REDIS_URL": servers.valkey.url,
        "PORTONE_IMP_KEY": "key",
        "PORTONE_IMP_SECRET": "secret",
        "LEADER_LEASE_S": str(DURATION_S),
    }.items():
        monkeypatch.setenv(f"DALMADA_{name}", value)
    schedule = {"scan": {"task": "scan.renew", "schedule": 0.01}}
    app = Celery("beats", broker=servers.valkey.url, set_as_current=False)
    app.conf.beat_schedule = schedule
    first, second = Ticking(app=app), Ticking(app=app)
    yield first, second
    first.close()
    second.close()


class TestScheduler:
    def test_one_of_two_ticks(self, beats: tuple[Ticking, Ticking]) -> None:
        leader, other = beats
        become(leader.ticks)
        for _ in range(5):
            assert not other.ticks()
        become(leader.ticks)

    def test_one_that_stands_by_looks_again_well_before_the_lease_ends(
        self, beats: tuple[Ticking, Ticking]
    ) -> None:
        leader, other = beats
        assert leader.tick() <= DURATION_S / 2
        assert other.tick() <= DURATION_S / 2
        assert (other.max_interval or DURATION_S) <= DURATION_S / 2

    def test_a_leader_that_was_paused_past_its_lease_sends_nothing(
        self, beats: tuple[Ticking, Ticking], redis: "Redis"
    ) -> None:
        paused, other = beats
        become(paused.ticks)
        redis.delete(LEASE_KEY)
        become(other.ticks)
        for _ in range(5):
            assert not paused.ticks()

    def test_closing_hands_over_at_once(self, beats: tuple[Ticking, Ticking]) -> None:
        leader, other = beats
        become(leader.ticks)
        assert not other.ticks()
        leader.close()
        become(other.ticks)

    def test_closing_one_that_stands_by_takes_nothing_away(
        self, beats: tuple[Ticking, Ticking]
    ) -> None:
        leader, other = beats
        become(leader.ticks)
        assert not other.ticks()
        other.close()
        become(leader.ticks)

    def test_one_that_was_told_to_end_ends_although_the_signal_was_lost_in_an_exchange(
        self, beats: tuple[Ticking, Ticking]
    ) -> None:
        leader, other = beats
        become(leader.ticks)
        leader.close()

        with pytest.raises(SystemExit):
            leader.tick()
        become(other.ticks)


def test_a_redis_that_was_never_there_makes_nobody_leader() -> None:
    with Redis(port=free_port(), socket_connect_timeout=1) as away:
        assert not Lease(away, LEASE_KEY, DURATION_S).hold()
