"""What holds of every move, whatever the claim, the ending, the finding and the rules."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from shared.billing.attempt import (
    INQUIRABLE,
    UNSETTLED,
    AttemptOrigin,
    AttemptStatus,
    Claim,
    Question,
)
from shared.billing.collection import Move, after_inquiry, after_send, status_after
from shared.billing.dunning import BUYER_PAUSE, GiveUp, TryAgain, after_decline
from shared.billing.events import EventName
from shared.billing.inquiry import Conflict, Finding, NoRecord, StillUnresolved
from shared.billing.invoice import InvoiceStatus
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.outcome import (
    Declined,
    Duplicate,
    FaultScope,
    MethodDead,
    Misconfigured,
    Outcome,
    Paid,
    Throttled,
    Unknown,
    Unmoved,
)
from shared.billing.rules import CollectionRules, InquiryPolicy
from tests.unit.billing import made
from tests.unit.billing.constraints import Constraints

CONSTRAINTS: Final = Constraints()


@st.composite
def sends(
    draw: st.DrawFn, outcomes: st.SearchStrategy[Outcome] = made.OUTCOMES
) -> tuple[Outcome, Move]:
    """An ending of a send and the move that follows."""
    claim, outcome = draw(made.claims()), draw(outcomes)
    now = claim.claimed_at + draw(st.timedeltas(timedelta(0), timedelta(days=2)))
    return outcome, after_send(claim, outcome, draw(made.RULE_SETS), now)


@st.composite
def inquiries(draw: st.DrawFn) -> tuple[Question, Finding, Move]:
    """A question, what the gateway holds, and the move that follows."""
    question, finding = draw(made.questions()), draw(made.FINDINGS)
    now = question.claim.claimed_at + draw(st.timedeltas(timedelta(0), timedelta(days=90)))
    return question, finding, after_inquiry(question, finding, draw(made.RULE_SETS), now)


MOVES: Final = sends().map(lambda drawn: drawn[1]) | inquiries().map(lambda drawn: drawn[2])


# --- what the gateway has not said is not concluded --------------------------------------------


@given(sends())
def test_only_paid_pays_an_invoice(drawn: tuple[Outcome, Move]) -> None:
    outcome, move = drawn
    is_paid = isinstance(outcome, Paid)
    assert (move.invoice_status is InvoiceStatus.PAID) == is_paid
    assert (move.attempt_status is AttemptStatus.PAID) == is_paid
    assert any(event.name == EventName.INVOICE_PAID for event in move.events) == is_paid


@given(inquiries())
def test_only_a_paid_record_pays_an_invoice(drawn: tuple[Question, Finding, Move]) -> None:
    _, finding, move = drawn
    assert (move.invoice_status is InvoiceStatus.PAID) == isinstance(finding, Paid)


@given(sends(made.UNRESOLVED))
def test_what_may_have_moved_money_is_asked_about_and_changes_nothing_else(
    drawn: tuple[Outcome, Move],
) -> None:
    outcome, move = drawn
    assert move.attempt_status is AttemptStatus.UNKNOWN
    assert move.inquire_at is not None
    assert move.next_attempt_at is None
    assert move.declines == move.claim.declines
    assert move.invoice_status is InvoiceStatus.OPEN
    assert move.subscription_status is None
    assert (move.billing_key_dead, move.events, move.settled_at) == (False, (), None)
    assert move.held_by_gateway == isinstance(outcome, Duplicate)


@given(made.claims(), made.RULE_SETS, made.INSTANTS)
def test_silence_is_read_only_after_lease_and_settle_delay(
    claim: Claim, rules: CollectionRules, now: datetime
) -> None:
    move = after_send(claim, Unknown("reset"), rules, now)
    assert move.inquire_at == claim.claimed_at + rules.leases.lease + rules.leases.settle_delay


@given(sends(made.UNMOVED))
def test_what_moved_no_money_waits_for_the_same_attempt_or_a_person(
    drawn: tuple[Outcome, Move],
) -> None:
    outcome, move = drawn
    assert move.attempt_status in {AttemptStatus.WAITING, AttemptStatus.PARKED}
    assert move.declines == move.claim.declines
    assert move.invoice_status is InvoiceStatus.OPEN
    assert (move.next_attempt_at is None) == (move.attempt_status is AttemptStatus.PARKED)
    assert (move.subscription_status, move.billing_key_dead) == (None, False)
    if move.attempt_status is AttemptStatus.PARKED:
        assert isinstance(outcome, Misconfigured)
        assert outcome.scope is FaultScope.REQUEST


@given(made.claims(), made.UNMOVED, made.RULE_SETS, made.INSTANTS)
def test_a_resend_is_never_at_once_and_never_inside_its_own_hold(
    claim: Claim,
    outcome: Unmoved,
    rules: CollectionRules,
    now: datetime,
) -> None:
    move = after_send(claim, outcome, rules, now)
    if move.next_attempt_at is not None and move.attempt_status is not AttemptStatus.METHOD_DEAD:
        assert move.next_attempt_at > now
        assert move.hold_until is None or move.next_attempt_at >= move.hold_until
    is_everybodys = isinstance(outcome, Throttled) or (
        isinstance(outcome, Misconfigured) and outcome.scope is FaultScope.GATEWAY
    )
    assert (move.hold_until is not None) == is_everybodys


@given(sends() | inquiries().map(lambda drawn: (drawn[1], drawn[2])))
def test_only_a_decline_of_ours_is_counted_and_only_once(
    drawn: tuple[Outcome | Finding, Move],
) -> None:
    ending, move = drawn
    is_decline = move.attempt_status is AttemptStatus.DECLINED
    is_ours = move.claim.origin is AttemptOrigin.SCHEDULE
    assert move.declines == move.claim.declines + (is_decline and is_ours)
    # One beside a refusal as a duplicate is looked at twice before it counts.
    assert not is_decline or isinstance(ending, Declined)


def of_ours(claim: Claim) -> Claim:
    return replace(claim, origin=AttemptOrigin.SCHEDULE)


@given(made.claims().map(of_ours), made.DECLINED, made.RULE_SETS, made.INSTANTS)
def test_a_decline_plans_a_later_attempt_or_ends_the_invoice(
    claim: Claim, declined: Declined, rules: CollectionRules, now: datetime
) -> None:
    move = after_send(claim, declined, rules, now)
    policy, declines = rules.dunning, claim.declines + 1
    step = after_decline(
        policy, declines, now, policy.class_of(declined.fail_reason), claim.past_due_at
    )
    assert move.attempt_status is AttemptStatus.DECLINED
    assert (move.settled_at, move.declines) == (now, declines)
    assert move.past_due_at == (claim.past_due_at or now)
    if isinstance(step, GiveUp):
        assert move.invoice_status is InvoiceStatus.UNCOLLECTIBLE
        assert move.next_attempt_at is None
        assert move.subscription_status is status_after(step.action)
    else:
        assert move.invoice_status is InvoiceStatus.OPEN
        assert move.next_attempt_at == (step.at if isinstance(step, TryAgain) else step.until)
        assert move.subscription_status is SubscriptionStatus.PAST_DUE
    assert [event.name for event in move.events] == [
        EventName.PAYMENT_DECLINED,
        *[EventName.INVOICE_UNCOLLECTIBLE] * isinstance(step, GiveUp),
    ]
    assert move.message == move.events[0].data["fail_reason"] == declined.fail_reason


@given(made.claims(), made.DECLINED, made.RULE_SETS, made.INSTANTS)
def test_a_buyers_own_try_uses_up_no_step_and_leaves_the_plan_as_it_was(
    claim: Claim, declined: Declined, rules: CollectionRules, now: datetime
) -> None:
    move = after_send(replace(claim, origin=AttemptOrigin.BUYER), declined, rules, now)
    assert (move.invoice_status, move.declines) == (InvoiceStatus.OPEN, claim.declines)
    planned_at = claim.planned_attempt_at
    if planned_at is not None and planned_at > now:
        assert move.next_attempt_at == planned_at
    else:
        assert move.next_attempt_at == now + BUYER_PAUSE
    assert [event.name for event in move.events] == [EventName.PAYMENT_DECLINED]


@given(made.claims(), made.METHOD_DEAD, made.RULE_SETS, made.INSTANTS)
def test_a_dead_method_plans_nothing_and_buries_the_key(
    claim: Claim, dead: MethodDead, rules: CollectionRules, now: datetime
) -> None:
    move = after_send(claim, dead, rules, now)
    assert move.billing_key_dead
    assert move.invoice_status is InvoiceStatus.OPEN
    assert move.next_attempt_at == rules.dunning.grace_ends_at(claim.past_due_at or now)
    assert move.inquire_at is None


# --- rows and events ----------------------------------------------------------------------------


@given(MOVES)
def test_the_database_would_take_every_move(move: Move) -> None:
    assert CONSTRAINTS.broken_by(move) == []


def test_the_constraints_are_really_asked() -> None:
    """The check of the check: moves nobody makes, each of which breaks one promise."""
    now, claim = made.NOW, made.CLAIM
    broken = {
        "payment_attempts_inquire_check": Move(claim, AttemptStatus.UNKNOWN),
        "payment_attempts_paid_check": Move(
            claim, AttemptStatus.PAID, InvoiceStatus.PAID, paid_at=now, imp_uid=None
        ),
        "invoices_paid_check": Move(claim, AttemptStatus.PAID, InvoiceStatus.PAID, imp_uid="i"),
        "invoices_next_attempt_check": Move(
            claim, AttemptStatus.DECLINED, InvoiceStatus.UNCOLLECTIBLE, next_attempt_at=now
        ),
        "an ended invoice leaves an unsettled attempt": Move(
            claim, AttemptStatus.WAITING, InvoiceStatus.VOID
        ),
    }
    assert {name: CONSTRAINTS.broken_by(move) for name, move in broken.items()} == {
        name: [name] for name in broken
    }


@given(MOVES)
def test_every_state_that_is_left_has_one_owner(move: Move) -> None:
    """Asked, sent again, or a person: exactly one of them while the attempt is unsettled."""
    owners = [
        move.inquire_at is not None,
        move.attempt_status is AttemptStatus.WAITING and move.next_attempt_at is not None,
        move.dead_letter is not None,
    ]
    assert sum(owners) == (move.attempt_status in UNSETTLED)
    assert (move.settled_at is not None) == (move.attempt_status not in UNSETTLED)
    assert (move.inquire_at is not None) == (move.attempt_status in INQUIRABLE)
    assert move.attempt_status is not AttemptStatus.CLAIMED


@given(MOVES)
def test_events_tell_ids_and_the_claims_money_and_no_person(move: Move) -> None:
    for event in move.events:
        told = json.dumps(event.data, ensure_ascii=False) + repr(event)
        assert [secret for secret in made.PLANTED if secret in told] == []
        assert event.subscription_id == move.claim.subscription_id
        assert event.data["amount"] == move.claim.price.amount
        assert event.data["tax_free"] == move.claim.price.tax_free
        assert event.data["invoice_id"] == move.claim.invoice_id
        assert event.data["merchant_uid"] == move.claim.merchant_uid
        assert event.data["attempt_number"] == move.claim.number
        assert event.data["period_index"] == move.claim.period.index
        at = datetime.fromisoformat(str(event.data["at"]))
        assert at.utcoffset() == timedelta(0)


@given(MOVES)
def test_every_change_of_an_invoice_is_told(move: Move) -> None:
    names = [event.name for event in move.events]
    assert (EventName.INVOICE_PAID in names) == (move.invoice_status is InvoiceStatus.PAID)
    assert (EventName.INVOICE_UNCOLLECTIBLE in names) == (
        move.invoice_status is InvoiceStatus.UNCOLLECTIBLE
    )
    assert (EventName.PAYMENT_PARKED in names) == (move.dead_letter is not None)
    assert (EventName.BILLING_KEY_DEAD in names) == move.billing_key_dead
    assert len(names) == len(set(names))


@given(made.claims(), made.OUTCOMES, made.RULE_SETS, made.INSTANTS)
def test_the_same_ending_means_the_same_move(
    claim: Claim, outcome: Outcome, rules: CollectionRules, now: datetime
) -> None:
    assert after_send(claim, outcome, rules, now) == after_send(claim, outcome, rules, now)


# --- the inquiry, over its whole life -----------------------------------------------------------

NOTHING_YET: Final = st.one_of(
    st.just(NoRecord()), st.just(StillUnresolved("ready")), st.just(StillUnresolved("HTTP 500"))
)


def asked(claim: Claim, move: Move) -> Question:
    """Return the question that a move leaves, as the database would give it back."""
    assert move.attempt_status is AttemptStatus.UNKNOWN
    return Question(claim, move.inquiries, move.no_records, move.held_by_gateway)


@given(
    made.claims(),
    st.sampled_from([Unknown("reset"), Duplicate("이미 주문이 이루어진 건입니다.")]),
    made.RULE_SETS,
    st.lists(NOTHING_YET, min_size=1, max_size=30),
)
def test_the_same_uid_goes_out_again_only_after_enough_silence_in_a_row(
    claim: Claim, ending: Unknown | Duplicate, rules: CollectionRules, findings: list[Finding]
) -> None:
    """And never after a refusal as a duplicate: then silence proves nothing."""
    needed, silence = rules.inquiry.no_records_needed, 0
    move = after_send(claim, ending, rules, claim.claimed_at)
    for inquiries, finding in enumerate(findings, start=1):
        assert move.inquire_at is not None
        now = move.inquire_at
        move = after_inquiry(asked(claim, move), finding, rules, now)
        if move.attempt_status is AttemptStatus.PARKED:
            assert now - claim.claimed_at >= rules.inquiry.deadline
            break
        silence = silence + 1 if isinstance(finding, NoRecord) else 0
        may_send = silence >= needed and isinstance(ending, Unknown)
        assert (move.attempt_status is AttemptStatus.WAITING) == may_send
        assert move.held_by_gateway == (
            isinstance(ending, Duplicate) and move.attempt_status is AttemptStatus.UNKNOWN
        )
        if move.attempt_status is not AttemptStatus.UNKNOWN:
            break
        assert move.inquiries == inquiries
        assert move.inquire_at is not None
        assert move.inquire_at > now


@given(
    made.claims(),
    st.sampled_from([Unknown("reset"), Duplicate("")]),
    made.LONG_DEADLINES,
)
def test_nothing_stays_unknown_past_the_deadline_when_it_is_asked_on_time(
    claim: Claim, ending: Unknown | Duplicate, rules: CollectionRules
) -> None:
    """Every inquiry is made at the instant it was planned for; the gateway never says anything."""
    move = after_send(claim, ending, rules, claim.claimed_at)
    now = claim.claimed_at
    for _ in range(500):
        if move.attempt_status is not AttemptStatus.UNKNOWN:
            break
        assert move.inquire_at is not None
        now = move.inquire_at
        move = after_inquiry(asked(claim, move), StillUnresolved("HTTP 500"), rules, now)
    assert move.attempt_status is AttemptStatus.PARKED
    policy = rules.inquiry
    # Where the gaps are as long as the deadline, the fewest inquiries take longer.
    late = (policy.inquiries_min - 1) * policy.gaps[0]
    assert now - claim.claimed_at <= policy.deadline + late


@given(made.claims(), made.RULE_SETS, st.timedeltas(timedelta(0), timedelta(days=60)))
def test_an_outage_of_ours_leaves_nobody_to_a_person_unasked(
    claim: Claim, rules: CollectionRules, outage: timedelta
) -> None:
    """While our own system stands still nobody asks, and that says nothing of the gateway."""
    move = after_send(claim, Unknown("reset"), rules, claim.claimed_at)
    assert move.inquire_at is not None
    now, asked_times = move.inquire_at + outage, 0
    while move.attempt_status is AttemptStatus.UNKNOWN:
        move = after_inquiry(asked(claim, move), NoRecord(), rules, now)
        asked_times += 1
        now = move.inquire_at or now
    sent_once = claim.send_number == 1
    needed = rules.inquiry.no_records_needed
    if move.attempt_status is AttemptStatus.PARKED:
        assert not sent_once or asked_times >= rules.inquiry.inquiries_min
    if sent_once and needed <= rules.inquiry.inquiries_min:
        assert (move.attempt_status, asked_times) == (AttemptStatus.WAITING, needed)


@given(made.questions(), st.builds(Conflict, st.text()), made.RULE_SETS, made.INSTANTS)
def test_what_does_not_match_is_for_a_person_however_early_or_late(
    question: Question, conflict: Conflict, rules: CollectionRules, now: datetime
) -> None:
    move = after_inquiry(question, conflict, rules, now)
    assert move.attempt_status is AttemptStatus.PARKED
    assert move.dead_letter == conflict.cause


@given(made.questions(), made.RULE_SETS, made.INSTANTS)
def test_a_duplicate_that_shows_no_record_is_never_sent_again(
    drawn: Question, rules: CollectionRules, now: datetime
) -> None:
    question = replace(drawn, held_by_gateway=True)
    move = after_inquiry(question, NoRecord(), rules, now)
    assert move.attempt_status in {AttemptStatus.UNKNOWN, AttemptStatus.PARKED}
    assert move.next_attempt_at is None


@given(made.INQUIRY_POLICIES)
def test_gaps_are_taken_in_turn_and_the_last_one_repeats(policy: InquiryPolicy) -> None:
    asked_times = range(1, len(policy.gaps) + 4)
    waits = [policy.gap(inquiries) for inquiries in asked_times]
    assert waits == [*policy.gaps, *[policy.gaps[-1]] * 3]
