"""The gateway decides about a window by what it shows; the word of the browser does not."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.inquiry import PaymentRecord, RecordStatus
from shared.billing.merchant_uid import merchant_uid
from shared.billing.money import Price
from shared.billing.window import (
    Confirmed,
    KeyHeld,
    NotConfirmed,
    NotYet,
    Window,
    WindowFinding,
    WindowKind,
    WindowStatus,
    judge_window,
    window_id,
    window_merchant_uid,
)
from shared.billing.window_parameters import require_merchant_uid
from tests.unit.billing import made

BEGUN_AT: Final = datetime(2026, 3, 15, 2, 59, tzinfo=UTC)
PAID_AT: Final = BEGUN_AT + timedelta(minutes=1)
ID: Final = window_id("cmd-1")
REGISTER: Final = Window(
    id=ID,
    kind=WindowKind.REGISTER,
    status=WindowStatus.READY,
    merchant_uid=window_merchant_uid(ID),
    billing_key_id=31,
    customer_uid=made.CUSTOMER_UID,
    price=Price(1004),
    order_name="Slim 요금제",
    expires_at=PAID_AT + timedelta(hours=1),
    command_id="cmd-1",
)
CHANGE: Final = replace(REGISTER, kind=WindowKind.CHANGE)
PAYMENT: Final = replace(REGISTER, kind=WindowKind.PAYMENT, billing_key_id=None, customer_uid=None)
REGISTERED: Final = PaymentRecord(
    "imp_1",
    REGISTER.merchant_uid,
    RecordStatus.PAID,
    1004,
    0,
    made.CUSTOMER_UID,
    started_at=BEGUN_AT,
    paid_at=PAID_AT,
    usage="issue",
)
PAID: Final = replace(REGISTERED, customer_uid=None, usage=None)
HELD: Final = KeyHeld(PAID_AT)
DONE: Final = Confirmed("imp_1", PAID_AT)


@pytest.mark.parametrize(
    ("window", "record", "key"),
    [
        (REGISTER, REGISTERED, HELD),
        (REGISTER, REGISTERED, KeyHeld(None)),
        (REGISTER, REGISTERED, KeyHeld(BEGUN_AT - timedelta(days=9))),
        (CHANGE, REGISTERED, HELD),
        (CHANGE, REGISTERED, KeyHeld(BEGUN_AT)),
        (CHANGE, REGISTERED, KeyHeld(None)),
        (PAYMENT, PAID, None),
    ],
    ids=repr,
)
def test_a_window_is_confirmed_by_what_the_gateway_shows(
    window: Window, record: PaymentRecord, key: KeyHeld | None
) -> None:
    assert judge_window(window, record, key) == DONE


@pytest.mark.parametrize(
    "changes",
    [
        {"merchant_uid": "0other1"},
        {"status": RecordStatus.FAILED, "fail_reason": "잔액 부족"},
        {"status": RecordStatus.CANCELLED, "cancel_amount": 1004},
        {"cancel_amount": 1},
        {"amount": 1003},
        {"amount": 100_400},
        {"customer_uid": "other-key"},
        {"customer_uid": None},
        {"usage": None},
        {"usage": "payment"},
        {"usage": "payment.scheduled"},
    ],
    ids=str,
)
def test_a_forged_or_mismatching_registration_confirms_nothing(changes: dict[str, Any]) -> None:
    for window in (REGISTER, CHANGE):
        finding = judge_window(window, replace(REGISTERED, **changes), HELD)
        assert isinstance(finding, NotConfirmed)
        told = repr(finding)
        assert made.CUSTOMER_UID not in told
        assert "other-key" not in told


@pytest.mark.parametrize(
    "changes",
    [
        {"usage": "issue"},
        {"usage": "payment", "customer_uid": "other-key"},
        {"customer_uid": "other-key"},
        {"amount": 10},
        {"merchant_uid": "0other1"},
    ],
    ids=str,
)
def test_a_payment_in_a_window_is_of_its_amount_and_of_no_billing_key(
    changes: dict[str, Any],
) -> None:
    assert isinstance(judge_window(PAYMENT, replace(PAID, **changes), None), NotConfirmed)


def test_the_reason_of_a_failure_is_kept_byte_for_byte() -> None:
    reason = " 잔액 부족\n(E-1)  "
    failed = replace(REGISTERED, status=RecordStatus.FAILED, fail_reason=reason)
    finding = judge_window(REGISTER, failed, HELD)
    assert isinstance(finding, NotConfirmed)
    assert finding.message == reason
    assert reason not in finding.cause


@pytest.mark.parametrize(
    ("window", "record", "key"),
    [
        (REGISTER, replace(REGISTERED, status=RecordStatus.READY), HELD),
        (REGISTER, REGISTERED, None),
        (CHANGE, REGISTERED, None),
        (CHANGE, REGISTERED, KeyHeld(BEGUN_AT - timedelta(seconds=1))),
    ],
    ids=["a record that has not ended", "no key", "no key to change", "the earlier method"],
)
def test_what_the_gateway_does_not_show_yet_is_looked_at_again(
    window: Window, record: PaymentRecord, key: KeyHeld | None
) -> None:
    assert isinstance(judge_window(window, record, key), NotYet)


@given(
    st.sampled_from([REGISTER, CHANGE, PAYMENT]),
    st.sampled_from([REGISTER.merchant_uid, "0other1"]),
    st.sampled_from(RecordStatus),
    st.sampled_from([1003, 1004]),
    st.sampled_from([0, 1, 1004]),
    st.sampled_from([made.CUSTOMER_UID, "other-key", None]),
    st.sampled_from(["issue", "payment", None]),
    st.sampled_from([None, HELD, KeyHeld(BEGUN_AT - timedelta(days=1))]),
)
def test_nothing_is_confirmed_unless_everything_matches(
    window: Window,
    uid: str,
    status: RecordStatus,
    amount: int,
    cancel_amount: int,
    customer_uid: str | None,
    usage: str | None,
    key: KeyHeld | None,
) -> None:
    record = replace(
        REGISTERED,
        merchant_uid=uid,
        status=status,
        amount=amount,
        cancel_amount=cancel_amount,
        customer_uid=customer_uid,
        usage=usage,
    )
    finding: WindowFinding = judge_window(window, record, key)
    of_payment = (uid, status, amount, cancel_amount) == (
        *(REGISTER.merchant_uid, RecordStatus.PAID, 1004, 0),
    )
    if window.kind is WindowKind.PAYMENT:
        of_key = (customer_uid, usage) == (None, None)
    else:
        of_key = (customer_uid, usage) == (made.CUSTOMER_UID, "issue") and key is not None
        of_key = of_key and (window.kind is WindowKind.REGISTER or key == HELD)
    assert isinstance(finding, Confirmed) == (of_payment and of_key)


@given(st.uuids(), st.uuids(), st.integers(0, 999_999), st.integers(1, 9_999))
def test_no_window_has_the_merchant_uid_of_a_charge(
    window: UUID, subscription: UUID, index: int, number: int
) -> None:
    uid = window_merchant_uid(window)
    require_merchant_uid(uid)
    assert re.fullmatch(r"[0-9a-z]{25}w", uid)
    assert uid != merchant_uid(subscription, index, number)
    assert (uid == window_merchant_uid(subscription)) == (window == subscription)


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_command_asks_for_the_same_window_however_often_it_comes(one: str, other: str) -> None:
    assert (window_id(one) == window_id(other)) == (one == other)
