"""Comparing two sides of one payment: which difference it is, and what may explain it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.attempt import UNSETTLED, AttemptStatus
from shared.billing.inquiry import RecordStatus
from shared.billing.reconciliation import (
    DIFFERENCE_TRANSITIONS,
    Agreement,
    Difference,
    DifferenceStatus,
    Found,
    KeptPayment,
    KnownAttempt,
    KnownWindow,
    Ours,
    Repair,
    Theirs,
    compare,
    status_of,
)
from shared.billing.window import WINDOW_OPEN, WindowKind, WindowStatus

QUIET_BEFORE = datetime(2026, 1, 31, tzinfo=UTC)
OLD = QUIET_BEFORE - timedelta(hours=1)
YOUNG = QUIET_BEFORE + timedelta(seconds=1)
UID = "0000000000000000000000001p0n1"


def theirs(**changes: Any) -> Theirs:
    """A payment of 9,900 won as the gateway shows it."""
    usual = Theirs(
        UID,
        RecordStatus.PAID,
        "payment",
        9_900,
        0,
        of_our_shape=True,
        on_our_key=True,
        changed_at=OLD,
    )
    return replace(usual, **changes)


def kept(**changes: Any) -> KeptPayment:
    """The same payment in our rows."""
    return replace(KeptPayment(1, UID, 9_900, 0, is_refund_under_way=False), **changes)


def attempt(status: AttemptStatus = AttemptStatus.PAID, **changes: Any) -> KnownAttempt:
    """The attempt that made it."""
    return replace(KnownAttempt(1, status, 9_900, is_of_this_payment=True), **changes)


def ours(**changes: Any) -> Ours:
    """All that our rows know of it."""
    return replace(Ours(kept(), attempt(), changed_at=OLD), **changes)


def found(gateways: Theirs | None, rows: Ours) -> Agreement | tuple[str, str, int]:
    """What a comparison says, in short."""
    verdict = compare(gateways, rows, QUIET_BEFORE)
    if isinstance(verdict, Agreement):
        return verdict
    assert not verdict.is_under_way
    return str(verdict.difference), str(verdict.repair), verdict.amount


NOBODYS = {"of_our_shape": False, "on_our_key": False, "merchant_uid": "shop-1"}
DECLINED = attempt(AttemptStatus.DECLINED, is_of_this_payment=False)
PAID_WINDOW = KnownWindow(WindowKind.PAYMENT, WindowStatus.EXPIRED)

TABLE: dict[str, tuple[Theirs | None, Ours, object]] = {
    "the same": (theirs(), ours(), Agreement.MATCHED),
    "the same, a part given back": (
        theirs(status=RecordStatus.CANCELLED, cancelled=900),
        ours(payment=kept(cancelled=900)),
        Agreement.MATCHED,
    ),
    "no record at all": (None, ours(), ("ours_only", "mark", 9_900)),
    "no record, a part given back": (
        None,
        ours(payment=kept(cancelled=900)),
        ("ours_only", "mark", 9_000),
    ),
    "neither": (None, Ours(), Agreement.UNPAID),
    "another amount": (theirs(amount=9_800), ours(), ("amount_differs", "mark", 100)),
    "failed there": (
        theirs(status=RecordStatus.FAILED),
        ours(),
        ("status_differs", "mark", 9_900),
    ),
    "not begun there": (
        theirs(status=RecordStatus.READY),
        ours(payment=None),
        ("status_differs", "mark", 9_900),
    ),
    "a registration that we took for a payment": (
        theirs(usage="issue"),
        ours(),
        ("status_differs", "mark", 9_900),
    ),
    "of another merchant_uid": (
        theirs(merchant_uid="other"),
        ours(),
        ("status_differs", "mark", 9_900),
    ),
    "more given back there": (
        theirs(status=RecordStatus.CANCELLED, cancelled=900),
        ours(),
        ("refund_differs", "adopt", 900),
    ),
    "more given back here": (
        theirs(),
        ours(payment=kept(cancelled=900)),
        ("refund_differs", "mark", 900),
    ),
    "one too many": (
        theirs(),
        ours(is_one_too_many=True),
        ("two_paid_for_one_period", "refund", 9_900),
    ),
    "one too many, given back": (
        theirs(status=RecordStatus.CANCELLED, cancelled=9_900),
        ours(payment=kept(cancelled=9_900), is_one_too_many=True),
        Agreement.MATCHED,
    ),
    "one too many under a known attempt": (
        theirs(),
        ours(payment=None, is_one_too_many=True),
        ("two_paid_for_one_period", "adopt", 9_900),
    ),
    "one too many that nobody knows": (
        theirs(),
        Ours(is_one_too_many=True),
        ("two_paid_for_one_period", "mark", 9_900),
    ),
    "declined here": (
        theirs(),
        ours(payment=None, attempt=DECLINED),
        ("status_differs", "adopt", 9_900),
    ),
    "declined here, given back there": (
        theirs(status=RecordStatus.CANCELLED, cancelled=9_900),
        ours(payment=None, attempt=DECLINED),
        ("status_differs", "mark", 0),
    ),
    "declined here, of another amount": (
        theirs(amount=9_000),
        ours(payment=None, attempt=DECLINED),
        ("amount_differs", "mark", 900),
    ),
    "declined on both sides": (
        theirs(status=RecordStatus.FAILED),
        ours(payment=None, attempt=DECLINED),
        Agreement.UNPAID,
    ),
    "a window that was left": (
        theirs(usage=None),
        Ours(window=PAID_WINDOW),
        ("status_differs", "adopt", 9_900),
    ),
    "money for a registration": (
        theirs(usage=None),
        Ours(window=KnownWindow(WindowKind.REGISTER, WindowStatus.CONFIRMED)),
        ("theirs_only", "mark", 9_900),
    ),
    "our shape": (theirs(on_our_key=False), Ours(), ("theirs_only", "mark", 9_900)),
    "our key": (theirs(of_our_shape=False), Ours(), ("theirs_only", "mark", 9_900)),
    "a schedule's": (theirs(usage="payment.scheduled"), Ours(), ("theirs_only", "mark", 9_900)),
    "nobody's": (theirs(**NOBODYS), Ours(), ("foreign", "mark", 9_900)),
    "nobody's, given back": (
        theirs(**NOBODYS, status=RecordStatus.CANCELLED, cancelled=9_900),
        Ours(),
        Agreement.UNPAID,
    ),
    "nobody's, declined": (theirs(**NOBODYS, status=RecordStatus.FAILED), Ours(), Agreement.UNPAID),
    "a registration": (theirs(usage="issue"), Ours(), Agreement.REGISTRATION),
}


@pytest.mark.parametrize("case", TABLE)
def test_two_sides_of_a_payment_are_compared(case: str) -> None:
    gateways, rows, expected = TABLE[case]
    assert found(gateways, rows) == expected


def test_every_difference_is_in_the_table() -> None:
    named = {verdict[0] for _, _, verdict in TABLE.values() if isinstance(verdict, tuple)}
    assert named == set(Difference)


UNEXPLAINED: dict[str, Ours] = {
    "an attempt that has not ended": ours(
        payment=None, attempt=attempt(AttemptStatus.UNKNOWN, is_of_this_payment=False)
    ),
    "a window that is open": Ours(window=replace(PAID_WINDOW, status=WindowStatus.READY)),
    "a hint that nobody has read": ours(payment=None, attempt=DECLINED, is_read_again=True),
    "a second payment that goes back": ours(
        payment=kept(is_refund_under_way=True), is_one_too_many=True
    ),
    "a second payment whose first goes back": ours(is_one_too_many=True, is_first_given_back=True),
    "what we have just settled": ours(payment=kept(amount=1), changed_at=YOUNG),
}


@pytest.mark.parametrize("case", UNEXPLAINED)
def test_what_goes_on_by_itself_is_watched(case: str) -> None:
    verdict = compare(theirs(), UNEXPLAINED[case], QUIET_BEFORE)
    assert isinstance(verdict, Found)
    assert verdict.is_under_way
    assert status_of(verdict) is DifferenceStatus.WATCHED


def test_a_refund_on_its_way_explains_no_other_amount() -> None:
    rows = ours(payment=kept(amount=9_000, is_refund_under_way=True))
    assert found(theirs(), rows) == ("amount_differs", "mark", 900)


def test_a_record_that_has_just_changed_is_watched_and_one_that_has_not_is_not() -> None:
    more = theirs(status=RecordStatus.CANCELLED, cancelled=900, changed_at=YOUNG)
    verdict = compare(more, ours(), QUIET_BEFORE)
    assert isinstance(verdict, Found)
    assert verdict.is_under_way
    assert found(replace(more, changed_at=QUIET_BEFORE), ours()) == ("refund_differs", "adopt", 900)


STATUSES = st.sampled_from(RecordStatus)
WON = st.integers(0, 3)
ANY_THEIRS = st.none() | st.builds(
    Theirs,
    st.sampled_from([UID, "other"]),
    STATUSES,
    st.sampled_from(["issue", "payment", "payment.scheduled", None]),
    WON,
    WON,
    of_our_shape=st.booleans(),
    on_our_key=st.booleans(),
    changed_at=st.sampled_from([OLD, YOUNG, None]),
)
ANY_OURS = st.builds(
    Ours,
    st.none() | st.builds(KeptPayment, st.just(1), st.just(UID), WON, WON, st.booleans()),
    st.none()
    | st.builds(
        KnownAttempt,
        st.just(1),
        st.sampled_from(AttemptStatus),
        WON,
        is_of_this_payment=st.booleans(),
    ),
    st.none() | st.builds(KnownWindow, st.sampled_from(WindowKind), st.sampled_from(WindowStatus)),
    is_one_too_many=st.booleans(),
    is_first_given_back=st.booleans(),
    is_read_again=st.booleans(),
    changed_at=st.sampled_from([OLD, YOUNG, None]),
)


@given(ANY_THEIRS, ANY_OURS)
def test_whatever_the_two_sides_say_an_agreement_is_one(
    gateways: Theirs | None, rows: Ours
) -> None:
    """A payment that is kept agrees only where the gateway shows the same money."""
    verdict = compare(gateways, rows, QUIET_BEFORE)
    payment = rows.payment
    if verdict is Agreement.MATCHED:
        assert gateways is not None
        assert payment is not None
        assert (gateways.amount, gateways.cancelled) == (payment.amount, payment.cancelled)
        assert gateways.was_paid
    elif isinstance(verdict, Agreement):
        assert payment is None
    else:
        assert verdict.repair is not Repair.REFUND or payment is not None
        assert verdict.repair is not Repair.ADOPT or gateways is not None


@given(ANY_THEIRS, ANY_OURS)
def test_nothing_is_open_while_an_attempt_or_a_window_may_explain_it(
    gateways: Theirs | None, rows: Ours
) -> None:
    verdict = compare(gateways, rows, QUIET_BEFORE)
    if not isinstance(verdict, Found) or verdict.difference is not Difference.STATUS_DIFFERS:
        return
    attempts, windows = rows.attempt, rows.window
    unsettled = attempts is not None and attempts.status in UNSETTLED
    is_open = windows is not None and windows.status in WINDOW_OPEN
    if rows.payment is None and (unsettled or is_open):
        assert verdict.is_under_way


def test_every_status_of_a_difference_can_be_left_and_reached() -> None:
    assert set(DIFFERENCE_TRANSITIONS) == set(DifferenceStatus)
    reached = set().union(*DIFFERENCE_TRANSITIONS.values())
    assert reached == set(DifferenceStatus)
