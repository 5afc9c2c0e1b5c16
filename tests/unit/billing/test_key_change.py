"""A refusal of a method that has been changed since concludes nothing about the present one."""

import pytest

from shared.billing.attempt import AttemptStatus
from shared.billing.collection import settle
from shared.billing.dunning import DunningPolicy, TerminalAction
from shared.billing.events import EventName
from shared.billing.invoice import InvoiceStatus
from shared.billing.key_change import UNPAID, overtaken
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.outcome import Declined, MethodDead
from tests.unit.billing.made import NOW, claim

BROKE = Declined("잔액 부족 ", "imp_1")
DEAD = MethodDead("등록되지 않은 구매자입니다 ")


@pytest.mark.parametrize("action", list(TerminalAction))
@pytest.mark.parametrize("outcome", [BROKE, DEAD], ids=["declined", "dead"])
def test_it_is_due_at_once_and_ends_nothing(
    outcome: Declined | MethodDead, action: TerminalAction
) -> None:
    before = settle(claim(), outcome, DunningPolicy((), action), NOW)
    move = overtaken(before, NOW)
    assert move.attempt_status is before.attempt_status
    assert move.attempt_status in UNPAID
    assert move.declines == before.declines
    assert (move.invoice_status, move.next_attempt_at) == (InvoiceStatus.OPEN, NOW)
    assert move.subscription_status is SubscriptionStatus.PAST_DUE
    assert not move.billing_key_dead
    (event,) = move.events
    assert event.name is EventName.PAYMENT_DECLINED
    # Byte for byte, whichever refusal it was.
    assert event.data["fail_reason"] == move.message
    assert event.data["declines"] == move.declines


def test_only_refusals_can_be_overtaken() -> None:
    assert {AttemptStatus.DECLINED, AttemptStatus.METHOD_DEAD} == UNPAID
