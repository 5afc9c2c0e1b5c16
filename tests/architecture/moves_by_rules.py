"""Which statuses the pure rules move rows to: every ending and finding, over many claims."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product

from shared.billing.attempt import AttemptStatus, Question
from shared.billing.collection import Move, after_inquiry, after_send
from shared.billing.dunning import DunningPolicy
from shared.billing.inquiry import Conflict, Finding, NoRecord, StillUnresolved
from shared.billing.key_change import overtaken
from shared.billing.outcome import (
    Declined,
    Duplicate,
    FaultScope,
    MethodDead,
    Misconfigured,
    NotSent,
    Outcome,
    Paid,
    Throttled,
    Unknown,
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
from shared.billing.refunding import after_refund_inquiry, after_refund_send, refuse_unsent
from shared.billing.reserving import ASKED_ABOUT, ReservationStatus
from shared.billing.reserving_rules import after_look, after_request
from shared.billing.rules import CollectionRules
from tests.unit.billing import made, refunds
from tests.unit.billing.reservations import POLICY, held_of, outcomes_of, reservation

_UNMOVED = (
    NotSent("no byte left"),
    Throttled("slow down", None),
    Throttled("slow down", 30.0),
    Misconfigured("no such key", FaultScope.GATEWAY),
    Misconfigured("no such field", FaultScope.REQUEST),
)
_OUTCOMES: tuple[Outcome, ...] = (
    Paid("imps_1", made.NOW),
    Declined("한도초과", "imps_1"),
    MethodDead("등록되지 않은 구매자입니다", "imps_1"),
    *_UNMOVED,
    Unknown("no answer"),
    Duplicate("이미 결제된 merchant_uid입니다."),
)
_FINDINGS: tuple[Finding, ...] = (
    Paid("imps_1", made.NOW),
    Declined("한도초과", "imps_1"),
    Conflict("another amount"),
    StillUnresolved("ready"),
    NoRecord(),
)
_REFUND_OUTCOMES: tuple[RefundOutcome, ...] = (
    Refunded("cancel_1", made.NOW),
    Refused("취소할 수 없습니다"),
    *_UNMOVED,
    Unknown("no answer"),
)
_REFUND_FINDINGS: tuple[RefundFinding, ...] = (
    Refunded("cancel_1", made.NOW),
    Conflict("another sum"),
    StillUnresolved("the gateway does not show the payment"),
    NotDone(),
    CancelledElsewhere(13_900),
)
# Within every deadline, and beyond every one.
_AGES = (timedelta(seconds=3), timedelta(days=400))
_SENDS = (1, 2, 10_000)


def attempt_moves() -> Iterator[Move]:
    """Every move of an attempt that the gateway may be asked about."""
    rules = (made.RULES, CollectionRules(made.LEASES, DunningPolicy(())))
    for rule, age, send, declines in product(rules, _AGES, _SENDS, (0, 99)):
        claim = replace(
            made.claim(declines=declines, send_number=send, claimed_at=made.NOW - age),
            unknown_since=None if send == 1 else made.NOW - age,
        )
        sent = [after_send(claim, outcome, rule, made.NOW) for outcome in _OUTCOMES]
        yield from sent
        yield from (overtaken(move, made.NOW) for move in sent if move.settled_at)
        for finding, asked, silent, held in product(_FINDINGS, (0, 99), (0, 99), (False, True)):
            question = Question(claim, asked, silent, held_by_gateway=held)
            yield after_inquiry(question, finding, rule, made.NOW)


def refund_moves() -> Iterator[tuple[RefundStatus, RefundStatus]]:
    """Every move of a refund, with what it moves it out of."""
    yield RefundStatus.WAITING, refuse_unsent(refunds.CLAIM, "too much", made.NOW).status
    for age, send, refusal in product(_AGES, _SENDS, (None, "취소할 수 없습니다")):
        at = made.NOW - age
        for doubt in (None, at):
            claim = refunds.claim(
                send_number=send, claimed_at=at, refusal=refusal, unknown_since=doubt
            )
            # What a send was refused with is kept while its payment is read, and forgotten when
            # it is claimed again.
            statuses = [RefundStatus.UNKNOWN] + [RefundStatus.CLAIMED] * (refusal is None)
            yield from product(statuses, _refund_targets(claim))


def _refund_targets(claim: RefundClaim) -> set[RefundStatus]:
    sent = {
        after_refund_send(claim, outcome, made.RULES, made.NOW).status
        for outcome in _REFUND_OUTCOMES
    }
    read = {
        after_refund_inquiry(RefundQuestion(claim, asked), finding, made.RULES, made.NOW).status
        for finding in _REFUND_FINDINGS
        for asked in (0, 99)
    }
    return sent | read


def attempt_edges() -> set[tuple[AttemptStatus, AttemptStatus]]:
    """What the rules move attempts to, out of the two statuses that wait for the gateway's word."""
    targets = {move.attempt_status for move in attempt_moves()}
    return set(product((AttemptStatus.CLAIMED, AttemptStatus.UNKNOWN), targets))


def reservation_edges() -> set[tuple[ReservationStatus, ReservationStatus]]:
    """What PortOne's words move reservations to, out of every status that it is asked about."""
    found: set[tuple[ReservationStatus, ReservationStatus]] = set()
    for age, send, silent in product(_AGES, _SENDS, (0, 99)):
        for status in ASKED_ABOUT:
            seen = reservation(
                status, claimed_at=made.NOW - age, send_number=send, no_records=silent
            )
            moves = [after_look(seen, held, made.RULES, POLICY, made.NOW) for held in held_of(seen)]
            if status is ReservationStatus.CLAIMED:
                moves += [
                    after_request(seen, outcome, made.RULES, POLICY, made.NOW)
                    for outcome in outcomes_of(seen)
                ]
            found |= {(status, move.status) for move in moves}
    return found
