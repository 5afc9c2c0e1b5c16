"""Hints: whoever says what, only what the gateway shows changes anything, and once."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.scans.hints import DispatchHints
from shared.billing.inquiry import REGISTRATION, RecordStatus, StillUnresolved
from shared.billing.money import Price
from shared.billing.window import KeyHeld
from shared.db import hints, windows
from shared.jobs.commands import ConfirmBillingKey, ConfirmPayment
from shared.jobs.contracts import ReadHints
from tests.support.billing import QUIET, RESEND_AFTER, START_AT, World
from tests.support.book import Ending, record_of
from tests.support.keys import CUSTOMER, Shop, names_of, owing

NOT_NOW = StillUnresolved("the gateway did not answer")
DECLINED = "결제를 취소하셨습니다.  "
REASON = "관리자 콘솔 취소: 고객 요청 \t"


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world)


async def paid_invoice(world: World, price: int = 9_900) -> tuple[int, str]:
    """Return a paid invoice and the ``imp_uid`` of its payment."""
    (invoice_id,) = await world.open_invoices(1, price)
    await world.charge([invoice_id])
    return invoice_id, (await world.attempt(invoice_id)).imp_uid


class TestConfirmation:
    def test_the_browser_confirms_what_the_gateway_shows(self, world: World, shop: Shop) -> None:
        asked = world.run(shop.ask(command_id="ask-1"))
        imp_uid = shop.book.register(asked)
        assert world.run(shop.confirm(asked, imp_uid))["status"] == "looking"
        assert world.run(shop.key()).status == "pending"
        assert world.run(shop.read()) == ["confirmed"]
        key, row = world.run(shop.key()), world.run(shop.window(asked))
        assert (key.status, key.generation) == ("active", 1)
        assert (row.status, row.imp_uid) == ("confirmed", imp_uid)
        (told,) = world.run(world.events("billing_key.registered"))
        assert told["imp_uid"] == imp_uid
        assert told["command_id"] == "ask-1"
        assert told["generation"] == 1
        assert CUSTOMER not in str(world.run(world.events()))

    def test_a_registration_moves_no_money(self, world: World, shop: Shop) -> None:
        asked = world.run(shop.ask())
        world.run(shop.confirm(asked, shop.book.register(asked)))
        world.run(shop.read())
        assert world.run(shop.state())["payments"] == []

    def test_a_single_payment_is_kept_with_its_tax_free_part(
        self, world: World, shop: Shop
    ) -> None:
        asked = world.run(shop.request_payment(tax_free=4_000))
        world.run(shop.advance())
        imp_uid = shop.book.enter(asked["merchant_uid"], 14_000)
        world.run(shop.confirm_payment(asked, imp_uid))
        assert world.run(shop.read()) == ["confirmed"]
        (row,) = world.run(world.rows("SELECT * FROM payments"))
        assert (row.imp_uid, row.amount, row.tax_free) == (imp_uid, 14_000, 4_000)
        assert row.window_id == world.run(shop.window(asked)).id
        assert row.paid_at == world.clock.now()
        (told,) = world.run(world.events("payment.confirmed"))
        assert told["amount"] == 14_000

    def test_browser_and_webhook_together_confirm_once(self, world: World, shop: Shop) -> None:
        asked = world.run(shop.ask())
        imp_uid = shop.book.register(asked)
        world.run(shop.confirm(asked, imp_uid))
        world.run(shop.webhook(imp_uid, asked["merchant_uid"]))
        world.run(shop.webhook(imp_uid, asked["merchant_uid"]))
        assert sorted(world.run(shop.read())) == ["confirmed", "known"]
        assert len(world.run(world.events("billing_key.registered"))) == 1
        assert world.run(shop.key()).generation == 1

    def test_readers_at_once_confirm_once(self, world: World, shop: Shop) -> None:
        asked = world.run(shop.ask())
        imp_uid = shop.book.register(asked)
        world.run(shop.confirm(asked, imp_uid))
        world.run(shop.webhook(imp_uid))
        other = shop.beside(world.twin())

        async def scenario() -> list[list[str]]:
            ids = [row.id for row in await world.rows("SELECT id FROM hints")]
            readers = [shop.read_hints, other.read_hints] * 3
            return await asyncio.gather(*(read(ids) for read in readers))

        endings = [ending for some in world.run(scenario()) for ending in some]
        assert endings.count("confirmed") == 1
        assert set(endings) == {"confirmed", "known", "read elsewhere"}
        assert len(world.run(world.events("billing_key.registered"))) == 1
        assert world.run(shop.key()).generation == 1

    def test_once_confirmed_the_answer_comes_at_once(self, world: World, shop: Shop) -> None:
        asked = world.run(shop.ask())
        imp_uid = shop.book.register(asked)
        world.run(shop.confirm(asked, imp_uid))
        world.run(shop.read())
        assert world.run(shop.confirm(asked, imp_uid))["status"] == "confirmed"
        assert world.run(shop.read()) == []

    def test_a_window_that_is_not_ours_is_refused_in_words(self, world: World, shop: Shop) -> None:
        result = world.run(shop.confirm({"merchant_uid": "nobodys"}, "imp_1"))
        assert "no payment window of ours" in result["error"]
        assert world.run(world.rows("SELECT FROM hints")) == []

    def test_the_wrong_command_is_refused_and_the_right_one_named(
        self, world: World, shop: Shop
    ) -> None:
        asked = world.run(shop.ask())
        result = world.run(shop.confirm(asked, "imp_1", ConfirmPayment))
        assert "send billing_key.confirm" in result["error"]
        paid = world.run(shop.request_payment())
        result = world.run(shop.confirm(paid, "imp_1", ConfirmBillingKey))
        assert "send payment.confirm" in result["error"]


class TestRejection:
    def test_a_failed_payment_is_told_in_the_gateways_words(self, world: World, shop: Shop) -> None:
        asked = world.run(shop.ask())
        imp_uid = shop.book.register(asked, status=RecordStatus.FAILED, fail_reason=DECLINED)
        world.run(shop.confirm(asked, imp_uid))
        before = world.run(shop.state())
        assert world.run(shop.read()) == ["rejected"]
        assert world.run(shop.state()) == before
        (told,) = world.run(world.events("confirmation.rejected"))
        assert told["message"] == DECLINED
        assert told["cause"] == "the payment failed"
        assert told["merchant_uid"] == asked["merchant_uid"]

    def test_an_imp_uid_of_somebody_elses_window_changes_neither(
        self, world: World, shop: Shop
    ) -> None:
        mine = world.run(shop.ask())
        theirs = world.run(shop.ask(customer_uid="another"))
        imp_uid = shop.book.register(theirs, "another")
        world.run(shop.confirm(mine, imp_uid))
        before = world.run(shop.state())
        assert world.run(shop.read()) == ["rejected"]
        assert world.run(shop.state()) == before
        # And it takes nothing from the one who is right.
        world.run(shop.confirm(theirs, imp_uid))
        assert world.run(shop.read()) == ["confirmed"]
        assert world.run(shop.key("another")).status == "active"
        assert world.run(shop.key()).status == "pending"

    def test_a_webhook_that_names_another_window_is_taken_by_what_is_shown(
        self, world: World, shop: Shop
    ) -> None:
        """A forged one that comes first must not use up the true one."""
        asked = world.run(shop.ask())
        imp_uid = shop.book.register(asked)
        world.run(shop.webhook(imp_uid, "somebody-elses"))
        world.run(shop.webhook(imp_uid, asked["merchant_uid"]))
        assert world.run(shop.read()) == ["confirmed"]

    def test_a_payment_of_another_amount_is_a_persons(self, world: World, shop: Shop) -> None:
        """The buyer's browser may say any amount; the money is with us all the same."""
        asked = world.run(shop.request_payment())
        world.run(shop.advance())
        imp_uid = shop.book.enter(asked["merchant_uid"], 100)
        world.run(shop.confirm_payment(asked, imp_uid))
        world.run(shop.webhook(imp_uid))
        world.run(shop.read())
        assert world.run(shop.window(asked)).status == "ready"
        assert len(world.run(world.events("confirmation.rejected"))) == 1
        (told,) = world.run(world.events("payment.unrecognized"))
        assert told["amount"] == 100
        assert world.run(world.letters()) == [told["cause"]]

    def test_a_second_payment_in_one_window_is_a_persons(self, world: World, shop: Shop) -> None:
        asked = world.run(shop.request_payment())
        world.run(shop.advance())
        for _ in range(2):
            world.run(shop.webhook(shop.book.enter(asked["merchant_uid"], 14_000)))
            world.run(shop.read())
        assert len(world.run(world.events("payment.confirmed"))) == 1
        assert len(world.run(world.events("payment.unrecognized"))) == 1
        assert len(world.run(shop.state())["payments"]) == 1
        assert len(world.run(world.letters())) == 1

    def test_a_payment_cancelled_before_it_was_seen_is_a_persons_only_where_money_is_held(
        self, world: World, shop: Shop
    ) -> None:
        for amount, letters in ((14_000, 0), (4_000, 1)):
            asked = world.run(shop.request_payment())
            world.run(shop.advance())
            imp_uid = shop.book.enter(asked["merchant_uid"], 14_000)
            shop.book.cancel(imp_uid, amount, REASON, f"c{amount}")
            world.run(shop.webhook(imp_uid, status="cancelled"))
            world.run(shop.read())
            assert world.run(shop.window(asked)).status == "ready"
            assert len(world.run(world.letters())) == letters


