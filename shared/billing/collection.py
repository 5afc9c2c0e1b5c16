"""What follows from an ending: pure rules from (claim, outcome) to the rows that change.

``settle`` takes what the gateway has spoken and nothing else: an unknown outcome does not fit its
parameter, so no caller can turn one into a failure or a success. The others move an attempt without
ending it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from shared.billing.attempt import AttemptOrigin, AttemptStatus, Claim, Leases, Question
from shared.billing.charge_hours import ChargeHours
from shared.billing.dunning import (
    AwaitGrace,
    DunningPolicy,
    GiveUp,
    TerminalAction,
    TryAgain,
    after_buyers_try,
    after_decline,
)
from shared.billing.events import Event, EventName
from shared.billing.inquiry import Conflict, Finding, NoRecord, StillUnresolved
from shared.billing.invoice import InvoiceStatus
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.outcome import (
    Declined,
    Duplicate,
    FaultScope,
    MethodDead,
    Misconfigured,
    NotSent,
    Outcome,
    Paid,
    Settled,
    Throttled,
    Unknown,
    Unmoved,
    Unresolved,
)
from shared.billing.rules import CollectionRules, InquiryPolicy, ResendPolicy


@dataclass(frozen=True, slots=True)
class Move:
    """What one ending changes, column by column.

    Attributes:
        claim: The attempt and the send that this is about; the write is refused if either has
            been settled or sent again since.
        attempt_status: Where the attempt goes.
        invoice_status: Where its invoice goes.
        next_attempt_at: When the invoice is due again, or None if no send of ours is planned.
        past_due_at: Since when the invoice is past due, or None if this does not make it so.
        inquire_at: When the gateway is asked next, or None if it need not be.
        unknown_since: Since when it has not been known whether money moved, or None if it is.
        subscription_status: Where the subscription goes, or None if it stays.
        billing_key_dead: Whether the billing key must not be charged any more.
        dead_letter: Why a person must look, or None.
        recovers: Whether a past-due subscription may be active again.
        hold_until: Until when nothing at all may be sent to the gateway, or None.
    """

    claim: Claim
    attempt_status: AttemptStatus
    invoice_status: InvoiceStatus = InvoiceStatus.OPEN
    next_attempt_at: datetime | None = None
    past_due_at: datetime | None = None
    inquire_at: datetime | None = None
    unknown_since: datetime | None = None
    inquiries: int = 0
    no_records: int = 0
    held_by_gateway: bool = False
    declines: int = 0
    imp_uid: str | None = None
    receipt_url: str | None = None
    message: str | None = None
    paid_at: datetime | None = None
    settled_at: datetime | None = None
    subscription_status: SubscriptionStatus | None = None
    billing_key_dead: bool = False
    dead_letter: str | None = None
    recovers: bool = False
    hold_until: datetime | None = None
    events: tuple[Event, ...] = ()


def after_send(claim: Claim, outcome: Outcome, rules: CollectionRules, now: datetime) -> Move:
    """Return what follows from the ending of a send."""
    match outcome:
        case Paid() | Declined() | MethodDead():
            return settle(claim, outcome, rules.dunning, now)
        case NotSent() | Throttled() | Misconfigured():
            return send_again_later(claim, outcome, rules.resend, now)
        case Unknown() | Duplicate():
            return leave_to_inquiry(claim, outcome, rules.leases, now)
        case _:
            assert_never(outcome)


def settle(claim: Claim, outcome: Settled, dunning: DunningPolicy, now: datetime) -> Move:
    """Return what follows when the gateway has spoken; nothing but ``Settled`` comes in here."""
    match outcome:
        case Paid():
            return _paid(claim, outcome, now)
        case Declined():
            return _declined(claim, outcome, dunning, now)
        case MethodDead():
            return _method_dead(claim, outcome, dunning, now)
        case _:
            assert_never(outcome)


def within(move: Move, hours: ChargeHours) -> Move:
    """Return a move whose next attempt is planned within the hours in which charges are made.

    A send that waits is the buyer's own wish if its attempt is; what comes after a decline is not.
    """
    if move.next_attempt_at is None or not hours.binds:
        return move
    is_sent_again = move.attempt_status is AttemptStatus.WAITING
    binding = hours.of(move.claim.origin if is_sent_again else AttemptOrigin.SCHEDULE)
    return replace(move, next_attempt_at=binding.next(move.next_attempt_at))


def send_again_later(claim: Claim, outcome: Unmoved, resend: ResendPolicy, now: datetime) -> Move:
    """Return what follows when certainly no money moved: the same attempt later, no dunning step.

    A request that the gateway keeps calling faulty is parked, lest one bad row be sent for ever.
    """
    wait = resend.wait(claim.send_number)
    hold: timedelta | None = None
    match outcome:
        case NotSent(cause):
            message = cause
        case Throttled(cause, retry_after_s):
            # Everyone slows down, not this attempt alone.
            message = cause
            hold = resend.delay if retry_after_s is None else timedelta(seconds=retry_after_s)
        case Misconfigured(message, scope):
            if scope is FaultScope.GATEWAY:
                hold = resend.hold
            elif claim.send_number >= resend.faulty_sends_max:
                return park(claim, message, now)
        case _:
            assert_never(outcome)
    return Move(
        claim,
        AttemptStatus.WAITING,
        next_attempt_at=now + max(wait, hold or wait),
        hold_until=None if hold is None else now + hold,
        # This send moved nothing; whether an earlier one did is as open as before.
        unknown_since=claim.unknown_since,
        declines=claim.declines,
        message=message,
    )


def leave_to_inquiry(claim: Claim, outcome: Unresolved, leases: Leases, now: datetime) -> Move:
    """Return what follows when money may have moved: only the inquiry can end this.

    A duplicate is read at once: the refusal proves that this send moved nothing. Anything else
    waits until neither we nor the gateway can still be working on it.
    """
    match outcome:
        case Unknown(cause):
            return Move(
                claim,
                AttemptStatus.UNKNOWN,
                inquire_at=claim.claimed_at + leases.lease + leases.settle_delay,
                unknown_since=claim.in_doubt_since,
                declines=claim.declines,
                message=cause,
            )
        case Duplicate(message):
            return Move(
                claim,
                AttemptStatus.UNKNOWN,
                inquire_at=now,
                unknown_since=claim.in_doubt_since,
                declines=claim.declines,
                message=message,
                held_by_gateway=True,
            )
        case _:
            assert_never(outcome)


def after_inquiry(
    question: Question, finding: Finding, rules: CollectionRules, now: datetime
) -> Move:
    """Return what follows from what the gateway holds."""
    claim = question.claim
    match finding:
        case Paid():
            return settle(claim, finding, rules.dunning, now)
        case Declined():
            return _after_found_decline(question, finding, rules, now)
        case Conflict(cause):
            return park(claim, cause, now)
        case StillUnresolved(cause):
            return _ask_again(question, cause, rules.inquiry, now, no_records=0)
        case NoRecord():
            return _after_silence(question, rules.inquiry, now)
        case _:
            assert_never(finding)


def _after_found_decline(
    question: Question, found: Declined, rules: CollectionRules, now: datetime
) -> Move:
    """Return what follows when the gateway shows declines only.

    A refusal as a duplicate spoke of a payment, and of several sends one may be shown before
    another is: that there is no payment must be seen to last.
    """
    seen = question.no_records + 1
    is_doubtful = question.held_by_gateway or question.claim.send_number > 1
    if is_doubtful and seen < rules.inquiry.no_records_needed:
        why = "refused as a duplicate" if question.held_by_gateway else "sent more than once"
        cause = f"{why}, yet the gateway shows declines only"
        return _ask_again(question, cause, rules.inquiry, now, no_records=seen)
    return settle(question.claim, found, rules.dunning, now)


def _after_silence(question: Question, policy: InquiryPolicy, now: datetime) -> Move:
    """Return what follows when the gateway shows nothing: the same uid again, but not at once."""
    claim = question.claim
    if question.held_by_gateway:
        cause = "refused as a duplicate, yet the gateway shows no record"
        return _ask_again(question, cause, policy, now, no_records=0)
    seen = question.no_records + 1
    if seen < policy.no_records_needed:
        return _ask_again(question, "the gateway shows no record yet", policy, now, no_records=seen)
    if now - claim.in_doubt_since >= policy.deadline and claim.send_number > 1:
        return park(claim, f"lost again and again since {claim.in_doubt_since}", now)
    return Move(
        claim,
        AttemptStatus.WAITING,
        next_attempt_at=now,
        unknown_since=claim.in_doubt_since,
        declines=claim.declines,
        message="the gateway holds no record: sent again under the same merchant_uid",
    )


def park(claim: Claim, cause: str, now: datetime) -> Move:
    """Return what follows when only a person can decide."""
    return Move(
        claim,
        AttemptStatus.PARKED,
        declines=claim.declines,
        message=cause,
        dead_letter=cause,
        events=(_event(EventName.PAYMENT_PARKED, claim, now, cause=cause),),
    )


def _ask_again(
    question: Question, cause: str, policy: InquiryPolicy, now: datetime, *, no_records: int
) -> Move:
    """Return the next inquiry, at the deadline at the latest, or a person once it is over."""
    inquiries = question.inquiries + 1
    inquire_at = policy.next_at(now, question.claim.in_doubt_since, inquiries)
    if inquire_at is None:
        return park(question.claim, f"unknown since {question.claim.in_doubt_since}: {cause}", now)
    return Move(
        question.claim,
        AttemptStatus.UNKNOWN,
        inquire_at=inquire_at,
        unknown_since=question.claim.in_doubt_since,
        inquiries=inquiries,
        no_records=no_records,
        held_by_gateway=question.held_by_gateway,
        declines=question.claim.declines,
        message=cause,
    )


def _paid(claim: Claim, outcome: Paid, now: datetime) -> Move:
    """Return the move of a collected invoice."""
    paid_at = outcome.paid_at or now
    return Move(
        claim,
        AttemptStatus.PAID,
        InvoiceStatus.PAID,
        declines=claim.declines,
        imp_uid=outcome.imp_uid,
        receipt_url=outcome.receipt_url,
        paid_at=paid_at,
        settled_at=now,
        recovers=claim.subscription_status is SubscriptionStatus.PAST_DUE
        or claim.past_due_at is not None,
        events=(_event(EventName.INVOICE_PAID, claim, now, imp_uid=outcome.imp_uid),),
    )


def _declined(claim: Claim, outcome: Declined, dunning: DunningPolicy, now: datetime) -> Move:
    """Return the move of a definite decline: the next dunning step, or the end.

    A buyer's own try uses up none of our steps: our schedule goes on as if it had not been.
    """
    is_buyers = claim.origin is AttemptOrigin.BUYER
    declines = claim.declines + (not is_buyers)
    told = _event(
        EventName.PAYMENT_DECLINED,
        claim,
        now,
        imp_uid=outcome.imp_uid,
        fail_reason=outcome.fail_reason,
        declines=declines,
    )
    declined = Move(
        claim,
        AttemptStatus.DECLINED,
        past_due_at=claim.past_due_at or now,
        declines=declines,
        imp_uid=outcome.imp_uid,
        message=outcome.fail_reason,
        settled_at=now,
        # Whatever the claim saw: it may have recovered meanwhile. A canceled one stays so.
        subscription_status=SubscriptionStatus.PAST_DUE,
        events=(told,),
    )
    if is_buyers:
        return replace(declined, next_attempt_at=after_buyers_try(claim.planned_attempt_at, now))
    decline_class = dunning.class_of(outcome.fail_reason)
    step = after_decline(dunning, declines, now, decline_class, claim.past_due_at)
    match step:
        case TryAgain(at) | AwaitGrace(at):
            return replace(declined, next_attempt_at=at)
        case GiveUp(action):
            given_up = _event(EventName.INVOICE_UNCOLLECTIBLE, claim, now, declines=declines)
            return replace(
                declined,
                invoice_status=InvoiceStatus.UNCOLLECTIBLE,
                subscription_status=status_after(action),
                events=(told, given_up),
            )
        case _:
            assert_never(step)


def status_after(action: TerminalAction) -> SubscriptionStatus:
    """Return where the end of dunning takes a subscription."""
    match action:
        case TerminalAction.CANCEL:
            return SubscriptionStatus.CANCELED
        case TerminalAction.PAUSE:
            return SubscriptionStatus.PAUSED
        case TerminalAction.LEAVE_PAST_DUE:
            return SubscriptionStatus.PAST_DUE
        case _:
            assert_never(action)


def _method_dead(claim: Claim, outcome: MethodDead, dunning: DunningPolicy, now: datetime) -> Move:
    """Return the move of a dead billing key: stop, and ask the buyer for a new method.

    Without one the invoice is looked at again when its grace period ends.
    """
    past_due_at = claim.past_due_at or now
    return Move(
        claim,
        AttemptStatus.METHOD_DEAD,
        next_attempt_at=dunning.grace_ends_at(past_due_at),
        past_due_at=past_due_at,
        declines=claim.declines,
        imp_uid=outcome.imp_uid,
        message=outcome.message,
        settled_at=now,
        subscription_status=SubscriptionStatus.PAST_DUE,
        billing_key_dead=True,
        events=(_event(EventName.BILLING_KEY_DEAD, claim, now, message=outcome.message),),
    )


def _event(name: EventName, claim: Claim, at: datetime, **data: str | int | None) -> Event:
    """Return an event about a claim, with the ids and the amount every reader needs."""
    return Event(
        name,
        claim.subscription_id,
        {
            "invoice_id": claim.invoice_id,
            "period_index": claim.period.index,
            "attempt_number": claim.number,
            "merchant_uid": claim.merchant_uid,
            "amount": claim.price.amount,
            "tax_free": claim.price.tax_free,
            "at": at.isoformat(),
            **data,
        },
    )
