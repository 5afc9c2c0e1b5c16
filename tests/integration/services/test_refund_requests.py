"""A refund is asked for once, never above what is left, and refused in words."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.refund import RefundCause, Requester
from shared.db import payments
from tests.support.billing import World
from tests.support.refunds import REASON, RefundBook, RefundDesk, Way
from worker.services.commanding import CommandRefusedError
from worker.services.refund_requests import RefundRequest, RequestedRefund, request_refund


@pytest.fixture
def desk(world: World) -> RefundDesk:
    return RefundDesk(world, RefundBook(world.clock))


async def request(desk: RefundDesk, payment: Row[Any], **changes: Any) -> RequestedRefund:
    """Ask as a cancellation does."""
    values = {
        "payment_id": payment.id,
        "amount": None,
        "tax_free": None,
        "reason": REASON,
        "requester": Requester.ADMIN,
        "cause": RefundCause.CANCELLATION,
        **changes,
    }

    async def work(connection: AsyncConnection) -> RequestedRefund:
        return await request_refund(connection, RefundRequest(**values), desk.world.clock.now())

    return await desk.world.database.run(work)


class TestWhatIsWritten:
    def test_a_refund_waits_to_be_sent_and_is_told(self, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments(tax_free=900))
        result = world.run(desk.command(payment, 3_000, command_id="refund-1"))
        refund = world.run(desk.refund(int(str(result["refund_id"]))))
        assert result == {
            "refund_id": refund.id,
            "imp_uid": payment.imp_uid,
            "merchant_uid": payment.merchant_uid,
            "amount": 3_000,
            "tax_free": 272,
        }
        assert (refund.status, refund.next_send_at) == ("waiting", world.clock.now())
        assert (refund.checksum, refund.send_number, refund.command_id) == (None, 0, "refund-1")
        assert (refund.reason, refund.requester, refund.cause) == (REASON, "customer", "command")
        (told,) = world.run(world.events("payment.refund_requested"))
        assert told == {
            "refund_id": refund.id,
            "imp_uid": payment.imp_uid,
            "merchant_uid": payment.merchant_uid,
            "invoice_id": payment.invoice_id,
            "amount": 3_000,
            "tax_free": 272,
            "reason": REASON,
            "requester": "customer",
            "cause": "command",
            "at": world.clock.now().isoformat(),
        }
        assert desk.gateway.sent == []

    def test_the_payment_may_be_named_by_its_invoice(self, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        ask = desk.command(payment, 10, imp_uid=None, invoice_id=payment.invoice_id)
        assert world.run(ask)["imp_uid"] == payment.imp_uid

    def test_all_is_all_that_is_left_with_every_tax_free_won(self, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments(amount=9_900, tax_free=1_000))
        world.run(desk.ask(payment, 3_333))
        result = world.run(desk.command(payment, "all"))
        assert (result["amount"], result["tax_free"]) == (6_567, 1_000 - 336)

    @pytest.mark.parametrize("reason", ["전각　공백", "가족 👨‍👩‍👧", "e\u0301 \u00a0", "<&\"'>"])
    def test_the_true_reason_is_kept_byte_for_byte(self, desk: RefundDesk, reason: str) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        refund_id = world.run(desk.ask(payment, 100, reason=reason))
        world.run(desk.work_all())
        assert world.run(desk.refund(refund_id)).reason == reason
        assert desk.gateway.sent[0].claim.order.reason == reason


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"amount": 9_901}, "9901 won are more than the 9900 won that are left"),
            ({"amount": 100, "tax_free": 101}, "must not exceed amount"),
            ({"amount": 9_000, "tax_free": 99}, "of 9000 won out of 9900, 100 to 1000 won may be"),
            ({"amount": 9_000, "tax_free": 1_001}, "100 to 1000 won may be tax-free, not 1001"),
            ({"reason": "  "}, "a reason must be given"),
            ({"reason": "a\nb"}, "control characters"),
            ({"imp_uid": "imp_nobody"}, "there is no payment imp_nobody"),
            ({"imp_uid": None, "invoice_id": 10**12}, "nothing was paid for invoice"),
        ],
    )
    def test_it_says_what_is_wrong_and_what_would_be_right(
        self, desk: RefundDesk, changes: dict[str, Any], words: str
    ) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments(amount=9_900, tax_free=1_000))
        with pytest.raises(CommandRefusedError) as caught:
            world.run(desk.command(payment, **changes))
        assert words in str(caught.value)
        assert world.run(world.rows("SELECT FROM refunds")) == []
        assert world.run(world.events("payment.refund_requested")) == []

    def test_a_payment_that_does_not_exist_has_nothing_to_give_back(self, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        with pytest.raises(CommandRefusedError, match="there is no payment 1000000"):
            world.run(request(desk, payment, payment_id=10**6))

    def test_what_is_asked_for_counts_before_it_is_sent(self, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        world.run(desk.ask(payment, 9_000))
        with pytest.raises(CommandRefusedError, match="901 won are more than the 900 won"):
            world.run(desk.ask(payment, 901))
        world.run(desk.ask(payment, 900))
        with pytest.raises(CommandRefusedError) as caught:
            world.run(desk.ask(payment, 1))
        assert "nothing is left" in str(caught.value)
        assert "9900 won are asked for already" in str(caught.value)

    def test_what_was_refused_may_be_asked_for_again(self, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        desk.gateway.script.append(Way.REFUSED)
        world.run(desk.ask(payment))
        world.run(desk.finish())
        world.run(desk.ask(payment))
        assert world.run(desk.finish()) == ["done"]

    def test_a_registration_is_never_refunded(self, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        world.run(
            world.rows(
                """
                INSERT INTO windows (id, kind, status, merchant_uid, billing_key_id, amount,
                    tax_free, order_name, parameters, expires_at, imp_uid, command_id)
                SELECT gen_random_uuid(), 'register', 'confirmed', 'uid', id, 9900, 0, '구독',
                    '{}', now(), 'imp_registration', 'c' FROM billing_keys LIMIT 1
                """
            )
        )
        with pytest.raises(CommandRefusedError, match="moved no money and is never refunded"):
            world.run(desk.ask(payment, imp_uid="imp_registration"))

    def test_an_invoice_that_was_paid_twice_must_be_named_by_payment(
        self, desk: RefundDesk
    ) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        world.run(
            world.rows(
                """
                INSERT INTO payments (imp_uid, merchant_uid, attempt_id, amount, tax_free, paid_at)
                SELECT 'imp_second', merchant_uid, attempt_id, amount, tax_free, paid_at
                FROM payments
                """
            )
        )
        with pytest.raises(CommandRefusedError) as caught:
            world.run(desk.ask(payment, imp_uid=None, invoice_id=payment.invoice_id))
        assert f"one of {payment.imp_uid}, imp_second" in str(caught.value)


class TestTwice:
    def test_a_command_ten_times_at_once_asks_once(self, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        desks = [desk, desk.twin()]

        async def scenario() -> list[dict[str, Any]]:
            return await asyncio.gather(
                *(
                    desks[number % 2].command(payment, 3_000, command_id="refund-1")
                    for number in range(10)
                )
            )

        results = world.run(scenario())
        assert all(result == results[0] for result in results)
        assert len(world.run(world.rows("SELECT FROM refunds"))) == 1
        assert len(world.run(world.events("payment.refund_requested"))) == 1
        world.run(desk.finish())
        assert len(desk.gateway.sent) == 1
        assert desk.gateway.book[payment.imp_uid].left == 6_900

    def test_different_commands_at_once_never_ask_for_more_than_there_is(
        self, desk: RefundDesk
    ) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        desks = [desk, desk.twin()]

        async def scenario() -> list[Any]:
            return await asyncio.gather(
                *(desks[number % 2].command(payment, 3_000) for number in range(10)),
                return_exceptions=True,
            )

        results = world.run(scenario())
        assert sum(isinstance(result, dict) for result in results) == 3
        assert sum(isinstance(result, CommandRefusedError) for result in results) == 7

    def test_what_is_given_back_by_itself_is_given_back_once(self, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        first = world.run(request(desk, payment, amount=1_000))
        for cause in (RefundCause.CANCELLATION, RefundCause.LATE_PAYMENT):
            again = world.run(request(desk, payment, cause=cause))
            assert (again.id, again.price) == (first.id, first.price)
        # What a merchant commands is beside it.
        assert world.run(desk.ask(payment, 1_000)) != first.id


class TestCancelledElsewhere:
    async def adopt(self, desk: RefundDesk, payment: Row[Any], amount: int) -> payments.Adoption:
        return await desk.world.database.run(
            lambda connection: payments.adopt_cancelled(
                connection, payment.id, amount, desk.world.clock.now()
            )
        )

    def test_it_is_taken_over_once_and_told(self, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments(amount=9_000, tax_free=900))
        assert world.run(self.adopt(desk, payment, 1_000)) is payments.Adoption.ADOPTED
        assert world.run(self.adopt(desk, payment, 1_000)) is payments.Adoption.KNOWN
        assert world.run(self.adopt(desk, payment, 500)) is payments.Adoption.KNOWN
        row = world.run(desk.payment(payment))
        assert (row.cancelled_amount, row.cancelled_tax_free) == (1_000, 100)
        (told,) = world.run(world.events("payment.cancelled_elsewhere"))
        assert (told["amount"], told["tax_free"], told["left"]) == (1_000, 100, 8_000)
        with pytest.raises(CommandRefusedError, match="more than the 8000 won that are left"):
            world.run(desk.ask(payment, 8_001))

    def test_a_refund_under_way_may_explain_it(self, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        refund_id = world.run(desk.ask(payment, 1_000))
        desk.gateway.script.append(Way.DONE_REPLY_LOST)
        world.run(desk.work_all())
        assert world.run(self.adopt(desk, payment, 1_000)) is payments.Adoption.UNDER_WAY
        world.run(desk.finish())
        assert world.run(desk.refund(refund_id)).status == "done"
        assert world.run(desk.payment(payment)).cancelled_amount == 1_000
        assert world.run(world.events("payment.cancelled_elsewhere")) == []

    def test_more_than_was_paid_is_not_believed(self, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        assert world.run(self.adopt(desk, payment, 10**6)) is payments.Adoption.ADOPTED
        assert world.run(desk.payment(payment)).cancelled_amount == 9_900

    def test_a_refund_that_no_longer_fits_ends_unsent_and_calls_a_person(
        self, desk: RefundDesk
    ) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        refund_id, small = (world.run(desk.ask(payment, amount)) for amount in (9_000, 900))
        desk.gateway.cancel_in_the_console(payment.imp_uid, 5_000)
        world.run(self.adopt(desk, payment, 5_000))
        assert world.run(desk.work_all()) == ["refused unsent"]
        assert world.run(desk.work_all()) == ["done"]
        refund = world.run(desk.refund(refund_id))
        assert (refund.status, refund.checksum, refund.send_number) == ("refused", None, 0)
        assert [sent.claim.refund_id for sent in desk.gateway.sent] == [small]
        words = "not sent: 9000 won are more than the 4900 won that are left"
        assert world.run(world.letters()) == [words]
        (told,) = world.run(world.events("payment.refund_refused"))
        assert (told["cause"], told["message"]) == (words, None)
