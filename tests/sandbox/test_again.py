"""`POST /subscribe/payments/again`: what is accepted, what is answered, what is booked."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.sandbox.client import Gateway

KOREA = timedelta(hours=9)

PAYMENT_FIELDS = frozenset(
    [
        "amount",
        "apply_num",
        "bank_code",
        "bank_name",
        "buyer_addr",
        "buyer_email",
        "buyer_name",
        "buyer_postcode",
        "buyer_tel",
        "cancel_amount",
        "cancel_history",
        "cancel_reason",
        "cancel_receipt_urls",
        "cancelled_at",
        "card_code",
        "card_issuer_code",
        "card_issuer_name",
        "card_name",
        "card_number",
        "card_publisher_code",
        "card_publisher_name",
        "card_quota",
        "card_type",
        "cash_receipt_issued",
        "channel",
        "currency",
        "custom_data",
        "customer_uid",
        "customer_uid_usage",
        "deposit_history",
        "emb_pg_provider",
        "escrow",
        "fail_reason",
        "failed_at",
        "imp_uid",
        "merchant_uid",
        "name",
        "paid_at",
        "pay_method",
        "pg_id",
        "pg_provider",
        "pg_tid",
        "promotion",
        "receipt_url",
        "sandbox",
        "started_at",
        "status",
        "user_agent",
        "vbank_code",
        "vbank_date",
        "vbank_holder",
        "vbank_issued_at",
        "vbank_name",
        "vbank_num",
    ]
)


def test_a_paid_charge_is_answered_with_every_documented_field(gateway: Gateway) -> None:
    answer = gateway.again(buyer_name="홍길동", custom_data='{"a": 1}')
    payment = answer.response

    assert (answer.status, answer.code, answer.message) == (200, 0, None)
    assert set(payment) == PAYMENT_FIELDS
    assert payment["status"] == "paid"
    assert payment["imp_uid"].startswith("imps_")
    assert len(payment["imp_uid"]) <= 32
    assert (payment["merchant_uid"], payment["customer_uid"]) == ("m1", "buyer")
    assert (payment["name"], payment["buyer_name"]) == ("구독", "홍길동")
    assert payment["custom_data"] == '{"a": 1}'
    assert (payment["channel"], payment["customer_uid_usage"]) == ("api", "payment")
    assert (payment["pg_provider"], payment["currency"]) == ("naverpay", "KRW")
    assert (payment["failed_at"], payment["cancelled_at"], payment["fail_reason"]) == (0, 0, None)
    assert payment["cancel_history"] == []
    assert payment["started_at"] <= payment["paid_at"]
    assert payment["sandbox"] is False


def test_amounts_are_whole_numbers(gateway: Gateway) -> None:
    body = gateway.again().body

    assert b'"amount":1004,' in body
    assert b'"cancel_amount":0,' in body


def test_amounts_can_be_told_to_be_floats(gateway: Gateway) -> None:
    gateway.faults(float_amounts=True)

    assert b'"amount":1004.0,' in gateway.again().body
    assert b'"amount":1004.0,' in gateway.get("/payments/findAll/m1").body
    assert gateway.booked()[0]["amount"] == 1004


def test_a_form_with_brackets_is_the_same_as_json(gateway: Gateway) -> None:
    now = gateway.control("GET", "clock")["now"]
    today = (datetime.fromtimestamp(now, UTC) + KOREA).strftime("%Y%m%d")
    form = {
        "customer_uid": "buyer",
        "merchant_uid": "m-form",
        "amount": "10000",
        "tax_free": "100",
        "name": "Slim 요금제(최초과금)",
        "extra[naverUseCfm]": today,
    }
    path = "/subscribe/payments/again/"
    answer = gateway.call("POST", path, form=form, headers=gateway.bearer)
    row = gateway.booked("m-form")[0]

    assert (answer.code, answer.response["amount"]) == (0, 10000)
    assert answer.response["name"] == "Slim 요금제(최초과금)"
    assert (row["tax_free"], row["naver_use_cfm"]) == (100, today)
    assert gateway.seen("m-form")[0]["body"]["extra"] == {"naverUseCfm": today}


def test_the_content_type_may_carry_a_charset_and_may_be_missing(gateway: Gateway) -> None:
    for n, content_type in enumerate(["application/json; charset=UTF-8", ""]):
        body = json.dumps(gateway.order(merchant_uid=f"m{n}"), ensure_ascii=False).encode()
        headers = {**gateway.bearer, **({"Content-Type": content_type} if content_type else {})}
        answer = gateway.call("POST", "/subscribe/payments/again", body=body, headers=headers)
        assert answer.code == 0


@pytest.mark.parametrize("name", ["customer_uid", "merchant_uid", "amount", "name"])
def test_a_missing_parameter_is_named(gateway: Gateway, name: str) -> None:
    changes: dict[str, Any] = {name: None}
    answer = gateway.again(**changes)

    assert answer.refusal == (400, -1, f"파라미터 누락:{name}")
    assert gateway.booked() == []


def test_all_missing_parameters_are_named_at_once(gateway: Gateway) -> None:
    answer = gateway.again(amount=None, name="", merchant_uid=None)

    assert answer.refusal == (400, -1, "파라미터 누락:merchant_uid, amount, name")


TOO_LARGE = 10**13


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amount": 9}, "amount below 10"),
        ({"amount": 0}, "amount below 10"),
        ({"amount": -10}, "amount must be between 0 and 1000000000000"),
        ({"amount": TOO_LARGE}, "amount must be between 0 and 1000000000000"),
        ({"amount": "1004"}, "amount must be a JSON number"),
        ({"amount": True}, "amount must be a JSON number"),
        ({"amount": [1004]}, "amount must be a JSON number"),
        ({"amount": 1004.5}, "amount must be a whole number"),
        ({"tax_free": 1005}, "tax_free above amount"),
        ({"tax_free": "0"}, "tax_free must be a JSON number"),
        ({"tax_free": -1}, "tax_free must be between 0 and 1000000000000"),
        ({"customer_uid": "c" * 81}, "customer_uid longer than 80"),
        ({"merchant_uid": "m" * 41}, "merchant_uid longer than 40"),
        ({"merchant_uid": 17}, "merchant_uid must be a string"),
        ({"name": "가" * 41}, "name longer than 40"),
        ({"buyer_name": "n" * 17}, "buyer_name longer than 16"),
        ({"buyer_email": "e" * 65}, "buyer_email longer than 64"),
        ({"buyer_tel": "1" * 17}, "buyer_tel longer than 16"),
        ({"buyer_addr": "a" * 129}, "buyer_addr longer than 128"),
        ({"buyer_postcode": "1" * 9}, "buyer_postcode longer than 8"),
        ({"channel_key": "k" * 56}, "channel_key longer than 55"),
        ({"custom_data": {"a": 1}}, "custom_data must be a string"),
        ({"card_quota": "2"}, "card_quota must be a JSON number"),
        ({"extra": "naverUseCfm"}, "extra must be an object"),
        ({"extra": {"naverUseCfm": 20990101}}, "extra.naverUseCfm must be a day as YYYYMMDD"),
        ({"extra": {"naverUseCfm": "20990230"}}, "extra.naverUseCfm must be a day as YYYYMMDD"),
        ({"extra": {"naverUseCfm": "2099-01-01"}}, "extra.naverUseCfm must be a day as YYYYMMDD"),
        (
            {"extra": {"naverUseCfm": "20200101"}},
            "extra.naverUseCfm is before the day of the charge in Korea",
        ),
    ],
)
def test_what_has_no_published_text_is_refused_in_words_marked_as_ours(
    gateway: Gateway, changes: dict[str, Any], message: str
) -> None:
    answer = gateway.again(**changes)

    assert answer.refusal == (400, -1, f"sandbox: {message}")
    assert gateway.booked() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 10},
        {"amount": 1004.0},
        {"tax_free": 1004},
        {"customer_uid": "c" * 80},
        {"merchant_uid": "m" * 40},
        {"name": "가" * 40},
        {"buyer_name": "n" * 16, "buyer_addr": "a" * 128},
        {"extra": {}},
        {"extra": {"naverUseCfm": "20990101"}},
        {"something_new": {"deep": [1]}},
    ],
)
def test_limits_are_inclusive_and_unknown_parameters_ignored(
    gateway: Gateway, changes: dict[str, Any]
) -> None:
    gateway.register("c" * 80)

    assert gateway.again(**changes).code == 0


def test_a_null_parameter_is_as_good_as_missing(gateway: Gateway) -> None:
    body = json.dumps({**gateway.order(), "tax_free": None, "extra": None, "buyer_tel": None})
    headers = {**gateway.bearer, "Content-Type": "application/json"}
    path = "/subscribe/payments/again"
    answer = gateway.call("POST", path, body=body.encode(), headers=headers)

    assert answer.response["buyer_tel"] is None


def test_the_use_confirmation_day_is_today_in_korea_not_in_utc(gateway: Gateway) -> None:
    # 23:30 UTC on the 4th of May is 08:30 on the 5th in Korea.
    instant = datetime(2030, 5, 4, 23, 30, tzinfo=UTC).timestamp()
    gateway.control("PUT", "clock", {"now": instant})

    assert gateway.again(extra={"naverUseCfm": "20300504"}).status == 400
    assert gateway.again(extra={"naverUseCfm": "20300505"}).code == 0


def test_a_bad_amount_in_a_form_is_refused(gateway: Gateway) -> None:
    path = "/subscribe/payments/again"
    for amount in ("10x", "1e999", "NaN", "10.5", "-10", ""):
        form = {"customer_uid": "buyer", "merchant_uid": "m1", "amount": amount, "name": "x"}
        assert gateway.call("POST", path, form=form, headers=gateway.bearer).status == 400, amount


def test_an_unknown_buyer_is_refused_and_nothing_is_booked(gateway: Gateway) -> None:
    answer = gateway.again(customer_uid="nobody")

    assert answer.refusal == (200, 1, "등록되지 않은 구매자입니다.")
    assert gateway.booked() == []
    assert gateway.seen()[0]["result"] == "refused_unknown_buyer"


def test_a_removed_billing_key_is_an_unknown_buyer(gateway: Gateway) -> None:
    gateway.control("DELETE", "billing-keys/buyer")

    assert gateway.again().code == 1


def test_a_declined_charge_is_a_record_of_its_own(gateway: Gateway) -> None:
    gateway.behave("declined")
    answer = gateway.again()
    payment = answer.response

    assert (answer.status, answer.code, answer.message) == (200, 0, None)
    assert (payment["status"], payment["fail_reason"]) == ("failed", "잔액 부족")
    assert payment["imp_uid"].startswith("imps_")
    assert payment["failed_at"] > 0
    assert payment["paid_at"] == 0
    assert gateway.get(f"/payments/{payment['imp_uid']}").response == payment


def test_texts_of_any_script_come_back_as_they_were_sent(gateway: Gateway) -> None:
    name = '따옴표 " 역슬래시 \\ \t 이모지 🎉 \ud800'

    assert gateway.again(name=name).response["name"] == name
    assert gateway.booked()[0]["name"] == name
