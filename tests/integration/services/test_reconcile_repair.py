"""Repairing differences: by the ordinary ways, confirmed by a person, and seen by the next run."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from deploy.sandbox.records import Payment
from shared.billing.events import Json
from shared.billing.reconciliation import Repair
from shared.billing.refund import RefundCause, Requester
from shared.db import hints
from tests.support.billing import QUIET, World, until
from tests.support.books import Books, counts
from worker.services.commanding import CommandRefusedError
from worker.services.grouping import Grouping
from worker.services.hint_reading import ReadHints
from worker.services.reconcile_repair import repair
from worker.services.refund import SendRefunds
from worker.services.refund_requests import RefundRequest, request_refund
from worker.services.refund_settlement import SettleRefunds


@pytest.fixture
def books(world: World) -> Books:
    """A world that charges at a sandbox of its own."""
    return Books(world)


async def done(books: Books, how: Repair | None = None) -> dict[str, Json]:
    """Have the newest difference repaired."""
    (row,) = await books.world.rows("SELECT max(id) AS id FROM discrepancies")
    return await books.world.database.run(
        lambda connection: repair(
            connection, row.id, how, "확인함", f"command-{row.id}", books.world.clock.now()
        )
    )


async def read_hints(books: Books) -> list[str]:
    """Read what somebody was asked to read."""
    world = books.world
    read = ReadHints(world.database, books.gateway, world.settle, world.clock, world.rules)
    due = await world.database.run(
        lambda connection: hints.dispatch_due(
            connection, 100, 100, world.clock.now(), timedelta(minutes=2)
        )
    )
    return await read(due)


async def send_refunds(books: Books) -> list[str]:
    """Send what was asked for."""
    world = books.world
    settle = Grouping(SettleRefunds(world.database, world.clock), linger_s=0.001)
    send = SendRefunds(world.database, books.gateway, settle, world.clock, world.rules)
    waiting = await world.rows("SELECT id FROM refunds WHERE status = 'waiting'")
    return await send([row.id for row in waiting])


async def statuses(books: Books) -> list[tuple[str, str, str]]:
    """Return every difference that is kept."""
    rows = await books.world.rows(
        "SELECT difference, repair, status FROM discrepancies ORDER BY id"
    )
    return [(row.difference, row.repair, row.status) for row in rows]


def test_what_was_cancelled_elsewhere_is_adopted(books: Books) -> None:
    async def scenario() -> None:
        (payment,) = await books.live(1)
        books.cancel(payment, 3_000)
        await books.compare()
        told = await done(books)
        assert (told["repair"], told["status"]) == ("adopt", "repaired")
        assert await read_hints(books) == ["cancelled elsewhere"]
        report = await books.compare()
        assert (counts(report), report["vanished"]) == ({}, 1)
        (kept,) = await books.world.rows("SELECT cancelled_amount FROM payments")
        assert kept.cancelled_amount == 3_000
        assert await statuses(books) == [("refund_differs", "adopt", "vanished")]

    books.world.run(scenario())


def test_a_charge_that_we_took_for_declined_is_adopted(books: Books) -> None:
    async def scenario() -> None:
        (payment,) = await books.live(1)
        await forget(books.world, payment)
        assert counts(await books.compare()) == {"status_differs": 1}
        await done(books)
        await read_hints(books)
        report = await books.compare()
        assert (counts(report), report["matched"]) == ({}, 1)
        # What was concluded before was wrong: a person is told, as of every late payment.
        (letter,) = await books.world.letters()
        assert "after it had ended as declined" in letter

    books.world.run(scenario())


def test_a_second_payment_is_adopted_and_then_given_back(books: Books) -> None:
    """Somebody has charged the same attempt once more: two repairs, one after the other."""

    async def scenario() -> None:
        (payment,) = await books.live(1)
        second = books.enter(payment.order.merchant_uid, key=payment.order.customer_uid)
        assert counts(await books.compare()) == {"two_paid_for_one_period": 1}
        assert (await done(books))["repair"] == "adopt"
        await read_hints(books)
        assert counts(await books.compare()) == {"two_paid_for_one_period": 1}
        told = await done(books)
        assert (told["repair"], told["imp_uid"], told["amount"]) == (
            "refund",
            second.imp_uid,
            9_900,
        )
        # What is asked for is under way, and no difference to be decided.
        report = await books.compare()
        assert (counts(report), report["watched"]["count"]) == ({}, 1)
        await send_refunds(books)
        held = [each.order.amount - each.cancel_amount for each in books.sandbox.book.payments()]
        assert held == [9_900, 0]
        report = await books.compare()
        assert (counts(report), report["vanished"], report["matched"]) == ({}, 1, 2)

    books.world.run(scenario())


async def paid_twice(books: Books) -> tuple[Payment, Payment]:
    """Have one period be paid twice, both payments kept, and the difference be open."""
    (first,) = await books.live(1)
    second = books.enter(first.order.merchant_uid, key=first.order.customer_uid)
    await books.compare()
    await done(books)
    await read_hints(books)
    assert counts(await books.compare()) == {"two_paid_for_one_period": 1}
    return first, second


async def give_back(books: Books, payment: Payment, amount: int | None = None) -> None:
    """Have a merchant ask for a refund, which waits."""
    (row,) = await books.world.rows("SELECT id FROM payments WHERE imp_uid = :i", i=payment.imp_uid)
    request = RefundRequest(
        row.id, amount, None, "고객 요청", Requester.ADMIN, RefundCause.COMMAND, "by-hand"
    )
    await books.world.database.run(
        lambda connection: request_refund(connection, request, books.world.clock.now())
    )


async def is_blocked(world: World) -> bool:
    """Say whether somebody waits for a lock."""
    return bool(
        await world.rows(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )
    )


@pytest.mark.parametrize("amount", [None, 100])
def test_a_second_payment_is_kept_while_the_first_one_goes_back(
    books: Books, amount: int | None
) -> None:
    """What a run has seen is hours old: two refunds would leave the period unpaid."""

    async def scenario() -> None:
        first, _ = await paid_twice(books)
        await give_back(books, first, amount)
        with pytest.raises(CommandRefusedError, match="is being given back itself"):
            await done(books)
        report = await books.compare()
        assert (counts(report), report["watched"]["count"]) == ({}, 1)
        with pytest.raises(CommandRefusedError, match="is under way"):
            await done(books)
        await send_refunds(books)
        held = [each.order.amount - each.cancel_amount for each in books.sandbox.book.payments()]
        assert held == [0 if amount is None else 9_800, 9_900]
        # Of a part of the first one the rest is held, and the second one too many as before.
        report = await books.compare()
        assert counts(report) == ({} if amount is None else {"two_paid_for_one_period": 1})
        assert report["vanished"] == (1 if amount is None else 0)

    books.world.run(scenario())


def test_a_second_payment_is_kept_once_the_first_one_has_gone_back(books: Books) -> None:
    async def scenario() -> None:
        first, _ = await paid_twice(books)
        await give_back(books, first)
        await send_refunds(books)
        with pytest.raises(CommandRefusedError, match="is not held any more"):
            await done(books)

    books.world.run(scenario())


def test_of_two_payments_one_is_kept_by_whoever_comes_second(books: Books) -> None:
    """A merchant's refund holds the lock of the first payment when the repair is confirmed."""

    async def scenario() -> None:
        first, _ = await paid_twice(books)
        world = books.world
        (row,) = await world.rows("SELECT id FROM payments WHERE imp_uid = :i", i=first.imp_uid)
        request = RefundRequest(
            row.id, None, None, "고객 요청", Requester.ADMIN, RefundCause.COMMAND, "by-hand"
        )
        async with world.database.transaction() as connection:
            await request_refund(connection, request, world.clock.now())
            repairing = asyncio.create_task(done(books))
            await until(lambda: is_blocked(world))
        with pytest.raises(CommandRefusedError, match="is being given back itself"):
            await repairing

    books.world.run(scenario())


