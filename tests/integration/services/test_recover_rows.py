"""What a recovery makes of rows that were right in the backup, and may not be any more."""

import asyncio
import uuid
from typing import Any

import pytest

from shared.billing.calendar import BillingCycle
from shared.billing.merchant_uid import ChargeName
from shared.billing.refund import RefundCause, Requester
from shared.billing.renewal import RenewalPolicies
from shared.db import lost_charges, payments
from shared.jobs.life_commands import AdjustSubscription
from tests.support.billing import MONTHLY, START_AT, World
from tests.support.book import Ending
from tests.support.books import Books
from tests.support.reservations import POLICY, Reserving
from worker.services.grouping import Grouping
from worker.services.recover_attempts import AdoptAttempts, AdoptedPeriod, UnfinishedError
from worker.services.recover_refunds import AdoptedRefunds, AdoptRefunds
from worker.services.refund import SendRefunds
from worker.services.refund_inquiry import InquireRefunds
from worker.services.refund_requests import RefundRequest, request_refund
from worker.services.refund_settlement import SettleRefunds

FEB_28 = BillingCycle(START_AT, MONTHLY).period(1).start_at
REASON = "관리자 취소"


def test_of_an_invoice_whose_attempt_is_in_doubt_nothing_is_planned(world: World) -> None:
    async def life() -> None:
        (invoice,) = await world.open_invoices()
        world.gateway.script.append(Ending.NOT_SENT)
        assert await world.charge([invoice]) == ["waiting"]
        assert (await world.invoice(invoice)).next_attempt_at is not None
        now = world.clock.now()
        # Whoever dies after it begins again.
        for _ in range(2):
            await world.database.run(lambda c: lost_charges.doubt_waiting(c, now))
            assert (await world.attempt(invoice)).status == "unknown"
            assert (await world.invoice(invoice)).next_attempt_at is None
        # The gateway's silence is believed as ever, and it is sent again under its name.
        sent = world.gateway.sent[0].claim.merchant_uid
        while (await world.invoice(invoice)).status != "paid":
            next_at = await world.next_at()
            assert next_at is not None
            world.clock.instant = next_at
            await world.inquire_all()
            await world.charge_all()
        assert [each.claim.merchant_uid for each in world.gateway.sent] == [sent] * 2
        assert len(world.gateway.paid()) == 1

    world.run(life())


class TestARefundThatIsCountedAlready:
    """The gateway's cancellation was taken over before anybody saw that the rows were set back."""

    @pytest.fixture
    def books(self, world: World) -> Books:
        """A world that charges at a sandbox of its own."""
        return Books(world)

    def adopting(self, books: Books) -> AdoptRefunds:
        world = books.world
        settle = Grouping(SettleRefunds(world.database, world.clock), linger_s=0.001)
        inquire = InquireRefunds(world.database, books.gateway, settle, world.clock, world.rules)
        return AdoptRefunds(world.database, books.gateway, inquire, world.clock)

    async def ask(self, books: Books, amount: int) -> None:
        now = books.world.clock.now()
        ((payment_id,),) = await books.world.rows("SELECT id FROM payments")
        request = RefundRequest(
            payment_id, amount, None, REASON, Requester.ADMIN, RefundCause.COMMAND, uuid.uuid4().hex
        )
        await books.world.database.run(lambda c: request_refund(c, request, now))

    async def counted(self, books: Books, amounts: tuple[int, ...], times: int) -> str:
        """Return a payment of which so much went back and was counted, as often as is said."""
        world = books.world
        (payment,) = await books.live(1)
        for _ in range(times):
            books.cancel(payment, amounts[0])
        ((id_,),) = await world.rows("SELECT id FROM payments")
        now = world.clock.now()
        sum_ = times * amounts[0]
        await world.database.run(lambda c: payments.adopt_cancelled(c, id_, sum_, now))
        for amount in amounts:
            await self.ask(books, amount)
        return str(payment.imp_uid)

    async def send(self, books: Books) -> list[str]:
        world = books.world
        settle = Grouping(SettleRefunds(world.database, world.clock), linger_s=0.001)
        send = SendRefunds(world.database, books.gateway, settle, world.clock, world.rules)
        waiting = await world.rows("SELECT id FROM refunds WHERE status = 'waiting'")
        return await send([row.id for row in waiting])

    def test_is_left_to_a_person_and_never_sent_again(self, books: Books) -> None:
        async def life() -> None:
            imp_uid = await self.counted(books, (2_000,), 1)
            adopt = self.adopting(books)
            assert await adopt(imp_uid) == AdoptedRefunds(doubtful=True)
            # Run again, it finds nothing more to do.
            assert await adopt(imp_uid) == AdoptedRefunds()
            (refund,) = await books.world.rows("SELECT status, checksum FROM refunds")
            assert (refund.status, refund.checksum) == ("parked", 9_900)
            (cause,) = await books.world.letters()
            assert "taken over as made elsewhere" in cause
            assert await self.send(books) == []

        books.world.run(life())
        assert [each.cancel_amount for each in books.sandbox.book.payments()] == [2_000]

    def test_comes_before_others_of_which_nobody_could_tell_which_is_which(
        self, books: Books
    ) -> None:
        async def life() -> None:
            imp_uid = await self.counted(books, (2_000, 2_000), 2)
            adopt = self.adopting(books)
            # The recovery does not finish, however often it is run, before a person has decided.
            for _ in range(2):
                with pytest.raises(UnfinishedError):
                    await adopt(imp_uid)
            rows = await books.world.rows("SELECT status FROM refunds ORDER BY id")
            assert [row.status for row in rows] == ["parked", "waiting"]

        books.world.run(life())
        assert [each.cancel_amount for each in books.sandbox.book.payments()] == [4_000]


