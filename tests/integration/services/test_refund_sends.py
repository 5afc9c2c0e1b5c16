"""Refunds are sent once at a time, settled under compare-and-set, and read when in doubt."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Row
from sqlalchemy.exc import OperationalError

from shared.billing.collection import after_send
from shared.billing.inquiry import StillUnresolved
from shared.billing.outcome import (
    Declined,
    FaultScope,
    Misconfigured,
    NotSent,
    Outcome,
    Paid,
    Throttled,
    Unknown,
)
from shared.billing.refund import RefundClaim, Refunded, RefundOutcome, Refused
from shared.billing.refunding import RefundMove, after_refund_send
from shared.db import holds, refund_inquiries
from shared.jobs.contracts import InquireRefunds, SendRefunds
from tests.support.billing import QUIET, RESEND_AFTER, START_AT, World, until
from tests.support.book import ProcessDiedError
from tests.support.refunds import ALREADY_CANCELLED, REASON, RefundBook, RefundDesk, Way
from worker.services.refund_settlement import SettleRefunds

MOMENT = timedelta(milliseconds=1)
DAY = timedelta(days=1)


@pytest.fixture
def desk(world: World) -> RefundDesk:
    return RefundDesk(world, RefundBook(world.clock))


async def asked(desk: RefundDesk, amount: int | str = 3_000) -> tuple[Row[Any], int]:
    """Return a payment and a refund of it that waits."""
    (payment,) = await desk.payments()
    return payment, await desk.ask(payment, amount)


async def die(desk: RefundDesk, refund_id: int, way: Way) -> None:
    desk.gateway.script.append(way)
    with pytest.raises(ProcessDiedError):
        await desk.send([refund_id])


async def cancelled(desk: RefundDesk, payment: Row[Any]) -> tuple[int, int, int]:
    """Return what is given back by our rows, by the gateway's book, and in how many parts."""
    held = desk.gateway.entries()[payment.imp_uid]
    ours = (await desk.payment(payment)).cancelled_amount
    return ours, held.record.amount - held.left, len(held.cancelled)


