"""What may be asked for, and what the gateway's record of a payment means for a refund of it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.billing.errors import InvalidRefundError
from shared.billing.inquiry import CancelRecord, Conflict, RecordStatus, StillUnresolved
from shared.billing.money import Price
from shared.billing.refund import (
    REASON_LENGTH_MAX,
    Balance,
    CancelledElsewhere,
    NotDone,
    Refunded,
    RefundFinding,
    RefundOrder,
    Requester,
    judge_refund,
    part_of,
    require_fits,
    require_reason,
)
from tests.unit.billing import made
from tests.unit.billing.refunds import CLAIM, ORDER, REASON, cancelled, claim, record

# What went back before the refund of ``CLAIM``.
BEFORE = cancelled(4_000, "먼저", seconds=-90)
OURS = cancelled(3_000, seconds=2)


class TestOrders:
    @pytest.mark.parametrize("amount", [0])
    def test_nothing_is_never_asked_for_because_it_means_everything(self, amount: int) -> None:
        with pytest.raises(InvalidRefundError, match="0 means everything"):
            RefundOrder(Price(amount), REASON, Requester.ADMIN)

    @pytest.mark.parametrize(
        ("reason", "words"),
        [
            ("", "must be given"),
            (" \u3000 ", "must be given"),
            ("x" * (REASON_LENGTH_MAX + 1), "256 characters at most, not 257"),
            ("a\nb", "control characters"),
            ("a\x00", "control characters"),
            ("a\x85", "control characters"),
            ("\ud800", "control characters"),
        ],
    )
    def test_a_reason_that_cannot_be_told_is_refused_in_words(
        self, reason: str, words: str
    ) -> None:
        with pytest.raises(InvalidRefundError, match=words):
            RefundOrder(Price(1), reason, Requester.CUSTOMER)

    @pytest.mark.parametrize(
        "reason", [REASON, "x" * REASON_LENGTH_MAX, "전각　공백", "👨‍👩‍👧", "a\u00a0b", "\ufeffa"]
    )
    def test_a_reason_is_taken_as_it_is(self, reason: str) -> None:
        assert require_reason(reason) == reason

    def test_a_claim_does_not_show_its_reason(self) -> None:
        assert repr(CLAIM) == "RefundClaim(refund_id=801, send_number=1)"


class TestBalances:
    def test_what_is_left_is_what_was_paid_less_what_went_back(self) -> None:
        assert Balance(Price(9_900, 900), Price(1_000, 100)).left == Price(8_900, 800)

    @pytest.mark.parametrize("cancelled_before", [Price(9_901), Price(901, 901), Price(9_001, 0)])
    def test_more_cannot_have_gone_back_than_was_paid(self, cancelled_before: Price) -> None:
        with pytest.raises(InvalidRefundError):
            Balance(Price(9_900, 900), cancelled_before)

    @pytest.mark.parametrize(
        ("part", "words"),
        [
            (Price(9_901), "9901 won are more than the 9900 won that are left"),
            (Price(9_500, 499), "500 to 900 won may be tax-free, not 499"),
            (Price(9_500, 901), "500 to 900 won may be tax-free, not 901"),
            (Price(500, 500), None),
            (Price(500, 0), None),
            (Price(9_900, 900), None),
        ],
    )
    def test_a_part_must_fit_in_both_respects(self, part: Price, words: str | None) -> None:
        left = Price(9_900, 900)
        if words is None:
            require_fits(left, part)
            return
        with pytest.raises(InvalidRefundError, match=words):
            require_fits(left, part)

    @pytest.mark.parametrize(
        ("left", "amount", "tax_free"),
        [
            (Price(9_900, 900), 9_900, 900),
            (Price(9_900, 900), 1, 0),
            (Price(9_900, 900), 11, 1),
            (Price(9_900, 9_900), 77, 77),
            (Price(3, 2), 1, 0),
            (Price(0, 0), 0, 0),
        ],
    )
    def test_a_part_takes_its_share_of_what_is_tax_free(
        self, left: Price, amount: int, tax_free: int
    ) -> None:
        assert part_of(left, amount) == Price(amount, tax_free)

    def test_a_part_of_more_than_is_left_is_refused(self) -> None:
        for left in (Price(9), Price(0)):
            with pytest.raises(InvalidRefundError, match="are more than"):
                part_of(left, 10)


@pytest.mark.parametrize(
    ("shown", "finding"),
    [
        pytest.param(
            None, StillUnresolved("the gateway does not show the payment"), id="not shown"
        ),
        pytest.param(
            record(imp_uid="imp_2"),
            Conflict("the gateway shows another payment"),
            id="another payment",
        ),
        pytest.param(
            record(merchant_uid="other"),
            Conflict("the gateway shows another payment"),
            id="another order",
        ),
        pytest.param(
            record(usage="issue"),
            Conflict("the record is a registration, which moved no money"),
            id="registration",
        ),
        pytest.param(
            record(amount=13_901),
            Conflict("the payment is of 13901 won, 13900 were paid"),
            id="another amount",
        ),
        pytest.param(record(BEFORE), NotDone(), id="as before"),
        pytest.param(
            record(BEFORE, status=RecordStatus.PAID), NotDone(), id="whatever the status says"
        ),
        pytest.param(record(cancel_amount=4_000), NotDone(), id="as before, without history"),
        pytest.param(
            record(),
            StillUnresolved(
                "the gateway shows 0 won as cancelled, not yet the 4000 that were before this"
                " refund"
            ),
            id="older than what we know",
        ),
        pytest.param(
            record(BEFORE, OURS),
            Refunded("cancellation_3000", OURS.cancelled_at, 7_000),
            id="done",
        ),
        pytest.param(
            record(BEFORE, cancelled(3_000, f" {REASON}\n", seconds=2)),
            Refunded("cancellation_3000", OURS.cancelled_at, 7_000),
            id="done, the reason in other white space",
        ),
        pytest.param(
            record(cancel_amount=7_000), Refunded(None, None, 7_000), id="done, without history"
        ),
        pytest.param(
            record(BEFORE, OURS, cancelled(500, "관리자", seconds=9)),
            Refunded("cancellation_3000", OURS.cancelled_at, 7_500),
            id="done, and somebody cancelled more",
        ),
        pytest.param(
            record(cancelled(1_500), cancelled(2_500, seconds=1), OURS),
            Refunded("cancellation_3000", OURS.cancelled_at, 7_000),
            id="done, after several others",
        ),
        pytest.param(
            record(BEFORE, cancelled(500, seconds=2)),
            CancelledElsewhere(4_500),
            id="somebody was faster",
        ),
        pytest.param(
            record(BEFORE, cancelled(1_000, seconds=2), cancelled(2_000, seconds=2)),
            CancelledElsewhere(7_000),
            id="somebody was faster, of the same sum",
        ),
    ],
)
def test_a_record_means(shown: Any, finding: RefundFinding) -> None:
    assert judge_refund(CLAIM, shown) == finding


def test_without_anything_before_the_first_cancellation_decides() -> None:
    first = claim(checksum=13_900)
    assert judge_refund(first, record()) == NotDone()
    assert judge_refund(first, record(OURS)) == Refunded(
        "cancellation_3000", OURS.cancelled_at, 3_000
    )
    at_once = CancelRecord(500)
    assert judge_refund(first, record(at_once)) == CancelledElsewhere(500)


# Whoever is not certain that it was somebody else's must not send the refund again.
@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(
            record(BEFORE, cancelled(3_000, "관리자 취소", seconds=2)), id="another reason"
        ),
        pytest.param(record(BEFORE, cancelled(3_000, None, seconds=2)), id="no reason"),
        pytest.param(
            record(BEFORE, cancelled(500, seconds=2), cancelled(3_000, seconds=3)),
            id="ours may be the second",
        ),
        pytest.param(
            record(BEFORE, cancelled(500, seconds=-90)), id="instants that prove no order"
        ),
        pytest.param(record(BEFORE, cancelled(500, seconds=-91)), id="instants of another order"),
        pytest.param(record(CancelRecord(4_000), CancelRecord(500)), id="no instants"),
        pytest.param(record(cancelled(4_500, seconds=2)), id="what was before is not shown"),
        pytest.param(record(BEFORE, cancel_amount=4_500), id="a history that lacks something"),
        pytest.param(record(BEFORE, cancel_amount=7_000), id="a history that lacks ours"),
        pytest.param(record(cancel_amount=4_500), id="no history, and another sum"),
    ],
)
def test_a_record_that_leaves_a_doubt_is_for_a_person(shown: Any) -> None:
    assert isinstance(judge_refund(CLAIM, shown), Conflict)


def test_two_parts_of_the_same_amount_and_reason_are_told_apart_by_what_was_before() -> None:
    first = claim(checksum=13_900)
    second = claim(checksum=10_900)
    one = record(cancelled(3_000, id_="cancellation_1"))
    two = record(
        cancelled(3_000, id_="cancellation_1"), cancelled(3_000, seconds=5, id_="cancellation_2")
    )
    at = datetime(2026, 3, 15, 2, 59, 57, tzinfo=UTC)
    assert at == made.CLAIMED_AT
    assert judge_refund(first, one) == Refunded("cancellation_1", at, 3_000)
    assert judge_refund(second, one) == NotDone()
    assert judge_refund(first, two) == Refunded("cancellation_1", at, 6_000)
    found = judge_refund(second, two)
    assert isinstance(found, Refunded)
    assert found.cancellation_id == "cancellation_2"


def test_what_a_claim_expects_follows_from_its_checksum() -> None:
    assert (CLAIM.cancelled_before, CLAIM.cancelled_after) == (4_000, 7_000)
    assert CLAIM.order is ORDER
