"""Windows are confirmed by what the gateway shows, and by nothing else."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.billing.attempt import AttemptStatus
from shared.billing.errors import InvalidPolicyError
from shared.billing.events import Event, EventName, Json
from shared.billing.hint import HintPolicy
from shared.billing.inquiry import PaymentRecord, RecordStatus
from shared.billing.merchant_uid import merchant_uid
from shared.billing.money import Price
from shared.billing.window import (
    Confirmed,
    KeyHeld,
    NotConfirmed,
    NotYet,
    Window,
    WindowKind,
    WindowStatus,
    confirmed,
    expired,
    judge_window,
    refused,
    requested,
    window_id,
    window_merchant_uid,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOMENT = timedelta(seconds=1)
SECRET = "customer-secret"
HELD = KeyHeld(NOW)


def window(kind: WindowKind = WindowKind.REGISTER) -> Window:
    id_ = window_id("command-1")
    is_payment = kind is WindowKind.PAYMENT
    return Window(
        id=id_,
        kind=kind,
        status=WindowStatus.READY,
        merchant_uid=window_merchant_uid(id_),
        billing_key_id=None if is_payment else 7,
        customer_uid=None if is_payment else SECRET,
        price=Price(9_900, 900 if is_payment else 0),
        order_name="슬림 요금제",
        expires_at=NOW + timedelta(minutes=30),
        command_id="command-1",
    )


def record(kind: WindowKind = WindowKind.REGISTER) -> PaymentRecord:
    """What the gateway shows when the buyer did what was asked."""
    is_payment = kind is WindowKind.PAYMENT
    return PaymentRecord(
        "imp_1",
        window(kind).merchant_uid,
        RecordStatus.PAID,
        9_900,
        0,
        None if is_payment else SECRET,
        started_at=NOW,
        paid_at=NOW + MOMENT,
        usage=None if is_payment else "issue",
    )


@pytest.mark.parametrize("kind", list(WindowKind))
def test_what_matches_in_every_respect_confirms(kind: WindowKind) -> None:
    held = None if kind is WindowKind.PAYMENT else HELD
    assert judge_window(window(kind), record(kind), held) == Confirmed("imp_1", NOW + MOMENT)


@pytest.mark.parametrize("kind", list(WindowKind))
@pytest.mark.parametrize(
    "changes",
    [
        {"merchant_uid": "another"},
        {"amount": 9_899},
        {"amount": 0},
        {"amount": 99_000},
        {"cancel_amount": 1},
        {"cancel_amount": 9_900, "status": RecordStatus.CANCELLED},
        {"status": RecordStatus.FAILED},
        {"status": RecordStatus.CANCELLED},
        {"customer_uid": "another"},
        {"usage": "payment"},
        {"usage": "payment.scheduled"},
    ],
)
def test_what_differs_in_one_respect_does_not(kind: WindowKind, changes: dict[str, Any]) -> None:
    shown = replace(record(kind), **changes)
    assert isinstance(judge_window(window(kind), shown, HELD), NotConfirmed)


def test_a_registration_pays_for_nothing() -> None:
    shown = replace(record(WindowKind.PAYMENT), usage="issue", customer_uid=SECRET)
    assert isinstance(judge_window(window(WindowKind.PAYMENT), shown, None), NotConfirmed)


def test_a_payment_registers_nothing() -> None:
    shown = replace(record(), usage=None)
    assert isinstance(judge_window(window(), shown, HELD), NotConfirmed)


@pytest.mark.parametrize("kind", [WindowKind.REGISTER, WindowKind.CHANGE])
def test_a_registration_whose_key_is_not_shown_is_waited_for(kind: WindowKind) -> None:
    assert isinstance(judge_window(window(kind), record(kind), None), NotYet)


def test_a_change_is_waited_for_until_the_key_shows_it() -> None:
    asked, shown = window(WindowKind.CHANGE), record(WindowKind.CHANGE)
    assert isinstance(judge_window(asked, shown, KeyHeld(NOW - MOMENT)), NotYet)
    assert isinstance(judge_window(asked, shown, KeyHeld(NOW)), Confirmed)
    # What the gateway does not say cannot be held against the buyer.
    assert isinstance(judge_window(asked, shown, KeyHeld(None)), Confirmed)
    assert isinstance(
        judge_window(asked, replace(shown, started_at=None), KeyHeld(NOW - MOMENT)), Confirmed
    )


def test_a_payment_that_is_not_made_yet_is_waited_for() -> None:
    shown = replace(record(), status=RecordStatus.READY)
    assert isinstance(judge_window(window(), shown, HELD), NotYet)


def test_the_gateways_reason_is_kept_apart_from_ours_byte_for_byte() -> None:
    text = "  네이버페이 결제를 취소하였습니다.\n"
    shown = replace(record(), status=RecordStatus.FAILED, fail_reason=text)
    finding = judge_window(window(), shown, HELD)
    assert finding == NotConfirmed("the payment failed", text)


def test_ids_are_those_of_the_command_and_of_nothing_that_is_charged() -> None:
    assert window_id("command-1") == window_id("command-1") != window_id("command-2")
    uid = window_merchant_uid(window_id("command-1"))
    assert uid.isalnum()
    assert len(uid) <= 40
    assert "p" in merchant_uid(uuid.UUID(int=0), 0, 1)
    assert uid.endswith("w")


@pytest.mark.parametrize("kind", list(WindowKind))
def test_events_name_the_window_and_hold_no_secret(kind: WindowKind) -> None:
    parameters: dict[str, Json] = {"amount": 9_900}
    found = Confirmed("imp_1", NOW)
    told: list[Event] = [
        requested(window(kind), parameters, NOW),
        confirmed(window(kind), found, NOW, generation=2),
        expired(window(kind), "left", NOW),
    ]
    for event in told:
        assert event.data["merchant_uid"] == window(kind).merchant_uid
        assert event.data["command_id"] == "command-1"
        assert SECRET not in repr(event)
    assert len({event.name for event in told}) == 3
    assert told[0].data["parameters"] == parameters
    assert told[1].data["imp_uid"] == "imp_1"


def test_a_refused_preparation_is_told_in_the_gateways_words() -> None:
    event = refused(window(WindowKind.PAYMENT), "결제정보 사전등록에 실패하였습니다", NOW)
    assert event.name is EventName.PAYMENT_REQUEST_REFUSED
    assert event.data["message"] == "결제정보 사전등록에 실패하였습니다"


def test_a_repr_does_not_show_the_key() -> None:
    assert SECRET not in repr(window())


class TestHintPolicy:
    def test_the_waits_grow_and_end(self) -> None:
        policy = HintPolicy()
        gaps = [policy.next_gap(reads, known=True, answered=True) for reads in range(1, 8)]
        assert gaps == [*policy.gaps, None, None]

    def test_a_gateway_that_cannot_say_is_asked_for_a_day(self) -> None:
        policy = HintPolicy()
        waited = timedelta()
        for reads in range(1, 100):
            gap = policy.next_gap(reads, known=True, answered=False)
            if gap is None:
                break
            waited += gap
        assert timedelta(hours=20) < waited < timedelta(hours=30)

    def test_what_nobody_asked_for_is_read_less_often(self) -> None:
        policy = HintPolicy()
        for answered in (True, False):
            assert policy.next_gap(1, known=False, answered=answered) is not None
            assert policy.next_gap(2, known=False, answered=answered) is None

    @pytest.mark.parametrize(
        "faults",
        [{"gaps": ()}, {"gaps": (timedelta(0),)}, {"absent_max": 0}, {"again_after": timedelta(0)}],
    )
    def test_a_policy_that_never_rests_or_never_reads_is_refused(
        self, faults: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidPolicyError):
            replace(HintPolicy(), **faults)


def test_every_end_of_an_attempt_is_known() -> None:
    """A new status must be thought of wherever endings are overtaken."""
    assert set(AttemptStatus) == {
        *(AttemptStatus.CLAIMED, AttemptStatus.WAITING, AttemptStatus.UNKNOWN),
        *(AttemptStatus.PARKED, AttemptStatus.PAID, AttemptStatus.DECLINED),
        *(AttemptStatus.METHOD_DEAD, AttemptStatus.VOID),
    }
