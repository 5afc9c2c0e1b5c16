"""PortOne's JSON as it is read."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.billing.inquiry import (
    CancelRecord,
    Conflict,
    Expectation,
    NoRecord,
    RecordStatus,
    StillUnresolved,
    judge,
)
from worker.gateway.wire import (
    Auth,
    Customer,
    Payment,
    PaymentPage,
    PreparedAmount,
    Refusal,
    Unreadable,
    instant,
    read_done,
    reader,
)


def payment(**changes: Any) -> dict[str, Any]:
    usual = {"imp_uid": "imps_1", "merchant_uid": "m1", "status": "paid", "amount": 1004}
    return {**usual, **changes}


def read(**changes: Any) -> Payment | Refusal | Unreadable:
    body = {"code": 0, "message": None, "response": payment(**changes)}
    return reader(Payment)(json.dumps(body).encode())


def understood(**changes: Any) -> Payment:
    answer = read(**changes)
    assert isinstance(answer, Payment)
    return answer


@pytest.mark.parametrize("written", ["1004", "1004.0", "1.004e3", "1004.00"])
def test_won_may_be_written_with_a_point(written: str) -> None:
    body = json.dumps({"code": 0, "response": payment(amount=0)}).replace(
        '"amount": 0', f'"amount": {written}'
    )
    answer = reader(Payment)(body.encode())

    assert isinstance(answer, Payment)
    assert answer.amount == 1004
    assert type(answer.amount) is int


@pytest.mark.parametrize("amount", [1004.5, "1004", True, False, None, [1], -1, 2.0**60, 1e400])
def test_anything_else_is_no_amount(amount: object) -> None:
    assert isinstance(read(amount=amount), Unreadable)


def test_an_amount_beyond_what_a_point_can_hold_is_read_from_an_integer() -> None:
    assert understood(amount=2**60 + 1).amount == 2**60 + 1


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, None),
        (-1, None),
        (10**15, None),
        (1_780_000_000, datetime.fromtimestamp(1_780_000_000, UTC)),
    ],
)
def test_zero_and_nonsense_are_no_instant(seconds: int, expected: datetime | None) -> None:
    assert instant(seconds) == expected


@pytest.mark.parametrize("paid_at", ["1780000000", None, 1.5, {}, True])
def test_an_instant_that_cannot_be_read_is_none_and_harms_nothing(paid_at: object) -> None:
    assert understood(paid_at=paid_at).record().paid_at is None


def test_partial_cancels_are_read() -> None:
    cancel = {
        "pg_tid": "t",
        "amount": 4.0,
        "cancelled_at": 1_780_000_000,
        "reason": "환불",
        "cancellation_id": "c1",
    }
    read_payment = understood(status="cancelled", cancel_amount=4, cancel_history=[cancel])

    assert read_payment.record().cancels == (
        CancelRecord(4, "환불", "c1", datetime.fromtimestamp(1_780_000_000, UTC)),
    )
    assert read_payment.record().status is RecordStatus.CANCELLED
    assert read_payment.record().cancel_amount == 4


@pytest.mark.parametrize("status", list(RecordStatus))
def test_every_status_of_today_is_kept(status: RecordStatus) -> None:
    assert understood(status=status.value).record().status is status


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "in_review"},
        {"currency": "USD"},
        {"currency": "USD", "customer_uid_usage": "payment"},
    ],
    ids=str,
)
def test_a_record_we_cannot_judge_is_told_as_one_that_settles_nothing(
    changes: dict[str, Any],
) -> None:
    assert understood(**changes).record().status is RecordStatus.READY


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "in_review"}, StillUnresolved),
        ({"currency": "USD"}, StillUnresolved),
        ({"customer_uid_usage": "issue"}, Conflict),
        ({"customer_uid_usage": "payment.scheduled"}, Conflict),
        ({"customer_uid_usage": "brand.new"}, Conflict),
        ({"customer_uid_usage": "issue", "status": "failed"}, Conflict),
        ({"customer_uid_usage": "issue", "currency": "USD"}, Conflict),
    ],
    ids=str,
)
def test_a_record_we_cannot_judge_settles_nothing(
    changes: dict[str, Any], expected: type[Conflict | StillUnresolved | NoRecord]
) -> None:
    record = understood(customer_uid="k", **changes).record()

    assert type(judge(Expectation("m1", 1004, "k"), [record])) is expected


@pytest.mark.parametrize("usage", ["issue", "payment", "payment.scheduled", None])
def test_a_record_tells_what_its_billing_key_was_used_for(usage: str | None) -> None:
    record = understood(customer_uid_usage=usage, started_at=1_780_000_000).record()

    assert record.usage == usage
    assert record.is_registration == (usage == "issue")
    assert record.is_charge == (usage in {None, "payment"})
    assert record.status is RecordStatus.PAID
    assert record.started_at == datetime.fromtimestamp(1_780_000_000, UTC)


def cancel(number: int, cancelled_at: object) -> dict[str, Any]:
    return {"amount": number, "cancellation_id": f"c{number}", "cancelled_at": cancelled_at}


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([cancel(1, 10), cancel(2, 20), cancel(3, 30)], ["c1", "c2", "c3"]),
        ([cancel(3, 30), cancel(2, 20), cancel(1, 10)], ["c1", "c2", "c3"]),
        ([cancel(1, 10), cancel(2, 10), cancel(3, 10)], ["c1", "c2", "c3"]),
        ([cancel(2, 20), cancel(1, None), cancel(3, 20)], ["c1", "c2", "c3"]),
        ([], []),
    ],
    ids=["oldest first", "newest first", "one second", "one of unknown time", "none"],
)
def test_cancels_are_told_oldest_first_and_then_as_they_were_listed(
    history: list[dict[str, Any]], expected: list[str]
) -> None:
    record = understood(cancel_history=history).record()

    assert [cancel.cancellation_id for cancel in record.cancels] == expected


@pytest.mark.parametrize(
    ("told", "binds"),
    [
        ({}, True),
        ({"amount": 1004.0}, True),
        ({"currency": "KRW"}, True),
        ({"currency": "USD"}, False),
        ({"amount": 1005}, False),
        ({"merchant_uid": "w2"}, False),
    ],
    ids=str,
)
def test_a_prepared_amount_binds_only_its_own_window(told: dict[str, Any], binds: bool) -> None:
    response = {"merchant_uid": "w1", "amount": 1004, "currency": None, **told}
    prepared = reader(PreparedAmount)(json.dumps({"code": 0, "response": response}).encode())

    assert isinstance(prepared, PreparedAmount)
    assert prepared.binds("w1", 1004) == binds


def test_neither_repr_nor_error_holds_what_is_secret() -> None:
    secret = "planted"
    customer = reader(Customer)(
        json.dumps({"code": 0, "response": {"customer_uid": secret}}).encode()
    )
    auth = Auth(access_token=secret, expired_at=2, now=1)
    odd = read(customer_uid=[secret], amount=secret)

    assert isinstance(customer, Customer)
    for shown in (understood(customer_uid=secret), customer, customer.record(), auth, odd):
        assert secret not in repr(shown)
        assert secret not in str(shown)


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "토큰", "a\x00"])
def test_a_token_that_fits_no_header_is_not_read(token: str) -> None:
    body = {"code": 0, "response": {"access_token": token, "expired_at": 2, "now": 1}}

    assert isinstance(reader(Auth)(json.dumps(body).encode()), Unreadable)


def test_a_page_is_read_with_its_followers() -> None:
    body = {"code": 0, "response": {"total": 3, "previous": 0, "next": 2, "list": [payment()]}}
    page = reader(PaymentPage)(json.dumps(body).encode())

    assert isinstance(page, PaymentPage)
    assert (page.total, page.next, page.payments[0].imp_uid) == (3, 2, "imps_1")


@pytest.mark.parametrize(("written", "read_as"), [(0, 0), (False, 0), (2, 2)])
def test_the_last_page_is_followed_by_none(written: object, read_as: int) -> None:
    body = {"code": 0, "response": {"total": 1, "next": written, "list": [payment()]}}
    page = reader(PaymentPage)(json.dumps(body).encode())

    assert isinstance(page, PaymentPage)
    assert page.next == read_as
    assert page.next is not False


def test_a_page_that_does_not_say_whether_one_follows_is_none() -> None:
    for odd in ({"next": None}, {"next": True}, {"next": "0"}, {}):
        body = {"code": 0, "response": {"total": 1, "list": [payment()], **odd}}
        assert isinstance(reader(PaymentPage)(json.dumps(body).encode()), Unreadable)


def test_one_odd_record_makes_its_page_unreadable() -> None:
    body = {"code": 0, "response": {"total": 1, "next": 0, "list": [payment(amount="1")]}}

    assert isinstance(reader(PaymentPage)(json.dumps(body).encode()), Unreadable)


def test_faults_are_named_and_only_some_of_many() -> None:
    answer = read(imp_uid=1, merchant_uid=1, status=1, amount=1.5, cancel_amount="", customer_uid=1)

    assert isinstance(answer, Unreadable)
    assert answer.cause.count(";") == 4
    assert answer.cause.startswith("response.imp_uid: ")


def test_a_refusal_keeps_its_message_byte_for_byte() -> None:
    body = json.dumps({"code": 1, "message": " 취소\t", "response": None}).encode()

    assert reader(Payment)(body) == Refusal(1, " 취소\t")


@pytest.mark.parametrize(
    ("status", "at"),
    [("ready", 1), ("paid", 2), ("failed", 3), ("cancelled", 4), ("brand_new", 1)],
)
def test_a_payment_has_its_status_since_the_instant_of_that_status(status: str, at: int) -> None:
    found = understood(status=status, started_at=1, paid_at=2, failed_at=3, cancelled_at=4)

    assert found.status_at == at


def listed(*payments: dict[str, Any]) -> PaymentPage | Refusal | Unreadable:
    page = {"total": len(payments), "previous": 0, "next": 0, "list": list(payments)}
    body = {"code": 0, "message": None, "response": page}
    return reader(PaymentPage)(json.dumps(body).encode())


def test_foreign_money_in_a_list_is_cut_to_its_whole_part_and_settles_nothing() -> None:
    half = {"amount": 0.5, "cancelled_at": 1, "reason": "?"}
    page = listed(
        payment(),
        payment(currency="USD", amount=12.99, cancel_amount=0.5, cancel_history=[half]),
        payment(currency="USD", amount=12),
    )

    assert isinstance(page, PaymentPage)
    assert [(one.amount, one.is_won) for one in page.payments] == [
        (1004, True),
        (12, False),
        (12, False),
    ]
    assert page.payments[1].record().status is RecordStatus.READY
    assert page.payments[1].record().cancels == ()


@pytest.mark.parametrize(
    "odd",
    [
        {"amount": 12.5},
        {"amount": 12.5, "currency": "KRW"},
        {"amount": "12.5", "currency": "USD"},
        {"amount": 1e400, "currency": "USD"},
        {"amount": None, "currency": "USD"},
        {"amount": 12.5, "currency": None},
    ],
    ids=str,
)
def test_a_list_with_an_amount_that_cannot_be_is_no_list(odd: dict[str, Any]) -> None:
    assert isinstance(listed(payment(), payment(**odd)), Unreadable)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"code": 0}', True),
        (b'{"code": 0, "message": null, "response": {"odd": 1}}', True),
        (b'{"code": -1, "message": " x "}', Refusal(-1, " x ")),
        (b'{"code": 1, "response": [1]}', Refusal(1, "")),
    ],
)
def test_what_was_only_to_be_done_needs_no_response(body: bytes, expected: object) -> None:
    assert read_done(body) == expected
    assert isinstance(read_done(b"{}"), Unreadable)
