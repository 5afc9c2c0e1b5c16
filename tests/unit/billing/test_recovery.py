"""What the gateway's book means to rows that were set back."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.attempt import AttemptStatus
from shared.billing.dunning import DunningPolicy, TryAgain, after_decline
from shared.billing.inquiry import (
    SCHEDULED_CHARGE,
    CancelRecord,
    Conflict,
    Expectation,
    PaymentRecord,
    RecordStatus,
    judge,
)
from shared.billing.merchant_uid import ATTEMPT_NUMBER_MAX
from shared.billing.money import Price
from shared.billing.outcome import Declined, Paid
from shared.billing.recovery import (
    OpenRefund,
    followed,
    is_lost,
    judge_lost,
    match_refunds,
)
from tests.unit.billing import made

EXPECTED: Final = Expectation("uid", 9_900, "buyer")
FAILED: Final = PaymentRecord("imp_1", "uid", RecordStatus.FAILED, 9_900, 0, "buyer", "한도초과")
PAID: Final = PaymentRecord(
    "imp_2", "uid", RecordStatus.PAID, 9_900, 0, "buyer", started_at=made.NOW, paid_at=made.NOW
)
PARTLY: Final = replace(PAID, status=RecordStatus.CANCELLED, cancel_amount=4_000)
REASON: Final = "구매자 변심"


@pytest.mark.parametrize("status", [None, *AttemptStatus])
def test_a_charge_is_lost_that_the_rows_do_not_know_or_know_as_never_sent(
    status: AttemptStatus | None,
) -> None:
    assert is_lost(PAID, status) is (status in {None, AttemptStatus.WAITING})
    assert not is_lost(replace(PAID, usage="issue"), status)


def test_a_failed_record_beside_an_attempt_that_waits_is_of_every_day() -> None:
    """The gateway's own trouble leaves one there, and the attempt is sent again."""
    assert not is_lost(FAILED, AttemptStatus.WAITING)
    assert is_lost(FAILED, None)
    for status in set(RecordStatus) - {RecordStatus.FAILED}:
        assert is_lost(replace(PAID, status=status), AttemptStatus.WAITING)


def test_what_portone_executes_of_a_reservation_that_the_rows_know_is_of_every_day() -> None:
    executed = replace(PAID, usage=SCHEDULED_CHARGE)
    assert not is_lost(executed, None, is_requested=True)
    assert is_lost(executed, None)
    # A charge of ours under its name is another matter, and so is one that the rows know to wait.
    assert is_lost(PAID, None, is_requested=True)
    assert is_lost(executed, AttemptStatus.WAITING, is_requested=True)


class TestJudgeLost:
    @pytest.mark.parametrize(
        "records",
        [
            [PAID],
            [FAILED, PAID],
            [PARTLY],
            [FAILED, PARTLY],
            [replace(PARTLY, cancel_amount=9_900)],
        ],
    )
    def test_money_that_went_back_since_was_paid_all_the_same(
        self, records: Sequence[PaymentRecord]
    ) -> None:
        assert judge_lost(EXPECTED, records) == Paid("imp_2", made.NOW)

    def test_declines_are_declines(self) -> None:
        assert judge_lost(EXPECTED, [FAILED]) == Declined("한도초과", "imp_1")

    @pytest.mark.parametrize(
        "record",
        [
            replace(PARTLY, amount=1),
            replace(PARTLY, customer_uid="another"),
            replace(PARTLY, merchant_uid="another"),
            replace(PARTLY, usage="issue"),
            # Cancelled, and of nothing: no rule of ours explains it.
            replace(PARTLY, cancel_amount=0),
        ],
    )
    def test_what_does_not_match_is_a_persons_as_ever(self, record: PaymentRecord) -> None:
        assert isinstance(judge_lost(EXPECTED, [record]), Conflict)
        assert judge_lost(EXPECTED, [record]) == judge(EXPECTED, [record])

    def test_two_payments_are_a_persons_even_if_one_went_back(self) -> None:
        twice = [replace(PARTLY, cancel_amount=9_900), replace(PAID, imp_uid="imp_3")]
        assert isinstance(judge_lost(EXPECTED, twice), Conflict)


@pytest.mark.parametrize("declines", [1, 2, 15, ATTEMPT_NUMBER_MAX])
def test_no_decline_that_was_followed_ends_an_invoice(declines: int) -> None:
    for policy in (DunningPolicy(()), DunningPolicy(), DunningPolicy(grace=timedelta(days=1))):
        past_due_at = made.NOW - timedelta(days=400)
        step = after_decline(followed(policy), declines, made.NOW, past_due_at=past_due_at)
        assert isinstance(step, TryAgain)


def cancelled(*cancels: tuple[int, str | None]) -> PaymentRecord:
    return replace(
        PARTLY,
        cancel_amount=sum(amount for amount, _ in cancels),
        cancels=tuple(CancelRecord(amount, reason) for amount, reason in cancels),
    )


