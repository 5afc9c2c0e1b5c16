"""Comparing the books: what is planted is found, and nothing else."""

import random
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.sandbox.records import Channel, Payment, Status, Usage, Verdict
from shared.billing.reconciliation import Difference, DifferenceStatus, Found, compare
from shared.db import reconciliation_records as records
from shared.db import reconciliation_rows
from shared.db.reconciliation_records import Pair
from tests.support.billing import QUIET, World
from tests.support.books import DAY, Books, Vandal, counts
from tests.support.databases import look
from tests.support.refunds import RefundBook, RefundDesk

KINDS = list(Difference)


@pytest.fixture
def books(world: World) -> Books:
    """A world that charges at a sandbox of its own."""
    return Books(world)


def test_books_of_an_honest_life_agree(books: Books) -> None:
    books.world.run(books.live(7))
    report = books.world.run(books.compare())
    assert (report["records"], report["matched"], counts(report)) == (7, 7, {})
    assert (
        report["theirs"]
        == report["ours"]
        == {
            "payments": 7,
            "amount": 69_300,
            "cancelled_amount": 0,
        }
    )
    assert sum(bar["theirs"] for bar in report["bars"]) == 69_300
    assert len(report["bars"]) == 24


@pytest.mark.parametrize("seed", range(8))
def test_as_many_differences_of_every_kind_are_found_as_were_planted(
    books: Books, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    planted = {kind: dice.randint(0, 4) for kind in KINDS}

    async def scenario() -> dict[str, Any]:
        payments = await books.live(sum(planted.values()) + 5)
        dice.shuffle(payments)
        vandal = Vandal(books, dice)
        for kind, count in planted.items():
            await vandal.spoil(kind, payments[:count])
            del payments[:count]
        return await books.compare()

    report = books.world.run(scenario())
    assert counts(report) == {str(kind): count for kind, count in planted.items() if count}
    rows = books.world.run(
        books.world.rows(
            "SELECT difference, count(*) AS n, sum(amount) AS won FROM discrepancies GROUP BY 1"
        )
    )
    assert {row.difference: {"count": row.n, "amount": row.won} for row in rows} == {
        kind: each for kind, each in report["differences"].items() if each["count"]
    }
    assert not books.world.run(books.world.rows("SELECT FROM gateway_records"))


@pytest.mark.parametrize("seed", range(6))
def test_the_statement_leaves_out_nothing_that_the_rule_calls_a_difference(
    books: Books, seed: int
) -> None:
    """Whatever is wrong with a payment, and however much of it at once."""
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    world = books.world

    async def spoil(payments: list[Payment]) -> None:
        vandal = Vandal(books, dice)
        for payment in payments:
            for kind in dice.sample(KINDS, dice.randint(0, 3)):
                # What is lost or failed cannot be cancelled or changed any more.
                with suppress(AssertionError, KeyError):
                    await vandal.spoil(kind, [payment])

    async def differing(connection: AsyncConnection) -> tuple[set[str], set[str]]:
        since, until = world.clock.now() - DAY, world.clock.now() + DAY
        listed = [one async for one in books.gateway.payments_in(since, until)]
        assert await records.stage(connection, 1, listed) == len(listed)
        every = await records.pairs_of(connection, 1, [one.imp_uid for one in listed])
        part = await records.slice_after(connection, 1, "", len(listed))
        assert part is not None
        assert part.records == len(listed)
        left = await records.pairs_in(connection, 1, "", part.last, foreign=True)
        return found_in(every), found_in(left)

    def found_in(pairs: list[Pair]) -> set[str]:
        quiet_before = world.clock.now()
        return {
            pair.imp_uid
            for pair in pairs
            if isinstance(compare(pair.theirs, pair.ours, quiet_before), Found)
        }

    async def scenario() -> tuple[set[str], set[str]]:
        await spoil(await books.live(25))
        world.pass_time(QUIET)
        return await world.database.run(differing)

    every, left = world.run(scenario())
    assert every == left
    assert len(every) > 5


def test_what_moved_no_money_and_what_is_nobodys_is_left_out(books: Books) -> None:
    async def scenario() -> dict[str, Any]:
        (payment,) = await books.live(1)
        books.enter("5" * 25 + "w", 0, usage=Usage.ISSUE, channel=Channel.PC)
        declined = Verdict(Status.FAILED, "잔액 부족")
        uid, key = payment.order.merchant_uid, payment.order.customer_uid
        books.enter(uid, key=key, verdict=declined)
        books.enter("shop-1", 500)
        return await books.compare(foreign=False)

    report = books.world.run(scenario())
    assert counts(report) == {}
    named = "records", "matched", "registrations", "unpaid", "foreign"
    assert [report[name] for name in named] == [4, 1, 1, 1, {"count": 1, "amount": 500}]


def test_what_is_under_way_is_no_difference_and_is_looked_at_by_the_next_run(
    books: Books,
) -> None:
    """An attempt nobody has heard of, a refund on its way, and what happened a moment ago."""
    world = books.world

    async def plant() -> None:
        unheard, refunded, _ = await books.live(3)
        await world.rows("DELETE FROM payments WHERE imp_uid = :i", i=unheard.imp_uid)
        await world.rows(
            """
            UPDATE payment_attempts SET status = 'unknown', unknown_since = :at, inquire_at = :at,
                imp_uid = NULL, settled_at = NULL WHERE merchant_uid = :uid
            """,
            at=world.clock.now() + timedelta(days=1),
            uid=unheard.order.merchant_uid,
        )
        (row,) = await world.rows("SELECT * FROM payments WHERE imp_uid = :i", i=refunded.imp_uid)
        await RefundDesk(world, RefundBook(world.clock)).ask(row, 4_000)
        books.cancel(refunded, 4_000)

    async def look() -> dict[str, Any]:
        world.pass_time(QUIET - timedelta(minutes=2))
        books.enter("4" * 25 + "p1n1")
        world.pass_time(timedelta(minutes=1))
        report = await books.reconciler()(await books.begin())
        assert report is not None
        return report

    world.run(plant())
    first = world.run(look())
    assert (counts(first), first["watched"]["count"]) == ({}, 3)
    # The next run looks at them although its window is a later one.
    world.pass_time(3 * DAY)
    second = world.run(books.compare(1))
    assert (counts(second), second["watched"]["count"]) == ({"theirs_only": 1}, 2)


def test_payments_of_a_test_channel_are_asked_for_where_lists_do_not_show_them(
    world: World,
) -> None:
    books = Books(world, is_test=True)
    (payment, *_) = world.run(books.live(3))
    books.cancel(payment, 500)
    report = world.run(books.compare())
    assert (report["records"], report["matched"]) == (3, 2)
    assert counts(report) == {"refund_differs": 1}


def test_a_payment_at_the_edge_of_a_window_is_asked_for_singly(books: Books) -> None:
    """It was paid in the window and cancelled after it, so that the list does not show it."""
    world = books.world

    async def scenario() -> dict[str, Any]:
        payment, refunded = await books.live(2)
        end = world.clock.now() + timedelta(hours=1)
        world.pass_time(timedelta(hours=2))
        for each in (payment, refunded):
            books.cancel(each, 1_000)
        await world.rows("UPDATE payments SET cancelled_amount = 1000")
        world.pass_time(DAY)
        run = await books.begin(2)
        report = await books.reconciler()(replace(run, until=end))
        assert report is not None
        return report

    report = world.run(scenario())
    assert (report["records"], report["matched"], counts(report)) == (2, 2, {})


def test_a_refund_of_ours_that_the_gateway_never_made_is_found_in_its_own_window(
    books: Books,
) -> None:
    world = books.world

    async def scenario() -> dict[str, Any]:
        (payment,) = await books.live(1)
        world.pass_time(30 * DAY)
        (row,) = await world.rows("SELECT id FROM payments")
        await world.rows(
            """
            INSERT INTO refunds (
                payment_id, amount, tax_free, reason, requester, cause, status, settled_at
            ) VALUES (:id, 4000, 0, '환불', 'admin', 'command', 'done', :now)
            """,
            id=row.id,
            now=world.clock.now(),
        )
        await world.rows("UPDATE payments SET cancelled_amount = 4000")
        assert payment.cancel_amount == 0
        return await books.compare(1)

    assert counts(world.run(scenario())) == {"refund_differs": 1}


class TestTheNextRun:
    @pytest.fixture
    def spoilt(self, books: Books) -> Payment:
        """A payment of which a part was given back in the gateway's console."""

        async def scenario() -> Payment:
            (payment,) = await books.live(1)
            books.cancel(payment, 3_000)
            assert counts(await books.compare()) == {"refund_differs": 1}
            return payment

        return books.world.run(scenario())

    def test_finds_the_same_difference_in_the_same_row(self, books: Books, spoilt: Payment) -> None:
        before = status_of(books)
        assert counts(books.world.run(books.compare())) == {"refund_differs": 1}
        assert status_of(books) == before == [(1, spoilt.imp_uid, "open")]

    def test_notes_that_one_has_vanished_and_opens_it_anew(
        self, books: Books, spoilt: Payment
    ) -> None:
        world = books.world
        world.run(world.rows("UPDATE payments SET cancelled_amount = 3000"))
        world.pass_time(9 * DAY)
        report = world.run(books.compare())
        assert (counts(report), report["vanished"]) == ({}, 1)
        assert status_of(books) == [(1, spoilt.imp_uid, "vanished")]
        world.run(world.rows("UPDATE payments SET cancelled_amount = 2000"))
        assert counts(world.run(books.compare(20))) == {"refund_differs": 1}
        assert status_of(books) == [(1, spoilt.imp_uid, "open")]

    @pytest.mark.parametrize(("more", "status"), [(0, "dismissed"), (500, "open")])
    def test_leaves_a_dismissed_one_alone_until_a_side_changes(
        self, books: Books, spoilt: Payment, more: int, status: str
    ) -> None:
        world = books.world
        world.run(
            world.rows(
                "UPDATE discrepancies SET status = 'dismissed', decided_at = :at",
                at=world.clock.now(),
            )
        )
        if more:
            books.cancel(spoilt, more)
        report = world.run(books.compare())
        assert status_of(books) == [(1, spoilt.imp_uid, status)]
        assert counts(report) == ({"refund_differs": 1} if more else {})
        assert report["dismissed"]["count"] == (0 if more else 1)

    def test_opens_a_repaired_one_again_if_nothing_came_of_it(
        self, books: Books, spoilt: Payment
    ) -> None:
        world = books.world
        world.run(
            world.rows(
                "UPDATE discrepancies SET status = 'repaired', decided_at = :at",
                at=world.clock.now(),
            )
        )
        world.pass_time(9 * DAY)
        assert counts(world.run(books.compare())) == {"refund_differs": 1}
        assert status_of(books) == [(1, spoilt.imp_uid, "open")]


class TestARunThatFails:
    def test_concludes_nothing_and_says_why(self, books: Books) -> None:
        """The list breaks off: half a list is none."""
        world = books.world
        world.run(books.live(3))
        world.pass_time(QUIET)
        books.transport.before = _nobody_listens
        run = world.run(books.begin())
        assert world.run(books.reconciler()(run)) is None
        (row,) = world.run(world.rows("SELECT status, fault FROM reconciliation_runs"))
        assert (row.status, "no one listens" in row.fault) == ("failed", True)
        assert not world.run(world.rows("SELECT FROM discrepancies"))

    def test_is_of_no_use_where_its_records_were_lost(self, books: Books) -> None:
        """An unlogged table is empty after a crash of its server."""
        world = books.world
        world.run(books.live(3))
        world.pass_time(QUIET)
        run = world.run(books.begin())
        reconciler = books.reconciler()
        lost = replace(reconciler, watch=_Losing(world))
        assert world.run(lost(run)) is None
        (row,) = world.run(world.rows("SELECT status, fault FROM reconciliation_runs"))
        assert (row.status, row.fault) == (
            "failed",
            "LostRecordsError: 3 of 6 records were left to be compared",
        )

    def test_leaves_its_place_to_whoever_began_it_anew(self, books: Books) -> None:
        world = books.world
        world.run(books.live(3))
        world.pass_time(QUIET)
        run = world.run(books.begin())
        world.run(world.rows("UPDATE reconciliation_runs SET tries = 2"))
        assert world.run(books.reconciler()(run)) is None
        (row,) = world.run(world.rows("SELECT status, tries FROM reconciliation_runs"))
        assert (row.status, row.tries) == ("running", 2)


def test_a_run_beside_takes_nothing_out_of_a_report(books: Books) -> None:
    """Another run sees the same difference after this one has, and before its end."""
    world = books.world
    (payment,) = world.run(books.live(1))
    books.cancel(payment, 1_000)
    world.pass_time(QUIET)
    run = world.run(books.begin())
    report = world.run(replace(books.reconciler(), watch=_Beside(world))(run))
    assert report is not None
    assert counts(report) == {"refund_differs": 1}
    runs = world.run(world.rows("SELECT id FROM reconciliation_runs ORDER BY id"))
    later = world.run(books.begin())
    listed = [
        len(
            world.run(
                world.database.run(
                    lambda connection, run_id=run_id: reconciliation_rows.list_(  # type: ignore[misc]
                        connection, 10, statuses=frozenset(DifferenceStatus), run_id=run_id
                    )
                )
            )
        )
        for run_id in (*(each.id for each in runs), later.id)
    ]
    # The one that comes after both has not looked yet.
    assert listed == [1, 1, 0]


class _Beside:
    """Has another run see all that was found, as soon as it was."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __call__(self, step: str, _done: int, /) -> None:
        if step == "records compared":
            look(
                self.world.url,
                """
                WITH run AS (
                    INSERT INTO reconciliation_runs (cause, since, until, lease_until, tries)
                    SELECT cause, since, until, lease_until, 1 FROM reconciliation_runs
                    RETURNING id
                )
                UPDATE discrepancies SET seen_by = run.id FROM run RETURNING run.id
                """,
            )


def test_a_record_that_changes_while_the_list_is_read_is_no_difference(books: Books) -> None:
    """A part is given back after the payment was listed, and we have settled it by then."""
    world = books.world
    (payment,) = world.run(books.live(1))

    class Meanwhile:
        def __init__(self) -> None:
            self.happened = False

        def __call__(self, step: str, _done: int, /) -> None:
            if step == "records read" and not self.happened:
                self.happened = True
                books.cancel(payment, 1_000)

    world.pass_time(QUIET)
    run = world.run(books.begin())
    meanwhile = Meanwhile()
    reconciler = replace(books.reconciler(), watch=meanwhile)
    world.run(world.rows("UPDATE payments SET cancelled_amount = 1000"))
    report = world.run(reconciler(run))
    assert report is not None
    assert (meanwhile.happened, counts(report), report["matched"]) == (True, {}, 1)


class _Losing:
    """Empties the table of records as a crash of the server does, once they are there."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __call__(self, step: str, _done: int, /) -> None:
        if step == "records read":
            look(self.world.url, "WITH gone AS (DELETE FROM gateway_records) SELECT")


def _nobody_listens(_path: str) -> None:
    message = "no one listens"
    raise httpx.ConnectError(message)


def status_of(books: Books) -> list[tuple[int, str, str]]:
    """Return every difference that is kept."""
    rows = books.world.run(
        books.world.rows(
            """
            SELECT row_number() OVER (ORDER BY id) AS n, imp_uid, status
            FROM discrepancies ORDER BY id
            """
        )
    )
    return [(row.n, row.imp_uid, row.status) for row in rows]