def test_what_was_dealt_with_elsewhere_is_marked_and_nothing_else_happens(books: Books) -> None:
    async def scenario() -> None:
        (payment,) = await books.live(1)
        order = replace(payment.order, amount=8_800)
        books.sandbox.book.restate(replace(payment, order=order))
        assert counts(await books.compare()) == {"amount_differs": 1}
        told = await done(books)
        assert (told["repair"], told["status"]) == ("mark", "dismissed")
        assert not await books.world.rows("SELECT FROM hints")
        assert not await books.world.rows("SELECT FROM refunds")
        report = await books.compare()
        assert (counts(report), report["dismissed"]["count"]) == ({}, 1)

    books.world.run(scenario())


class TestARepairIsRefused:
    def refusal(self, books: Books, how: Repair | None = None) -> str:
        with pytest.raises(CommandRefusedError) as caught:
            books.world.run(done(books, how))
        return str(caught.value)

    def spoil(self, books: Books) -> None:
        async def scenario() -> None:
            (payment,) = await books.live(1)
            books.cancel(payment, 3_000)
            await books.compare()

        books.world.run(scenario())

    def test_where_it_is_not_the_one_that_is_proposed(self, books: Books) -> None:
        self.spoil(books)
        assert "it is proposed to adopt, and it may be marked" in self.refusal(books, Repair.REFUND)

    def test_where_it_was_decided_before(self, books: Books) -> None:
        self.spoil(books)
        books.world.run(done(books))
        assert "is repaired, so nothing is left" in self.refusal(books)

    def test_where_something_is_under_way(self, books: Books) -> None:
        self.spoil(books)
        books.world.run(books.world.rows("UPDATE discrepancies SET status = 'watched'"))
        assert "is under way" in self.refusal(books)

    def test_where_there_is_none(self, books: Books) -> None:
        async def missing() -> dict[str, Any]:
            return await books.world.database.run(
                lambda connection: repair(
                    connection, 10**9, None, "확인함", "command-1", books.world.clock.now()
                )
            )

        with pytest.raises(CommandRefusedError, match="there is no discrepancy 1000000000"):
            books.world.run(missing())


async def forget(world: World, payment: Payment) -> None:
    """Have our rows say that a payment was declined."""
    await world.rows("DELETE FROM payments WHERE imp_uid = :i", i=payment.imp_uid)
    await world.rows(
        """
        UPDATE payment_attempts SET status = 'declined', imp_uid = NULL WHERE merchant_uid = :uid
        """,
        uid=payment.order.merchant_uid,
    )
    await world.rows("UPDATE invoices SET status = 'open', paid_at = NULL")
    await world.rows("DELETE FROM events WHERE name = 'invoice.paid'")
    world.pass_time(QUIET)
