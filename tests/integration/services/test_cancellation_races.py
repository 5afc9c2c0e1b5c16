"""Ends beside attempts in flight, settlements, renewals and each other: money goes one way once."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from deploy.launcher.servers import OwnServers
from shared.billing.attempt import Claim
from shared.billing.calendar import BillingCycle
from shared.billing.collection import after_send
from shared.billing.inquiry import StillUnresolved
from shared.billing.outcome import Declined, MethodDead, NotSent, Outcome, Paid
from shared.db import claims, remains
from tests.support.billing import MONTHLY, QUIET, RESEND_AFTER, START_AT, World, until, world_of
from tests.support.book import Ending, ProcessDiedError, record_of
from tests.support.databases import fresh_database
from tests.support.endings import Ends

INSTANT = timedelta(microseconds=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PERIOD_END = datetime.fromisoformat("2026-02-28T00:00:00+00:00")
PRICE, TAX_FREE = 28_000, 2_800
LATE = [("late_payment", PRICE, TAX_FREE)]


@pytest.fixture
def ends(world: World) -> Ends:
    """Empty tables with one process on them, which ends subscriptions."""
    return Ends(world)


async def in_flight(ends: Ends, **said: Any) -> tuple[uuid.UUID, Claim]:
    """Return a subscription that was canceled and ended while its one attempt was claimed."""
    (id_,) = await ends.world.subscribe(price=PRICE, tax_free=TAX_FREE)
    await ends.world.renew()
    ends.world.pass_time(INSTANT)
    (invoice,) = await ends.invoices(id_)
    (claim,) = await ends.world.claim([invoice.id])
    ends.world.pass_time(INSTANT)
    await ends.cancel(id_, **said)
    assert await ends.end_all() == ["ended"]
    assert (await ends.subscription(id_)).status == "canceled"
    assert (await ends.invoices(id_))[0].status == "open"
    ends.world.pass_time(INSTANT)
    return id_, claim


async def answer(ends: Ends, claim: Claim, outcome: Outcome) -> None:
    """Settle what the gateway answered to a send."""
    world = ends.world
    await world.twin().settle(after_send(claim, outcome, world.rules, world.clock.now()))


async def closes(ends: Ends, id_: uuid.UUID, status: str) -> None:
    """See it closed at the next look, with its invoice where it belongs, and left alone."""
    assert await ends.wind_up() == ["closed"]
    assert [invoice.status for invoice in await ends.invoices(id_)] == [status]
    assert (await ends.subscription(id_)).closed_at == ends.world.clock.now()
    for _ in range(5):
        ends.world.pass_time(5 * DAY)
        assert await ends.end_all() == []
        assert await ends.world.renew() == 0
        assert await ends.world.charge_all() == []
        assert await ends.world.inquire_all() == []
    cancel_at = (await ends.subscription(id_)).cancel_at
    assert all(sent.claim.claimed_at < cancel_at for sent in ends.world.gateway.sent)


class TestAnAttemptInFlight:
    @pytest.mark.parametrize(
        ("late_payment", "back"),
        [("full", LATE), ("pro_rata", [("late_payment", 27_000, 2_700)]), ("none", [])],
    )
    def test_what_turns_out_paid_is_given_back_by_policy(
        self, ends: Ends, late_payment: str, back: list[tuple[str, int, int]]
    ) -> None:
        id_, claim = ends.world.run(in_flight(ends, late_payment=late_payment, reason="이사"))
        ends.world.run(answer(ends, claim, Paid("imp_late", None)))
        ends.world.run(closes(ends, id_, "paid"))
        assert ends.world.run(ends.refunds()) == back
        assert ends.world.run(ends.world.letters()) == []
        for row in ends.world.run(ends.world.rows("SELECT reason, requester FROM refunds")):
            assert tuple(row) == ("이사", "customer")

    def test_the_refund_of_the_running_period_is_not_for_it(self, ends: Ends) -> None:
        """That was asked for what had been paid; one payment is given back by one rule."""
        id_, claim = ends.world.run(in_flight(ends, refund="full", late_payment="none"))
        ends.world.run(answer(ends, claim, Paid("imp_late", None)))
        ends.world.run(closes(ends, id_, "paid"))
        assert ends.world.run(ends.refunds()) == []

    @pytest.mark.parametrize(
        "outcome",
        [Declined("잔액 부족"), MethodDead("등록되지 않은 구매자입니다"), NotSent("refused")],
        ids=["declined", "method dead", "not sent"],
    )
    def test_what_moved_no_money_leaves_nothing_open(self, ends: Ends, outcome: Outcome) -> None:
        id_, claim = ends.world.run(in_flight(ends))
        ends.world.run(answer(ends, claim, outcome))
        ends.world.run(closes(ends, id_, "void"))
        assert len(ends.world.run(ends.world.events("invoice.voided"))) == 1
        assert ends.world.run(ends.world.events("subscription.past_due")) == []
        assert ends.world.run(ends.refunds()) == []

    def test_it_is_awaited_as_long_as_it_takes(self, ends: Ends) -> None:
        id_, claim = ends.world.run(in_flight(ends))
        ends.world.gateway.enter(ends.world.gateway.payment_of(claim), claim)
        ends.world.gateway.lookups.extend([StillUnresolved("HTTP 500")] * 8)
        ends.world.pass_time(QUIET)
        inquired: list[str] = []
        while "paid" not in inquired:
            assert ends.world.run(ends.wind_up()) == ["awaited"]
            inquired += ends.world.run(ends.world.inquire_all())
        assert inquired == ["unknown"] * 8 + ["paid"]
        ends.world.run(closes(ends, id_, "paid"))
        assert ends.world.run(ends.refunds()) == LATE

    def test_a_lost_reply_is_looked_up(self, ends: Ends) -> None:
        (id_,) = ends.world.run(ends.world.subscribe(price=PRICE, tax_free=TAX_FREE))
        ends.world.run(ends.world.renew())
        ends.world.gateway.script.append(Ending.DIES_AFTER_PAID)
        (invoice,) = ends.world.run(ends.invoices(id_))
        with pytest.raises(ProcessDiedError):
            ends.world.run(ends.world.charge([invoice.id]))
        ends.world.pass_time(INSTANT)
        ends.world.run(ends.cancel(id_))
        assert ends.world.run(ends.end_all()) == ["ended"]
        ends.world.pass_time(QUIET)
        assert ends.world.run(ends.world.inquire_all()) == ["paid"]
        ends.world.run(closes(ends, id_, "paid"))
        assert ends.world.run(ends.refunds()) == LATE

    def test_one_that_is_parked_is_a_persons(self, ends: Ends) -> None:
        id_, claim = ends.world.run(in_flight(ends))
        ends.world.gateway.enter(record_of_other_amount(ends, claim), claim)
        ends.world.pass_time(QUIET)
        assert ends.world.run(ends.world.inquire_all()) == ["parked"]
        for _ in range(3):
            assert ends.world.run(ends.wind_up()) == ["awaited"]
        assert len(ends.world.run(ends.world.letters())) == 1
        assert ends.world.run(ends.invoices(id_))[0].status == "open"
        # Whoever finds out that it was paid after all.
        ends.world.run(answer(ends, claim, Paid("imp_late", None)))
        ends.world.run(closes(ends, id_, "paid"))
        assert ends.world.run(ends.refunds()) == LATE

    def test_a_payment_before_the_end_that_is_written_after_it_is_no_late_one(
        self, ends: Ends
    ) -> None:
        """The instants decide, and not which transaction was the first to commit."""
        (id_,) = ends.world.run(ends.world.subscribe(price=PRICE, tax_free=TAX_FREE))
        ends.world.run(ends.world.renew())
        (invoice,) = ends.world.run(ends.invoices(id_))
        (claim,) = ends.world.run(ends.world.claim([invoice.id]))
        move = after_send(claim, Paid("imp_1", None), ends.world.rules, ends.world.clock.now())
        ends.world.pass_time(timedelta(milliseconds=20))
        ends.world.run(ends.cancel(id_, refund="pro_rata", late_payment="none"))
        assert ends.world.run(ends.end_all()) == ["ended"]
        ends.world.run(ends.world.settle(move))
        ends.world.run(closes(ends, id_, "paid"))
        assert ends.world.run(ends.refunds()) == [("cancellation", 27_000, 2_700)]


def record_of_other_amount(ends: Ends, claim: Claim) -> Any:
    return record_of(claim, ends.world.gateway.payment_of(claim).status, START_AT, amount=1)


class TestASendThatWasLost:
    """No record was shown twice, so it would be sent again; after an end, nothing is sent."""

    @staticmethod
    async def lost(ends: Ends, ending: Ending = Ending.REQUEST_LOST) -> uuid.UUID:
        """Return a canceled subscription whose attempt waits, a send of it being in doubt."""
        (id_,) = await ends.world.subscribe(price=PRICE, tax_free=TAX_FREE)
        await ends.world.renew()
        ends.world.gateway.script.append(ending)
        (invoice,) = await ends.invoices(id_)
        assert await ends.world.charge([invoice.id]) == ["unknown"]
        ends.world.pass_time(QUIET)
        assert await ends.world.inquire_all() == ["unknown"]
        ends.world.pass_time(timedelta(seconds=30))
        assert await ends.world.inquire_all() == ["waiting"]
        await ends.cancel(id_)
        ends.world.pass_time(INSTANT)
        return id_

    def test_is_asked_about_until_the_gateway_was_silent_for_a_day(self, ends: Ends) -> None:
        id_ = ends.world.run(self.lost(ends))
        assert ends.world.run(ends.end_all()) == ["ended"]
        doubted_since = START_AT
        asked = len(ends.world.gateway.asked)
        endings = ["ended"]
        while "closed" not in endings:
            assert ends.world.run(ends.invoices(id_))[0].status == "open"
            ends.world.run(ends.world.inquire_all())
            ends.world.run(ends.world.charge_all())
            endings = ends.world.run(ends.wind_up())
            assert ends.world.clock.now() < doubted_since + 2 * DAY
        assert ends.world.clock.now() > doubted_since + 21 * HOUR
        assert 20 < len(ends.world.gateway.asked) - asked < 40
        assert ends.world.run(ends.invoices(id_))[0].status == "void"
        assert len(ends.world.gateway.sent) == 1
        assert ends.world.run(ends.world.letters()) == []

    @pytest.mark.parametrize("hidden_for", [20 * timedelta(minutes=1), 15 * HOUR])
    def test_is_given_back_when_the_gateway_shows_the_payment_at_last(
        self, ends: Ends, hidden_for: timedelta
    ) -> None:
        ends.world.gateway.late = hidden_for
        id_ = ends.world.run(self.lost(ends, Ending.PAID_HIDDEN))
        endings = ends.world.run(ends.end_all())
        while "closed" not in endings:
            ends.world.run(ends.world.inquire_all())
            endings = ends.world.run(ends.wind_up())
        assert ends.world.clock.now() < START_AT + hidden_for + 2 * HOUR
        assert ends.world.run(ends.refunds()) == LATE
        assert ends.world.run(ends.invoices(id_))[0].status == "paid"

    def test_stays_in_doubt_through_a_later_send_that_certainly_moved_nothing(
        self, ends: Ends
    ) -> None:
        ends.world.gateway.late = 20 * timedelta(minutes=1)
        (id_,) = ends.world.run(ends.world.subscribe(price=PRICE, tax_free=TAX_FREE))
        ends.world.run(ends.world.renew())
        ends.world.gateway.script.extend([Ending.PAID_HIDDEN, Ending.NOT_SENT])
        ends.world.run(ends.world.charge_all())
        for wait in (QUIET, timedelta(seconds=30)):
            ends.world.pass_time(wait)
            ends.world.run(ends.world.inquire_all())
        assert ends.world.run(ends.world.charge_all()) == ["waiting"]
        ends.world.run(ends.cancel(id_))
        endings = ends.world.run(ends.end_all())
        while "closed" not in endings:
            ends.world.run(ends.world.inquire_all())
            endings = ends.world.run(ends.wind_up())
        assert ends.world.run(ends.refunds()) == LATE

    def test_is_looked_for_after_an_end_by_dunning_as_well(self, ends: Ends) -> None:
        id_ = ends.world.run(self.lost(ends))
        ends.world.run(
            ends.world.rows(
                "UPDATE subscriptions SET status = 'canceled', next_renewal_at = NULL,"
                " cancel_at = NULL"
            )
        )
        assert ends.world.run(ends.world.charge_all()) == ["open unsent"]
        assert ends.world.run(ends.end_all()) == ["awaited"]
        (invoice,) = ends.world.run(ends.invoices(id_))
        assert invoice.status == "open"
        assert ends.world.run(ends.world.attempt(invoice.id)).status == "unknown"

    def test_money_that_is_reported_after_all_is_given_back_and_a_person_told(
        self, ends: Ends
    ) -> None:
        """By a notice of the gateway's, days after everything was closed."""
        id_ = ends.world.run(self.lost(ends))
        (invoice,) = ends.world.run(ends.invoices(id_))
        ends.world.pass_time(3 * DAY)
        assert ends.world.run(ends.end_all()) == ["closed"]
        ends.world.pass_time(3 * DAY)
        claim = ends.world.gateway.sent[0].claim
        for _ in range(2):
            ends.world.run(answer(ends, claim, Paid("imp_late", None)))
            assert ends.world.run(ends.end_all()) == ["closed"]
        assert ends.world.run(ends.refunds()) == LATE
        assert ends.world.run(ends.world.letters()) == [
            "paid at the gateway after it had ended as void"
        ]
        assert ends.world.run(ends.world.invoice(invoice.id)).status == "void"