class TestNotYet:
    def test_what_is_not_shown_is_looked_for_again_and_then_given_up(
        self, world: World, shop: Shop
    ) -> None:
        asked = world.run(shop.ask())
        world.run(shop.confirm(asked, "imp_nowhere"))
        before = world.run(shop.state())
        endings = world.run(shop.read_on())
        assert endings == ["later"] * 5 + ["given up"]
        assert world.clock.now() - START_AT > timedelta(hours=1)
        assert world.run(shop.state()) == before
        (told,) = world.run(world.events("confirmation.rejected"))
        assert told["cause"] == "the gateway shows no such payment"

    def test_what_is_shown_late_is_found(self, world: World, shop: Shop) -> None:
        asked = world.run(shop.ask())
        shop.book.hidden = True
        world.run(shop.confirm(asked, shop.book.register(asked)))
        assert world.run(shop.read()) == ["later"]
        assert world.run(shop.read()) == []
        shop.book.hidden = False
        world.pass_time(timedelta(seconds=10))
        assert world.run(shop.read()) == ["confirmed"]

    def test_given_up_it_is_looked_at_again_when_it_is_said_again(
        self, world: World, shop: Shop
    ) -> None:
        asked = world.run(shop.ask())
        shop.book.hidden = True
        imp_uid = shop.book.register(asked)
        world.run(shop.confirm(asked, imp_uid))
        world.run(shop.read_on())
        shop.book.hidden = False
        world.pass_time(timedelta(minutes=1))
        world.run(shop.confirm(asked, imp_uid))
        assert world.run(shop.read()) == ["confirmed"]

    @pytest.mark.parametrize("asked_for", ["payment", "key"])
    def test_a_gateway_that_cannot_say_proves_nothing(
        self, world: World, shop: Shop, asked_for: str
    ) -> None:
        asked = world.run(shop.ask())
        world.run(shop.confirm(asked, shop.book.register(asked)))
        before = world.run(shop.state())
        shop.book.silences.extend([NOT_NOW] if asked_for == "payment" else [None, NOT_NOW])
        assert world.run(shop.read()) == ["later"]
        assert world.run(shop.state()) == before
        world.pass_time(timedelta(seconds=10))
        assert world.run(shop.read()) == ["confirmed"]

    def test_a_fault_of_ours_holds_up_no_other_hint(self, world: World, shop: Shop) -> None:
        asked = world.run(shop.ask())
        imp_uid = shop.book.register(asked)
        world.run(shop.webhook("imp_first", asked["merchant_uid"]))
        world.run(shop.webhook(imp_uid, asked["merchant_uid"]))
        shop.book.silences.append(RuntimeError("a fault of ours"))
        assert sorted(world.run(shop.read())) == ["confirmed", "later"]

    def test_what_nobody_could_say_for_a_day_is_a_persons(self, world: World, shop: Shop) -> None:
        asked = world.run(shop.ask())
        world.run(shop.webhook("imp_1", asked["merchant_uid"]))
        shop.book.silences.extend([NOT_NOW] * 100)
        assert world.run(shop.read_on())[-1] == "given up"
        assert world.clock.now() - START_AT > timedelta(hours=20)
        assert world.run(world.letters()) == ["not read to the end: the gateway did not answer"]

    def test_a_registration_whose_key_is_never_shown_changes_nothing(
        self, world: World, shop: Shop
    ) -> None:
        asked = world.run(shop.ask())
        imp_uid = shop.book.register(asked)
        shop.book.keys.clear()
        world.run(shop.confirm(asked, imp_uid))
        assert world.run(shop.read_on())[-1] == "given up"
        assert world.run(shop.key()).status == "pending"
        assert len(world.run(world.events("confirmation.rejected"))) == 1


