from datetime import UTC, datetime
from itertools import permutations
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.inquiry import (
    Conflict,
    Expectation,
    Finding,
    NoRecord,
    PaymentRecord,
    RecordStatus,
    StillUnresolved,
    judge,
)
from shared.billing.outcome import Declined, Paid

EXPECTED: Final = Expectation("uid1", 13_900, "buyer1")
PAID_AT: Final = datetime(2026, 3, 15, 3, 0, tzinfo=UTC)
READY, PAID, CANCELLED, FAILED = RecordStatus


def record(
    status: RecordStatus,
    *,
    imp_uid: str = "imps_1",
    merchant_uid: str = "uid1",
    amount: int = 13_900,
    cancel_amount: int = 0,
    customer_uid: str | None = "buyer1",
    fail_reason: str | None = None,
    usage: str | None = "payment",
) -> PaymentRecord:
    is_paid = status is PAID
    return PaymentRecord(
        imp_uid,
        merchant_uid,
        status,
        amount,
        cancel_amount,
        customer_uid,
        fail_reason,
        paid_at=PAID_AT if is_paid else None,
        receipt_url="https://receipt.example.test/1" if is_paid else None,
        usage=usage,
    )


OURS: Final = Paid("imps_1", PAID_AT, "https://receipt.example.test/1")
REFUSED: Final = record(FAILED, imp_uid="imps_0", fail_reason="[1234] 잔액부족")
OTHER_UID: Final = "the record is of another merchant_uid, uid2"
OTHER_AMOUNT: Final = "the record is of 13901 won, 13900 were sent"
OTHER_BUYER: Final = "the record is of another buyer"
OTHER_USAGE: Final = "the record is of usage {}, which is no charge of ours"
WAS_CANCELLED: Final = "the payment was cancelled at the gateway"
IS_READY: Final = StillUnresolved("the gateway holds the payment as ready")

TABLE: Final[dict[str, tuple[list[PaymentRecord], Finding]]] = {
    "nothing": ([], NoRecord()),
    "one paid, ours in every respect": ([record(PAID)], OURS),
    "paid under another uid": ([record(PAID, merchant_uid="uid2")], Conflict(OTHER_UID)),
    "paid, another amount": ([record(PAID, amount=13_901)], Conflict(OTHER_AMOUNT)),
    "paid, another buyer": ([record(PAID, customer_uid="buyer2")], Conflict(OTHER_BUYER)),
    "paid, no buyer told": ([record(PAID, customer_uid=None)], Conflict(OTHER_BUYER)),
    "failed under another uid": ([record(FAILED, merchant_uid="uid2")], Conflict(OTHER_UID)),
    "failed, another amount": ([record(FAILED, amount=13_901)], Conflict(OTHER_AMOUNT)),
    "failed, another buyer": ([record(FAILED, customer_uid="buyer2")], Conflict(OTHER_BUYER)),
    "failed, no buyer told": ([record(FAILED, customer_uid=None)], Conflict(OTHER_BUYER)),
    "ready, another amount": ([record(READY, amount=13_901)], Conflict(OTHER_AMOUNT)),
    "cancelled, another buyer": ([record(CANCELLED, customer_uid="x")], Conflict(OTHER_BUYER)),
    "one ours, one of another amount": (
        [record(PAID), record(FAILED, amount=13_901)],
        Conflict(OTHER_AMOUNT),
    ),
    "paid, no usage told": ([record(PAID, usage=None)], OURS),
    "a registration": ([record(PAID, usage="issue")], Conflict(OTHER_USAGE.format("issue"))),
    "a failed registration": (
        [record(FAILED, usage="issue")],
        Conflict(OTHER_USAGE.format("issue")),
    ),
    "paid by a schedule": (
        [record(PAID, usage="payment.scheduled")],
        Conflict(OTHER_USAGE.format("payment.scheduled")),
    ),
    "failed by a schedule": (
        [record(FAILED, usage="payment.scheduled")],
        Conflict(OTHER_USAGE.format("payment.scheduled")),
    ),
    "a usage nobody has heard of": (
        [record(PAID, usage="payment.new")],
        Conflict(OTHER_USAGE.format("payment.new")),
    ),
    "ours, and a registration": (
        [record(PAID), record(READY, usage="issue")],
        Conflict(OTHER_USAGE.format("issue")),
    ),
    "two paid": (
        [record(PAID), record(PAID, imp_uid="imps_2")],
        Conflict("2 paid records under one merchant_uid"),
    ),
    "three paid": ([record(PAID)] * 3, Conflict("3 paid records under one merchant_uid")),
    "cancelled": ([record(CANCELLED, cancel_amount=13_900)], Conflict(WAS_CANCELLED)),
    "cancelled in part": ([record(CANCELLED, cancel_amount=900)], Conflict(WAS_CANCELLED)),
    "cancelled without an amount": ([record(CANCELLED)], Conflict(WAS_CANCELLED)),
    "cancelled, then paid": ([record(CANCELLED), record(PAID)], Conflict(WAS_CANCELLED)),
    "cancelled and failed": ([record(CANCELLED), REFUSED], Conflict(WAS_CANCELLED)),
    "paid, cancelled in part": (
        [record(PAID, cancel_amount=900)],
        Conflict("900 won of the payment were cancelled"),
    ),
    "ready": ([record(READY)], IS_READY),
    "failed, then ready": ([REFUSED, record(READY)], IS_READY),
    "ready, then failed": ([record(READY), REFUSED], IS_READY),
    "failed": ([REFUSED], Declined("[1234] 잔액부족", "imps_0")),
    "failed without a reason": ([record(FAILED)], Declined("", "imps_1")),
    "failed twice": (
        [REFUSED, record(FAILED, imp_uid="imps_2", fail_reason="한도초과")],
        Declined("한도초과", "imps_2"),
    ),
    "failed, then paid": ([REFUSED, record(PAID)], OURS),
    "ready, then paid": ([record(READY, imp_uid="imps_0"), record(PAID)], OURS),
    "paid, then failed": ([record(PAID), REFUSED], OURS),
}


