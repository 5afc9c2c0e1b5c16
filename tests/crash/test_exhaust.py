"""Lives that go on from where another stood, and end where it is known what follows, find as much.

Whatever is found by living every life from its beginning to its end is found by them, after a death
at the same place and in the same words, and nothing else.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.launcher.servers import OwnServers
from shared.config import Settings
from shared.db import deliveries, outbox
from shared.jobs.celery_settings import celery_settings
from tests.crash import course, exhaust
from tests.crash import standing as standings
from tests.crash.exhaust import Exhaustion, Result
from tests.crash.scenarios import SCENARIOS
from tests.crash.standing import Standing, copied
from tests.simulation import installation
from tests.simulation.installation import Host, Installation, host_on
from tests.support.databases import fresh_database
from worker.services.relay import RelayEvents

Plant: TypeAlias = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def host(servers: OwnServers) -> Iterator[Host]:
    with fresh_database(servers.postgres) as url, host_on(url) as host:
        yield host


def _marked_before_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def relay(self: RelayEvents, connection: AsyncConnection) -> int:
        events = await outbox.unrelayed(connection, self.rows_max)
        if events:
            ids, now = [event.id for event in events], self.clock.now()
            await outbox.mark_relayed(connection, ids, now)
            await deliveries.fan_out(connection, ids, now)
            await connection.commit()
            await self.publish(events)
        return len(events)

    monkeypatch.setattr(RelayEvents, "_relay", relay)


def _acknowledged_before_it_is_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    def early(settings: Settings) -> dict[str, Any]:
        return {**celery_settings(settings), "task_acks_late": False}

    monkeypatch.setattr(installation, "celery_settings", early)


def _nothing(_monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave everything as it is."""


def _exhausted(host: Host, name: str, *, plainly: bool) -> Result:
    (scenario,) = (one for one in SCENARIOS if one.name == name)
    dice = random.Random(1)  # noqa: S311 - lives, not secrets
    return Exhaustion(host, scenario, plainly=plainly).run(None, None, dice)


def _told(result: Result) -> set[tuple[str, tuple[str, ...]]]:
    return {(violation.at[-1], violation.wrong) for violation in result.violations}


@pytest.mark.parametrize(
    ("name", "plant", "is_found"),
    [
        ("command refused", _nothing, False),
        ("command refused", _acknowledged_before_it_is_worked, True),
        ("webhook of a payment", _nothing, False),
        ("message malformed", _marked_before_it_is_told, True),
    ],
)
def test_as_much_is_found_as_by_living_every_life_whole(
    host: Host, monkeypatch: pytest.MonkeyPatch, name: str, plant: Plant, is_found: bool
) -> None:
    plant(monkeypatch)
    monkeypatch.setattr(exhaust, "TOLD_MAX", 10_000)
    briefly = _exhausted(host, name, plainly=False)
    plainly = _exhausted(host, name, plainly=True)
    assert bool(plainly.violations) == is_found
    # What two deaths leave as one of them leaves it is told once, by the one.
    assert _told(briefly) == _told(plainly)
    assert {one.deaths for one in briefly.violations} <= {one.deaths for one in plainly.violations}
    assert (briefly.points, briefly.pairs) == (plainly.points, plainly.pairs)
    assert briefly.places == plainly.places
    assert briefly.lives < plainly.lives


def test_what_is_put_in_place_otherwise_than_it_was_kept_is_lived_from_its_beginning(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def go_on(life: Installation, others: Sequence[object], standing: Standing) -> None:
        standings.go_on(life, others, standing)
        life.faults.append("something that nobody has kept")

    well = _exhausted(host, "command refused", plainly=False)
    monkeypatch.setattr(course, "go_on", go_on)

    otherwise = _exhausted(host, "command refused", plainly=False)

    assert (well.anew, well.found) == (0, 0)
    assert otherwise.anew > 0
    # Lives that are begun anew are lived twice, and find what they would have.
    assert (otherwise.points, otherwise.pairs) == (well.points, well.pairs)
    assert (otherwise.found, otherwise.lives) == (0, well.lives + otherwise.anew)


def test_a_request_under_way_is_not_one_that_was_never_sent(host: Host) -> None:
    (scenario,) = (one for one in SCENARIOS if one.name == "charge paid")
    states = exhaust.named(host, scenario)
    leaving = [
        (before, after)
        for before, after in itertools.pairwise(states)
        if after[0].phase == "under way"
    ]
    assert leaving
    assert [str(after[0]) for before, after in leaving if before[1] == after[1]] == []


def test_what_nobody_knows_how_to_keep_is_not_kept() -> None:
    with pytest.raises(TypeError, match="neither known as a value"):
        copied({"anything": object()})