class TestPayments:
    def test_a_payment_is_kept_with_the_settlement(self, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments(tax_free=900))
        attempt = world.run(world.attempt(payment.invoice_id))
        assert (payment.imp_uid, payment.attempt_id) == (attempt.imp_uid, attempt.id)
        assert payment.merchant_uid == attempt.merchant_uid
        assert (payment.amount, payment.tax_free) == (9_900, 900)
        assert payment.paid_at == world.clock.now()
        assert (payment.cancelled_amount, payment.cancelled_tax_free) == (0, 0)

    def test_a_refund_leaves_the_invoice_paid(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, _ = world.run(asked(desk, "all"))
        assert world.run(desk.work_all()) == ["done"]
        assert world.run(world.invoice(payment.invoice_id)).status == "paid"
        assert world.run(world.attempt(payment.invoice_id)).status == "paid"
        assert world.run(world.subscription(payment.invoice_id)).status == "active"

    @pytest.mark.parametrize("first", [Declined("잔액 부족", "imp_a"), Paid("imp_a", None)])
    def test_a_payment_that_comes_late_is_kept_with_its_letter_and_can_be_given_back(
        self, desk: RefundDesk, first: Outcome
    ) -> None:
        world = desk.world
        (claim,) = world.run(world.claim(world.run(world.open_invoices())))
        for outcome in (first, Paid("imp_late", None), Paid("imp_late", None)):
            move = after_send(claim, outcome, world.rules, world.clock.now())
            world.run(world.settle(move))
        kept = world.run(world.rows("SELECT * FROM payments ORDER BY id"))
        late = kept[-1]
        assert [row.imp_uid for row in kept] == ["imp_a", "imp_late"][-len(kept) :]
        assert len(kept) == 1 + isinstance(first, Paid)
        assert (late.imp_uid, late.attempt_id, late.amount) == ("imp_late", claim.attempt_id, 9_900)
        assert late.merchant_uid == claim.merchant_uid
        assert len(world.run(world.letters())) == 1
        desk.hold(late)
        world.run(desk.ask(late))
        assert world.run(desk.finish()) == ["done"]

    def test_a_payment_of_an_invoice_that_was_closed_is_kept(self, desk: RefundDesk) -> None:
        world = desk.world
        (claim,) = world.run(world.claim(world.run(world.open_invoices())))
        world.run(world.rows("UPDATE invoices SET status = 'void', next_attempt_at = NULL"))
        move = after_send(claim, Paid("imp_a", None), world.rules, world.clock.now())
        world.run(world.settle(move))
        (kept,) = world.run(world.rows("SELECT * FROM payments"))
        assert (kept.imp_uid, kept.attempt_id) == ("imp_a", claim.attempt_id)

    def test_a_payment_is_of_one_attempt_only(self, desk: RefundDesk) -> None:
        world = desk.world
        claimed = world.run(world.claim(world.run(world.open_invoices(2))))
        for claim in claimed:
            move = after_send(claim, Paid("imp_same", None), world.rules, world.clock.now())
            world.run(world.settle(move))
        statuses = [world.run(world.attempt(claim.invoice_id)).status for claim in claimed]
        assert statuses == ["paid", "parked"]
        assert len(world.run(world.rows("SELECT FROM payments"))) == 1


class TestSends:
    def test_it_is_done_and_told_in_one_transaction(self, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments(amount=9_900, tax_free=1_000))
        refund_id = world.run(desk.ask(payment, 3_333))
        assert world.run(desk.work_all()) == ["done"]
        refund = world.run(desk.refund(refund_id))
        (done,) = desk.gateway.book[payment.imp_uid].cancelled
        assert (refund.status, refund.send_number, refund.checksum) == ("done", 1, 9_900)
        assert refund.cancellation_id == done.record.cancellation_id
        assert refund.settled_at == world.clock.now()
        row = world.run(desk.payment(payment))
        assert (row.cancelled_amount, row.cancelled_tax_free) == (3_333, 336)
        (told,) = world.run(world.events("payment.refunded"))
        assert told == {
            "refund_id": refund_id,
            "imp_uid": payment.imp_uid,
            "merchant_uid": payment.merchant_uid,
            "amount": 3_333,
            "tax_free": 336,
            "reason": REASON,
            "requester": "customer",
            "cancellation_id": done.record.cancellation_id,
            "left": 6_567,
            "at": world.clock.now().isoformat(),
        }

    def test_checksum_and_lease_are_committed_before_a_byte_leaves(self, desk: RefundDesk) -> None:
        world = desk.world
        _, refund_id = world.run(asked(desk))
        desk.gateway.door = asyncio.Event()

        async def scenario() -> None:
            task = asyncio.create_task(desk.send([refund_id]))
            await until(lambda: len(desk.gateway.sent) == 1)
            refund = await desk.refund(refund_id)
            assert (refund.status, refund.checksum, refund.send_number) == ("claimed", 9_900, 1)
            assert refund.lease_until == START_AT + world.rules.leases.lease
            assert refund.inquire_at == START_AT + QUIET
            assert desk.gateway.door is not None
            desk.gateway.door.set()
            assert await task == ["done"]

        world.run(scenario())

    def test_two_messages_for_one_refund_at_once_send_it_once(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        other = desk.twin()

        async def scenario() -> list[list[str]]:
            return await asyncio.gather(
                *(process.send([refund_id]) for process in [desk, other] * 4)
            )

        endings = [ending for found in world.run(scenario()) for ending in found]
        assert endings == ["done"]
        assert len(desk.gateway.sent) == 1
        assert world.run(cancelled(desk, payment)) == (3_000, 3_000, 1)

    def test_parts_of_one_payment_go_one_after_the_other(self, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        ids = [world.run(desk.ask(payment, 1_000)) for _ in range(4)]
        other = desk.twin()

        async def scenario() -> list[list[str]]:
            return await asyncio.gather(
                *(process.send(part) for process in (desk, other) for part in (ids, ids[::-1]))
            )

        endings = [ending for found in world.run(scenario()) for ending in found]
        assert set(endings) == {"done"}
        world.run(desk.finish())
        checksums = [sent.claim.checksum for sent in desk.gateway.sent]
        assert checksums == [9_900, 8_900, 7_900, 6_900]
        assert [sent.claim.refund_id for sent in desk.gateway.sent] == ids
        assert world.run(cancelled(desk, payment)) == (4_000, 4_000, 4)

    def test_a_part_waits_while_another_one_is_in_doubt(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, first = world.run(asked(desk))
        second = world.run(desk.ask(payment, 1_000))
        world.run(die(desk, first, Way.DIES_AFTER_DOING))
        assert world.run(desk.work_all()) == []
        assert world.run(desk.send([second, first])) == []
        world.pass_time(QUIET)
        assert world.run(desk.work_all()) == ["done"]
        assert world.run(desk.work_all()) == ["done"]
        assert world.run(cancelled(desk, payment)) == (4_000, 4_000, 2)

    def test_a_part_goes_first_where_the_older_one_certainly_moved_nothing(
        self, desk: RefundDesk
    ) -> None:
        world = desk.world
        payment, first = world.run(asked(desk))
        second = world.run(desk.ask(payment, 1_000))
        desk.gateway.script.append(NotSent("connection refused"))
        assert world.run(desk.work_all()) == ["waiting"]
        assert world.run(desk.refund(first)).checksum is None
        assert world.run(desk.work_all()) == ["done"]
        assert desk.gateway.sent[-1].claim.refund_id == second
        world.run(desk.finish())
        assert [sent.claim.checksum for sent in desk.gateway.sent] == [9_900, 9_900, 8_900]
        assert world.run(cancelled(desk, payment)) == (4_000, 4_000, 2)

    def test_parts_of_many_payments_go_side_by_side(self, desk: RefundDesk) -> None:
        world = desk.world
        paid = world.run(desk.payments(30))
        ids = [world.run(desk.ask(payment, 100)) for payment in paid]
        assert world.run(desk.work_all()) == ["done"] * 30
        assert sorted(sent.claim.refund_id for sent in desk.gateway.sent) == ids

    def test_a_row_that_makes_no_sense_holds_up_nobody(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, faulty = world.run(asked(desk))
        good = world.run(desk.ask(payment, 100))
        world.run(world.rows("UPDATE refunds SET reason = ' ' WHERE id = :id", id=faulty))
        assert world.run(desk.send([faulty, good])) == ["done"]
        refund = world.run(desk.refund(faulty))
        assert (refund.status, refund.next_send_at) == ("waiting", START_AT + timedelta(hours=1))
        assert "a reason must be given" in refund.message

    def test_a_request_that_stays_faulty_calls_a_person(self, desk: RefundDesk) -> None:
        world = desk.world
        _, refund_id = world.run(asked(desk))
        desk.gateway.script.extend([Misconfigured("필수 파라미터", FaultScope.REQUEST)] * 5)
        assert world.run(desk.finish()) == ["waiting"] * 4 + ["parked"]
        refund = world.run(desk.refund(refund_id))
        assert (refund.refusal, refund.unknown_since) == ("필수 파라미터", None)
        (letter,) = world.run(world.rows("SELECT * FROM dead_letters"))
        assert (letter.kind, letter.refund_id) == ("refund", refund_id)
        assert letter.payload["message"] == "필수 파라미터"

    @pytest.mark.parametrize(
        ("outcome", "hold_s"),
        [
            (Throttled("HTTP 429", 60.0), 60),
            (Throttled("HTTP 429", None), 10),
            (Misconfigured("권한", FaultScope.GATEWAY), 300),
            (NotSent("refused"), None),
        ],
    )
    def test_it_holds_the_gateway_and_respects_a_hold(
        self, desk: RefundDesk, outcome: RefundOutcome, hold_s: int | None
    ) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        other = world.run(desk.payments())[0]
        other_id = world.run(desk.ask(other, 100))
        desk.gateway.script.append(outcome)
        assert world.run(desk.send([refund_id])) == ["waiting"]
        held = world.run(world.database.run(lambda c: holds.current(c, world.clock.now())))
        if hold_s is None:
            assert held is None
            return
        assert held is not None
        assert held.held_until == START_AT + timedelta(seconds=hold_s)
        assert world.run(desk.send([refund_id, other_id])) == []
        assert world.run(desk.scan()) == 0
        world.pass_time(timedelta(seconds=hold_s))
        assert world.run(desk.work_all()) == ["done", "done"]
        assert world.run(cancelled(desk, payment)) == (3_000, 3_000, 1)

    @pytest.mark.parametrize(
        ("text", "stored"), [("거절 😀\n\t ", None), ("끝\x00", "끝\ufffd"), ("\ud83d", "?")]
    )
    def test_the_gateways_text_stands_in_its_own_field(
        self, desk: RefundDesk, text: str, stored: str | None
    ) -> None:
        world = desk.world
        _, refund_id = world.run(asked(desk))
        desk.gateway.script.append(Refused(text))
        assert world.run(desk.work_all()) == ["unknown"]
        assert world.run(desk.work_all()) == ["refused"]
        expected = text if stored is None else stored
        refund = world.run(desk.refund(refund_id))
        assert (refund.refusal, refund.message) == (expected, "refused by the gateway")
        (told,) = world.run(world.events("payment.refund_refused"))
        assert (told["message"], told["cause"]) == (expected, "refused by the gateway")
        assert world.run(world.letters()) == ["refused by the gateway"]
        (letter,) = world.run(world.rows("SELECT payload FROM dead_letters"))
        assert letter.payload["message"] == expected


class TestDeaths:
    @pytest.mark.parametrize(
        ("way", "sends"),
        [
            (Way.DIES_BEFORE_SENDING, 2),
            (Way.DIES_AFTER_DOING, 1),
            (Way.DONE_REPLY_LOST, 1),
            (Way.DONE_LATE, 1),
            (Way.DONE_HIDDEN, 1),
            (Way.REQUEST_LOST, 2),
            (Way.NOT_SENT, 2),
        ],
    )
    def test_whatever_happens_to_a_send_money_goes_back_once(
        self, desk: RefundDesk, way: Way, sends: int
    ) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        if way in {Way.DIES_BEFORE_SENDING, Way.DIES_AFTER_DOING}:
            world.run(die(desk, refund_id, way))
        else:
            desk.gateway.script.append(way)
        assert world.run(desk.finish())[-1] == "done"
        assert len(desk.gateway.sent) == sends
        assert world.run(cancelled(desk, payment)) == (3_000, 3_000, 1)
        assert len(world.run(world.events("payment.refunded"))) == 1
        assert world.run(world.letters()) == []

    def test_a_death_before_the_claim_is_committed_costs_time_only(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, _ = world.run(asked(desk))
        assert world.run(desk.scan()) == 1
        world.queue.take()
        assert world.run(desk.scan()) == 0
        world.pass_time(RESEND_AFTER)
        assert world.run(desk.work_all()) == ["done"]
        assert world.run(cancelled(desk, payment)) == (3_000, 3_000, 1)

    def test_a_death_before_the_settlement_is_read(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))

        async def die_instead(_move: RefundMove) -> RefundMove:
            raise ProcessDiedError

        desk.settle = die_instead  # type: ignore[assignment]
        with pytest.raises(ProcessDiedError):
            world.run(desk.send([refund_id]))
        assert world.run(desk.refund(refund_id)).status == "claimed"
        world.pass_time(QUIET)
        assert world.run(RefundDesk(world, desk.gateway).work_all()) == ["done"]
        assert len(desk.gateway.sent) == 1
        assert world.run(cancelled(desk, payment)) == (3_000, 3_000, 1)

    def test_a_settlement_that_fails_leaves_the_refund_to_the_inquiry(
        self, desk: RefundDesk
    ) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        settle = desk.settle

        async def fail(_move: RefundMove) -> RefundMove:
            raise OperationalError("UPDATE refunds", {}, Exception("the server is away"))

        desk.settle = fail  # type: ignore[assignment]
        assert world.run(desk.send([refund_id])) == ["unsettled"]
        desk.settle = settle
        assert world.run(desk.refund(refund_id)).status == "claimed"
        assert world.run(desk.finish()) == ["done"]
        assert world.run(cancelled(desk, payment)) == (3_000, 3_000, 1)

    def test_nobody_reads_or_sends_before_lease_and_settle_delay_are_over(
        self, desk: RefundDesk
    ) -> None:
        world = desk.world
        _, refund_id = world.run(asked(desk))
        world.run(desk.claim([refund_id]))
        for wait in (timedelta(0), timedelta(seconds=120), QUIET - timedelta(seconds=120) - MOMENT):
            world.pass_time(wait)
            assert world.run(desk.work_all()) == []
            assert world.run(desk.inquire([refund_id])) == []
            assert world.run(desk.send([refund_id])) == []
        assert desk.gateway.asked == []
        world.pass_time(MOMENT)
        assert world.run(desk.work_all()) == ["waiting"]
        assert world.run(desk.work_all()) == ["done"]

    def test_a_resend_goes_out_under_the_same_checksum(self, desk: RefundDesk) -> None:
        world = desk.world
        _, refund_id = world.run(asked(desk))
        world.run(die(desk, refund_id, Way.DIES_BEFORE_SENDING))
        desk.gateway.script.extend([Way.REQUEST_LOST, Way.NOT_SENT])
        world.run(desk.finish())
        assert [(sent.claim.send_number, sent.claim.checksum) for sent in desk.gateway.sent] == [
            (number, 9_900) for number in (1, 2, 3, 4)
        ]

    def test_requests_that_are_always_lost_call_a_person_in_the_end(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        desk.gateway.otherwise = Way.REQUEST_LOST
        assert world.run(desk.finish(2_000))[-1] == "parked"
        assert DAY <= world.clock.now() - START_AT < DAY + timedelta(hours=2)
        (letter,) = world.run(world.letters())
        assert letter.startswith("lost again and again since")
        assert world.run(world.events("payment.refund_parked"))[0]["cause"] == letter
        # Nor is another part sent, which could not be told from it.
        world.run(desk.ask(payment, 100))
        assert world.run(desk.work_all()) == []
        assert world.run(desk.refund(refund_id)).checksum == 9_900

    def test_a_gateway_that_is_away_for_a_day_calls_a_person_for_what_is_in_doubt(
        self, desk: RefundDesk
    ) -> None:
        world = desk.world
        world.run(asked(desk))
        desk.gateway.script.append(Way.REQUEST_LOST)
        desk.gateway.otherwise = Way.NOT_SENT
        assert world.run(desk.finish(2_000))[-1] == "parked"

    def test_a_payment_that_cannot_be_read_calls_a_person(self, desk: RefundDesk) -> None:
        world = desk.world
        world.run(asked(desk))
        desk.gateway.script.append(Way.DONE_REPLY_LOST)
        desk.gateway.lookups.extend([StillUnresolved("HTTP 500")] * 100)
        endings = world.run(desk.finish(200))
        assert (endings[-1], set(endings[:-1])) == ("parked", {"unknown"})
        assert len(endings) < 40

    def test_what_a_person_has_read_again_may_still_be_done(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        desk.gateway.script.append(Way.DONE_REPLY_LOST)
        desk.gateway.lookups.extend([StillUnresolved("HTTP 500")] * 40)
        world.run(desk.finish(200))
        desk.gateway.lookups.clear()

        async def again() -> bool:
            return await world.database.run(
                lambda c: refund_inquiries.ask_about_parked(c, refund_id, world.clock.now())
            )

        assert world.run(again())
        assert not world.run(again())
        assert world.run(desk.work_all()) == ["done"]
        assert world.run(cancelled(desk, payment)) == (3_000, 3_000, 1)

    def test_a_fault_of_ours_in_mid_send_is_unknown(
        self, desk: RefundDesk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = desk.world
        first, second = world.run(desk.payments(2))
        ids = [world.run(desk.ask(payment, 100)) for payment in (first, second)]
        real = desk.gateway.refund

        async def fail(claim: RefundClaim, *, claimed_at_s: float) -> RefundOutcome:
            outcome = await real(claim, claimed_at_s=claimed_at_s)
            if claim.refund_id == ids[0]:
                raise ZeroDivisionError
            return outcome

        with monkeypatch.context() as patch:
            patch.setattr(desk.gateway, "refund", fail)
            assert world.run(desk.work_all()) == ["unknown", "done"]
        assert world.run(desk.finish()) == ["done"]
        assert len(desk.gateway.sent) == 2

    def test_a_lookup_that_raises_is_an_unresolved_one(
        self, desk: RefundDesk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = desk.world
        _, refund_id = world.run(asked(desk))
        world.run(desk.claim([refund_id]))

        async def fail(_imp_uid: str) -> None:
            raise KeyError("a fault of ours")

        monkeypatch.setattr(desk.gateway, "payment", fail)
        world.pass_time(QUIET)
        assert world.run(desk.inquire([refund_id])) == ["unknown"]
        world.pass_time(DAY)
        assert world.run(desk.inquire([refund_id])) == ["unknown"]
        world.pass_time(timedelta(seconds=30))
        assert world.run(desk.inquire([refund_id])) == ["parked"]

    def test_a_row_that_cannot_be_asked_about_calls_a_person_when_its_time_is_over(
        self, desk: RefundDesk
    ) -> None:
        world = desk.world
        _, refund_id = world.run(asked(desk))
        world.run(desk.claim([refund_id]))
        world.run(world.rows("UPDATE refunds SET reason = ' '"))
        world.pass_time(QUIET)
        assert world.run(desk.inquire([refund_id])) == []
        assert world.run(desk.refund(refund_id)).status == "claimed"
        world.pass_time(DAY)
        assert world.run(desk.inquire([refund_id])) == []
        assert world.run(desk.refund(refund_id)).status == "parked"
        (letter,) = world.run(world.letters())
        assert letter.startswith("a reason must be given")


class TestRefusals:
    def test_a_refusal_is_an_end_once_the_payment_was_read(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, _ = world.run(asked(desk))
        desk.gateway.script.append(Way.REFUSED)
        assert world.run(desk.work_all()) == ["unknown"]
        assert world.run(desk.work_all()) == ["refused"]
        assert desk.gateway.asked == [payment.imp_uid]
        assert world.run(cancelled(desk, payment)) == (0, 0, 0)

    def test_already_cancelled_is_confirmed_by_reading(self, desk: RefundDesk) -> None:
        """As when the first send was done, and a process died before it could say so."""
        world = desk.world
        payment, refund_id = world.run(asked(desk, "all"))
        world.run(die(desk, refund_id, Way.DIES_AFTER_DOING))
        unread = desk.gateway.book[payment.imp_uid].record
        desk.gateway.lookups.append(unread)
        world.pass_time(QUIET)
        assert world.run(desk.work_all()) == ["waiting"]
        assert world.run(desk.work_all()) == ["unknown"]
        assert world.run(desk.refund(refund_id)).refusal == ALREADY_CANCELLED
        assert world.run(desk.work_all()) == ["done"]
        assert world.run(cancelled(desk, payment)) == (9_900, 9_900, 1)
        assert world.run(world.letters()) == []

    def test_a_refusal_of_a_resend_is_never_an_end_while_the_first_send_is_in_doubt(
        self, desk: RefundDesk
    ) -> None:
        """The checksum refuses what was done already, however long look-ups do not show it."""
        world = desk.world
        payment, _ = world.run(asked(desk))
        desk.gateway.script.append(Way.DONE_HIDDEN)
        desk.gateway.late = timedelta(hours=5)
        endings = world.run(desk.finish(100))
        assert set(endings) == {"unknown", "waiting", "done"}
        assert endings[-1] == "done"
        assert world.run(cancelled(desk, payment)) == (3_000, 3_000, 1)

    def test_one_that_lasts_calls_a_person_with_the_gateways_words(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        desk.gateway.script.extend([Way.REQUEST_LOST, Way.REFUSED])
        assert world.run(desk.finish(100))[-1] == "parked"
        refund = world.run(desk.refund(refund_id))
        assert refund.refusal == "결제취소에 실패하였습니다. 취소금액이 미정산 금액보다 큽니다."
        (told,) = world.run(world.events("payment.refund_parked"))
        assert told["message"] == refund.refusal
        assert "refused, while an earlier send is in doubt" in told["cause"]
        assert world.run(cancelled(desk, payment)) == (0, 0, 0)


class TestCancelledInTheConsole:
    """Somebody cancels at PortOne by hand, which uses our checksum up."""

    def test_before_the_send_it_is_sent_again_out_of_what_is_left(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        desk.gateway.cancel_in_the_console(payment.imp_uid, 2_000)
        assert world.run(desk.finish()) == ["unknown", "waiting", "done"]
        assert [sent.claim.checksum for sent in desk.gateway.sent] == [9_900, 7_900]
        assert world.run(cancelled(desk, payment)) == (5_000, 5_000, 2)
        assert desk.gateway.given_back(refund_id) == 1
        (told,) = world.run(world.events("payment.cancelled_elsewhere"))
        assert (told["amount"], told["left"]) == (2_000, 7_900)

    def test_while_the_send_is_in_doubt_it_cannot_be_done_any_more(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        desk.gateway.script.append(Way.DONE_LATE)
        desk.gateway.late = timedelta(hours=3)
        world.run(desk.work_all())
        desk.gateway.cancel_in_the_console(payment.imp_uid, 2_000)
        world.run(desk.finish())
        world.pass_time(timedelta(hours=3))
        assert world.run(cancelled(desk, payment)) == (5_000, 5_000, 2)
        assert desk.gateway.given_back(refund_id) == 1

    def test_after_it_was_done_both_are_seen(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        desk.gateway.script.append(Way.DONE_REPLY_LOST)
        world.run(desk.work_all())
        desk.gateway.cancel_in_the_console(payment.imp_uid, 2_000)
        assert world.run(desk.finish()) == ["done"]
        assert desk.gateway.given_back(refund_id) == 1
        assert world.run(cancelled(desk, payment)) == (5_000, 5_000, 2)
        (told,) = world.run(world.events("payment.refunded"))
        assert told["left"] == 4_900
        assert len(world.run(world.events("payment.cancelled_elsewhere"))) == 1

    @pytest.mark.parametrize("way", [Way.REQUEST_LOST, Way.DONE])
    def test_of_the_same_amount_with_another_reason_is_for_a_person(
        self, desk: RefundDesk, way: Way
    ) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        desk.gateway.script.append(way)
        desk.gateway.cancel_in_the_console(payment.imp_uid, 3_000)
        assert world.run(desk.finish())[-1] == "parked"
        assert desk.gateway.given_back(refund_id) == 0
        assert world.run(world.letters()) == [
            "a cancellation at the gateway may be this refund and may be another"
        ]

    def test_of_everything_ends_the_refund_unsent(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        desk.gateway.cancel_in_the_console(payment.imp_uid, 9_900)
        assert world.run(desk.finish()) == ["unknown", "waiting", "refused unsent"]
        assert world.run(cancelled(desk, payment)) == (9_900, 9_900, 1)
        assert world.run(desk.refund(refund_id)).status == "refused"


class TestZombies:
    def test_an_ending_of_an_older_send_loses(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        (stale,) = world.run(desk.claim([refund_id]))
        world.pass_time(QUIET)
        assert world.run(desk.work_all()) == ["waiting"]
        world.run(desk.claim([refund_id]))
        before = world.run(desk.refund(refund_id))
        for outcome in (
            NotSent("the fence"),
            Unknown("reset"),
            Refused("이미"),
            Refunded("cancellation_x", None),
        ):
            world.run(desk.answer(stale, outcome))
        assert tuple(world.run(desk.refund(refund_id))) == tuple(before)
        assert world.run(world.letters()) == []
        assert world.run(desk.payment(payment)).cancelled_amount == 0

    @pytest.mark.parametrize("outcome", [NotSent("f"), Unknown("reset"), Refused("이미")])
    def test_nothing_but_the_money_ends_a_waiting(
        self, desk: RefundDesk, outcome: RefundOutcome
    ) -> None:
        world = desk.world
        _, refund_id = world.run(asked(desk))
        (stale,) = world.run(desk.claim([refund_id]))
        world.pass_time(QUIET)
        world.run(desk.work_all())
        world.run(desk.answer(stale, outcome))
        assert world.run(desk.refund(refund_id)).status == "waiting"

    @pytest.mark.parametrize("status", ["waiting", "parked"])
    def test_money_that_is_reported_late_ends_the_waiting(
        self, desk: RefundDesk, status: str
    ) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        (stale,) = world.run(desk.claim([refund_id]))
        world.pass_time(QUIET)
        world.run(desk.work_all())
        if status == "parked":
            world.run(world.rows("UPDATE refunds SET status = 'parked', next_send_at = NULL"))
        world.run(desk.answer(stale, Refunded("cancellation_late", None)))
        refund = world.run(desk.refund(refund_id))
        assert (refund.status, refund.cancellation_id) == ("done", "cancellation_late")
        assert world.run(desk.payment(payment)).cancelled_amount == 3_000
        assert world.run(desk.work_all()) == []

    def test_money_that_is_reported_after_a_refusal_calls_a_person(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        (stale,) = world.run(desk.claim([refund_id]))
        world.run(desk.answer(stale, Refused("거절")))
        assert world.run(desk.work_all()) == ["refused"]
        for _ in range(2):
            world.run(desk.answer(stale, Refunded("cancellation_late", None)))
        assert world.run(world.letters()) == [
            "refused by the gateway",
            "given back at the gateway after it had ended as refused",
        ]
        assert world.run(desk.payment(payment)).cancelled_amount == 3_000

    def test_the_same_ending_twice_is_written_once(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        (claim,) = world.run(desk.claim([refund_id]))
        for _ in range(3):
            world.run(desk.answer(claim, Refunded("cancellation_1", None)))
        assert world.run(desk.payment(payment)).cancelled_amount == 3_000
        assert len(world.run(world.events("payment.refunded"))) == 1
        assert world.run(world.letters()) == []

    @pytest.mark.parametrize("first", [0, 1])
    @pytest.mark.parametrize("other", [NotSent("refused"), Unknown("HTTP 500"), Refused("이미")])
    def test_money_wins_in_either_order_within_a_group(
        self, desk: RefundDesk, other: RefundOutcome, first: int
    ) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        (claim,) = world.run(desk.claim([refund_id]))
        both = [
            after_refund_send(claim, outcome, world.rules, world.clock.now())
            for outcome in (Refunded("cancellation_1", None), other)
        ]
        settle = SettleRefunds(world.database, world.clock)
        world.run(settle([both[first], both[1 - first]]))
        assert world.run(desk.refund(refund_id)).status == "done"
        assert world.run(desk.payment(payment)).cancelled_amount == 3_000

    def test_two_inquiries_at_once_tell_once(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        desk.gateway.script.append(Way.DONE_REPLY_LOST)
        world.run(desk.work_all())
        world.pass_time(QUIET)
        other = desk.twin()

        async def scenario() -> None:
            await asyncio.gather(*(process.inquire([refund_id]) for process in [desk, other] * 3))

        world.run(scenario())
        assert len(world.run(world.events("payment.refunded"))) == 1
        assert world.run(cancelled(desk, payment)) == (3_000, 3_000, 1)

    def test_a_row_that_the_database_refuses_does_not_take_its_neighbours_along(
        self, desk: RefundDesk
    ) -> None:
        world = desk.world
        paid = world.run(desk.payments(3))
        ids = [world.run(desk.ask(payment, 100)) for payment in paid]
        claimed = world.run(desk.claim(ids))
        now = world.clock.now()
        group = [
            after_refund_send(claim, Refunded("c", None), world.rules, now) for claim in claimed
        ]
        group[1] = replace(group[1], inquire_at=now)
        written = world.run(SettleRefunds(world.database, world.clock)(group))
        assert [move.status for move in written] == ["done", "parked", "done"]
        assert [world.run(desk.refund(id_)).status for id_ in ids] == ["done", "parked", "done"]
        (letter,) = world.run(world.letters())
        assert letter == "done: refused by the database (CheckViolation)"


class TestScan:
    def test_it_sends_ids_in_batches_and_the_oldest_of_each_payment(self, desk: RefundDesk) -> None:
        world = desk.world
        paid = world.run(desk.payments(30))
        oldest = [world.run(desk.ask(payment, 100)) for payment in paid]
        for payment in paid[:3]:
            world.run(desk.ask(payment, 100))
        assert world.run(desk.scan()) == 30
        jobs = [job for job in world.queue.take() if isinstance(job, SendRefunds)]
        assert [len(job.refund_ids) for job in jobs] == [25, 5]
        assert sorted(id_ for job in jobs for id_ in job.refund_ids) == oldest

    def test_a_message_is_sent_again_only_when_it_must_be_lost(self, desk: RefundDesk) -> None:
        world = desk.world
        _, refund_id = world.run(asked(desk))
        assert world.run(desk.scan()) == 1
        world.pass_time(RESEND_AFTER - MOMENT)
        assert world.run(desk.scan()) == 0
        world.pass_time(MOMENT)
        assert world.run(desk.scan()) == 1
        assert world.queue.take() == [SendRefunds(refund_ids=(refund_id,))] * 2

    def test_asking_goes_on_during_a_hold(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, refund_id = world.run(asked(desk))
        world.run(desk.claim([refund_id]))
        world.run(desk.ask(payment, 100))
        world.pass_time(QUIET)
        until_at = world.clock.now() + timedelta(hours=1)
        world.run(world.database.run(lambda c: holds.hold(c, "x", until_at, world.clock.now())))
        assert world.run(desk.scan()) == 1
        assert world.queue.take() == [InquireRefunds(refund_ids=(refund_id,))]

    def test_scans_at_once_send_each_refund_once(self, desk: RefundDesk) -> None:
        world = desk.world
        paid = world.run(desk.payments(40))
        ids = [world.run(desk.ask(payment, 100)) for payment in paid]
        other = desk.twin()
        other.world.queue = world.queue

        async def scenario() -> None:
            await asyncio.gather(*(process.scan(rows_max=15) for process in [desk, other] * 3))

        world.run(scenario())
        world.run(desk.scan())
        sent = Counter(
            id_
            for job in world.queue.take()
            if isinstance(job, SendRefunds)
            for id_ in job.refund_ids
        )
        assert sent == dict.fromkeys(ids, 1)

    def test_the_next_part_goes_as_soon_as_its_turn_comes(self, desk: RefundDesk) -> None:
        """A message that came before its turn is not taken for a lost one."""
        world = desk.world
        payment, first = world.run(asked(desk))
        second = world.run(desk.ask(payment, 100))
        world.run(world.rows("UPDATE refunds SET dispatched_at = :at", at=world.clock.now()))
        assert world.run(desk.send([first, second])) == ["done"]
        assert world.run(desk.work_all()) == ["done"]
