"""Claims, rules and endings for tests: whole ones by hand, arbitrary ones by hypothesis."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from hypothesis import strategies as st

from shared.billing.attempt import AttemptOrigin, Claim, Leases, Question
from shared.billing.calendar import Period
from shared.billing.decline import DeclineClass
from shared.billing.dunning import DunningPolicy, TerminalAction
from shared.billing.inquiry import Conflict, Finding, NoRecord, StillUnresolved
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.merchant_uid import merchant_uid
from shared.billing.money import Price
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
    Unmoved,
    Unresolved,
)
from shared.billing.rules import CollectionRules, DeadMethodBrake, InquiryPolicy, ResendPolicy
from shared.billing.subscription import Buyer

NOW: Final = datetime(2026, 3, 15, 3, 0, tzinfo=UTC)
CLAIMED_AT: Final = NOW - timedelta(seconds=3)
SUBSCRIPTION_ID: Final = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
PERIOD: Final = Period(
    14, datetime(2026, 3, 14, 15, tzinfo=UTC), datetime(2026, 4, 14, 15, tzinfo=UTC)
)
# Planted, so that a test can look for them where they must not be.
CUSTOMER_UID: Final = "planted-billing-key-7f3a"
BUYER: Final = Buyer("홍길동", "planted@example.test", "010-2345-6789")
PLANTED: Final = (CUSTOMER_UID, "홍길동", "planted@example.test", "010-2345-6789")

LEASES: Final = Leases(
    send_window=timedelta(seconds=30),
    total_timeout=timedelta(seconds=75),
    lease=timedelta(seconds=120),
    settle_delay=timedelta(seconds=180),
)
RULES: Final = CollectionRules(LEASES)

CLAIM: Final = Claim(
    attempt_id=7001,
    invoice_id=501,
    subscription_id=SUBSCRIPTION_ID,
    billing_key_id=31,
    period=PERIOD,
    number=2,
    send_number=1,
    merchant_uid=merchant_uid(SUBSCRIPTION_ID, PERIOD.index, 2),
    customer_uid=CUSTOMER_UID,
    price=Price(13_900, 900),
    order_name="달마다 한 달",
    buyer=BUYER,
    declines=1,
    claimed_at=CLAIMED_AT,
    subscription_status=SubscriptionStatus.ACTIVE,
)


def claim(
    *,
    declines: int = 1,
    send_number: int = 1,
    claimed_at: datetime = CLAIMED_AT,
    status: SubscriptionStatus = SubscriptionStatus.ACTIVE,
) -> Claim:
    """Return a claim that differs from ``CLAIM`` in what rules look at."""
    return replace(
        CLAIM,
        declines=declines,
        send_number=send_number,
        claimed_at=claimed_at,
        subscription_status=status,
    )


def question(
    of: Claim = CLAIM, *, inquiries: int = 0, no_records: int = 0, held_by_gateway: bool = False
) -> Question:
    """Return a question about a claim."""
    return Question(of, inquiries, no_records, held_by_gateway)


# One number each, and not year, month, day, ...: much quicker to draw, and to shrink.
_EPOCH: Final = datetime(2020, 1, 1, tzinfo=UTC)
INSTANTS: Final = st.integers(0, 40 * 365 * 86_400 * 1_000_000).map(
    lambda microseconds: _EPOCH + timedelta(microseconds=microseconds)
)
_DELAYS: Final = st.integers(1, 60 * 86_400).map(lambda seconds: timedelta(seconds=seconds))
_MOMENTS: Final = st.integers(1, 3_600_000_000).map(
    lambda microseconds: timedelta(microseconds=microseconds)
)
UUIDS: Final = st.uuids()


@st.composite
def claims(draw: st.DrawFn) -> Claim:
    """Any claim."""
    amount = draw(st.integers(1, 10**12))
    number, index = draw(st.integers(1, 9_999)), draw(st.integers(0, 999_999))
    subscription_id = draw(UUIDS)
    claimed_at = draw(INSTANTS)
    return Claim(
        attempt_id=2**63 - 1,
        invoice_id=draw(st.integers(1, 2**63 - 1)),
        subscription_id=subscription_id,
        billing_key_id=2**62,
        period=Period(index, claimed_at, claimed_at + timedelta(days=30)),
        number=number,
        send_number=draw(st.integers(1, 12) | st.integers(1, 10_000)),
        merchant_uid=merchant_uid(subscription_id, index, number),
        customer_uid=CUSTOMER_UID,
        price=Price(amount, draw(st.integers(0, amount))),
        order_name="달마다 한 달",
        buyer=BUYER,
        declines=draw(st.integers(0, 12)),
        claimed_at=claimed_at,
        subscription_status=draw(st.sampled_from(SubscriptionStatus)),
        origin=draw(st.sampled_from(AttemptOrigin)),
        past_due_at=draw(st.none() | INSTANTS),
        planned_attempt_at=draw(st.none() | INSTANTS),
    )


@st.composite
def leases(draw: st.DrawFn) -> Leases:
    """Any leases that hold together."""
    send_window, total_timeout = draw(_MOMENTS), draw(_MOMENTS)
    lease = send_window + total_timeout + draw(_MOMENTS)
    return Leases(send_window, total_timeout, lease, draw(_MOMENTS))


_SCHEDULES: Final = st.lists(_DELAYS, max_size=6).map(tuple)
DUNNING_POLICIES: Final = st.builds(
    DunningPolicy,
    _SCHEDULES,
    st.sampled_from(TerminalAction),
    class_delays=st.dictionaries(st.sampled_from(DeclineClass), _SCHEDULES),
    pay_days=st.lists(st.integers(1, 31), max_size=3).map(tuple),
    pay_day_within=st.integers(0, 5),
    attempts_max=st.integers(7, 20),
    key_attempts_max=st.integers(1, 20),
    grace=st.none() | _DELAYS,
    enabled=st.booleans(),
    retries_max=st.integers(1, 9),
)
INQUIRY_POLICIES: Final = st.builds(
    InquiryPolicy,
    gaps=st.lists(_DELAYS, min_size=1, max_size=6).map(tuple),
    deadline=_DELAYS,
    no_records_needed=st.integers(1, 4),
)
RULE_SETS: Final = st.builds(
    CollectionRules,
    leases=leases(),
    dunning=DUNNING_POLICIES,
    resend=st.builds(
        ResendPolicy,
        delay=_MOMENTS,
        delay_max=_DELAYS,
        hold=_DELAYS,
        faulty_sends_max=st.integers(1, 12),
    ),
    inquiry=INQUIRY_POLICIES,
    brake=st.builds(DeadMethodBrake),
)
# A deadline that the first inquiry, after lease and settle delay, can still meet.
LONG_DEADLINES: Final = st.builds(
    CollectionRules,
    leases=st.just(LEASES),
    inquiry=st.builds(
        InquiryPolicy,
        gaps=st.lists(
            st.timedeltas(timedelta(minutes=30), timedelta(hours=6)), min_size=1, max_size=6
        ).map(tuple),
        deadline=st.timedeltas(timedelta(hours=1), timedelta(days=2)),
    ),
)

_TEXTS: Final = st.text(max_size=40)
_IMP_UIDS: Final = st.text(min_size=1, max_size=32)
PAID: Final = st.builds(Paid, _IMP_UIDS, st.none() | INSTANTS, st.none() | _TEXTS)
DECLINED: Final = st.builds(Declined, _TEXTS, st.none() | _IMP_UIDS)
METHOD_DEAD: Final = st.builds(MethodDead, _TEXTS, st.none() | _IMP_UIDS)
UNMOVED: Final[st.SearchStrategy[Unmoved]] = st.one_of(
    st.builds(NotSent, _TEXTS),
    st.builds(Throttled, _TEXTS, st.none() | st.floats(0, 86_400, allow_nan=False)),
    st.builds(Misconfigured, _TEXTS, st.sampled_from(FaultScope)),
)
UNRESOLVED: Final[st.SearchStrategy[Unresolved]] = st.builds(Unknown, _TEXTS) | st.builds(
    Duplicate, _TEXTS
)
OUTCOMES: Final[st.SearchStrategy[Outcome]] = st.one_of(
    PAID, DECLINED, METHOD_DEAD, UNMOVED, UNRESOLVED
)
FINDINGS: Final[st.SearchStrategy[Finding]] = st.one_of(
    PAID,
    DECLINED,
    st.just(NoRecord()),
    st.builds(StillUnresolved, _TEXTS),
    st.builds(Conflict, _TEXTS),
)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """Any question."""
    return Question(
        draw(claims()), draw(st.integers(0, 40)), draw(st.integers(0, 4)), draw(st.booleans())
    )