def waiting(*refunds: tuple[int, str]) -> list[OpenRefund]:
    return [
        OpenRefund(number, Price(amount), reason)
        for number, (amount, reason) in enumerate(refunds, start=1)
    ]


class TestMatchRefunds:
    def test_what_is_known_is_passed(self) -> None:
        record = cancelled((1_000, "x"), (2_000, REASON))
        found = match_refunds(record, 1_000, waiting((2_000, REASON)))
        assert [(each.refund_id, each.before) for each in found.found] == [(1, 1_000)]
        assert found.in_doubt is None
        assert match_refunds(record, 3_000, waiting((2_000, REASON))).found == ()

    def test_one_that_waits_and_is_counted_already_as_made_elsewhere_is_in_doubt(self) -> None:
        """Sent again it would go twice: the sums show nothing of it any more."""
        record = cancelled((1_000, "x"), (2_000, REASON))
        found = match_refunds(record, 3_000, waiting((3_000, REASON), (2_000, REASON)))
        assert [(each.refund_id, each.before) for each in found.counted] == [(2, 1_000)]
        assert (found.in_doubt, found.is_more) == (2, False)
        # It comes before what goes beyond: that may be the other one, of which it is alike.
        record = cancelled((2_000, REASON), (2_000, REASON))
        found = match_refunds(record, 2_000, waiting((2_000, REASON), (2_000, REASON)))
        assert [each.refund_id for each in found.counted] == [1]
        assert (found.in_doubt, found.is_more) == (1, True)

    def test_what_is_done_or_was_sent_under_its_checksum_is_not_counted_again(self) -> None:
        record = cancelled((2_000, REASON))
        done = waiting((2_000, f"{REASON} "))
        assert match_refunds(record, 2_000, waiting((2_000, REASON)), done).in_doubt is None
        sent = [replace(one, is_sent=True) for one in waiting((2_000, REASON))]
        assert match_refunds(record, 2_000, sent).in_doubt is None

    def test_two_alike_are_two(self) -> None:
        record = cancelled((2_000, REASON), (2_000, f" {REASON}\n"))
        found = match_refunds(record, 0, waiting((2_000, REASON), (2_000, REASON), (2_000, REASON)))
        assert [each.refund_id for each in found.found] == [1, 2]
        assert found.doubtful is None

    def test_they_need_not_have_gone_in_the_order_they_were_asked_for(self) -> None:
        record = cancelled((3_000, REASON), (2_000, REASON))
        found = match_refunds(record, 0, waiting((2_000, REASON), (3_000, REASON)))
        assert [(each.refund_id, each.before) for each in found.found] == [(2, 0), (1, 3_000)]

    def test_the_same_amount_for_another_reason_is_doubtful(self) -> None:
        record = cancelled((2_000, "콘솔"))
        found = match_refunds(record, 0, waiting((3_000, REASON), (2_000, REASON)))
        assert [each.refund_id for each in found.found] == [None]
        assert found.doubtful == 2

    def test_a_history_that_tells_nothing_leaves_every_refund_in_doubt(self) -> None:
        record = replace(PARTLY, cancels=())
        assert match_refunds(record, 0, waiting((2_000, REASON))).doubtful == 1
        assert match_refunds(record, 0, []).doubtful is None
        # What is known ends in the midst of an entry.
        record = cancelled((2_000, REASON), (2_000, REASON))
        assert match_refunds(record, 1_000, waiting((2_000, REASON))).doubtful == 1

    REASONS: Final = st.sampled_from([REASON, "콘솔"])
    PARTS: Final = st.lists(st.tuples(st.sampled_from([1_000, 2_000]), REASONS), max_size=4)

    @given(PARTS, PARTS, st.integers(0, 4))
    def test_no_refund_that_waits_on_is_of_an_amount_that_somebody_else_gave_back(
        self, done: list[tuple[int, str]], asked: list[tuple[int, str]], known: int
    ) -> None:
        """So nothing is sent again of which money may have gone back, unless a person says so."""
        record = cancelled(*done)
        sum_known = sum(amount for amount, _ in done[:known])
        found = match_refunds(record, sum_known, waiting(*asked))
        ours = {each.refund_id for each in found.found if each.refund_id is not None}
        assert len(found.found) == len(done[known:])
        assert len(ours) == sum(each.refund_id is not None for each in found.found)
        others = {each.cancel.amount for each in found.found if each.refund_id is None}
        counted = {each.refund_id for each in found.counted}
        assert not ours & counted
        left = [one for one in waiting(*asked) if one.id not in ours | counted]
        assert (found.doubtful is not None) == any(one.price.amount in others for one in left)
        # Nor is one that what was counted before may be.
        known_cancels = {(each.amount, each.reason) for each in record.cancels[:known]}
        for one in left:
            alike = (one.price.amount, one.reason) in known_cancels
            assert not alike or len(counted) >= 1
