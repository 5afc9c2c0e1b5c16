"""The scans that send messages: rows first, then the message, and again when it was lost."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest

from shared.jobs.contracts import CHARGE_QUEUE, ChargeInvoices, InquireAttempts, Job, RelayEvents
from tests.support.billing import QUIET, RESEND_AFTER, START_AT, World
from tests.support.book import Ending

MOMENT = timedelta(milliseconds=1)


class BrokenQueue:
    """A broker that is away."""

    async def __call__(self, jobs: Sequence[Job]) -> None:
        """Fail."""
        raise ConnectionRefusedError(len(jobs))

    async def waiting(self, _queue: str) -> int:
        """Claim that there is room."""
        return 0


def invoice_ids(world: World) -> list[int]:
    """Return the ids in the charge messages that wait, as often as they stand there."""
    return [
        invoice_id
        for job in world.queue.jobs
        if isinstance(job, ChargeInvoices)
        for invoice_id in job.invoice_ids
    ]


async def dead_claims(world: World, count: int) -> list[int]:
    """Return attempts whose process died after the claim."""
    return [claim.attempt_id for claim in await world.claim(await world.open_invoices(count))]


class TestInvoices:
    def test_due_invoices_are_sent_in_batches(self, world: World) -> None:
        ids = world.run(world.open_invoices(60))
        assert world.run(world.dispatch()) == 60
        sizes = [
            len(job.invoice_ids) for job in world.queue.jobs if isinstance(job, ChargeInvoices)
        ]
        assert sizes == [25, 25, 10]
        assert sorted(invoice_ids(world)) == ids

    def test_a_message_holds_ids_and_nothing_else(self, world: World) -> None:
        world.run(world.open_invoices(2))
        world.run(world.dispatch())
        (job,) = world.queue.jobs
        assert job.model_dump() == {"invoice_ids": tuple(invoice_ids(world))}
        assert all(type(invoice_id) is int for invoice_id in invoice_ids(world))

    def test_what_is_under_way_is_not_sent_again_before_it_must_be_lost(self, world: World) -> None:
        ids = world.run(world.open_invoices(3))
        assert world.run(world.dispatch()) == 3
        world.queue.take()
        for wait in (timedelta(0), RESEND_AFTER - MOMENT):
            world.pass_time(wait)
            assert world.run(world.dispatch()) == 0
        world.pass_time(MOMENT)
        assert world.run(world.dispatch()) == 3
        assert sorted(invoice_ids(world)) == ids

    def test_rows_are_marked_before_a_message_leaves(self, world: World) -> None:
        """A death in between costs time, and never a second message at once."""
        ids = world.run(world.open_invoices(2))
        queue, world.queue = world.queue, BrokenQueue()  # type: ignore[assignment]
        with pytest.raises(ConnectionRefusedError):
            world.run(world.dispatch())
        world.queue = queue
        assert world.run(world.invoice(ids[0])).dispatched_at == world.clock.now()
        assert world.run(world.dispatch()) == 0
        world.pass_time(RESEND_AFTER)
        assert world.run(world.dispatch()) == 2

    def test_scans_at_once_send_each_invoice_once(self, world: World) -> None:
        ids = world.run(world.open_invoices(90))
        other = world.twin()
        other.queue = world.queue

        async def scenario() -> None:
            await asyncio.gather(*(process.dispatch(rows_max=20) for process in [world, other] * 3))

        world.run(scenario())
        world.run(world.dispatch())
        assert Counter(invoice_ids(world)) == dict.fromkeys(ids, 1)

    @pytest.mark.parametrize(
        ("waiting", "sent"), [(0, 75), (1, 50), (2, 25), (3, 0), (9, 0)], ids=str
    )
    def test_no_more_is_sent_than_the_queue_has_room_for(
        self, world: World, waiting: int, sent: int
    ) -> None:
        world.run(world.open_invoices(100))
        world.queue.jobs = [ChargeInvoices(invoice_ids=(10**9,))] * waiting
        assert world.run(world.dispatch(queued_batches_max=3)) == sent
        (marked,) = world.run(
            world.rows("SELECT count(*) AS found FROM invoices WHERE dispatched_at IS NOT NULL")
        )
        assert marked.found == sent
        assert world.run(world.queue.waiting(CHARGE_QUEUE)) == waiting + sent / 25

    def test_the_longest_due_comes_first(self, world: World) -> None:
        first, second = world.run(world.open_invoices(2))
        statement = "UPDATE invoices SET next_attempt_at = :at WHERE id = :id"
        world.run(world.rows(statement, at=START_AT - MOMENT, id=second))
        assert world.run(world.dispatch(rows_max=1)) == 1
        assert invoice_ids(world) == [second]
        assert first not in invoice_ids(world)

    def test_a_dunning_step_is_sent_when_it_is_due_and_not_before(self, world: World) -> None:
        world.gateway.script.append(Ending.DECLINED)
        world.run(world.open_invoices())
        world.run(world.charge_all())
        world.pass_time(timedelta(days=2) - MOMENT)
        assert world.run(world.dispatch()) == 0
        world.pass_time(MOMENT)
        assert world.run(world.dispatch()) == 1

    def test_a_claim_ends_what_the_dispatch_noted(self, world: World) -> None:
        """So that the next step is sent at once, although the last message is young."""
        world.gateway.script.append(Ending.NOT_SENT)
        (invoice_id,) = world.run(world.open_invoices())
        world.run(world.charge_all())
        assert world.run(world.invoice(invoice_id)).dispatched_at is None
        world.pass_time(timedelta(seconds=10))
        assert world.run(world.dispatch()) == 1


class TestInquiries:
    def test_it_waits_for_the_lease_and_the_settle_delay(self, world: World) -> None:
        ids = world.run(dead_claims(world, 30))
        world.pass_time(QUIET - MOMENT)
        assert world.run(world.scan_inquiries()) == 0
        world.pass_time(MOMENT)
        assert world.run(world.scan_inquiries()) == 30
        jobs = [job for job in world.queue.jobs if isinstance(job, InquireAttempts)]
        assert [len(job.attempt_ids) for job in jobs] == [25, 5]
        assert sorted(attempt_id for job in jobs for attempt_id in job.attempt_ids) == ids

    def test_it_looks_away_while_its_message_is_under_way(self, world: World) -> None:
        world.run(dead_claims(world, 1))
        world.pass_time(QUIET)
        assert world.run(world.scan_inquiries()) == 1
        world.pass_time(RESEND_AFTER - MOMENT)
        assert world.run(world.scan_inquiries()) == 0
        world.pass_time(MOMENT)
        assert world.run(world.scan_inquiries()) == 1

    def test_scans_at_once_ask_about_each_attempt_once(self, world: World) -> None:
        ids = world.run(dead_claims(world, 40))
        other = world.twin()
        other.queue = world.queue
        world.pass_time(QUIET)

        async def scenario() -> None:
            await asyncio.gather(*(process.scan_inquiries() for process in [world, other] * 3))

        world.run(scenario())
        asked = [
            attempt_id
            for job in world.queue.jobs
            if isinstance(job, InquireAttempts)
            for attempt_id in job.attempt_ids
        ]
        assert sorted(asked) == ids

    def test_it_goes_on_while_the_gateway_is_on_hold(self, world: World) -> None:
        """Asking moves no money, and may end what is unknown."""
        world.run(dead_claims(world, 1))
        world.pass_time(QUIET)
        until = world.clock.now() + timedelta(hours=1)
        world.run(
            world.rows(
                "INSERT INTO gateway_holds (cause, held_until, raised_at) VALUES ('x', :u, :u)",
                u=until,
            )
        )
        assert world.run(world.scan_inquiries()) == 1


class TestRelay:
    def test_it_sends_one_message_while_events_wait(self, world: World) -> None:
        assert world.run(world.scan_relay()) == 0
        world.run(world.subscribe())
        assert world.run(world.scan_relay()) == 1
        assert world.queue.jobs == [RelayEvents()]
        assert world.run(world.scan_relay()) == 0
        world.queue.take()
        assert world.run(world.scan_relay()) == 1
