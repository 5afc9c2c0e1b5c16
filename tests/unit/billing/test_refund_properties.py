"""What holds of every refund, whatever the parts, the claim, the ending and the rules."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from shared.billing.inquiry import CancelRecord, PaymentRecord, RecordStatus
from shared.billing.money import Price
from shared.billing.outcome import Unknown, Unmoved
from shared.billing.refund import (
    REFUND_UNSETTLED,
    Balance,
    NotDone,
    RefundClaim,
    Refunded,
    RefundFinding,
    RefundOutcome,
    RefundQuestion,
    RefundStatus,
    Refused,
    judge_refund,
    part_of,
    require_fits,
)
from shared.billing.refunding import RefundMove, after_refund_inquiry, after_refund_send
from tests.unit.billing import made, refunds
from tests.unit.billing.constraints import Constraints

CONSTRAINTS: Final = Constraints()


@st.composite
def sends(
    draw: st.DrawFn, outcomes: st.SearchStrategy[RefundOutcome] = refunds.OUTCOMES
) -> tuple[RefundOutcome, RefundMove]:
    """An ending of a send and the move that follows."""
    claim, outcome = draw(refunds.claims()), draw(outcomes)
    now = claim.claimed_at + draw(st.timedeltas(timedelta(0), timedelta(days=2)))
    return outcome, after_refund_send(claim, outcome, draw(made.RULE_SETS), now)


@st.composite
def inquiries(draw: st.DrawFn) -> tuple[RefundQuestion, RefundFinding, RefundMove]:
    """A question, what the gateway shows, and the move that follows."""
    question, finding = draw(refunds.questions()), draw(refunds.FINDINGS)
    now = question.claim.claimed_at + draw(st.timedeltas(timedelta(0), timedelta(days=90)))
    return question, finding, after_refund_inquiry(question, finding, draw(made.RULE_SETS), now)


MOVES: Final = sends().map(lambda drawn: drawn[1]) | inquiries().map(lambda drawn: drawn[2])

# --- parts ---------------------------------------------------------------------------------------


@st.composite
def prices(draw: st.DrawFn) -> Price:
    amount = draw(st.integers(1, 10**12) | st.integers(1, 50))
    return Price(amount, draw(st.integers(0, amount)))


@given(prices(), st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.floats(0, 1)), max_size=30))
def test_any_sequence_of_parts_conserves_amount_and_tax_free_part(
    paid: Price, wishes: list[tuple[float, bool, float]]
) -> None:
    """Parts by their share, and parts with a tax-free part of the merchant's own choosing."""
    cancelled = Price(0)
    parts: list[Price] = []
    for share, chosen, tax_free_share in wishes:
        left = Balance(paid, cancelled).left
        amount = min(int(left.amount * share), left.amount)
        if chosen:
            least = max(0, left.tax_free - (left.amount - amount))
            most = min(amount, left.tax_free)
            part = Price(amount, least + int((most - least) * tax_free_share))
            require_fits(left, part)
        else:
            part = part_of(left, amount)
        parts.append(part)
        cancelled = Price(cancelled.amount + amount, cancelled.tax_free + part.tax_free)
    rest = Balance(paid, cancelled).left
    last = part_of(rest, rest.amount)
    assert last == rest
    assert sum(part.amount for part in [*parts, last]) == paid.amount
    assert sum(part.tax_free for part in [*parts, last]) == paid.tax_free


@given(prices(), st.data())
def test_parts_that_fit_together_fit_in_any_order_and_any_number(
    paid: Price, data: st.DataObject
) -> None:
    """What was asked for together may be refused in part, and be done in another order."""
    parts: list[Price] = []
    left = paid
    for _ in range(data.draw(st.integers(1, 6))):
        part = part_of(left, data.draw(st.integers(0, left.amount)))
        parts.append(part)
        left = Price(left.amount - part.amount, left.tax_free - part.tax_free)
    done = data.draw(st.permutations(parts))[: data.draw(st.integers(0, len(parts)))]
    left = paid
    for part in done:
        require_fits(left, part)
        left = Price(left.amount - part.amount, left.tax_free - part.tax_free)


# --- what the gateway has not shown is not concluded ---------------------------------------------


@given(sends())
def test_only_the_refund_itself_ends_it_as_done_and_no_send_ends_it_as_refused(
    drawn: tuple[RefundOutcome, RefundMove],
) -> None:
    outcome, move = drawn
    assert (move.status is RefundStatus.DONE) == isinstance(outcome, Refunded)
    assert move.status is not RefundStatus.REFUSED


@given(inquiries())
def test_it_is_refused_only_where_no_send_is_in_doubt_and_the_payment_was_read(
    drawn: tuple[RefundQuestion, RefundFinding, RefundMove],
) -> None:
    question, finding, move = drawn
    assert (move.status is RefundStatus.DONE) == isinstance(finding, Refunded)
    refused = (
        isinstance(finding, NotDone)
        and question.claim.refusal is not None
        and question.claim.unknown_since is None
    )
    assert (move.status is RefundStatus.REFUSED) == refused


