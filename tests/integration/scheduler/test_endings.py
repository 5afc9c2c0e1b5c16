"""The scan that finds ends, and what the other scans leave alone from an end on."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.catch_up import CatchUp, CatchUpPolicy
from shared.billing.inquiry import StillUnresolved
from shared.db import backlogs
from shared.jobs.contracts import EndSubscriptions, Job
from tests.support.billing import MONTHLY, RESEND_AFTER, START_AT, World
from tests.support.endings import Ends

DAILY = Interval(IntervalUnit.DAY)
INSTANT = timedelta(microseconds=1)
MOMENT = timedelta(milliseconds=1)
DAY = timedelta(days=1)
PERIOD_END = datetime(2026, 2, 28, tzinfo=UTC)


@pytest.fixture
def ends(world: World) -> Ends:
    """Empty tables with one process on them, which ends subscriptions."""
    return Ends(world)


class BrokenQueue:
    """A broker that is away."""

    async def __call__(self, jobs: Sequence[Job]) -> None:
        """Fail."""
        raise ConnectionRefusedError(len(jobs))


def found(ends: Ends) -> list[uuid.UUID]:
    """Return the ids in the messages that wait, as often as they stand there."""
    return [
        id_
        for job in ends.world.queue.jobs
        if isinstance(job, EndSubscriptions)
        for id_ in job.subscription_ids
    ]


async def ending(ends: Ends, count: int) -> list[uuid.UUID]:
    """Return subscriptions whose end has come."""
    ids = await ends.world.subscribe(count)
    for id_ in ids:
        await ends.cancel(id_)
    return ids


class TestTheScan:
    def test_ends_are_sent_in_batches_of_ids_and_nothing_else(self, ends: Ends) -> None:
        ids = ends.world.run(ending(ends, 30))
        assert ends.world.run(ends.scan()) == 30
        first, second = ends.world.queue.jobs
        assert isinstance(first, EndSubscriptions)
        assert first.model_dump() == {"subscription_ids": tuple(found(ends)[:25])}
        assert len(second.model_dump()["subscription_ids"]) == 5
        assert sorted(found(ends)) == sorted(ids)

    def test_an_end_is_not_sent_before_its_time(self, ends: Ends) -> None:
        (id_,) = ends.world.run(ends.world.subscribe())
        ends.world.run(ends.world.renew())
        ends.world.run(ends.cancel(id_, "period_end"))
        for at in (START_AT, PERIOD_END - INSTANT):
            ends.world.clock.instant = at
            assert ends.world.run(ends.scan()) == 0
        ends.world.pass_time(INSTANT)
        assert ends.world.run(ends.scan()) == 1

    def test_an_end_waits_for_the_periods_before_it_to_be_decided(self, ends: Ends) -> None:
        (id_,) = ends.world.run(ends.world.subscribe(cycle=BillingCycle(START_AT, DAILY)))
        ends.world.pass_time(3 * DAY)
        ends.world.run(ends.cancel(id_))
        assert ends.world.run(ends.scan()) == 0
        assert ends.world.run(ends.end([id_])) == []
        ends.world.run(ends.world.renew())
        assert ends.world.run(ends.scan()) == 1

    def test_a_row_that_cannot_be_renewed_can_end(self, ends: Ends) -> None:
        (id_,) = ends.world.run(ends.world.subscribe())
        ends.world.run(ends.world.rows("UPDATE subscriptions SET time_zone = 'Mars/Olympus_Mons'"))
        ends.world.pass_time(DAY)
        ends.world.run(ends.cancel(id_))
        ends.world.run(ends.world.renew())
        assert ends.world.run(ends.end_all()) == ["closed"]

    def test_what_is_under_way_is_not_sent_again_before_it_must_be_lost(self, ends: Ends) -> None:
        ids = ends.world.run(ending(ends, 3))
        assert ends.world.run(ends.scan()) == 3
        ends.world.queue.take()
        for wait in (timedelta(0), RESEND_AFTER - MOMENT):
            ends.world.pass_time(wait)
            assert ends.world.run(ends.scan()) == 0
        ends.world.pass_time(MOMENT)
        assert ends.world.run(ends.scan()) == 3
        assert sorted(found(ends)) == sorted(ids)

    def test_rows_are_marked_before_a_message_leaves(self, ends: Ends) -> None:
        ends.world.run(ending(ends, 2))
        queue, ends.world.queue = ends.world.queue, BrokenQueue()  # type: ignore[assignment]
        with pytest.raises(ConnectionRefusedError):
            ends.world.run(ends.scan())
        ends.world.queue = queue
        assert ends.world.run(ends.scan()) == 0
        ends.world.pass_time(RESEND_AFTER)
        assert ends.world.run(ends.scan()) == 2

    def test_scans_at_once_send_each_end_once(self, ends: Ends) -> None:
        ids = ends.world.run(ending(ends, 60))
        other = ends.twin()

        async def scenario() -> None:
            await asyncio.gather(*(process.scan(rows_max=15) for process in [ends, other] * 3))

        ends.world.run(scenario())
        ends.world.run(ends.scan())
        assert Counter(found(ends)) == dict.fromkeys(ids, 1)

    def test_no_more_is_found_than_a_scan_may_read(self, ends: Ends) -> None:
        ends.world.run(ending(ends, 10))
        assert ends.world.run(ends.scan(rows_max=4)) == 4
        assert ends.world.run(ends.scan(rows_max=4)) == 4
        assert ends.world.run(ends.scan(rows_max=4)) == 2

    def test_a_new_wish_does_not_wait_for_the_message_of_the_old_one(self, ends: Ends) -> None:
        (id_,) = ends.world.run(ends.world.subscribe())
        ends.world.run(ends.cancel(id_, "period_end"))
        ends.world.run(
            ends.world.rows("UPDATE subscriptions SET dispatched_at = :now", now=START_AT)
        )
        ends.world.run(ends.cancel(id_))
        assert ends.world.run(ends.scan()) == 1

    def test_what_is_left_is_looked_at_once_in_a_gap_and_what_is_closed_never(
        self, ends: Ends
    ) -> None:
        (id_,) = ends.world.run(ends.world.subscribe())
        ends.world.run(ends.world.renew())
        ends.world.pass_time(INSTANT)
        (invoice,) = ends.world.run(ends.invoices(id_))
        ends.world.run(ends.world.claim([invoice.id]))
        ends.world.run(ends.cancel(id_))
        assert ends.world.run(ends.end_all()) == ["ended"]
        # Most of what is in flight has ended a moment later.
        assert ends.world.run(ends.end_all()) == ["awaited"]
        assert ends.world.run(ends.end_all()) == []
        assert ends.world.run(ends.wind_up()) == ["awaited"]
        ends.world.run(
            ends.world.rows("UPDATE payment_attempts SET status = 'declined', inquire_at = NULL")
        )
        assert ends.world.run(ends.wind_up()) == ["closed"]
        for _ in range(3):
            assert ends.world.run(ends.wind_up()) == []

    @pytest.mark.parametrize("index", ["subscriptions_ending_idx", "subscriptions_unclosed_idx"])
    def test_it_reads_through_its_partial_indexes(self, ends: Ends, index: str) -> None:
        """A predicate that the planner cannot match would read every subscription every tick."""
        seen: list[tuple[str, Any]] = []

        def remember(_c: object, _k: object, statement: str, values: Any, *_: object) -> None:
            seen.append((statement, values))

        engine = ends.world.database.engine.sync_engine
        ends.world.run(ending(ends, 2))
        event.listen(engine, "before_cursor_execute", remember)
        ends.world.run(ends.scan())
        event.remove(engine, "before_cursor_execute", remember)

        async def plans() -> str:
            async with ends.world.database.transaction() as connection:
                await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
                lines = [
                    str(row[0])
                    for statement, values in seen
                    for row in await connection.exec_driver_sql(f"EXPLAIN {statement}", values)
                ]
            return "\n".join(lines)

        assert index in ends.world.run(plans())


class TestTheOtherScans:
    def test_no_period_is_opened_that_begins_at_the_end_or_later(self, ends: Ends) -> None:
        (id_,) = ends.world.run(ends.world.subscribe())
        ends.world.run(ends.world.renew())
        ends.world.run(ends.cancel(id_, "period_end"))
        for at in (PERIOD_END, PERIOD_END + 90 * DAY):
            ends.world.clock.instant = at
            assert ends.world.run(ends.world.renew()) == 0
        assert len(ends.world.run(ends.invoices(id_))) == 1
        assert ends.world.run(ends.world.events("period.skipped")) == []

    def test_it_is_no_renewal_that_is_overdue(self, ends: Ends) -> None:
        """Nor does it use up what a scan may read."""
        ids = ends.world.run(ends.world.subscribe(3))
        for id_ in ids:
            ends.world.run(ends.cancel(id_))
        ends.world.pass_time(DAY)
        ends.world.run(ends.world.subscribe(1))
        assert ends.world.run(ends.world.renew(rows_max=1)) == 1

        async def due() -> int:
            async with ends.world.database.transaction() as connection:
                return (await backlogs.renewals_due(connection, ends.world.clock.now())).count

        assert ends.world.run(due()) == 0

    @pytest.mark.parametrize(
        ("choice", "billed", "left_out"),
        [
            (CatchUp.BILL_LATEST, [2], [0, 1]),
            (CatchUp.BILL_ALL, [0, 1, 2], []),
            (CatchUp.FORGIVE, [], [0, 1, 2]),
        ],
    )
    @pytest.mark.parametrize("when", ["now", "period_end"])
    def test_periods_before_the_end_are_decided_as_the_instant_before(
        self, ends: Ends, when: str, choice: CatchUp, billed: list[int], left_out: list[int]
    ) -> None:
        ends.world.catch_up = CatchUpPolicy(choice, 5)
        (id_,) = ends.world.run(ends.world.subscribe(cycle=BillingCycle(START_AT, DAILY)))
        ends.world.clock.instant = START_AT + 2 * DAY + MOMENT
        ends.world.run(ends.cancel(id_, when))
        ends.world.clock.instant = START_AT + 30 * DAY
        ends.world.run(ends.world.renew())
        invoices = ends.world.run(ends.invoices(id_))
        assert [invoice.period_index for invoice in invoices] == billed
        told = ends.world.run(ends.world.events("period.skipped"))
        assert [event["period_index"] for event in told] == left_out
        assert ends.world.run(ends.world.charge_all()) == []
        assert ends.world.run(ends.end_all()) == ["closed"]
        assert {row.status for row in ends.world.run(ends.invoices(id_))} <= {"void"}

    def test_nothing_is_dispatched_of_what_ends(self, ends: Ends) -> None:
        kept, gone = ends.world.run(ends.world.subscribe(2))
        ends.world.run(ends.world.renew())
        ends.world.pass_time(INSTANT)
        ends.world.run(ends.cancel(gone))
        ends.book.script.append(StillUnresolved("HTTP 500"))
        ends.world.run(ends.end_all())
        assert ends.world.run(ends.world.dispatch()) == 1
        (invoice,) = ends.world.run(ends.invoices(kept))
        assert ends.world.queue.take()[0].model_dump() == {"invoice_ids": (invoice.id,)}

    def test_a_monthly_one_is_charged_until_its_end(self, ends: Ends) -> None:
        (id_,) = ends.world.run(ends.world.subscribe(cycle=BillingCycle(START_AT, MONTHLY)))
        for _ in range(3):
            ends.world.run(ends.world.renew())
            ends.world.run(ends.world.charge_all())
            ends.world.clock.instant = ends.world.run(ends.subscription(id_)).next_renewal_at
        ends.world.clock.instant -= DAY
        ends.world.run(ends.cancel(id_, "period_end"))
        for _ in range(60):
            ends.world.pass_time(DAY)
            ends.world.run(ends.world.renew())
            ends.world.run(ends.world.charge_all())
            ends.world.run(ends.end_all())
        assert len(ends.world.gateway.paid()) == 3
        assert ends.world.run(ends.refunds()) == []
