"""What follows from PortOne's word on a reservation: pure rules, from an answer to a move.

An answer that nobody got leaves a reservation as it is, with another look to come: it is never
taken for a refusal, and never for a reservation.
"""

from datetime import datetime, timedelta
from typing import assert_never

from shared.billing.inquiry import Finding, NoRecord, RecordStatus, StillUnresolved
from shared.billing.outcome import FaultScope, Misconfigured, NotSent, Throttled, Unknown
from shared.billing.reservation import (
    Reserved,
    ScheduledPayment,
    ScheduleOutcome,
    ScheduleRefused,
    ScheduleStatus,
)
from shared.billing.reserving import (
    Held,
    Reservation,
    ReservationMove,
    ReservationStatus,
    ReservePolicy,
)
from shared.billing.rules import CollectionRules


def after_request(
    reservation: Reservation,
    outcome: ScheduleOutcome,
    rules: CollectionRules,
    policy: ReservePolicy,
    now: datetime,
) -> ReservationMove:
    """Return what follows from the answer to a request for a reservation."""
    match outcome:
        case Reserved(payment):
            return after_look(reservation, payment, rules, policy, now)
        case ScheduleRefused(message) if outcome.is_taken:
            # An earlier request of ours was heard after all, or somebody else's: it is read.
            return _later(reservation, ReservationStatus.UNKNOWN, now, message)
        case ScheduleRefused(message):
            return ReservationMove(reservation, ReservationStatus.REFUSED, message=message)
        case NotSent() | Throttled() | Misconfigured():
            return _request_again(reservation, outcome, rules, now)
        case Unknown(cause):
            at = _silent_until(reservation, rules, now)
            return _later(reservation, ReservationStatus.UNKNOWN, at, cause)
        case _:
            assert_never(outcome)


def after_look(
    reservation: Reservation,
    held: Held,
    rules: CollectionRules,
    policy: ReservePolicy,
    now: datetime,
) -> ReservationMove:
    """Return what follows from what PortOne holds under the ``merchant_uid`` of a reservation."""
    if isinstance(held, StillUnresolved):
        return _again(reservation, held.cause, rules, now)
    if held is None:
        return _after_nothing(reservation, rules, now)
    match held.status:
        case ScheduleStatus.REVOKED:
            return _after_revoked(reservation, rules, now)
        case ScheduleStatus.EXECUTED:
            return _after_executed(reservation, held, now)
        case ScheduleStatus.SCHEDULED:
            return _after_scheduled(reservation, held, rules, policy, now)
        case _:
            assert_never(held.status)


def _after_scheduled(
    reservation: Reservation,
    held: ScheduledPayment,
    rules: CollectionRules,
    policy: ReservePolicy,
    now: datetime,
) -> ReservationMove:
    """Return what follows when PortOne is going to execute what it holds."""
    if reservation.status is ReservationStatus.REVOKING:
        return _again(reservation, "PortOne has it scheduled still", rules, now)
    if not reservation.stands_as(held):
        cause = "it is not scheduled as it was asked for: revoked, and charged by us instead"
        return ReservationMove(
            reservation, ReservationStatus.REVOKING, now, message=cause, by_others=True
        )
    # Until its period begins; after that instant only what became of it is of interest.
    at = min(now + policy.look_every, max(reservation.schedule_at, now + rules.inquiry.gaps[0]))
    return ReservationMove(reservation, ReservationStatus.RESERVED, at)


def unpaid_reservation(held: Held) -> Finding:
    """Return what PortOne's word on a reservation means under which it shows no payment.

    While it may be executed yet nobody else may charge; once it is revoked, or there was none,
    no money has moved under its ``merchant_uid``.
    """
    if isinstance(held, StillUnresolved):
        return held
    if held is None or held.status is ScheduleStatus.REVOKED:
        return NoRecord()
    if held.status is ScheduleStatus.EXECUTED:
        return StillUnresolved("executed at PortOne, which shows no payment of it yet")
    return StillUnresolved(f"PortOne has it scheduled for {held.schedule_at.isoformat()}")