class TestOthersAtTheSameInstant:
    def test_a_claim_beside_the_end_is_either_awaited_or_not_made(self, ends: Ends) -> None:
        for _ in range(12):
            ends.world.run(ends.world.clear())
            ends.world.gateway.sent.clear()
            (id_,) = ends.world.run(ends.world.subscribe(price=PRICE, tax_free=TAX_FREE))
            ends.world.run(ends.world.renew())
            ends.world.pass_time(INSTANT)
            (invoice,) = ends.world.run(ends.invoices(id_))
            other = ends.twin()

            async def end(id_: uuid.UUID = id_) -> None:
                await ends.cancel(id_)
                await ends.end([id_])

            async def scenario(
                work: Any = end, other: Ends = other, invoice_id: int = invoice.id
            ) -> None:
                await asyncio.gather(work(), other.world.charge([invoice_id]))

            ends.world.run(scenario())
            ends.world.pass_time(RESEND_AFTER)
            ends.world.run(ends.end_all())
            (invoice,) = ends.world.run(ends.invoices(id_))
            sent = len(ends.world.gateway.sent)
            assert invoice.status == ("paid" if sent else "void")
            row = ends.world.run(ends.subscription(id_))
            assert (row.status, row.closed_at is None) == ("canceled", False)

    def test_a_claim_that_is_being_written_is_awaited(
        self, ends: Ends, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (id_,) = ends.world.run(ends.world.subscribe(price=PRICE, tax_free=TAX_FREE))
        ends.world.run(ends.world.renew())
        ends.world.pass_time(INSTANT)
        (invoice,) = ends.world.run(ends.invoices(id_))
        other, locked, go_on = ends.twin(), asyncio.Event(), asyncio.Event()
        real = claims.write_claims

        async def slowly(*args: Any) -> Any:
            locked.set()
            await go_on.wait()
            return await real(*args)

        monkeypatch.setattr(claims, "write_claims", slowly)

        async def scenario() -> None:
            charge = asyncio.create_task(other.world.charge([invoice.id]))
            await locked.wait()
            ends.world.pass_time(INSTANT)
            await ends.cancel(id_)
            # It waits for nobody, and voids nothing that somebody is about to send.
            assert await ends.end([id_]) == ["ended"]
            ends.world.pass_time(INSTANT)
            go_on.set()
            assert await charge == ["paid"]

        ends.world.run(scenario())
        ends.world.run(closes(ends, id_, "paid"))
        assert ends.world.run(ends.refunds()) == LATE

    def test_a_settlement_between_two_looks_of_one_winding_up_is_not_forgotten(
        self, ends: Ends, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It has to tell of the subscription, so it waits for the winding up."""
        id_, claim = ends.world.run(in_flight(ends))
        settled: list[asyncio.Task[None]] = []

        def settled_after(look: str) -> None:
            real = getattr(remains, look)

            async def work(*args: Any) -> Any:
                found = await real(*args)
                if not settled:
                    ending = answer(ends, claim, Paid("imp_late", None))
                    settled.append(asyncio.create_task(ending))
                    await until(somebody_waits(ends.world))
                return found

            monkeypatch.setattr(remains, look, work)

        async def held_by_the_settlement(*_: object) -> list[int]:
            return []

        monkeypatch.setattr(remains, "lock_open_invoices", held_by_the_settlement)
        settled_after("anything_open")
        settled_after("payments_at_end")

        async def scenario() -> None:
            assert await ends.wind_up() == ["awaited"]
            await settled[0]

        ends.world.run(scenario())
        monkeypatch.undo()
        ends.world.run(closes(ends, id_, "paid"))
        assert ends.world.run(ends.refunds()) == LATE

    def test_a_late_payment_is_given_back_once_although_everybody_looks_at_once(
        self, ends: Ends
    ) -> None:
        id_, claim = ends.world.run(in_flight(ends))
        ends.world.run(answer(ends, claim, Paid("imp_late", None)))
        processes = [ends, ends.twin(), ends.twin()]

        async def scenario() -> None:
            await asyncio.gather(*(process.end([id_]) for process in processes * 3))
            ends.world.pass_time(RESEND_AFTER)
            await asyncio.gather(*(process.end_all() for process in processes * 2))

        ends.world.run(scenario())
        assert ends.world.run(ends.refunds()) == LATE

    def test_a_settlement_that_holds_the_subscription_is_waited_for(self, ends: Ends) -> None:
        """It changes the status, and the end comes after it in its own right."""
        (id_,) = ends.world.run(ends.world.subscribe())
        ends.world.run(ends.cancel(id_))
        other = ends.twin()

        async def scenario() -> list[str]:
            async with other.world.database.transaction() as connection:
                await connection.exec_driver_sql(
                    "UPDATE subscriptions SET status = 'past_due' WHERE status = 'active'"
                )
                end = asyncio.create_task(ends.end([id_]))
                await until(somebody_waits(other.world))
            return await end

        assert ends.world.run(scenario()) == ["closed"]
        assert ends.world.run(ends.subscription(id_)).status == "canceled"


def somebody_waits(world: World) -> Callable[[], Any]:
    async def waits() -> bool:
        found = await world.rows(
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )
        return bool(found)

    return waits


OFFSETS = [timedelta(microseconds=offset) for offset in (-2, -1, 0, 1, 2)]


@pytest.mark.parametrize("when", ["now", "period_end"])
@pytest.mark.parametrize("offset", OFFSETS, ids=str)
def test_a_wish_on_the_boundary_beside_two_renewals_pays_for_no_period_after_the_end(
    ends: Ends, when: str, offset: timedelta
) -> None:
    for order in range(3):
        ends.world.run(ends.world.clear())
        ends.world.clock.instant = START_AT
        (id_,) = ends.world.run(ends.world.subscribe(price=PRICE, tax_free=TAX_FREE))
        ends.world.run(ends.world.renew())
        ends.world.run(ends.world.charge_all())
        ends.world.clock.instant = PERIOD_END + offset
        other = ends.twin()

        async def scenario(id_: uuid.UUID = id_, order: int = order, other: Ends = other) -> None:
            work = [ends.world.renew(), other.world.renew()]
            work.insert(order, ends.cancel(id_, when))  # type: ignore[arg-type]
            await asyncio.gather(*work)

        ends.world.run(scenario())
        for _ in range(12):
            ends.world.run(ends.world.renew())
            ends.world.run(ends.world.charge_all())
            ends.world.run(ends.end_all())
            ends.world.pass_time(3 * DAY)
        row = ends.world.run(ends.subscription(id_))
        assert (row.status, row.closed_at is None) == ("canceled", False)
        kept = ends.world.run(
            ends.world.rows(
                "SELECT i.period_start_at FROM payments p"
                " JOIN payment_attempts a ON a.id = p.attempt_id"
                " JOIN invoices i ON i.id = a.invoice_id"
                " WHERE NOT EXISTS (SELECT FROM refunds r WHERE r.payment_id = p.id)"
            )
        )
        assert all(payment.period_start_at < row.cancel_at for payment in kept)
        statuses = {invoice.status for invoice in ends.world.run(ends.invoices(id_))}
        assert statuses <= {"paid", "void"}


def test_a_clock_ahead_that_opened_the_next_period_costs_the_buyer_nothing(ends: Ends) -> None:
    """The scan's host ran ahead: the period began for it, was paid, and had not begun for us."""
    (id_,) = ends.world.run(ends.world.subscribe(price=PRICE, tax_free=TAX_FREE))
    ends.world.run(ends.world.renew())
    ends.world.run(ends.world.charge_all())
    ends.world.clock.instant = PERIOD_END
    ends.world.run(ends.world.renew())
    ends.world.pass_time(INSTANT)
    ends.world.run(ends.world.charge_all())
    ends.world.clock.instant = PERIOD_END - timedelta(milliseconds=30)
    told = ends.world.run(ends.cancel(id_, "period_end"))
    assert told["cancel_at"] == PERIOD_END.isoformat()
    ends.world.clock.instant = PERIOD_END + HOUR
    ends.world.run(ends.end_all())
    assert ends.world.run(ends.refunds()) == LATE


@pytest.fixture(scope="module")
def other_url(servers: OwnServers) -> Iterator[str]:
    """A database in which whatever stands belongs to one test."""
    with fresh_database(servers.postgres) as url:
        yield url


def test_an_end_beside_many_settlements_neither_deadlocks_nor_misses_one(other_url: str) -> None:
    with world_of(other_url) as world:
        ends = Ends(world)
        cycle = BillingCycle(START_AT, MONTHLY)
        ids = world.run(world.subscribe(20, price=PRICE, tax_free=TAX_FREE, cycle=cycle))
        world.run(world.renew())
        world.pass_time(INSTANT)
        found = world.run(world.rows("SELECT id FROM invoices ORDER BY id"))
        invoice_ids = [row.id for row in found]
        outcomes: list[Outcome] = [Paid("imp", None), Declined("잔액 부족"), NotSent("refused")]
        claimed = world.run(world.claim(invoice_ids))
        world.pass_time(INSTANT)
        for id_ in ids:
            world.run(ends.cancel(id_))
        world.pass_time(INSTANT)
        other = ends.twin()

        async def scenario() -> None:
            settled = [
                other.world.settle(
                    after_send(
                        claim,
                        Paid(f"imp_{position}", None)
                        if not position % 3
                        else outcomes[position % 3],
                        world.rules,
                        world.clock.now(),
                    )
                )
                for position, claim in enumerate(claimed)
            ]
            await asyncio.gather(ends.end(ids), *settled, other.end(list(reversed(ids))))

        world.run(scenario())
        world.run(ends.wind_up())
        (row,) = world.run(
            world.rows("SELECT count(*) AS found FROM subscriptions WHERE closed_at IS NULL")
        )
        assert row.found == 0
        assert world.run(ends.refunds()) == LATE * 7
        statuses = [row.status for row in world.run(world.rows("SELECT status FROM invoices"))]
        assert (statuses.count("paid"), statuses.count("void")) == (7, 13)
