"""The mark and the hold, written with the rights that those who write them have."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from deploy.launcher.servers import OwnServers
from scheduler.scans.mark import MarkDatabase
from shared.billing.installation import MARK_LEAP, Mark
from shared.db import installation
from shared.db.engine import connect
from shared.db.grants import Role
from shared.jobs.contracts import Job, ProveDatabase
from tests.integration.db.logins import login_of, logins, url_as
from tests.support.billing import World
from tests.support.drill import Memory


@pytest.fixture(autouse=True)
def _logins(servers: OwnServers) -> Iterator[None]:
    with logins(servers.postgres.url):
        yield


class Sent:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    async def __call__(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs

    async def waiting(self, _queue: str) -> int:
        return 0


def test_the_scheduler_marks_and_holds_and_the_worker_holds_and_none_of_them_lets_go(
    world: World, module_url: str
) -> None:
    async def life() -> None:
        now = world.clock.now()
        scheduler = connect(url_as(module_url, login_of(Role.SCHEDULER)), connections_max=1)
        worker = connect(url_as(module_url, login_of(Role.WORKER)), connections_max=1)
        sent, marks = Sent(), Memory(world.clock)
        scan = MarkDatabase(scheduler, marks, sent, world.clock)
        try:
            seen: Mark | None = None
            for number in (1, 2, 3):
                assert await scan() == 1
                seen = await marks.seen()
                assert seen is not None
                assert seen.number == number
            assert seen is not None
            # Nobody remembers: the gateway is to be asked.
            forgetful = replace(scan, marks=Memory(world.clock))
            assert await forgetful() == 0
            assert sent.jobs == [ProveDatabase()]
            assert await worker.run(lambda c: installation.hold(c, "of the worker", now))
            await worker.run(lambda c: installation.recover_since(c, now))
            assert await scan() == 0
            for database in (scheduler, worker):
                with pytest.raises(DBAPIError) as refused:
                    await database.run(lambda c: installation.recover(c, None, now))
                assert isinstance(refused.value.orig, psycopg.errors.InsufficientPrivilege)
            mark = await world.database.run(lambda c: installation.recover(c, seen, now))
            assert mark is not None
            assert mark.number == seen.number + MARK_LEAP
            # The scheduler knows of no leap yet, and sees nothing that had fallen.
            assert await scan() == 1
            # One that is behind is held by whoever marks.
            ahead = Mark(mark.installation_id, mark.number + 99, now)
            await marks.publish(ahead)
            assert await scan() == 0
            stored = await world.database.run(installation.read)
            assert stored is not None
            assert stored.restored_at == now
            assert stored.cause is not None
            assert str(ahead.number) in stored.cause
        finally:
            await scheduler.aclose()
            await worker.aclose()

    world.run(life())
    world.run(world.clear())


def test_new_rows_are_numbered_beyond_what_was_lost_once_a_recovery(world: World) -> None:
    async def life() -> None:
        now = world.clock.now()
        (before,) = await world.open_invoices()
        assert not await world.database.run(lambda c: installation.leap(c, now))
        await world.database.run(lambda c: installation.hold(c, "a test", now))
        assert await world.database.run(lambda c: installation.leap(c, now))
        assert not await world.database.run(lambda c: installation.leap(c, now))
        await world.rows("INSERT INTO dead_letters (kind, cause) VALUES ('message', 'a test')")
        (letter,) = await world.rows("SELECT id FROM dead_letters")
        assert 1_000_000_000 < letter.id < 1_000_001_000
        await world.database.run(lambda c: installation.recover(c, None, now))
        await world.rows("DELETE FROM installation")
        (after,) = await world.open_invoices()
        assert after > before + 1_000_000_000

    world.run(life())
    world.run(world.clear())