@given(sends(refunds.UNKNOWN | refunds.REFUSED))
def test_what_is_not_known_is_read_and_keeps_its_checksum(
    drawn: tuple[Unknown | Refused, RefundMove],
) -> None:
    _, move = drawn
    assert move.status is RefundStatus.UNKNOWN
    assert move.keeps_checksum
    assert (move.inquire_at is None, move.next_send_at) == (False, None)
    assert (move.events, move.settled_at, move.dead_letter) == ((), None, None)


@given(sends(made.UNMOVED))
def test_a_checksum_is_given_up_only_where_no_send_is_in_doubt(
    drawn: tuple[Unmoved, RefundMove],
) -> None:
    _, move = drawn
    if move.claim.unknown_since is not None:
        assert move.keeps_checksum
        assert move.unknown_since == move.claim.unknown_since


@given(inquiries())
def test_what_is_sent_again_keeps_its_doubt_or_has_none(
    drawn: tuple[RefundQuestion, RefundFinding, RefundMove],
) -> None:
    question, finding, move = drawn
    if isinstance(finding, NotDone) and move.status is RefundStatus.WAITING:
        assert move.keeps_checksum
        assert move.unknown_since == question.claim.in_doubt_since
    if not move.keeps_checksum:
        assert move.unknown_since is None


# --- every move --------------------------------------------------------------------------------


@given(MOVES)
def test_every_move_can_be_stored(move: RefundMove) -> None:
    assert CONSTRAINTS.broken_by_refund(move) == []


@given(MOVES)
def test_every_refund_has_an_owner_or_an_end(move: RefundMove) -> None:
    owned = {
        RefundStatus.WAITING: move.next_send_at is not None,
        RefundStatus.UNKNOWN: move.inquire_at is not None,
        RefundStatus.PARKED: move.dead_letter is not None,
    }
    assert owned.get(move.status, move.settled_at is not None)
    assert (move.status in REFUND_UNSETTLED) == (move.settled_at is None)
    assert (move.status is RefundStatus.PARKED) <= bool(move.events)


@given(MOVES)
def test_events_hold_json_and_the_ids_that_readers_need(move: RefundMove) -> None:
    for event in move.events:
        assert json.loads(json.dumps(event.data)) == event.data
        assert event.data["refund_id"] == move.claim.refund_id
        assert event.subscription_id == move.claim.subscription_id


# --- the gateway's record -------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> tuple[RefundClaim, PaymentRecord, bool]:
    """A claim, a record of what was done under its checksum and beside it, and whether it was."""
    claim = draw(refunds.claims())
    amounts: list[int] = []
    left = claim.cancelled_before
    while left:
        amounts.append(draw(st.integers(1, left)) if len(amounts) < 4 else left)
        left -= amounts[-1]
    reasons = ["먼저"] * len(amounts)
    done = draw(st.booleans())
    if done:
        amounts.append(claim.order.price.amount)
        reasons.append(claim.order.reason)
    left = claim.paid_amount - sum(amounts)
    for _ in range(draw(st.integers(0, 2))):
        if left:
            amounts.append(draw(st.integers(1, left)))
            reasons.append(draw(st.sampled_from(["관리자", claim.order.reason])))
            left -= amounts[-1]
    shown = draw(st.integers(0, len(amounts)))
    cancels = tuple(
        CancelRecord(amount, reason, f"c{number}", claim.claimed_at + timedelta(seconds=number))
        for number, (amount, reason) in enumerate(zip(amounts, reasons, strict=True))
    )[:shown]
    record = PaymentRecord(
        imp_uid=claim.imp_uid,
        merchant_uid=claim.merchant_uid,
        status=RecordStatus.CANCELLED if cancels else RecordStatus.PAID,
        amount=claim.paid_amount,
        cancel_amount=sum(cancel.amount for cancel in cancels),
        customer_uid=None,
        cancels=cancels,
    )
    return claim, record, done


@given(histories())
def test_no_history_makes_a_refund_that_was_done_be_sent_again_without_its_checksum(
    drawn: tuple[RefundClaim, PaymentRecord, bool],
) -> None:
    """Wherever the look-up stands behind, and whatever others cancelled afterwards."""
    claim, record, done = drawn
    finding = judge_refund(claim, record)
    if done:
        assert isinstance(finding, Refunded | NotDone) or (
            record.cancel_amount < claim.cancelled_before
        )
    elif isinstance(finding, Refunded):
        # Somebody gave back the same amount for the same reason, at the same place.
        assert record.cancels[-1].reason is not None
        assert any(
            cancel.amount == claim.order.price.amount and cancel.reason == claim.order.reason
            for cancel in record.cancels
        )


@given(histories(), made.RULE_SETS, st.timedeltas(timedelta(0), timedelta(days=2)))
def test_a_claim_that_was_done_never_ends_as_refused_while_in_doubt(
    drawn: tuple[RefundClaim, PaymentRecord, bool], rules: object, wait: timedelta
) -> None:
    claim, record, done = drawn
    if not done:
        return
    in_doubt = replace(claim, unknown_since=claim.claimed_at, refusal="거절")
    finding = judge_refund(in_doubt, record)
    question = RefundQuestion(in_doubt, 3)
    move = after_refund_inquiry(question, finding, rules, claim.claimed_at + wait)  # type: ignore[arg-type]
    assert move.status in {RefundStatus.DONE, RefundStatus.UNKNOWN, RefundStatus.PARKED}