class TestSaidAgain:
    def test_the_same_hint_is_stored_once(self, world: World, shop: Shop) -> None:
        for _ in range(5):
            world.run(shop.webhook("imp_1"))
        world.run(shop.webhook("imp_1", status="cancelled", cancellation_id="c1"))
        world.run(shop.webhook("imp_1", status="cancelled", cancellation_id="c2"))
        assert len(world.run(world.rows("SELECT FROM hints"))) == 3

    def test_ten_at_once_are_stored_once(self, world: World, shop: Shop) -> None:
        other = shop.beside(world.twin())

        async def scenario() -> None:
            await asyncio.gather(*(one.webhook("imp_1") for one in [shop, other] * 5))

        world.run(scenario())
        (row,) = world.run(world.rows("SELECT repeats FROM hints"))
        assert row.repeats == 9

    def test_what_was_read_is_not_read_again_at_once(self, world: World, shop: Shop) -> None:
        _, imp_uid = world.run(paid_invoice(world))
        world.run(shop.webhook(imp_uid, status="cancelled"))
        assert world.run(shop.read()) == ["known"]
        for _ in range(3):
            world.run(shop.webhook(imp_uid, status="cancelled"))
        assert world.run(shop.read()) == []
        world.pass_time(timedelta(seconds=30))
        assert world.run(shop.read()) == ["known"]

    def test_that_a_kept_payment_is_paid_is_no_news(self, world: World, shop: Shop) -> None:
        """The gateway tells it of every charge; asking each time would double the calls."""
        _, imp_uid = world.run(paid_invoice(world))
        for _ in range(3):
            world.run(shop.webhook(imp_uid))
            assert world.run(shop.read()) == []
        assert shop.book.calls == []

    def test_what_is_said_during_a_reading_is_read_after_it(self, world: World, shop: Shop) -> None:
        """A second cancellation may be told under no id of its own."""
        _, imp_uid = world.run(paid_invoice(world))
        shop.book.cancel(imp_uid, 1_000, REASON, "c1")
        world.run(shop.webhook(imp_uid, status="cancelled"))

        async def scenario() -> None:
            (hint,) = await world.database.run(
                lambda connection: hints.readable(connection, [hint_id], world.clock.now())
            )
            stale = await shop.book.payment(imp_uid)
            shop.book.cancel(imp_uid, 500, REASON, "c2")
            await shop.webhook(imp_uid, status="cancelled")
            assert not isinstance(stale, StillUnresolved)
            assert stale is not None
            assert await shop.read_hints._conclude(hint, stale) == "cancelled elsewhere"

        (row,) = world.run(world.rows("SELECT id FROM hints"))
        hint_id = row.id
        world.run(scenario())
        world.pass_time(timedelta(seconds=30))
        assert world.run(shop.read()) == ["cancelled elsewhere"]
        (row,) = world.run(world.rows("SELECT cancelled_amount FROM payments"))
        assert row.cancelled_amount == 1_500

    def test_a_stale_reading_that_comes_late_changes_nothing(
        self, world: World, shop: Shop
    ) -> None:
        asked = world.run(shop.ask())
        imp_uid = shop.book.register(asked)
        world.run(shop.webhook(imp_uid))

        async def scenario() -> str:
            ids = [row.id for row in await world.rows("SELECT id FROM hints")]
            (hint,) = await world.database.run(
                lambda connection: hints.readable(connection, ids, world.clock.now())
            )
            assert await shop.read() == ["confirmed"]
            return await shop.read_hints._look(hint)

        assert world.run(scenario()) == "read elsewhere"
        assert len(world.run(world.events("billing_key.registered"))) == 1


