"""What follows from the ending of a refund, rule by rule."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.billing.inquiry import Conflict, StillUnresolved
from shared.billing.outcome import FaultScope, Misconfigured, NotSent, Throttled, Unknown
from shared.billing.refund import (
    CancelledElsewhere,
    NotDone,
    RefundClaim,
    Refunded,
    RefundQuestion,
    RefundStatus,
    Refused,
)
from shared.billing.refunding import (
    RefundMove,
    after_refund_inquiry,
    after_refund_send,
    park_refund,
    refuse_unsent,
)
from tests.unit.billing.made import CLAIMED_AT, LEASES, NOW, RULES
from tests.unit.billing.refunds import CLAIM, REASON, claim

EARLIER = CLAIMED_AT - timedelta(hours=1)
IN_DOUBT = claim(send_number=2, unknown_since=EARLIER)
DEADLINE = RULES.inquiry.deadline
FIRST_GAP = RULES.inquiry.gaps[0]


def inquire(asked: RefundClaim, finding: object, *, inquiries: int = 0) -> RefundMove:
    return after_refund_inquiry(RefundQuestion(asked, inquiries), finding, RULES, NOW)  # type: ignore[arg-type]


class TestDone:
    def test_the_gateways_word_ends_it(self) -> None:
        move = after_refund_send(CLAIM, Refunded("cancellation_9", NOW, 7_000), RULES, NOW)
        assert (move.status, move.settled_at) == (RefundStatus.DONE, NOW)
        assert (move.cancellation_id, move.cancelled_amount) == ("cancellation_9", 7_000)
        (event,) = move.events
        assert event.name == "payment.refunded"
        assert event.data == {
            "refund_id": 801,
            "imp_uid": "imp_1",
            "merchant_uid": CLAIM.merchant_uid,
            "amount": 3_000,
            "tax_free": 200,
            "reason": REASON,
            "requester": "customer",
            "at": NOW.isoformat(),
            "cancellation_id": "cancellation_9",
            "left": 6_900,
        }

    def test_what_is_left_is_what_the_gateway_shows(self) -> None:
        for shown, left in ((None, 6_900), (7_500, 6_400)):
            move = inquire(IN_DOUBT, Refunded(None, None, shown))
            assert move.events[0].data["left"] == left
            assert move.cancelled_amount == shown or shown is None


class TestUnknown:
    def test_it_is_read_after_lease_and_settle_delay(self) -> None:
        move = after_refund_send(CLAIM, Unknown("ReadTimeout"), RULES, NOW)
        assert move.status is RefundStatus.UNKNOWN
        assert move.inquire_at == CLAIMED_AT + LEASES.lease + LEASES.settle_delay
        assert (move.unknown_since, move.keeps_checksum) == (CLAIMED_AT, True)
        assert (move.message, move.refusal, move.events) == ("ReadTimeout", None, ())

    def test_its_doubt_began_with_the_first_send_that_left_one(self) -> None:
        move = after_refund_send(IN_DOUBT, Unknown("reset"), RULES, NOW)
        assert move.unknown_since == EARLIER

    @pytest.mark.parametrize("asked", [CLAIM, IN_DOUBT])
    def test_a_payment_that_stands_as_before_is_sent_again_under_the_same_checksum(
        self, asked: RefundClaim
    ) -> None:
        move = inquire(asked, NotDone())
        assert (move.status, move.next_send_at) == (RefundStatus.WAITING, NOW)
        assert move.keeps_checksum
        assert move.unknown_since == asked.in_doubt_since

    def test_what_is_lost_for_a_day_is_for_a_person(self) -> None:
        old = replace(IN_DOUBT, unknown_since=NOW - DEADLINE)
        move = inquire(old, NotDone())
        assert move.status is RefundStatus.PARKED
        assert move.dead_letter == f"lost again and again since {NOW - DEADLINE}"
        (event,) = move.events
        assert (event.name, event.data["cause"]) == ("payment.refund_parked", move.dead_letter)

    def test_it_is_asked_about_at_growing_gaps_and_at_the_deadline_at_the_latest(self) -> None:
        move = inquire(CLAIM, StillUnresolved("HTTP 500"))
        assert (move.status, move.inquire_at) == (RefundStatus.UNKNOWN, NOW + FIRST_GAP)
        assert (move.inquiries, move.message) == (1, "HTTP 500")
        late = claim(claimed_at=NOW - DEADLINE + timedelta(seconds=9))
        move = inquire(late, StillUnresolved("HTTP 500"), inquiries=30)
        assert move.inquire_at == NOW + timedelta(seconds=9)
        over = inquire(claim(claimed_at=NOW - DEADLINE), StillUnresolved("HTTP 500"), inquiries=2)
        assert over.status is RefundStatus.PARKED
        assert over.dead_letter == f"unknown since {NOW - DEADLINE}: HTTP 500"

    @pytest.mark.parametrize("inquiries", [0, 1])
    def test_a_deadline_that_passed_while_nobody_could_ask_calls_nobody_yet(
        self, inquiries: int
    ) -> None:
        late = claim(claimed_at=NOW - 3 * DEADLINE)
        move = inquire(late, StillUnresolved("HTTP 500"), inquiries=inquiries)
        assert (move.status, move.inquire_at) == (RefundStatus.UNKNOWN, NOW + FIRST_GAP)
        again = inquire(late, NotDone(), inquiries=inquiries)
        assert (again.status, again.next_send_at) == (RefundStatus.WAITING, NOW)

    def test_what_does_not_match_is_for_a_person(self) -> None:
        move = inquire(IN_DOUBT, Conflict("another payment"))
        assert (move.status, move.dead_letter) == (RefundStatus.PARKED, "another payment")
        assert (move.unknown_since, move.keeps_checksum) == (EARLIER, True)


class TestRefusals:
    def test_a_refusal_is_read_at_once_and_ends_nothing(self) -> None:
        move = after_refund_send(CLAIM, Refused("이미 전액취소된 주문입니다."), RULES, NOW)
        assert (move.status, move.inquire_at) == (RefundStatus.UNKNOWN, NOW)
        assert move.refusal == "이미 전액취소된 주문입니다."
        # This send is not in doubt: the gateway answered it.
        assert move.unknown_since is None
        assert (move.events, move.settled_at, move.dead_letter) == ((), None, None)

    def test_it_leaves_the_doubt_about_an_earlier_send(self) -> None:
        move = after_refund_send(IN_DOUBT, Refused("거절"), RULES, NOW)
        assert (move.unknown_since, move.refusal) == (EARLIER, "거절")

    @pytest.mark.parametrize("send_number", [1, 4])
    def test_it_is_the_end_where_nothing_was_ever_in_doubt(self, send_number: int) -> None:
        move = inquire(claim(send_number=send_number, refusal="거절\n"), NotDone())
        assert (move.status, move.settled_at) == (RefundStatus.REFUSED, NOW)
        assert (move.refusal, move.message) == ("거절\n", "refused by the gateway")
        assert move.dead_letter == "refused by the gateway"
        (event,) = move.events
        assert event.name == "payment.refund_refused"
        assert (event.data["message"], event.data["cause"]) == ("거절\n", "refused by the gateway")

    def test_it_is_never_the_end_where_an_earlier_send_is_in_doubt(self) -> None:
        refused = replace(IN_DOUBT, refusal="거절")
        for inquiries in range(20):
            move = inquire(refused, NotDone(), inquiries=inquiries)
            assert move.status is RefundStatus.UNKNOWN
            assert (move.unknown_since, move.refusal) == (EARLIER, "거절")
        over = inquire(replace(refused, unknown_since=NOW - DEADLINE), NotDone(), inquiries=2)
        assert over.status is RefundStatus.PARKED
        assert "refused, while an earlier send is in doubt" in (over.dead_letter or "")
        assert over.events[0].data["message"] == "거절"

    def test_what_was_done_after_all_is_done(self) -> None:
        move = inquire(claim(refusal="이미 전액취소된 주문입니다."), Refunded("c", None, 7_000))
        assert (move.status, move.refusal) == (RefundStatus.DONE, None)

    def test_a_look_up_that_fails_keeps_the_refusal_and_raises_no_doubt(self) -> None:
        move = inquire(claim(refusal="거절"), StillUnresolved("HTTP 500"))
        assert (move.status, move.refusal, move.unknown_since) == (
            RefundStatus.UNKNOWN,
            "거절",
            None,
        )

    def test_what_does_not_fit_any_more_ends_unsent(self) -> None:
        move = refuse_unsent(CLAIM, "3000 won are more than …", NOW)
        assert (move.status, move.refusal) == (RefundStatus.REFUSED, None)
        assert move.dead_letter == "not sent: 3000 won are more than …"
        assert move.events[0].data["message"] is None


class TestCancelledElsewhere:
    @pytest.mark.parametrize("asked", [CLAIM, IN_DOUBT, replace(IN_DOUBT, refusal="거절")])
    def test_nothing_is_in_doubt_any_more_and_the_checksum_is_given_up(
        self, asked: RefundClaim
    ) -> None:
        move = inquire(asked, CancelledElsewhere(4_500))
        assert (move.status, move.next_send_at) == (RefundStatus.WAITING, NOW)
        assert (move.keeps_checksum, move.unknown_since) == (False, None)
        assert (move.cancelled_amount, move.refusal) == (4_500, None)


class TestUnmoved:
    @pytest.mark.parametrize(
        ("outcome", "wait_s", "hold_s"),
        [
            (NotSent("refused"), 10, None),
            (Throttled("HTTP 429", 60.0), 60, 60),
            (Throttled("HTTP 429"), 10, 10),
            (Misconfigured("권한", FaultScope.GATEWAY), 300, 300),
            (Misconfigured("필수", FaultScope.REQUEST), 10, None),
        ],
    )
    def test_it_is_sent_again_later_and_others_may_go_first(
        self, outcome: NotSent, wait_s: int, hold_s: int | None
    ) -> None:
        move = after_refund_send(CLAIM, outcome, RULES, NOW)
        assert (move.status, move.next_send_at) == (
            RefundStatus.WAITING,
            NOW + timedelta(seconds=wait_s),
        )
        assert move.hold_until == (None if hold_s is None else NOW + timedelta(seconds=hold_s))
        assert (move.keeps_checksum, move.unknown_since) == (False, None)

    def test_it_says_nothing_of_an_earlier_send(self) -> None:
        move = after_refund_send(IN_DOUBT, NotSent("refused"), RULES, NOW)
        assert (move.keeps_checksum, move.unknown_since) == (True, EARLIER)

    def test_nor_does_it_prolong_the_doubt(self) -> None:
        old = replace(IN_DOUBT, unknown_since=NOW - DEADLINE)
        move = after_refund_send(old, NotSent("refused"), RULES, NOW)
        assert (move.status, move.unknown_since) == (RefundStatus.PARKED, NOW - DEADLINE)
        assert (move.dead_letter or "").startswith("lost again and again")
        held = after_refund_send(old, Throttled("HTTP 429", 60.0), RULES, NOW)
        assert held.status is RefundStatus.PARKED
        assert held.hold_until == NOW + timedelta(seconds=60)

    def test_a_request_that_stays_faulty_is_for_a_person(self) -> None:
        faulty = Misconfigured("필수 파라미터", FaultScope.REQUEST)
        last = RULES.resend.faulty_sends_max
        before = after_refund_send(claim(send_number=last - 1), faulty, RULES, NOW)
        assert before.status is RefundStatus.WAITING
        move = after_refund_send(claim(send_number=last), faulty, RULES, NOW)
        assert (move.status, move.refusal) == (RefundStatus.PARKED, "필수 파라미터")
        assert move.unknown_since is None
        assert move.events[0].data["message"] == "필수 파라미터"


def test_a_parked_refund_keeps_its_checksum() -> None:
    move = park_refund(CLAIM, "why", NOW)
    assert (move.status, move.keeps_checksum, move.message) == (RefundStatus.PARKED, True, "why")
