"""From when on a recovery reads the gateway's book: never from later than charges may be lost."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.billing.collection import settle
from shared.billing.installation import Mark
from shared.billing.outcome import Paid
from shared.billing.recovery import CLOCKS_AGREE
from shared.db import installation
from shared.db.installation import Installation
from shared.jobs.marks import Marks, MarksUnreachableError
from tests.support.billing import LEASES, World
from tests.support.drill import Memory
from worker.services.recover import Recover, Recovered
from worker.services.recover_attempts import UnfinishedError

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Away(Memory):
    """A broker that cannot be asked, and a process that remembers nothing."""

    async def seen(self) -> Mark | None:
        """Say that nobody can."""
        raise MarksUnreachableError


def recovery(world: World, marks: Marks) -> Recover:
    """Return what begins and finishes; nothing is adopted in between."""
    nobody: Any = None
    database, clock, rules = world.database, world.clock, world.rules
    return Recover(database, nobody, marks, nobody, nobody, nobody, clock, rules)


async def marked(world: World) -> Mark:
    """Mark the database for the first time."""
    now = world.clock.now()
    mark = await world.database.run(lambda c: installation.mark(c, None, now))
    assert mark is not None
    return mark


async def held(world: World) -> Installation:
    stored = await world.database.run(installation.read)
    assert stored is not None
    assert stored.restored_at is not None
    return stored


@pytest.mark.parametrize("found", ["unmarked", "as it was seen", "nobody can be asked"])
def test_where_nothing_tells_it_an_operator_must_and_nothing_is_charged_meanwhile(
    world: World, found: str
) -> None:
    async def life() -> None:
        marks = Away(world.clock) if found == "nobody can be asked" else Memory(world.clock)
        if found != "unmarked":
            await marks.publish(await marked(world))
        world.pass_time(HOUR)
        work = recovery(world, marks)
        for _ in range(2):
            with pytest.raises(UnfinishedError, match="give `--since`"):
                await work.begin(None)
            assert (await held(world)).recover_since is None
        since = world.clock.now() - 3 * DAY
        assert (await work.begin(since)).since == since

    world.run(life())


def test_what_was_said_is_kept_for_the_next_run_and_never_moves_later(world: World) -> None:
    async def life() -> None:
        marks = Memory(world.clock)
        now = world.clock.now()

        async def since(said: datetime | None) -> timedelta:
            # Another process each time: whoever began before is gone.
            return (await recovery(world, marks).begin(said)).since - now

        assert await since(now - DAY) == -DAY
        assert await since(None) == -DAY
        assert await since(now - HOUR) == -DAY
        assert await since(now - 2 * DAY) == -2 * DAY
        assert await since(None) == -2 * DAY
        await recovery(world, marks).finish(Recovered(now - 2 * DAY))
        # Of the next restoration nothing is known yet.
        with pytest.raises(UnfinishedError, match="give `--since`"):
            await since(None)

    world.run(life())


@pytest.mark.parametrize("by", ["a scan", "whoever recovers"])
def test_a_database_that_was_seen_to_be_behind_is_read_from_before_a_lease_before_its_mark(
    world: World, by: str
) -> None:
    """What was claimed before the mark may have been charged after it."""

    async def life() -> None:
        mark = await marked(world)
        marks = Memory(world.clock, replace(mark, number=mark.number + 1))
        world.pass_time(HOUR)
        now = world.clock.now()
        if by == "a scan":
            await world.database.run(lambda c: installation.hold(c, "its mark is behind", now))
        work = recovery(world, marks)
        begun = await work.begin(None)
        assert begun.since == mark.at - CLOCKS_AGREE - LEASES.lease
        assert begun.cause.startswith("its mark is ")
        # A later one changes nothing, an earlier one counts.
        assert (await work.begin(now)).since == begun.since
        assert (await work.begin(mark.at - DAY)).since == mark.at - DAY

    world.run(life())


def test_an_answer_to_a_claim_that_is_gone_says_it_however_long_its_worker_slept(
    world: World,
) -> None:
    """Who takes over goes on marking until the worker wakes up and its answer is known."""

    async def life() -> None:
        (lost,) = await world.open_invoices()
        (gone,) = await world.claim([lost])
        await world.rows("DELETE FROM payment_attempts")
        world.pass_time(HOUR)
        mark = await marked(world)
        assert mark.at - LEASES.lease - CLOCKS_AGREE > gone.claimed_at
        paid = Paid("imp_lost", gone.claimed_at)
        await world.settle(settle(gone, paid, world.rules.dunning, world.clock.now()))
        work = recovery(world, Memory(world.clock, mark))
        assert (await work.begin(None)).since == gone.claimed_at - CLOCKS_AGREE

    world.run(life())


def test_an_answer_that_comes_while_it_is_read_keeps_the_hold_on_until_more_is_read(
    world: World,
) -> None:
    async def life() -> None:
        (lost,) = await world.open_invoices()
        (gone,) = await world.claim([lost])
        await world.rows("DELETE FROM payment_attempts")
        world.pass_time(HOUR)
        work = recovery(world, Memory(world.clock))
        begun = await work.begin(world.clock.now() - timedelta(minutes=1))
        paid = Paid("imp_lost", gone.claimed_at)
        await world.settle(settle(gone, paid, world.rules.dunning, world.clock.now()))

        read = Recovered(begun.since)
        await work.finish(read)

        assert (read.is_finished, len(read.unfinished)) == (False, 1)
        again = await work.begin(None)
        assert again.since == gone.claimed_at - CLOCKS_AGREE
        read = Recovered(again.since)
        await work.finish(read)
        assert read.is_finished
        assert not await world.database.run(installation.is_held)

    world.run(life())