class TestAttempts:
    def test_a_paid_attempt_is_settled_before_its_inquiry(self, world: World, shop: Shop) -> None:
        world.gateway.script.append(Ending.PAID_REPLY_LOST)
        (invoice_id,) = world.run(world.open_invoices())
        world.run(world.charge([invoice_id]))
        attempt = world.run(world.attempt(invoice_id))
        assert attempt.status == "unknown"
        (booked,) = world.gateway.paid()
        world.run(shop.webhook(booked.record.imp_uid, attempt.merchant_uid))
        assert world.run(shop.read()) == ["paid"]
        assert world.run(world.invoice(invoice_id)).status == "paid"
        assert len(world.run(world.events("invoice.paid"))) == 1
        assert len(world.run(shop.state())["payments"]) == 1
        # The inquiry finds nothing left to be done.
        world.pass_time(QUIET)
        assert world.run(world.inquire_all()) == []

    def test_a_webhook_that_overtakes_the_reply_settles_once(
        self, world: World, shop: Shop
    ) -> None:
        (invoice_id,) = world.run(world.open_invoices())
        (claim,) = world.run(world.claim([invoice_id]))
        record = world.gateway.payment_of(claim)
        world.gateway.enter(record, claim)
        world.run(shop.webhook(record.imp_uid, claim.merchant_uid))
        assert world.run(shop.read()) == ["paid"]
        world.run(shop.webhook(record.imp_uid, claim.merchant_uid, status="again"))
        assert world.run(shop.read()) == ["known"]
        assert len(world.run(world.events("invoice.paid"))) == 1

    @pytest.mark.parametrize(
        "changes",
        [
            {"status": RecordStatus.FAILED, "fail_reason": DECLINED, "paid_at": None},
            {"status": RecordStatus.READY, "paid_at": None},
            {"amount": 9_899},
            {"customer_uid": "another"},
            {"cancel_amount": 100, "status": RecordStatus.CANCELLED},
            {"cancel_amount": 9_900, "status": RecordStatus.CANCELLED},
            {"usage": "payment.scheduled"},
            {"usage": REGISTRATION},
        ],
    )
    def test_anything_else_is_left_to_the_inquiry(
        self, world: World, shop: Shop, changes: dict[str, Any]
    ) -> None:
        (invoice_id,) = world.run(world.open_invoices())
        (claim,) = world.run(world.claim([invoice_id]))
        record = replace(record_of(claim, RecordStatus.PAID, world.clock.now()), **changes)
        world.gateway.enter(record, claim)
        before = world.run(shop.state())
        world.run(shop.webhook(record.imp_uid, claim.merchant_uid))
        assert world.run(shop.read()) == ["left to the inquiry"]
        assert world.run(shop.state()) == before

    def test_a_payment_of_an_attempt_that_was_declined_calls_a_person_and_stops_collecting(
        self, world: World, shop: Shop
    ) -> None:
        world.gateway.script.append(Ending.DECLINED)
        (invoice_id,) = world.run(world.open_invoices())
        world.run(world.charge([invoice_id]))
        claim = world.gateway.sent[0].claim
        record = world.gateway.payment_of(claim)
        world.gateway.enter(record, claim)
        for _ in range(2):
            world.run(shop.webhook(record.imp_uid))
            world.run(shop.read())
            world.pass_time(timedelta(minutes=1))
        assert world.run(world.letters()) == ["paid at the gateway after it had ended as declined"]
        assert world.run(world.invoice(invoice_id)).collection_stopped

    def test_a_second_payment_of_a_paid_attempt_calls_a_person(
        self, world: World, shop: Shop
    ) -> None:
        world.run(paid_invoice(world))
        claim = world.gateway.sent[0].claim
        record = world.gateway.payment_of(claim)
        world.gateway.enter(record, claim)
        world.run(shop.webhook(record.imp_uid))
        world.run(shop.read())
        (letter,) = world.run(world.letters())
        assert letter.startswith("paid twice at the gateway")

    def test_money_of_a_settled_attempt_that_does_not_match_calls_a_person(
        self, world: World, shop: Shop
    ) -> None:
        world.run(paid_invoice(world))
        claim = world.gateway.sent[0].claim
        record = replace(world.gateway.payment_of(claim), amount=1)
        world.gateway.enter(record, claim)
        world.run(shop.webhook(record.imp_uid))
        assert world.run(shop.read()) == ["unrecognized"]
        assert len(world.run(world.letters())) == 1

    def test_sent_again_meanwhile_it_is_left_to_the_new_ending(
        self, world: World, shop: Shop
    ) -> None:
        (invoice_id,) = world.run(world.open_invoices())
        (claim,) = world.run(world.claim([invoice_id]))
        record = world.gateway.payment_of(claim)
        world.gateway.enter(record, claim)
        world.run(shop.webhook(record.imp_uid))

        settle = shop.world.settle

        async def meanwhile(move: Any) -> Any:
            await world.rows("UPDATE payment_attempts SET send_number = send_number + 1")
            return await settle(move)

        shop.world.settle = meanwhile  # type: ignore[assignment]
        assert world.run(shop.read()) == ["later"]
        shop.world.settle = settle
        world.pass_time(timedelta(seconds=10))
        assert world.run(shop.read()) == ["paid"]