class TestWhatPortOneExecuted:
    """Of a reservation in the backup, when its period is opened for a charge that is adopted."""

    @pytest.fixture
    def here(self, world: World) -> Reserving:
        """A process on empty tables, and an empty timetable."""
        return Reserving.on(world)

    def executed(self, here: Reserving) -> uuid.UUID:
        """Return a subscription whose second period PortOne has collected, as our rows know."""
        id_: uuid.UUID = here.run(here.living.start())
        assert here.run(here.living.tick()) == ["paid"]
        here.run(here.collect(id_))
        here.world.clock.instant = FEB_28 - POLICY.ahead
        assert here.run(here.reserve()) == ["reserved"]
        here.world.clock.instant = FEB_28
        here.timetable.execute()
        return id_

    def adopt(self, here: Reserving, id_: uuid.UUID) -> AdoptedPeriod:
        world = here.world
        policies = RenewalPolicies(world.catch_up, world.consent, world.rules.hours)
        gateway: Any = world.gateway
        work = AdoptAttempts(
            world.database, gateway, world.settle, world.clock, world.rules, policies
        )
        adopted: AdoptedPeriod = here.run(work(ChargeName(id_, 1, 1), [1]))
        return adopted

    def test_costs_what_was_charged_for_it_and_leaves_a_credit_to_the_next_period(
        self, here: Reserving
    ) -> None:
        id_ = self.executed(here)
        price = here.world.gateway.paid()[-1].record.amount
        here.run(here.world.rows("UPDATE reservations SET status = 'executed'"))
        given = {"description": "장애 보상", "credit": 2_000}
        here.run(here.living.do(AdjustSubscription, subscription_id=id_, **given))
        adopted = self.adopt(here, id_)
        assert (adopted.opened, adopted.parked) == (1, False)
        rows = here.run(
            here.world.rows("SELECT status, amount FROM invoices WHERE period_index = 1")
        )
        assert [(row.status, row.amount) for row in rows] == [("paid", price)]
        (left,) = here.run(here.world.rows("SELECT amount_left FROM adjustments"))
        assert left.amount_left == 2_000
        assert here.run(here.world.letters()) == []

    def test_for_a_period_that_does_not_come_is_billed_and_given_back(
        self, here: Reserving
    ) -> None:
        id_ = self.executed(here)
        here.run(here.world.rows("UPDATE reservations SET status = 'executed'"))
        here.run(here.world.rows("UPDATE subscriptions SET pause_at = next_renewal_at"))
        adopted = self.adopt(here, id_)
        assert (adopted.is_known, adopted.opened, adopted.parked) == (True, 1, False)
        (row,) = here.run(here.rows())
        assert row.status == "returning"
        (invoice,) = here.run(here.world.rows("SELECT * FROM invoices WHERE period_index = 1"))
        assert (invoice.status, invoice.collection_stopped) == ("paid", True)
        # Another run finds it done.
        assert self.adopt(here, id_).opened == 0


def test_two_that_adopt_one_payment_at_once_park_its_refund_once(world: World) -> None:
    suite = TestARefundThatIsCountedAlready()
    books = Books(world)

    async def life() -> None:
        imp_uid = await suite.counted(books, (2_000,), 1)
        adopt = suite.adopting(books)
        await asyncio.gather(adopt(imp_uid), adopt(imp_uid))
        assert len(await world.letters()) == 1

    world.run(life())
