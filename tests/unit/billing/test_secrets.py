"""Neither a billing key nor a person may be read from what a log or a traceback shows."""

from datetime import timedelta

import pytest

from shared.billing.collection import after_inquiry, after_send
from shared.billing.inquiry import Conflict, Expectation, PaymentRecord, RecordStatus, judge
from shared.billing.outcome import (
    Declined,
    FaultScope,
    MethodDead,
    Misconfigured,
    Paid,
    Unknown,
)
from tests.unit.billing import made

RECORD = PaymentRecord(
    "imps_1", made.CLAIM.merchant_uid, RecordStatus.PAID, 13_900, 0, made.CUSTOMER_UID
)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(made.BUYER, id="Buyer"),
        pytest.param(made.CLAIM, id="Claim"),
        pytest.param(made.question(), id="Question"),
        pytest.param(made.CLAIM.expectation, id="Expectation"),
        pytest.param(RECORD, id="PaymentRecord"),
        pytest.param(after_send(made.CLAIM, Unknown("reset"), made.RULES, made.NOW), id="Move"),
    ],
)
def test_no_repr_shows_a_billing_key_or_a_person(value: object) -> None:
    shown = f"{value!r} {value} {[value]}"
    assert [secret for secret in made.PLANTED if secret in shown] == []


def test_a_claim_and_its_question_are_still_told_apart_by_their_repr() -> None:
    assert repr(made.CLAIM) == "Claim(attempt_id=7001, send_number=1)"
    assert "attempt_id=7001" in repr(made.question())
    assert repr(made.BUYER) == "Buyer(…)"


@pytest.mark.parametrize(
    "ending",
    [
        Paid("imps_1", None),
        Declined("한도초과"),
        MethodDead("등록되지 않은 구매자입니다"),
        Misconfigured("파라미터 누락", FaultScope.REQUEST),
    ],
    ids=lambda ending: type(ending).__name__,
)
def test_no_event_carries_a_billing_key_or_a_person(
    ending: Paid | Declined | MethodDead | Misconfigured,
) -> None:
    move = after_send(made.claim(send_number=9), ending, made.RULES, made.NOW)
    told = repr(move.events)
    assert move.events
    assert [secret for secret in made.PLANTED if secret in told] == []


@pytest.mark.parametrize("customer_uid", [made.CUSTOMER_UID, None, "other-key"])
def test_a_conflict_about_the_buyer_names_no_billing_key(customer_uid: str | None) -> None:
    """Its cause goes to a dead letter and into an event."""
    record = PaymentRecord("imps_1", "uid", RecordStatus.PAID, 13_900, 0, customer_uid)
    finding = judge(Expectation("uid", 13_900, "expected-key"), [record])
    assert isinstance(finding, Conflict)
    move = after_inquiry(made.question(), finding, made.RULES, made.NOW + timedelta(hours=1))
    told = f"{finding.cause} {move.dead_letter} {move.message} {move.events!r}"
    assert [key for key in (made.CUSTOMER_UID, "other-key", "expected-key") if key in told] == []