class TestCancelledElsewhere:
    def test_it_is_taken_over_and_told_with_the_gateways_reason(
        self, world: World, shop: Shop
    ) -> None:
        invoice_id, imp_uid = world.run(paid_invoice(world))
        shop.book.cancel(imp_uid, 3_000, REASON, "c1")
        world.run(shop.webhook(imp_uid, status="cancelled", cancellation_id="c1"))
        assert world.run(shop.read()) == ["cancelled elsewhere"]
        (row,) = world.run(world.rows("SELECT * FROM payments"))
        assert row.cancelled_amount == 3_000
        (told,) = world.run(world.events("payment.cancelled_elsewhere"))
        assert (told["amount"], told["left"]) == (3_000, 6_900)
        assert told["reason"] == REASON
        assert told["invoice_id"] == invoice_id
        assert [cancel["cancellation_id"] for cancel in told["cancellations"]] == ["c1"]
        # The invoice was paid; what follows from the cancellation is the merchant's to say.
        assert world.run(world.invoice(invoice_id)).status == "paid"

    def test_each_part_is_told_once_and_only_what_is_new(self, world: World, shop: Shop) -> None:
        _, imp_uid = world.run(paid_invoice(world))
        for number, amount in enumerate((1_000, 2_000, 6_900)):
            shop.book.cancel(imp_uid, amount, f"{REASON}{number}", f"c{number}")
            for _ in range(3):
                world.run(shop.webhook(imp_uid, status="cancelled", cancellation_id=f"c{number}"))
                world.run(shop.read())
        told = world.run(world.events("payment.cancelled_elsewhere"))
        assert [event["amount"] for event in told] == [1_000, 2_000, 6_900]
        assert [event["reason"] for event in told] == [f"{REASON}{n}" for n in range(3)]
        assert [len(event["cancellations"]) for event in told] == [1, 1, 1]

    def test_the_tax_free_part_is_conserved(self, world: World, shop: Shop) -> None:
        asked = world.run(shop.request_payment(tax_free=3_333))
        world.run(shop.advance())
        imp_uid = shop.book.enter(asked["merchant_uid"], 14_000)
        world.run(shop.webhook(imp_uid))
        world.run(shop.read())
        for number, amount in enumerate((1, 999, 7_000, 6_000)):
            shop.book.cancel(imp_uid, amount, REASON, f"c{number}")
            world.run(shop.webhook(imp_uid, status="cancelled", cancellation_id=f"c{number}"))
            assert world.run(shop.read()) == ["cancelled elsewhere"]
        (row,) = world.run(world.rows("SELECT * FROM payments"))
        assert (row.cancelled_amount, row.cancelled_tax_free) == (14_000, 3_333)
        told = world.run(world.events("payment.cancelled_elsewhere"))
        assert sum(event["tax_free"] for event in told) == 3_333

    def test_while_a_refund_of_ours_is_under_way_it_waits(self, world: World, shop: Shop) -> None:
        """What the gateway shows may be that refund; only its own inquiry can tell."""
        _, imp_uid = world.run(paid_invoice(world))
        world.run(
            world.rows(
                """
                INSERT INTO refunds (
                    payment_id, amount, tax_free, reason, requester, cause, status, checksum,
                    send_number, inquire_at
                )
                SELECT id, 3000, 0, '구매자 요청', 'customer', 'command', 'unknown', 9900, 1, :n
                FROM payments
                """,
                n=world.clock.now(),
            )
        )
        shop.book.cancel(imp_uid, 3_000, "구매자 요청", "c1")
        world.run(shop.webhook(imp_uid, status="cancelled", cancellation_id="c1"))
        assert world.run(shop.read()) == ["later"]
        assert world.run(world.events("payment.cancelled_elsewhere")) == []
        world.run(
            world.rows(
                """
                UPDATE refunds SET status = 'done', inquire_at = NULL, settled_at = :n
                """,
                n=world.clock.now(),
            )
        )
        world.run(world.rows("UPDATE payments SET cancelled_amount = 3000"))
        world.pass_time(timedelta(seconds=10))
        assert world.run(shop.read()) == ["known"]
        assert world.run(world.events("payment.cancelled_elsewhere")) == []

    def test_less_than_what_we_know_of_takes_nothing_back(self, world: World, shop: Shop) -> None:
        _, imp_uid = world.run(paid_invoice(world))
        world.run(world.rows("UPDATE payments SET cancelled_amount = 5000"))
        world.run(shop.webhook(imp_uid, status="cancelled"))
        assert world.run(shop.read()) == ["known"]
        assert world.run(shop.state())["payments"][0][2] == 5_000

    def test_a_payment_that_is_shown_otherwise_than_it_was_is_a_persons(
        self, world: World, shop: Shop
    ) -> None:
        _, imp_uid = world.run(paid_invoice(world))
        shop.book.enter("another", 5, imp_uid=imp_uid)
        world.run(shop.webhook(imp_uid, status="cancelled"))
        assert world.run(shop.read()) == ["rejected"]
        assert len(world.run(world.letters())) == 1


