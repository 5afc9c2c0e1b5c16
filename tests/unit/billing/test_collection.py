"""Every ending and every finding, as a table of whole moves."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, cast

import pytest

from shared.billing import collection
from shared.billing.attempt import AttemptStatus, Claim, Question
from shared.billing.collection import (
    Move,
    after_inquiry,
    after_send,
    leave_to_inquiry,
    park,
    send_again_later,
    settle,
)
from shared.billing.dunning import DunningPolicy, TerminalAction
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
    Throttled,
    Unknown,
)
from shared.billing.rules import CollectionRules
from tests.unit.billing import made
from tests.unit.billing.made import CLAIM, CLAIMED_AT, NOW, RULES

PAID_AT: Final = NOW - timedelta(seconds=1)
RECEIPT: Final = "https://receipt.example.test/1"
ACTIVE = SubscriptionStatus.ACTIVE
PAST_DUE = SubscriptionStatus.PAST_DUE
CANCELED = SubscriptionStatus.CANCELED
TEN_SECONDS: Final = timedelta(seconds=10)
FIVE_MINUTES: Final = timedelta(minutes=5)
# The claim's lease (2 min) and the settle delay (3 min), from the claim.
QUIET_AT: Final = CLAIMED_AT + timedelta(minutes=5)


def event(name: EventName, **data: str | int | None) -> Event:
    """Return an event about ``CLAIM`` at ``NOW``."""
    return Event(
        name,
        made.SUBSCRIPTION_ID,
        {
            "invoice_id": 501,
            "period_index": 14,
            "attempt_number": 2,
            "merchant_uid": CLAIM.merchant_uid,
            "amount": 13_900,
            "tax_free": 900,
            "at": "2026-03-15T03:00:00+00:00",
            **data,
        },
    )


def paid_move(claim: Claim, *, paid_at: datetime = PAID_AT, recovers: bool = False) -> Move:
    return Move(
        claim,
        AttemptStatus.PAID,
        InvoiceStatus.PAID,
        declines=claim.declines,
        imp_uid="imps_1",
        receipt_url=RECEIPT,
        paid_at=paid_at,
        settled_at=NOW,
        recovers=recovers,
        events=(event(EventName.INVOICE_PAID, imp_uid="imps_1"),),
    )


def declined_move(
    claim: Claim, next_attempt_at: datetime, status: SubscriptionStatus | None
) -> Move:
    declines = claim.declines + 1
    return Move(
        claim,
        AttemptStatus.DECLINED,
        InvoiceStatus.OPEN,
        next_attempt_at=next_attempt_at,
        past_due_at=NOW,
        declines=declines,
        imp_uid="imps_1",
        message="한도초과",
        settled_at=NOW,
        subscription_status=status,
        events=(
            event(
                EventName.PAYMENT_DECLINED,
                imp_uid="imps_1",
                fail_reason="한도초과",
                declines=declines,
            ),
        ),
    )


def given_up_move(claim: Claim, status: SubscriptionStatus | None) -> Move:
    declines = claim.declines + 1
    return Move(
        claim,
        AttemptStatus.DECLINED,
        InvoiceStatus.UNCOLLECTIBLE,
        past_due_at=NOW,
        declines=declines,
        message="한도초과",
        settled_at=NOW,
        subscription_status=status,
        events=(
            event(
                EventName.PAYMENT_DECLINED, imp_uid=None, fail_reason="한도초과", declines=declines
            ),
            event(EventName.INVOICE_UNCOLLECTIBLE, declines=declines),
        ),
    )


def method_dead_move(claim: Claim, status: SubscriptionStatus | None) -> Move:
    return Move(
        claim,
        AttemptStatus.METHOD_DEAD,
        past_due_at=NOW,
        declines=claim.declines,
        imp_uid="imps_1",
        message="등록되지 않은 구매자입니다",
        settled_at=NOW,
        subscription_status=status,
        billing_key_dead=True,
        events=(event(EventName.BILLING_KEY_DEAD, message="등록되지 않은 구매자입니다"),),
    )


def waiting_move(
    claim: Claim, message: str, wait: timedelta, hold: timedelta | None = None
) -> Move:
    return Move(
        claim,
        AttemptStatus.WAITING,
        next_attempt_at=NOW + wait,
        declines=claim.declines,
        message=message,
        hold_until=None if hold is None else NOW + hold,
    )


def parked_move(claim: Claim, cause: str) -> Move:
    return Move(
        claim,
        AttemptStatus.PARKED,
        declines=claim.declines,
        message=cause,
        dead_letter=cause,
        events=(event(EventName.PAYMENT_PARKED, cause=cause),),
    )


PAID: Final = Paid("imps_1", PAID_AT, RECEIPT)
DECLINED: Final = Declined("한도초과", "imps_1")
DECLINED_UNSEEN: Final = Declined("한도초과")
DEAD: Final = MethodDead("등록되지 않은 구매자입니다", "imps_1")
FAULTY: Final = Misconfigured("파라미터 누락", FaultScope.REQUEST)
REFUSED_US: Final = Misconfigured("API 호출 권한이 없습니다.", FaultScope.GATEWAY)
CANCELING: Final = CollectionRules(
    made.LEASES, dunning=DunningPolicy(terminal_action=TerminalAction.CANCEL)
)
FIRST: Final = made.claim(declines=0)
LAST: Final = made.claim(declines=3)
LATE: Final = made.claim(declines=3, status=PAST_DUE)
RECOVERING: Final = made.claim(status=PAST_DUE)
ENDED: Final = made.claim(status=CANCELED)
SEND_4: Final = made.claim(send_number=4)
SEND_5: Final = made.claim(send_number=5)
SEND_99: Final = made.claim(send_number=99)
MANY_SENDS: Final = made.claim(send_number=10_000)

# A move carries the claim it is about, so that a row needs to name no other.
ENDINGS: Final[dict[str, tuple[Outcome, CollectionRules, Move]]] = {
    "paid": (PAID, RULES, paid_move(CLAIM)),
    "paid at once": (PAID, RULES, paid_move(FIRST, recovers=False)),
    "paid without a time": (Paid("imps_1", None, RECEIPT), RULES, paid_move(CLAIM, paid_at=NOW)),
    "paid, past due": (PAID, RULES, paid_move(RECOVERING, recovers=True)),
    "paid, canceled meanwhile": (PAID, RULES, paid_move(ENDED)),
    "declined first": (
        DECLINED,
        RULES,
        declined_move(FIRST, NOW + timedelta(days=2), PAST_DUE),
    ),
    "declined again": (DECLINED, RULES, declined_move(CLAIM, NOW + timedelta(days=5), PAST_DUE)),
    "declined, past due already": (
        DECLINED,
        RULES,
        declined_move(RECOVERING, NOW + timedelta(days=5), PAST_DUE),
    ),
    "declined, canceled meanwhile": (
        DECLINED,
        RULES,
        declined_move(ENDED, NOW + timedelta(days=5), PAST_DUE),
    ),
    "declined last": (DECLINED_UNSEEN, RULES, given_up_move(LAST, PAST_DUE)),
    "declined last, past due": (DECLINED_UNSEEN, RULES, given_up_move(LATE, PAST_DUE)),
    "declined last, canceling": (DECLINED_UNSEEN, CANCELING, given_up_move(LAST, CANCELED)),
    "declined last, past due, canceling": (
        DECLINED_UNSEEN,
        CANCELING,
        given_up_move(LATE, CANCELED),
    ),
    "method dead": (DEAD, RULES, method_dead_move(CLAIM, PAST_DUE)),
    "method dead, past due": (DEAD, RULES, method_dead_move(RECOVERING, PAST_DUE)),
    "method dead, canceled": (DEAD, RULES, method_dead_move(ENDED, PAST_DUE)),
    "not sent": (NotSent("refused"), RULES, waiting_move(CLAIM, "refused", TEN_SECONDS)),
    "not sent, 4th": (NotSent("refused"), RULES, waiting_move(SEND_4, "refused", 8 * TEN_SECONDS)),
    "not sent, 99th": (
        NotSent("refused"),
        RULES,
        waiting_move(SEND_99, "refused", timedelta(minutes=15)),
    ),
    "not sent, 10000th": (
        NotSent("refused"),
        RULES,
        waiting_move(MANY_SENDS, "refused", timedelta(minutes=15)),
    ),
    "throttled without a time": (
        Throttled("HTTP 429"),
        RULES,
        waiting_move(CLAIM, "HTTP 429", TEN_SECONDS, TEN_SECONDS),
    ),
    "throttled shortly": (
        Throttled("HTTP 429", 2.5),
        RULES,
        waiting_move(CLAIM, "HTTP 429", TEN_SECONDS, timedelta(seconds=2.5)),
    ),
    "throttled for nothing": (
        Throttled("HTTP 429", 0.0),
        RULES,
        waiting_move(CLAIM, "HTTP 429", TEN_SECONDS, timedelta(0)),
    ),
    "throttled for long": (
        Throttled("HTTP 503", 3600.0),
        RULES,
        waiting_move(CLAIM, "HTTP 503", timedelta(hours=1), timedelta(hours=1)),
    ),
    "our key refused": (
        REFUSED_US,
        RULES,
        waiting_move(CLAIM, REFUSED_US.message, FIVE_MINUTES, FIVE_MINUTES),
    ),
    "our key refused for ever": (
        REFUSED_US,
        RULES,
        waiting_move(SEND_99, REFUSED_US.message, timedelta(minutes=15), FIVE_MINUTES),
    ),
    "faulty": (FAULTY, RULES, waiting_move(CLAIM, FAULTY.message, TEN_SECONDS)),
    "faulty, 4th": (FAULTY, RULES, waiting_move(SEND_4, FAULTY.message, 8 * TEN_SECONDS)),
    "faulty, 5th": (FAULTY, RULES, parked_move(SEND_5, FAULTY.message)),
    "unknown": (
        Unknown("ReadTimeout"),
        RULES,
        Move(
            CLAIM,
            AttemptStatus.UNKNOWN,
            inquire_at=QUIET_AT,
            unknown_since=CLAIMED_AT,
            declines=1,
            message="ReadTimeout",
        ),
    ),
    "duplicate": (
        Duplicate("이미 주문이 이루어진 건입니다."),
        RULES,
        Move(
            CLAIM,
            AttemptStatus.UNKNOWN,
            inquire_at=NOW,
            unknown_since=CLAIMED_AT,
            declines=1,
            message="이미 주문이 이루어진 건입니다.",
            held_by_gateway=True,
        ),
    ),
}


@pytest.mark.parametrize(("outcome", "rules", "move"), ENDINGS.values(), ids=ENDINGS.keys())
def test_what_follows_from_the_ending_of_a_send(
    outcome: Outcome, rules: CollectionRules, move: Move
) -> None:
    assert after_send(move.claim, outcome, rules, NOW) == move


def test_the_table_has_every_ending() -> None:
    named = {type(outcome) for outcome, _, _ in ENDINGS.values()}
    assert named == {
        *(Paid, Declined, MethodDead),
        *(NotSent, Throttled, Misconfigured),
        *(Unknown, Duplicate),
    }


def asked_again(
    of: Question, cause: str, wait: timedelta, *, inquiries: int, no_records: int = 0
) -> Move:
    return Move(
        of.claim,
        AttemptStatus.UNKNOWN,
        inquire_at=NOW + wait,
        unknown_since=of.claim.in_doubt_since,
        inquiries=inquiries,
        no_records=no_records,
        held_by_gateway=of.held_by_gateway,
        declines=of.claim.declines,
        message=cause,
    )


NO_RECORD_YET: Final = "the gateway shows no record yet"
NO_RECORD_TWICE: Final = "the gateway holds no record: sent again under the same merchant_uid"
NO_RECORD_OF_DUPLICATE: Final = "refused as a duplicate, yet the gateway shows no record"
HALF_MINUTE: Final = timedelta(seconds=30)
FRESH: Final = made.question()
ASKED_ONCE: Final = made.question(inquiries=1, no_records=1)
ASKED_OFTEN: Final = made.question(inquiries=40, no_records=0)
# Of several sends one may be shown before another is.
SENT_AGAIN: Final = replace(CLAIM, send_number=2)
HELD: Final = made.question(inquiries=2, no_records=1, held_by_gateway=True)
DAY_OLD: Final = made.claim(claimed_at=NOW - timedelta(hours=24))
ALMOST_DAY_OLD: Final = made.claim(claimed_at=NOW - timedelta(hours=22))
READY: Final = StillUnresolved("the gateway holds the payment as ready")
SINCE: Final = f"unknown since {DAY_OLD.claimed_at}: "

FOUND: Final[dict[str, tuple[Question, Finding, Move]]] = {
    "paid": (FRESH, PAID, paid_move(CLAIM)),
    "paid, past due": (made.question(RECOVERING), PAID, paid_move(RECOVERING, recovers=True)),
    "paid, a day later": (made.question(DAY_OLD), PAID, paid_move(DAY_OLD)),
    "paid, a duplicate": (HELD, PAID, paid_move(CLAIM)),
    "declined": (FRESH, DECLINED, declined_move(CLAIM, NOW + timedelta(days=5), PAST_DUE)),
    "declined last": (made.question(LAST), DECLINED_UNSEEN, given_up_move(LAST, PAST_DUE)),
    "declined, a duplicate": (
        made.question(held_by_gateway=True),
        DECLINED,
        asked_again(
            made.question(held_by_gateway=True),
            "refused as a duplicate, yet the gateway shows declines only",
            HALF_MINUTE,
            inquiries=1,
            no_records=1,
        ),
    ),
    "declined, sent more than once": (
        made.question(SENT_AGAIN),
        DECLINED,
        asked_again(
            made.question(SENT_AGAIN),
            "sent more than once, yet the gateway shows declines only",
            HALF_MINUTE,
            inquiries=1,
            no_records=1,
        ),
    ),
    "declined twice, sent more than once": (
        made.question(SENT_AGAIN, inquiries=1, no_records=1),
        DECLINED,
        declined_move(SENT_AGAIN, NOW + timedelta(days=5), PAST_DUE),
    ),
    "declined twice, a duplicate": (
        HELD,
        DECLINED,
        declined_move(CLAIM, NOW + timedelta(days=5), PAST_DUE),
    ),
    "a conflict": (
        FRESH,
        Conflict("2 paid records under one merchant_uid"),
        parked_move(CLAIM, "2 paid records under one merchant_uid"),
    ),
    "nothing yet": (
        FRESH,
        NoRecord(),
        asked_again(FRESH, NO_RECORD_YET, HALF_MINUTE, inquiries=1, no_records=1),
    ),
    "nothing twice": (
        ASKED_ONCE,
        NoRecord(),
        Move(
            CLAIM,
            AttemptStatus.WAITING,
            next_attempt_at=NOW,
            unknown_since=CLAIMED_AT,
            declines=1,
            message=NO_RECORD_TWICE,
        ),
    ),
    "nothing twice, a day later": (
        made.question(replace(DAY_OLD, send_number=2), inquiries=30, no_records=1),
        NoRecord(),
        parked_move(
            replace(DAY_OLD, send_number=2), f"lost again and again since {DAY_OLD.claimed_at}"
        ),
    ),
    "nothing twice, a day after the only send": (
        made.question(DAY_OLD, inquiries=30, no_records=1),
        NoRecord(),
        Move(
            DAY_OLD,
            AttemptStatus.WAITING,
            next_attempt_at=NOW,
            unknown_since=DAY_OLD.claimed_at,
            declines=DAY_OLD.declines,
            message=NO_RECORD_TWICE,
        ),
    ),
    "nothing the first time anyone could ask, a day later": (
        made.question(DAY_OLD),
        NoRecord(),
        Move(
            DAY_OLD,
            AttemptStatus.UNKNOWN,
            inquire_at=NOW + RULES.inquiry.gaps[0],
            unknown_since=DAY_OLD.claimed_at,
            inquiries=1,
            no_records=1,
            declines=DAY_OLD.declines,
            message=NO_RECORD_YET,
        ),
    ),
    "nothing yet, a day later": (
        made.question(DAY_OLD, inquiries=30),
        NoRecord(),
        parked_move(DAY_OLD, SINCE + NO_RECORD_YET),
    ),
    "nothing of a duplicate": (
        HELD,
        NoRecord(),
        asked_again(HELD, NO_RECORD_OF_DUPLICATE, timedelta(minutes=5), inquiries=3),
    ),
    "nothing of a duplicate, a day later": (
        made.question(DAY_OLD, inquiries=30, no_records=1, held_by_gateway=True),
        NoRecord(),
        parked_move(DAY_OLD, SINCE + NO_RECORD_OF_DUPLICATE),
    ),
    "ready": (FRESH, READY, asked_again(FRESH, READY.cause, HALF_MINUTE, inquiries=1)),
    "ready after nothing": (
        ASKED_ONCE,
        READY,
        asked_again(ASKED_ONCE, READY.cause, timedelta(minutes=1), inquiries=2, no_records=0),
    ),
    "ready, asked often": (
        ASKED_OFTEN,
        READY,
        asked_again(ASKED_OFTEN, READY.cause, timedelta(hours=1), inquiries=41),
    ),
    "ready, almost a day": (
        made.question(ALMOST_DAY_OLD, inquiries=30),
        READY,
        asked_again(made.question(ALMOST_DAY_OLD), READY.cause, timedelta(hours=1), inquiries=31),
    ),
    "ready, a day later": (
        made.question(DAY_OLD, inquiries=30),
        READY,
        parked_move(DAY_OLD, SINCE + READY.cause),
    ),
}


@pytest.mark.parametrize(("question", "finding", "move"), FOUND.values(), ids=FOUND.keys())
def test_what_follows_from_what_the_gateway_holds(
    question: Question, finding: Finding, move: Move
) -> None:
    assert after_inquiry(question, finding, RULES, NOW) == move


def test_the_table_has_every_finding() -> None:
    named = {type(finding) for _, finding, _ in FOUND.values()}
    assert named == {Paid, Declined, NoRecord, StillUnresolved, Conflict}


def test_a_person_is_called_with_the_cause_in_the_row_the_letter_and_the_event() -> None:
    move = park(CLAIM, "two paid records", NOW)
    assert move == parked_move(CLAIM, "two paid records")
    assert move.events[0].data["cause"] == move.dead_letter == move.message


UNTYPED: Final[dict[str, Callable[[], Move]]] = {
    "settle, unknown": lambda: settle(CLAIM, cast("Any", Unknown("x")), RULES.dunning, NOW),
    "settle, duplicate": lambda: settle(CLAIM, cast("Any", Duplicate("x")), RULES.dunning, NOW),
    "settle, not sent": lambda: settle(CLAIM, cast("Any", NotSent("x")), RULES.dunning, NOW),
    "settle, nothing": lambda: settle(CLAIM, cast("Any", None), RULES.dunning, NOW),
    "send again, unknown": lambda: send_again_later(
        CLAIM, cast("Any", Unknown("x")), RULES.resend, NOW
    ),
    "send again, paid": lambda: send_again_later(CLAIM, cast("Any", PAID), RULES.resend, NOW),
    "leave, paid": lambda: leave_to_inquiry(CLAIM, cast("Any", PAID), RULES.leases, NOW),
    "after a send, a finding": lambda: after_send(CLAIM, cast("Any", NoRecord()), RULES, NOW),
    "after an inquiry, an outcome": lambda: after_inquiry(
        FRESH, cast("Any", Unknown("x")), RULES, NOW
    ),
}


@pytest.mark.parametrize("call", UNTYPED.values(), ids=UNTYPED.keys())
def test_what_no_type_lets_through_concludes_nothing_at_run_time_either(
    call: Callable[[], Move],
) -> None:
    with pytest.raises(AssertionError):
        call()


def test_a_dunning_step_nobody_knows_concludes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "after_decline", lambda *_: "some other step")
    with pytest.raises(AssertionError):
        settle(CLAIM, DECLINED, RULES.dunning, NOW)


def test_a_payment_of_what_was_not_past_due_makes_no_subscription_recover() -> None:
    """That an invoice was declined once says nothing: what it owes says its own row."""
    never = replace(CLAIM, declines=2, past_due_at=None, subscription_status=ACTIVE)
    assert not after_send(never, PAID, RULES, NOW).recovers
    for claim in (
        replace(never, past_due_at=CLAIMED_AT),
        replace(never, subscription_status=PAST_DUE),
    ):
        assert after_send(claim, PAID, RULES, NOW).recovers