@pytest.mark.parametrize(("records", "finding"), TABLE.values(), ids=TABLE.keys())
def test_what_the_gateway_holds_means_this(records: list[PaymentRecord], finding: Finding) -> None:
    assert judge(EXPECTED, records) == finding


@pytest.mark.parametrize(("records", "finding"), TABLE.values(), ids=TABLE.keys())
def test_the_order_of_records_changes_no_kind_of_finding(
    records: list[PaymentRecord], finding: Finding
) -> None:
    kinds = {type(judge(EXPECTED, order)) for order in permutations(records)}
    assert kinds == {type(finding)}


def test_a_reason_of_the_gateway_is_kept_byte_for_byte() -> None:
    reason = " 카드사 응답:\t[한도 초과]\n\x00\ud83d 재시도 바랍니다  "
    assert judge(EXPECTED, [record(FAILED, fail_reason=reason)]) == Declined(reason, "imps_1")


RECORDS: Final = st.builds(
    PaymentRecord,
    imp_uid=st.sampled_from(["imps_1", "imps_2", "imps_3"]),
    merchant_uid=st.just("uid1") | st.sampled_from(["uid1", "uid2"]),
    status=st.sampled_from(RecordStatus),
    amount=st.just(13_900) | st.sampled_from([0, 13_899, 13_900]),
    cancel_amount=st.just(0) | st.sampled_from([0, 1, 13_900]),
    customer_uid=st.just("buyer1") | st.sampled_from(["buyer1", "buyer2", None]),
    fail_reason=st.none() | st.just("한도초과"),
    paid_at=st.none() | st.just(PAID_AT),
    usage=st.just("payment") | st.sampled_from([None, "payment", "issue", "payment.scheduled"]),
)


@given(st.lists(RECORDS, max_size=4))
def test_paid_is_found_only_where_one_untouched_record_matches_in_every_respect(
    records: list[PaymentRecord],
) -> None:
    finding = judge(EXPECTED, records)
    matches = [
        (each.merchant_uid, each.amount, each.customer_uid) == ("uid1", 13_900, "buyer1")
        and each.usage in {None, "payment"}
        for each in records
    ]
    paid = [each for each in records if each.status is PAID]
    is_ours = (
        all(matches)
        and len(paid) == 1
        and paid[0].cancel_amount == 0
        and all(each.status is not CANCELLED for each in records)
    )
    assert isinstance(finding, Paid) == is_ours
    if isinstance(finding, Paid):
        assert finding.imp_uid == paid[0].imp_uid


@given(st.lists(RECORDS, max_size=4))
def test_a_decline_is_found_only_where_every_record_failed(records: list[PaymentRecord]) -> None:
    if isinstance(judge(EXPECTED, records), Declined):
        assert records
        assert all(each.status is FAILED for each in records)


@given(st.lists(RECORDS, max_size=4))
def test_no_record_is_found_only_where_there_is_none(records: list[PaymentRecord]) -> None:
    assert isinstance(judge(EXPECTED, records), NoRecord) == (not records)