class TestNobodys:
    def test_a_payment_that_nobody_asked_for_is_told_once(self, world: World, shop: Shop) -> None:
        imp_uid = shop.book.enter("older-shop-1", 5_000, customer_uid="somebody")
        for status in ("paid", "paid", "ready", ""):
            world.run(shop.webhook(imp_uid, "older-shop-1", status=status))
            world.run(shop.read())
            world.pass_time(timedelta(minutes=1))
            world.run(shop.read())
        (told,) = world.run(world.events("payment.unrecognized"))
        assert (told["imp_uid"], told["amount"]) == (imp_uid, 5_000)
        assert "somebody" not in str(told)
        (letter,) = world.run(world.rows("SELECT * FROM dead_letters"))
        assert letter.kind == "payment"
        assert letter.payload["imp_uid"] == imp_uid

    def test_many_readers_at_once_tell_it_once(self, world: World, shop: Shop) -> None:
        imp_uid = shop.book.enter("older-shop-1", 5_000)
        for status in "abcdef":
            world.run(shop.webhook(imp_uid, status=status))
        other = shop.beside(world.twin())

        async def scenario() -> None:
            ids = [row.id for row in await world.rows("SELECT id FROM hints")]
            await asyncio.gather(*(one.read_hints(ids) for one in [shop, other] * 2))

        world.run(scenario())
        assert len(world.run(world.events("payment.unrecognized"))) == 1
        assert len(world.run(world.letters())) == 1

    def test_a_registration_that_nobody_asked_for_is_told_and_changes_no_key(
        self, world: World, shop: Shop
    ) -> None:
        world.run(owing_key(world, shop))
        imp_uid = shop.book.enter("older-shop-1", 9_900, customer_uid=CUSTOMER, usage=REGISTRATION)
        before = world.run(shop.state())
        world.run(shop.webhook(imp_uid))
        assert world.run(shop.read()) == ["unrecognized"]
        assert world.run(shop.state()) == before
        (told,) = world.run(world.events("payment.unrecognized"))
        assert told["usage"] == "issue"

    @pytest.mark.parametrize(
        "changes",
        [
            {"status": RecordStatus.FAILED, "paid_at": None},
            {"status": RecordStatus.CANCELLED, "cancel_amount": 5_000},
        ],
    )
    def test_where_no_money_is_held_there_is_nothing_to_tell(
        self, world: World, shop: Shop, changes: dict[str, Any]
    ) -> None:
        world.run(shop.webhook(shop.book.enter("older-shop-1", 5_000, **changes)))
        world.run(shop.read())
        assert world.run(world.events()) == []
        assert world.run(world.letters()) == []


async def owing_key(world: World, shop: Shop) -> None:
    """Register the customer's key and let it owe something that was declined."""
    asked = await shop.ask()
    await shop.confirm(asked, shop.book.register(asked))
    await shop.read()
    (invoice_id,) = await owing(world)
    world.gateway.script.append(Ending.DECLINED)
    await world.charge([invoice_id])


