"""What follows from PortOne's word on a reservation, row by row."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from shared.billing.errors import InvalidPolicyError
from shared.billing.inquiry import Finding, NoRecord, RecordStatus, StillUnresolved
from shared.billing.outcome import FaultScope, Misconfigured, NotSent, Throttled, Unknown
from shared.billing.reservation import (
    Reserved,
    ScheduleOutcome,
    ScheduleRefused,
    ScheduleStatus,
)
from shared.billing.reserving import (
    ASKED_ABOUT,
    ATTEMPTED,
    LIVE,
    LOOKED_AT,
    RESERVATION_TRANSITIONS,
    REVOCABLE,
    Held,
    ReservationStatus,
    ReservedPeriod,
    ReservePolicy,
)
from shared.billing.reserving_rules import after_look, after_request, unpaid_reservation
from tests.unit.billing import made
from tests.unit.billing.reservations import (
    DECLINE,
    POLICY,
    PRICE,
    REFUSAL,
    SCHEDULE_AT,
    held,
    held_of,
    reservation,
)

CLAIMED = reservation()
QUIET: Final = made.LEASES.lease + made.LEASES.settle_delay
SILENT_UNTIL: Final = made.CLAIMED_AT + QUIET
LATER: Final = SILENT_UNTIL + timedelta(seconds=1)
S = ReservationStatus


class TestAfterARequest:
    @pytest.mark.parametrize(
        ("outcome", "status"),
        [
            (Reserved(held(CLAIMED)), S.RESERVED),
            (Reserved(held(CLAIMED, amount=1)), S.REVOKING),
            (ScheduleRefused(REFUSAL, unknown_customer=True), S.REFUSED),
            (ScheduleRefused("이미 결제된 merchant_uid입니다.", is_taken=True), S.UNKNOWN),
            (NotSent("no byte left"), S.PLANNED),
            (Throttled("slow down", 30.0), S.PLANNED),
            (Misconfigured("no such key", FaultScope.GATEWAY), S.PLANNED),
            (Misconfigured("no such field", FaultScope.REQUEST), S.PLANNED),
            (Unknown("no answer"), S.UNKNOWN),
        ],
    )
    def test_each_ending_has_its_status(self, outcome: ScheduleOutcome, status: S) -> None:
        move = after_request(CLAIMED, outcome, made.RULES, POLICY, made.NOW)
        assert move.status is status
        assert (move.look_at is not None) == (status in LOOKED_AT)

    def test_nobody_looks_for_an_unknown_one_before_it_can_no_longer_be_carried_out(self) -> None:
        move = after_request(CLAIMED, Unknown("no answer"), made.RULES, POLICY, made.NOW)
        assert move.look_at == SILENT_UNTIL

    def test_a_refusal_keeps_the_gateways_words(self) -> None:
        move = after_request(CLAIMED, ScheduleRefused(REFUSAL), made.RULES, POLICY, made.NOW)
        assert (move.message, move.look_at) == (REFUSAL, None)

    @pytest.mark.parametrize(
        ("outcome", "held_for"),
        [
            (NotSent("no byte left"), None),
            (Throttled("slow down", 30.0), timedelta(seconds=30)),
            (Throttled("slow down", None), made.RULES.resend.delay),
            (Misconfigured("no such key", FaultScope.GATEWAY), made.RULES.resend.hold),
            (Misconfigured("no such field", FaultScope.REQUEST), None),
        ],
    )
    def test_what_concerns_all_charges_holds_all_of_them(
        self, outcome: ScheduleOutcome, held_for: timedelta | None
    ) -> None:
        move = after_request(CLAIMED, outcome, made.RULES, POLICY, made.NOW)
        assert move.hold_until == (None if held_for is None else made.NOW + held_for)
        assert move.look_at is not None
        assert move.look_at >= (move.hold_until or made.NOW)

    def test_a_request_that_stays_faulty_is_given_up_and_charged_by_us(self) -> None:
        faulty = Misconfigured("no such field", FaultScope.REQUEST)
        last = reservation(send_number=made.RULES.resend.faulty_sends_max)
        move = after_request(last, faulty, made.RULES, POLICY, made.NOW)
        assert (move.status, move.message) == (S.REFUSED, "no such field")


class TestAfterALook:
    @pytest.mark.parametrize(
        ("status", "answer", "wanted", "by_others"),
        [
            # It stands as it was asked for, or otherwise.
            (S.CLAIMED, "scheduled", S.RESERVED, False),
            (S.UNKNOWN, "scheduled", S.RESERVED, False),
            (S.RESERVED, "scheduled", S.RESERVED, False),
            (S.REVOKING, "scheduled", S.REVOKING, False),
            (S.CLAIMED, "otherwise", S.REVOKING, True),
            (S.UNKNOWN, "otherwise", S.REVOKING, True),
            (S.RESERVED, "otherwise", S.REVOKING, True),
            (S.REVOKING, "otherwise", S.REVOKING, False),
            # Somebody has revoked it: we, or they.
            (S.CLAIMED, "revoked", S.UNKNOWN, False),
            (S.UNKNOWN, "revoked", S.UNKNOWN, False),
            (S.RESERVED, "revoked", S.REVOKED, True),
            (S.REVOKING, "revoked", S.REVOKED, False),
            # PortOne has charged: what came of it is read of its attempt, never here.
            (S.CLAIMED, "paid", S.EXECUTED, False),
            (S.UNKNOWN, "paid", S.EXECUTED, False),
            (S.RESERVED, "paid", S.EXECUTED, False),
            (S.REVOKING, "paid", S.EXECUTED, False),
            (S.RESERVED, "failed", S.EXECUTED, False),
            (S.RESERVED, "not said", S.EXECUTED, False),
            (S.REVOKING, "not said", S.EXECUTED, False),
            # What was to be revoked and was declined is none any more: no money has moved.
            (S.REVOKING, "failed", S.REVOKED, False),
            # PortOne knows of none.
            (S.CLAIMED, "none", S.UNKNOWN, False),
            (S.UNKNOWN, "none", S.UNKNOWN, False),
            (S.RESERVED, "none", S.REVOKING, True),
            (S.REVOKING, "none", S.REVOKED, False),
            # Nobody can say.
            (S.CLAIMED, "silence", S.UNKNOWN, False),
            (S.UNKNOWN, "silence", S.UNKNOWN, False),
            (S.RESERVED, "silence", S.RESERVED, False),
            (S.REVOKING, "silence", S.REVOKING, False),
        ],
    )
    def test_each_answer_has_its_status(
        self, status: S, answer: str, wanted: S, by_others: bool
    ) -> None:
        seen = reservation(status)
        said: dict[str, Held] = {
            "scheduled": held(seen),
            "otherwise": held(seen, amount=seen.price.amount + 1),
            "revoked": held(seen, ScheduleStatus.REVOKED),
            "paid": held(seen, ScheduleStatus.EXECUTED, paid=RecordStatus.PAID),
            "failed": held(seen, ScheduleStatus.EXECUTED, paid=RecordStatus.FAILED),
            "not said": held(seen, ScheduleStatus.EXECUTED),
            "none": None,
            "silence": StillUnresolved("no answer"),
        }
        move = after_look(seen, said[answer], made.RULES, POLICY, LATER)
        assert (move.status, move.by_others) == (wanted, by_others)
        assert (move.look_at is not None) == (wanted in LOOKED_AT)

    @pytest.mark.parametrize("changed", ["amount", "schedule_at", "customer_uid"])
    def test_it_must_stand_as_it_was_asked_for(self, changed: str) -> None:
        seen = reservation(S.RESERVED)
        other = {
            "amount": seen.price.amount - 1,
            "schedule_at": seen.schedule_at + timedelta(days=1),
            "customer_uid": "somebody-else",
        }
        answer = replace(held(seen), **{changed: other[changed]})  # type: ignore[arg-type]
        assert not seen.stands_as(answer)
        move = after_look(seen, answer, made.RULES, POLICY, LATER)
        assert (move.status, move.by_others, move.look_at) == (S.REVOKING, True, LATER)

    @pytest.mark.parametrize("answer", [None, "revoked"])
    def test_none_is_revoked_while_a_request_may_still_be_carried_out(
        self, answer: str | None
    ) -> None:
        seen = reservation(S.REVOKING)
        said = None if answer is None else held(seen, ScheduleStatus.REVOKED)
        early = after_look(seen, said, made.RULES, POLICY, SILENT_UNTIL - timedelta(seconds=1))
        assert (early.status, early.look_at) == (S.REVOKING, SILENT_UNTIL)
        assert after_look(seen, said, made.RULES, POLICY, SILENT_UNTIL).status is S.REVOKED

    def test_silence_is_believed_when_it_is_heard_as_often_as_needed(self) -> None:
        needed = made.RULES.inquiry.no_records_needed
        seen, now = reservation(S.UNKNOWN), LATER
        for no_records in range(1, needed):
            move = after_look(seen, None, made.RULES, POLICY, now)
            assert (move.status, move.no_records) == (S.UNKNOWN, no_records)
            assert move.look_at is not None
            now = move.look_at
            seen = reservation(S.UNKNOWN, looks=move.looks, no_records=move.no_records)
        move = after_look(seen, None, made.RULES, POLICY, now)
        assert (move.status, move.look_at) == (S.PLANNED, now)

    def test_early_silence_counts_for_nothing(self) -> None:
        early = after_look(reservation(S.UNKNOWN), None, made.RULES, POLICY, made.NOW)
        assert (early.status, early.no_records) == (S.UNKNOWN, 0)
        assert early.look_at is not None
        assert early.look_at >= SILENT_UNTIL

    def test_it_is_looked_at_daily_and_when_its_instant_has_come(self) -> None:
        seen = reservation(S.RESERVED)
        scheduled = held(seen)
        daily = after_look(seen, scheduled, made.RULES, POLICY, LATER)
        assert daily.look_at == LATER + POLICY.look_every
        last = SCHEDULE_AT - timedelta(hours=1)
        assert after_look(seen, scheduled, made.RULES, POLICY, last).look_at == SCHEDULE_AT
        over = SCHEDULE_AT + timedelta(seconds=1)
        gap = made.RULES.inquiry.gaps[0]
        assert after_look(seen, scheduled, made.RULES, POLICY, over).look_at == over + gap

    def test_whatever_nobody_knows_ends_nothing(self) -> None:
        for status in ASKED_ABOUT:
            for looks in (0, 5, 1_000):
                seen = reservation(status, looks=looks)
                move = after_look(seen, StillUnresolved("no answer"), made.RULES, POLICY, LATER)
                assert move.status in LIVE
                assert move.look_at is not None
                assert move.look_at > LATER
                assert move.looks == looks + 1


class TestWhatAReservationProvesOfItsAttempt:
    """Asked when the book shows no payment under the ``merchant_uid`` that was reserved."""

    def test_nobody_else_charges_what_may_be_executed_yet(self) -> None:
        found: dict[str, Finding] = {
            "silence": unpaid_reservation(StillUnresolved("no answer")),
            "scheduled": unpaid_reservation(held(CLAIMED)),
            "executed": unpaid_reservation(held(CLAIMED, ScheduleStatus.EXECUTED)),
        }
        assert all(isinstance(each, StillUnresolved) for each in found.values()), found

    def test_no_money_has_moved_of_what_is_revoked_or_was_never_there(self) -> None:
        assert unpaid_reservation(None) == NoRecord()
        assert unpaid_reservation(held(CLAIMED, ScheduleStatus.REVOKED)) == NoRecord()

    @pytest.mark.parametrize("paid", [RecordStatus.FAILED, RecordStatus.PAID, RecordStatus.READY])
    def test_how_the_charge_went_is_told_by_its_record_and_not_by_the_reservation(
        self, paid: RecordStatus
    ) -> None:
        said = unpaid_reservation(held(CLAIMED, ScheduleStatus.EXECUTED, paid=paid))
        assert isinstance(said, StillUnresolved)


class TestAPeriod:
    def period(self, status: S) -> ReservedPeriod:
        return ReservedPeriod(
            901, made.SUBSCRIPTION_ID, made.PERIOD, PRICE, "달마다 한 달", SCHEDULE_AT, status
        )

    def test_a_renewal_that_is_late_bills_a_reserved_period_as_it_would_have_in_time(self) -> None:
        reserved = self.period(S.RESERVED)
        assert reserved.renewed_until(made.PERIOD.start_at) == made.PERIOD.start_at
        late = made.PERIOD.end_at + timedelta(days=40)
        assert made.PERIOD.start_at < reserved.renewed_until(late) < made.PERIOD.end_at

    @pytest.mark.parametrize("status", S)
    def test_only_what_can_be_revoked_is_stale(self, status: S) -> None:
        assert self.period(status).is_stale(()) == (status in REVOCABLE)
        assert self.period(status).is_stranded(()) == (status is S.EXECUTED)


class TestVocabulary:
    def test_every_status_is_on_one_side(self) -> None:
        ends = set(S) - set(RESERVATION_TRANSITIONS)
        assert ends == {S.COLLECTED, S.REVOKED, S.REFUSED}
        assert LIVE | ATTEMPTED | ends == set(S)
        assert not LIVE & (ATTEMPTED | ends)
        assert REVOCABLE < ASKED_ABOUT < LIVE < LOOKED_AT

    @pytest.mark.parametrize(
        ("ahead", "lead_min", "look_every"), [(1, 1, 1), (1, 2, 1), (2, 0, 1), (2, 1, 0)]
    )
    def test_a_policy_under_which_nothing_would_be_reserved_is_refused(
        self, ahead: int, lead_min: int, look_every: int
    ) -> None:
        hours = [timedelta(hours=each) for each in (ahead, lead_min, look_every)]
        with pytest.raises(InvalidPolicyError, match="longer ahead"):
            ReservePolicy(*hours)

    def test_what_is_asked_of_portone_stays_a_secret(self) -> None:
        shown = repr(reservation()) + repr(held_of(reservation()))
        assert not [planted for planted in made.PLANTED if planted in shown]
        assert DECLINE in shown