def _after_nothing(
    reservation: Reservation, rules: CollectionRules, now: datetime
) -> ReservationMove:
    """Return what follows when PortOne knows of no such reservation."""
    cause = "PortOne knows of no such reservation"
    if reservation.status is ReservationStatus.RESERVED:
        # One look is no proof: it is revoked, and read until that is certain, like any other.
        return ReservationMove(
            reservation, ReservationStatus.REVOKING, now, message=cause, by_others=True
        )
    silent_until = _silent_until(reservation, rules, now)
    if reservation.status is ReservationStatus.REVOKING:
        if now >= silent_until:
            return ReservationMove(reservation, ReservationStatus.REVOKED, message=cause)
        return _later(reservation, ReservationStatus.REVOKING, silent_until, cause)
    seen = reservation.no_records + 1
    if now >= silent_until and seen >= rules.inquiry.no_records_needed:
        return ReservationMove(reservation, ReservationStatus.PLANNED, now, message=cause)
    at = max(now + rules.inquiry.gap(reservation.looks + 1), silent_until)
    return ReservationMove(
        reservation,
        ReservationStatus.UNKNOWN,
        at,
        reservation.looks + 1,
        seen if now >= silent_until else 0,
        cause,
    )


def _after_revoked(
    reservation: Reservation, rules: CollectionRules, now: datetime
) -> ReservationMove:
    """Return what follows when PortOne says that it will not be executed."""
    cause = "revoked at PortOne"
    if reservation.status is ReservationStatus.RESERVED:
        return _gone_by_others(reservation, cause)
    if reservation.status is not ReservationStatus.REVOKING:
        # An earlier one under this name, which we had revoked: of the request nothing is known.
        return _after_nothing(reservation, rules, now)
    silent_until = _silent_until(reservation, rules, now)
    if now >= silent_until:
        return ReservationMove(reservation, ReservationStatus.REVOKED, message=cause)
    # A request that is still under way could bring it back.
    return _later(reservation, ReservationStatus.REVOKING, silent_until, cause)


def _after_executed(
    reservation: Reservation, held: ScheduledPayment, now: datetime
) -> ReservationMove:
    """Return what follows when PortOne has charged, or tried to.

    One that was to be revoked and was declined has moved no money, and is none any more.
    """
    failed = held.payment_status is RecordStatus.FAILED
    if failed and reservation.status is ReservationStatus.REVOKING:
        return ReservationMove(reservation, ReservationStatus.REVOKED, message=held.fail_reason)
    cause = None
    if reservation.status is ReservationStatus.REVOKING:
        cause = "executed before it could be revoked"
    return ReservationMove(reservation, ReservationStatus.EXECUTED, now, message=cause)


def _gone_by_others(reservation: Reservation, cause: str) -> ReservationMove:
    message = f"{cause}, by somebody else: charged by us when its period begins"
    return ReservationMove(reservation, ReservationStatus.REVOKED, message=message, by_others=True)


def _request_again(
    reservation: Reservation,
    outcome: NotSent | Throttled | Misconfigured,
    rules: CollectionRules,
    now: datetime,
) -> ReservationMove:
    """Return what follows when certainly nothing was reserved by this request."""
    resend = rules.resend
    at, hold_until = now + resend.wait(reservation.send_number), None
    match outcome:
        case NotSent(message):
            pass
        case Throttled(message, retry_after_s):
            wait = resend.delay if retry_after_s is None else timedelta(seconds=retry_after_s)
            hold_until = now + wait
        case Misconfigured(message, scope):
            if scope is FaultScope.GATEWAY:
                hold_until = now + resend.hold
            elif reservation.send_number >= resend.faulty_sends_max:
                return ReservationMove(reservation, ReservationStatus.REFUSED, message=message)
        case _:
            assert_never(outcome)
    return ReservationMove(
        reservation,
        ReservationStatus.PLANNED,
        max(at, hold_until or at),
        message=message,
        hold_until=hold_until,
    )


def _silent_until(reservation: Reservation, rules: CollectionRules, now: datetime) -> datetime:
    """Return until when a request that has left may still be carried out."""
    if reservation.claimed_at is None:
        return now
    return reservation.claimed_at + rules.leases.lease + rules.leases.settle_delay


def _again(
    reservation: Reservation, cause: str, rules: CollectionRules, now: datetime
) -> ReservationMove:
    """Return that nobody can say yet: it stands as it does, and is looked at after a gap."""
    status = reservation.status
    if status is ReservationStatus.CLAIMED:
        status = ReservationStatus.UNKNOWN
    looks = reservation.looks + 1
    return ReservationMove(
        reservation,
        status,
        now + rules.inquiry.gap(looks),
        looks,
        reservation.no_records,
        cause,
    )


def _later(
    reservation: Reservation, status: ReservationStatus, at: datetime, cause: str
) -> ReservationMove:
    return ReservationMove(
        reservation, status, at, reservation.looks, reservation.no_records, cause
    )