class TestFlood:
    def test_what_is_ours_is_looked_at_first_and_the_rest_by_and_by(
        self, world: World, shop: Shop
    ) -> None:
        for number in range(50):
            world.run(shop.webhook(f"imp_forged{number}", f"forged{number}"))
        asked = world.run(shop.ask())
        world.run(shop.webhook(shop.book.register(asked), asked["merchant_uid"]))
        (known,) = world.run(world.rows("SELECT id FROM hints WHERE known"))
        scan = DispatchHints(world.database, world.queue, world.clock, 3, 100, 5, RESEND_AFTER)
        assert world.run(scan()) == 6
        first, _ = jobs = [job for job in world.queue.take() if isinstance(job, ReadHints)]
        assert first.hint_ids[0] == known.id
        endings = [ending for job in jobs for ending in world.run(shop.read_hints(job.hint_ids))]
        assert sorted(endings) == ["confirmed", *["later"] * 5]
        assert len(world.run(shop.read(unknown_max=5))) == 5

    def test_more_than_enough_that_nobody_knows_is_let_go(
        self, world: World, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hints, "UNKNOWN_WAITING_MAX", 3)
        stored = [world.run(shop.webhook(f"imp_{number}")) for number in range(5)]
        assert stored == ["stored"] * 3 + ["let go"] * 2
        # What waits already is said again without harm, and what is ours always comes in.
        assert world.run(shop.webhook("imp_0")) == "let go"
        asked = world.run(shop.ask())
        assert world.run(shop.webhook("imp_9", asked["merchant_uid"])) == "stored"

    def test_forged_ones_end_soon_and_are_forgotten(self, world: World, shop: Shop) -> None:
        for number in range(30):
            world.run(shop.webhook(f"imp_forged{number}"))
        endings = world.run(shop.read_on())
        assert endings.count("given up") == 30
        assert len(shop.book.calls) == 60
        assert world.run(world.events()) == []
        world.pass_time(timedelta(days=8))
        world.run(shop.read())
        assert world.run(world.rows("SELECT FROM hints")) == []

    def test_what_was_told_is_not_forgotten(self, world: World, shop: Shop) -> None:
        imp_uid = shop.book.enter("older-shop-1", 5_000)
        world.run(shop.webhook(imp_uid))
        world.run(shop.read())
        world.pass_time(timedelta(days=8))
        world.run(shop.read())
        world.run(shop.webhook(imp_uid))
        world.run(shop.read())
        assert len(world.run(world.events("payment.unrecognized"))) == 1

    def test_garbage_is_stored_and_read_like_anything_else(self, world: World, shop: Shop) -> None:
        said = hints.Said("imp_\x00\ud800", "\x00" * 10, "\ud800", "\x00")
        policy_gap = timedelta(seconds=30)
        world.run(
            world.database.run(
                lambda connection: hints.store(connection, said, world.clock.now(), policy_gap)
            )
        )
        assert world.run(shop.read()) == ["later"]

    def test_a_message_that_was_lost_is_sent_again(self, world: World, shop: Shop) -> None:
        world.run(shop.webhook("imp_1"))
        scan = DispatchHints(world.database, world.queue, world.clock, 25, 100, 20, RESEND_AFTER)
        assert world.run(scan()) == 1
        world.queue.take()
        assert world.run(scan()) == 0
        world.pass_time(RESEND_AFTER)
        assert world.run(scan()) == 1


