"""What follows from the ending of a refund: pure rules from (claim, outcome) to the row.

The shape is that of ``collection``: a refund settles only on what the gateway shows, and whatever
is unknown has an owner and a deadline.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from shared.billing.events import Event, EventName
from shared.billing.inquiry import Conflict, StillUnresolved
from shared.billing.outcome import (
    FaultScope,
    Misconfigured,
    NotSent,
    Throttled,
    Unknown,
    Unmoved,
)
from shared.billing.refund import (
    NotDone,
    RefundClaim,
    Refunded,
    RefundFinding,
    RefundOutcome,
    RefundQuestion,
    RefundStatus,
    Refused,
)
from shared.billing.rules import CollectionRules, InquiryPolicy, ResendPolicy


@dataclass(frozen=True, slots=True)
class RefundMove:
    """What one ending changes.

    Attributes:
        claim: The refund and the send that this is about; the write is refused if either has been
            settled or sent again since.
        status: Where the refund goes.
        next_send_at: When it may be sent again, or None.
        inquire_at: When the payment is read next, or None.
        unknown_since: Since when it has not been known whether money moved, or None if it is.
        keeps_checksum: Whether a later send must go out under the same checksum.
        refusal: What the gateway refused with, kept until the payment has been read.
        dead_letter: Why a person must look, or None.
        hold_until: Until when nothing at all may be sent to the gateway, or None.
    """

    claim: RefundClaim
    status: RefundStatus
    next_send_at: datetime | None = None
    inquire_at: datetime | None = None
    unknown_since: datetime | None = None
    keeps_checksum: bool = True
    inquiries: int = 0
    not_done: int = 0
    refusal: str | None = None
    message: str | None = None
    cancellation_id: str | None = None
    settled_at: datetime | None = None
    dead_letter: str | None = None
    hold_until: datetime | None = None
    events: tuple[Event, ...] = ()


def after_refund_send(
    claim: RefundClaim, outcome: RefundOutcome, rules: CollectionRules, now: datetime
) -> RefundMove:
    """Return what follows from the ending of a send."""
    match outcome:
        case Refunded():
            return _done(claim, outcome, now)
        case Refused(message):
            # Only the payment itself can say that nothing was given back; it is read at once.
            return RefundMove(
                claim,
                RefundStatus.UNKNOWN,
                inquire_at=now,
                unknown_since=claim.in_doubt_since,
                refusal=message,
                message=message,
            )
        case NotSent() | Throttled() | Misconfigured():
            return _send_again_later(claim, outcome, rules.resend, now)
        case Unknown(cause):
            leases = rules.leases
            return RefundMove(
                claim,
                RefundStatus.UNKNOWN,
                inquire_at=claim.claimed_at + leases.lease + leases.settle_delay,
                unknown_since=claim.in_doubt_since,
                message=cause,
            )
        case _:
            assert_never(outcome)


def after_refund_inquiry(
    question: RefundQuestion, finding: RefundFinding, rules: CollectionRules, now: datetime
) -> RefundMove:
    """Return what follows from what the gateway shows of the payment."""
    match finding:
        case Refunded():
            return _done(question.claim, finding, now)
        case Conflict(cause):
            return park_refund(question.claim, cause, now)
        case StillUnresolved(cause):
            return _ask_again(question, cause, rules.inquiry, now, not_done=0)
        case NotDone():
            return _after_nothing_done(question, rules.inquiry, now)
        case _:
            assert_never(finding)


def park_refund(claim: RefundClaim, cause: str, now: datetime) -> RefundMove:
    """Return what follows when only a person can decide."""
    return RefundMove(
        claim,
        RefundStatus.PARKED,
        unknown_since=claim.in_doubt_since,
        message=cause,
        dead_letter=cause,
        events=(_event(EventName.REFUND_PARKED, claim, now, cause=cause),),
    )


def _after_nothing_done(
    question: RefundQuestion, policy: InquiryPolicy, now: datetime
) -> RefundMove:
    """Return what follows when the payment stands as before.

    After a refusal of the first send that is the end. Where an earlier send is still in doubt, it
    must be seen twice: that one may yet arrive, and only the checksum keeps the two apart.
    """
    claim = question.claim
    seen = question.not_done + 1
    if claim.refusal is not None:
        if claim.send_number == 1 or seen >= policy.no_records_needed:
            return _refused(claim, claim.refusal, now)
        cause = "refused, while an earlier send is in doubt"
        return _ask_again(question, cause, policy, now, not_done=seen)
    if now - claim.in_doubt_since >= policy.deadline:
        return park_refund(claim, f"lost again and again since {claim.in_doubt_since}", now)
    return RefundMove(
        claim,
        RefundStatus.WAITING,
        next_send_at=now,
        unknown_since=claim.in_doubt_since,
        message="the payment stands as before: sent again under the same checksum",
    )


def _send_again_later(
    claim: RefundClaim, outcome: Unmoved, resend: ResendPolicy, now: datetime
) -> RefundMove:
    """Return what follows when certainly no money moved."""
    wait = resend.wait(claim.send_number)
    hold: timedelta | None = None
    match outcome:
        case NotSent(cause):
            message = cause
        case Throttled(cause, retry_after_s):
            message = cause
            hold = resend.delay if retry_after_s is None else timedelta(seconds=retry_after_s)
        case Misconfigured(message, scope):
            if scope is FaultScope.GATEWAY:
                hold = resend.hold
            elif claim.send_number >= resend.faulty_sends_max:
                return park_refund(claim, message, now)
        case _:
            assert_never(outcome)
    return RefundMove(
        claim,
        RefundStatus.WAITING,
        next_send_at=now + max(wait, hold or wait),
        hold_until=None if hold is None else now + hold,
        # This send moved nothing; whether an earlier one did is as open as before.
        unknown_since=claim.unknown_since,
        keeps_checksum=claim.unknown_since is not None,
        message=message,
    )


def _ask_again(
    question: RefundQuestion, cause: str, policy: InquiryPolicy, now: datetime, *, not_done: int
) -> RefundMove:
    """Return the next inquiry, at the deadline at the latest, or a person once it is over."""
    claim = question.claim
    deadline_at = claim.in_doubt_since + policy.deadline
    if now >= deadline_at:
        return park_refund(claim, f"unknown since {claim.in_doubt_since}: {cause}", now)
    inquiries = question.inquiries + 1
    return RefundMove(
        claim,
        RefundStatus.UNKNOWN,
        inquire_at=min(now + policy.gap(inquiries), deadline_at),
        unknown_since=claim.in_doubt_since,
        inquiries=inquiries,
        not_done=not_done,
        refusal=claim.refusal,
        message=cause,
    )


def _done(claim: RefundClaim, found: Refunded, now: datetime) -> RefundMove:
    return RefundMove(
        claim,
        RefundStatus.DONE,
        cancellation_id=found.cancellation_id,
        settled_at=now,
        events=(
            _event(
                EventName.PAYMENT_REFUNDED,
                claim,
                now,
                cancellation_id=found.cancellation_id,
                left=claim.paid_amount - claim.cancelled_after,
            ),
        ),
    )


def _refused(claim: RefundClaim, message: str, now: datetime) -> RefundMove:
    """Return the end of a refund that the gateway refused; money that was promised did not move."""
    return RefundMove(
        claim,
        RefundStatus.REFUSED,
        message=message,
        settled_at=now,
        dead_letter=f"the gateway refused the refund: {message}",
        events=(_event(EventName.REFUND_REFUSED, claim, now, message=message),),
    )


def _event(name: EventName, claim: RefundClaim, at: datetime, **data: str | int | None) -> Event:
    """Return an event about a refund, with the ids and the amounts every reader needs."""
    return Event(
        name,
        claim.subscription_id,
        {
            "refund_id": claim.refund_id,
            "imp_uid": claim.imp_uid,
            "merchant_uid": claim.merchant_uid,
            "amount": claim.order.price.amount,
            "tax_free": claim.order.price.tax_free,
            "reason": claim.order.reason,
            "requester": claim.order.requester,
            "at": at.isoformat(),
            **data,
        },
    )
