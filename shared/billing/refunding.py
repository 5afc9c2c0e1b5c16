"""What follows from the ending of a refund: pure rules from (claim, outcome) to the row.

The shape is that of ``collection``: a refund settles only on what the gateway shows, and whatever
is unknown has an owner and a deadline.
"""

from dataclasses import dataclass, replace
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
    CancelledElsewhere,
    NotDone,
    RefundClaim,
    Refunded,
    RefundFinding,
    RefundOutcome,
    RefundQuestion,
    RefundStatus,
    Refused,
)
from shared.billing.rules import CollectionRules, InquiryPolicy


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
        keeps_checksum: Whether a later send must go out under the same checksum; without one the
            refund takes its turn among the others of its payment again.
        refusal: What the gateway refused this send with, byte for byte, or None if it did not.
        cancelled_amount: What the gateway shows of the payment as given back in all, if it was
            read.
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
    refusal: str | None = None
    message: str | None = None
    cancellation_id: str | None = None
    cancelled_amount: int | None = None
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
            # Only the payment itself can say that nothing was given back; it is read at once. This
            # send is not in doubt, whatever is known of the earlier ones.
            return RefundMove(
                claim,
                RefundStatus.UNKNOWN,
                inquire_at=now,
                unknown_since=claim.unknown_since,
                refusal=message,
            )
        case NotSent() | Throttled() | Misconfigured():
            return _send_again_later(claim, outcome, rules, now)
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
            return _ask_again(question, cause, rules.inquiry, now)
        case NotDone():
            return _after_nothing_done(question, rules.inquiry, now)
        case CancelledElsewhere(cancelled_amount):
            return RefundMove(
                question.claim,
                RefundStatus.WAITING,
                next_send_at=now,
                # Nothing can be done under it any more, so nothing is in doubt.
                keeps_checksum=False,
                cancelled_amount=cancelled_amount,
                message="cancelled elsewhere meanwhile: sent again out of what is left",
            )
        case _:
            assert_never(finding)


def park_refund(claim: RefundClaim, cause: str, now: datetime) -> RefundMove:
    """Return what follows when only a person can decide."""
    return RefundMove(
        claim,
        RefundStatus.PARKED,
        unknown_since=claim.doubted_since,
        refusal=claim.refusal,
        message=cause,
        dead_letter=cause,
        events=(
            refund_event(EventName.REFUND_PARKED, claim, now, cause=cause, message=claim.refusal),
        ),
    )


def refuse_unsent(claim: RefundClaim, cause: str, now: datetime) -> RefundMove:
    """Return the end of a refund that no longer fits, of which nothing was ever in doubt."""
    return _refused(claim, f"not sent: {cause}", None, now)


def _after_nothing_done(
    question: RefundQuestion, policy: InquiryPolicy, now: datetime
) -> RefundMove:
    """Return what follows when the payment stands as before.

    After a refusal that is the end, if no earlier send is in doubt. If one is, the refusal may be
    the checksum's word that the earlier one was done and is not shown yet: it ends nothing, and the
    payment is read until it shows the refund or a person is called.
    """
    claim = question.claim
    if claim.refusal is not None:
        if claim.unknown_since is None:
            return _refused(claim, "refused by the gateway", claim.refusal, now)
        cause = "refused, while an earlier send is in doubt and the payment stands as before"
        return _ask_again(question, cause, policy, now)
    if now - claim.in_doubt_since >= policy.deadline and claim.send_number > 1:
        return park_refund(claim, _lost(claim), now)
    return RefundMove(
        claim,
        RefundStatus.WAITING,
        next_send_at=now,
        unknown_since=claim.in_doubt_since,
        message="the payment stands as before: sent again under the same checksum",
    )


def _send_again_later(
    claim: RefundClaim, outcome: Unmoved, rules: CollectionRules, now: datetime
) -> RefundMove:
    """Return what follows when certainly this send moved no money.

    Whether an earlier one did is as open as before, and keeps its deadline. If none did, the
    checksum is given up, and another refund of the payment may go first.
    """
    resend = rules.resend
    wait = resend.wait(claim.send_number)
    hold: timedelta | None = None
    cause: str | None = None
    match outcome:
        case NotSent(message):
            pass
        case Throttled(message, retry_after_s):
            hold = resend.delay if retry_after_s is None else timedelta(seconds=retry_after_s)
        case Misconfigured(message, scope):
            if scope is FaultScope.GATEWAY:
                hold = resend.hold
            elif claim.send_number >= resend.faulty_sends_max:
                claim = replace(claim, refusal=message)
                cause = "the gateway calls the request faulty again and again"
        case _:
            assert_never(outcome)
    in_doubt_since = claim.unknown_since
    if in_doubt_since is not None and now - in_doubt_since >= rules.inquiry.deadline:
        cause = _lost(claim)
    move = RefundMove(
        claim,
        RefundStatus.WAITING,
        next_send_at=now + max(wait, hold or wait),
        hold_until=None if hold is None else now + hold,
        unknown_since=in_doubt_since,
        keeps_checksum=in_doubt_since is not None,
        message=message,
    )
    if cause is None:
        return move
    parked = park_refund(claim, cause, now)
    return replace(parked, unknown_since=in_doubt_since, hold_until=move.hold_until)


def _ask_again(
    question: RefundQuestion, cause: str, policy: InquiryPolicy, now: datetime
) -> RefundMove:
    """Return the next inquiry, at the deadline at the latest, or a person once it is over."""
    claim = question.claim
    inquiries = question.inquiries + 1
    inquire_at = policy.next_at(now, claim.in_doubt_since, inquiries)
    if inquire_at is None:
        return park_refund(claim, f"unknown since {claim.in_doubt_since}: {cause}", now)
    return RefundMove(
        claim,
        RefundStatus.UNKNOWN,
        inquire_at=inquire_at,
        unknown_since=claim.doubted_since,
        inquiries=inquiries,
        refusal=claim.refusal,
        message=cause,
    )


def _done(claim: RefundClaim, found: Refunded, now: datetime) -> RefundMove:
    cancelled_amount = found.cancelled_amount or claim.cancelled_after
    return RefundMove(
        claim,
        RefundStatus.DONE,
        cancellation_id=found.cancellation_id,
        cancelled_amount=cancelled_amount,
        settled_at=now,
        events=(
            refund_event(
                EventName.PAYMENT_REFUNDED,
                claim,
                now,
                cancellation_id=found.cancellation_id,
                left=claim.paid_amount - cancelled_amount,
            ),
        ),
    )


def _refused(claim: RefundClaim, cause: str, message: str | None, now: datetime) -> RefundMove:
    """Return the end of a refund that was refused: money that was promised did not move."""
    return RefundMove(
        claim,
        RefundStatus.REFUSED,
        refusal=message,
        message=cause,
        settled_at=now,
        dead_letter=cause,
        events=(refund_event(EventName.REFUND_REFUSED, claim, now, cause=cause, message=message),),
    )


def _lost(claim: RefundClaim) -> str:
    return f"lost again and again since {claim.in_doubt_since}"


def refund_event(
    name: EventName, claim: RefundClaim, at: datetime, **data: str | int | None
) -> Event:
    """Return an event about a refund, with the ids and the amounts every reader needs.

    ``message`` is the gateway's text byte for byte, ``cause`` is in our words.
    """
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