class TestForged:
    """No change of state without a record at the gateway that matches in every respect."""

    @pytest.fixture
    def scene(self, world: World, shop: Shop) -> dict[str, Any]:
        """Windows of every kind that are open, an attempt in doubt, and a payment."""
        registering = world.run(shop.ask())
        other = world.run(shop.ask(customer_uid="another"))
        world.run(shop.confirm(other, shop.book.register(other, "another")))
        world.run(shop.read())
        changing = world.run(shop.change(customer_uid="another"))
        paying = world.run(shop.request_payment())
        world.run(shop.advance())
        world.run(paid_invoice(world))
        (invoice_id,) = world.run(world.open_invoices())
        (claim,) = world.run(world.claim([invoice_id]))
        asked = {"registering": CUSTOMER, "changing": "another"}
        uids = {
            "registering": registering["merchant_uid"],
            "changing": changing["merchant_uid"],
            "paying": paying["merchant_uid"],
            "charging": claim.merchant_uid,
        }
        right: dict[str, dict[str, Any]] = {
            **{
                name: {"amount": 9_900, "customer_uid": uid, "usage": REGISTRATION}
                for name, uid in asked.items()
            },
            "paying": {"amount": 14_000, "customer_uid": None, "usage": None},
            "charging": {"amount": 9_900, "customer_uid": claim.customer_uid, "usage": "payment"},
        }
        return {
            "uids": uids,
            "right": right,
            "windows": {"registering": registering, "changing": changing, "paying": paying},
            "customers": [CUSTOMER, "another", claim.customer_uid, None, "stranger"],
        }

    # 500 forged hints against random records, in one world whose state must never move.
    @settings(
        max_examples=500,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        database=None,
    )
    @given(data=st.data())
    def test_no_forged_hint_changes_anything(
        self, world: World, shop: Shop, scene: dict[str, Any], data: st.DataObject
    ) -> None:
        draw = data.draw
        name = draw(st.sampled_from(list(scene["uids"])))

        def mostly(right: Any, others: Sequence[Any]) -> Any:
            """Near misses find more than what is wrong in every respect."""
            return draw(st.sampled_from([*[right] * 3 * len(others), *others]))

        right = scene["right"][name]
        record = {
            "status": mostly(RecordStatus.PAID, list(RecordStatus)),
            "cancel_amount": mostly(0, [1, 9_900]),
            "amount": mostly(right["amount"], [0, 1, 9_899, 9_900, 14_000]),
            "customer_uid": mostly(right["customer_uid"], scene["customers"]),
            "usage": mostly(right["usage"], [None, "payment", REGISTRATION, "payment.scheduled"]),
            "fail_reason": draw(st.text(max_size=10)),
        }
        uid = mostly(scene["uids"][name], [*scene["uids"].values(), "nobodys"])
        held = {uid: KeyHeld(world.clock.now()) for uid in (CUSTOMER, "another")}
        shop.book.keys = mostly(held, [{}])
        is_shown = mostly(True, [False])
        shop.book.payments.clear()
        imp_uid = shop.book.enter(uid, **record)
        if world.run(would_be_right(world, shop, imp_uid)) and is_shown:
            return
        if not is_shown:
            shop.book.payments.clear()
        before = world.run(state_without_letters(shop))
        said = draw(st.sampled_from([*scene["uids"].values(), "nobodys", None]))
        if draw(st.booleans()):
            world.run(shop.webhook(imp_uid, said, status=draw(st.sampled_from(["paid", "x", ""]))))
        else:
            asked_for = draw(st.sampled_from(list(scene["windows"])))
            contract = ConfirmPayment if asked_for == "paying" else ConfirmBillingKey
            world.run(shop.confirm(scene["windows"][asked_for], imp_uid, contract))
        world.run(shop.read(unknown_max=1000))
        assert world.run(state_without_letters(shop)) == before, (record, uid)
        # The next example begins with nothing that waits.
        world.run(world.rows("UPDATE hints SET next_read_at = NULL"))


async def state_without_letters(shop: Shop) -> Mapping[str, Any]:
    """Everything but what only tells a person."""
    state = await shop.state()
    return {name: rows for name, rows in state.items() if name != "letters"}


async def would_be_right(world: World, shop: Shop, imp_uid: str) -> bool:
    """Say, in words of the test's own, whether a record is what was really asked for."""
    record = shop.book.payments[imp_uid]
    if record.status is not RecordStatus.PAID or record.cancel_amount:
        return False
    async with world.database.transaction() as connection:
        stored = await windows.named(connection, record.merchant_uid)
        attempt = await hints.attempt_named(connection, record.merchant_uid)
    if stored is not None:
        window = stored.window
        if window.price != Price(record.amount, window.price.tax_free):
            return False
        if window.customer_uid is None:
            return record.usage is None and record.customer_uid is None
        is_held = window.customer_uid in shop.book.keys
        return record.is_registration and record.customer_uid == window.customer_uid and is_held
    if attempt is not None:
        expected = attempt.claim.expectation
        ours = (expected.amount, expected.customer_uid)
        return (record.amount, record.customer_uid) == ours and record.is_charge
    return False


def test_a_hint_about_a_row_that_makes_no_sense_waits(world: World, shop: Shop) -> None:
    (invoice_id,) = world.run(world.open_invoices())
    (claim,) = world.run(world.claim([invoice_id]))
    record = world.gateway.payment_of(claim)
    world.gateway.enter(record, claim)
    world.run(world.rows("ALTER TABLE billing_keys DROP CONSTRAINT billing_keys_buyer_check"))
    try:
        world.run(world.rows("UPDATE billing_keys SET buyer_tel = repeat('0', 99)"))
        world.run(shop.webhook(record.imp_uid))
        assert world.run(shop.read()) == ["later"]
        world.run(world.rows("UPDATE billing_keys SET buyer_tel = NULL"))
        world.pass_time(timedelta(seconds=10))
        assert world.run(shop.read()) == ["paid"]
    finally:
        world.run(
            world.rows(
                "ALTER TABLE billing_keys ADD CONSTRAINT billing_keys_buyer_check CHECK"
                " (char_length(buyer_tel) BETWEEN 1 AND 16)"
            )
        )


def test_events_about_windows_belong_to_no_subscription(world: World, shop: Shop) -> None:
    asked = world.run(shop.ask())
    world.run(shop.confirm(asked, shop.book.register(asked)))
    world.run(shop.read())
    rows = world.run(world.rows("SELECT name, subscription_id FROM events"))
    assert {row.subscription_id for row in rows} == {None}
    assert names_of(world.run(world.events())) == [
        "billing_key.registration_requested",
        "billing_key.registered",
    ]
