"""`POST /payments/cancel`: what is given back, what is refused, and in which words."""

from typing import Any

import pytest

from tests.sandbox.client import Gateway

CANCEL = "/payments/cancel"


@pytest.fixture
def imp_uid(gateway: Gateway) -> str:
    """A paid charge of 10,000 won, of which 3,000 are tax-free."""
    payment = gateway.again(amount=10_000, tax_free=3_000).response
    return str(payment["imp_uid"])


def _left(gateway: Gateway) -> tuple[int, int]:
    row = gateway.booked("m1")[0]
    return (
        row["amount"] - row["cancel_amount"],
        row["tax_free"] - row["cancel_tax_free"],
    )


def test_a_full_cancel_is_told_as_documented(gateway: Gateway, imp_uid: str) -> None:
    now = gateway.control("GET", "clock")["now"]
    answer = gateway.cancel(imp_uid=imp_uid, tax_free=3_000, reason="고객 요청")
    payment = answer.response
    entry = payment["cancel_history"][0]

    assert (answer.status, answer.code, answer.message) == (200, 0, None)
    assert payment["status"] == "cancelled"
    assert (payment["amount"], payment["cancel_amount"]) == (10_000, 10_000)
    assert payment["cancel_reason"] == "고객 요청"
    assert int(now) <= payment["cancelled_at"] <= now + 10
    assert set(entry) == {
        "pg_tid",
        "amount",
        "cancelled_at",
        "reason",
        "cancellation_id",
        "receipt_url",
    }
    assert (entry["amount"], entry["reason"]) == (10_000, "고객 요청")
    assert entry["cancelled_at"] == payment["cancelled_at"]
    assert payment["pg_tid"] not in {None, entry["pg_tid"]}
    assert payment["paid_at"] > 0
    assert _left(gateway) == (0, 0)


@pytest.mark.parametrize("amount", [{}, {"amount": 0}, {"amount": None}, {"amount": 0.0}])
def test_without_an_amount_everything_that_is_left_is_given_back(
    gateway: Gateway, imp_uid: str, amount: dict[str, Any]
) -> None:
    gateway.cancel(imp_uid=imp_uid, amount=4_000)
    payment = gateway.cancel(imp_uid=imp_uid, **amount).response

    assert [entry["amount"] for entry in payment["cancel_history"]] == [4_000, 6_000]
    assert payment["cancel_amount"] == 10_000


def test_a_part_given_back_shows_cancelled_as_well(gateway: Gateway, imp_uid: str) -> None:
    first = gateway.cancel(imp_uid=imp_uid, amount=1_000, tax_free=300, reason="하나").response
    second = gateway.cancel(imp_uid=imp_uid, amount=2_000, reason="둘").response

    assert (first["status"], first["cancel_amount"]) == ("cancelled", 1_000)
    assert (second["status"], second["cancel_amount"]) == ("cancelled", 3_000)
    assert second["cancel_reason"] == "둘"
    assert [entry["reason"] for entry in second["cancel_history"]] == ["하나", "둘"]
    assert len({entry["cancellation_id"] for entry in second["cancel_history"]}) == 2
    assert _left(gateway) == (7_000, 2_700)
    assert gateway.get(f"/payments/{imp_uid}").response == second
    assert gateway.get("/payments/findAll/m1/cancelled").response["list"] == [second]
    assert gateway.get("/payments/find/m1/paid").status == 404


def test_amounts_may_be_written_as_floats(gateway: Gateway, imp_uid: str) -> None:
    gateway.faults(float_amounts=True)
    answer = gateway.cancel(imp_uid=imp_uid, amount=1_000)

    assert b'"cancel_amount":1000.0' in answer.body
    assert b'"amount":1000.0' in answer.body


def test_a_cancelled_merchant_uid_cannot_be_charged_again(gateway: Gateway, imp_uid: str) -> None:
    gateway.cancel(imp_uid=imp_uid, amount=1_000)

    assert gateway.again().message == (
        "이미 주문이 이루어진 건입니다. (동일한 merchant_uid로 결제 또는 취소된 기록이 있습니다)"
    )


def test_a_form_does_the_same(gateway: Gateway, imp_uid: str) -> None:
    form = {
        "imp_uid": imp_uid,
        "amount": "1000",
        "tax_free": "300",
        "checksum": "10000",
        "reason": "고객 요청",
        "extra[requester]": "customer",
        "enable_webhook": "true",
    }
    answer = gateway.post_form(CANCEL, form)

    assert (answer.code, answer.response["cancel_amount"]) == (0, 1_000)
    cancels = gateway.booked("m1")[0]["cancels"]
    assert [(each["requester"], each["tax_free"], each["reason"]) for each in cancels] == [
        ("customer", 300, "고객 요청")
    ]


def test_the_requester_is_an_administrator_unless_told_otherwise(
    gateway: Gateway, imp_uid: str
) -> None:
    gateway.cancel(imp_uid=imp_uid, amount=10)
    gateway.cancel(imp_uid=imp_uid, amount=10, extra={})
    gateway.cancel(imp_uid=imp_uid, amount=10, extra={"requester": None})
    gateway.cancel(imp_uid=imp_uid, amount=10, extra={"requester": "admin"})
    gateway.cancel(imp_uid=imp_uid, amount=10, extra={"requester": "customer"})

    requesters = [each["requester"] for each in gateway.booked("m1")[0]["cancels"]]
    assert requesters == ["admin"] * 4 + ["customer"]


def test_a_merchant_uid_names_the_payment_as_well(gateway: Gateway, imp_uid: str) -> None:
    payment = gateway.cancel(merchant_uid="m1", amount=10).response

    assert (payment["imp_uid"], payment["cancel_amount"]) == (imp_uid, 10)
    assert gateway.cancel(imp_uid="", merchant_uid="m1", amount=10).code == 0


def test_a_merchant_uid_means_its_paid_record_not_a_failed_one(gateway: Gateway) -> None:
    gateway.behave("declined", "paid", "declined")
    gateway.faults(duplicate_policy="none")
    for _ in range(3):
        gateway.again()
    payment = gateway.cancel(merchant_uid="m1").response

    assert [row["status"] for row in gateway.booked("m1")] == ["failed", "cancelled", "failed"]
    assert payment["imp_uid"] == gateway.booked("m1")[1]["imp_uid"]


def test_of_both_names_the_imp_uid_wins(gateway: Gateway, imp_uid: str) -> None:
    gateway.again(merchant_uid="m2")
    payment = gateway.cancel(imp_uid=imp_uid, merchant_uid="m2", amount=10).response

    assert payment["merchant_uid"] == "m1"
    answer = gateway.cancel(imp_uid="imp_0", merchant_uid="m2")
    assert answer.refusal == (200, 1, "취소할 결제건이 존재하지 않습니다.")
    assert gateway.booked("m2")[0]["status"] == "paid"


@pytest.mark.parametrize("named", [{"imp_uid": "imp_0"}, {"merchant_uid": "m9"}])
def test_an_unknown_payment_is_refused(gateway: Gateway, named: dict[str, Any]) -> None:
    assert gateway.cancel(**named).refusal == (200, 1, "취소할 결제건이 존재하지 않습니다.")


def test_what_is_wholly_cancelled_is_said_to_be_so(gateway: Gateway, imp_uid: str) -> None:
    gateway.cancel(imp_uid=imp_uid)

    for wanted in ({}, {"amount": 10}, {"checksum": 10_000}, {"checksum": 0}):
        answer = gateway.cancel(imp_uid=imp_uid, **wanted)
        assert answer.refusal == (200, 1, "이미 전액취소된 주문입니다.")
    assert _left(gateway)[0] == 0


def test_more_than_is_left_is_refused(gateway: Gateway, imp_uid: str) -> None:
    gateway.cancel(imp_uid=imp_uid, amount=1_000)
    answer = gateway.cancel(imp_uid=imp_uid, amount=9_001)

    assert answer.refusal == (
        200,
        -1,
        "결제취소에 실패하였습니다.(requested cancel amount is bigger than cancelable amount)",
    )
    assert gateway.cancel(imp_uid=imp_uid, amount=9_000).code == 0


def test_a_stale_checksum_cancels_nothing(gateway: Gateway, imp_uid: str) -> None:
    assert gateway.cancel(imp_uid=imp_uid, amount=1_000, checksum=10_000).code == 0
    for checksum in (10_000, 0, 9_001):
        answer = gateway.cancel(imp_uid=imp_uid, amount=1_000, checksum=checksum)
        assert (answer.status, answer.code) == (200, 1)
        assert str(answer.message).startswith("sandbox: checksum ")
    assert _left(gateway)[0] == 9_000

    assert gateway.cancel(imp_uid=imp_uid, amount=1_000, checksum=9_000).code == 0
    assert gateway.cancel(imp_uid=imp_uid, amount=1_000, checksum=None).code == 0


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"amount": 1_000, "tax_free": 1_001}, "sandbox: tax_free above the amount"),
        ({"amount": 4_000, "tax_free": 3_001}, "sandbox: tax_free above what is left"),
        ({"tax_free": 3_001}, "sandbox: tax_free above what is left"),
    ],
)
def test_more_tax_free_than_there_is_is_refused(
    gateway: Gateway, imp_uid: str, wanted: dict[str, int], message: str
) -> None:
    answer = gateway.cancel(imp_uid=imp_uid, **wanted)

    assert (answer.status, answer.code) == (200, 1)
    assert str(answer.message).startswith(message)
    assert _left(gateway) == (10_000, 3_000)


@pytest.mark.parametrize("ending", ["declined", "ready"])
def test_what_was_never_paid_cannot_be_cancelled(gateway: Gateway, ending: str) -> None:
    gateway.behave(ending)
    imp_uid = gateway.again().response["imp_uid"]
    answer = gateway.cancel(imp_uid=imp_uid)

    assert (answer.status, answer.code) == (200, 1)
    assert str(answer.message).startswith("sandbox: ")
    assert gateway.booked("m1")[0]["cancels"] == []


@pytest.mark.parametrize(
    "body", [{}, {"amount": 10}, {"imp_uid": "", "merchant_uid": ""}, {"imp_uid": None}]
)
def test_one_of_the_names_must_be_there(gateway: Gateway, body: dict[str, Any]) -> None:
    answer = gateway.post(CANCEL, **body)

    assert answer.status == 400
    assert str(answer.message).startswith("sandbox: ")
    assert str(answer.message).endswith("지정해주셔야합니다.")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"amount": -1}, "amount must be between 0 and 1000000000000"),
        ({"amount": "1000"}, "amount must be a JSON number"),
        ({"amount": 10.5}, "amount must be a whole number"),
        ({"tax_free": "0"}, "tax_free must be a JSON number"),
        ({"checksum": "10000"}, "checksum must be a JSON number"),
        ({"checksum": -1}, "checksum must be between 0 and 1000000000000"),
        ({"reason": ["고객"]}, "reason must be a string"),
        ({"imp_uid": 7}, "imp_uid must be a string"),
        ({"imp_uid": "i" * 33}, "imp_uid longer than 32"),
        ({"merchant_uid": "m" * 41}, "merchant_uid longer than 40"),
        ({"extra": "customer"}, "extra must be an object"),
        ({"extra": {"requester": "seller"}}, "extra.requester must be one of customer, admin"),
        ({"extra": {"requester": 1}}, "extra.requester must be one of customer, admin"),
        ({"extra": {"requester": ""}}, "extra.requester must be one of customer, admin"),
        ({"enable_webhook": "true"}, "enable_webhook must be true or false"),
        ({"enable_webhook": 1}, "enable_webhook must be true or false"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words_marked_as_ours(
    gateway: Gateway, imp_uid: str, wanted: dict[str, Any], message: str
) -> None:
    answer = gateway.cancel(**{"imp_uid": imp_uid, **wanted})

    assert answer.refusal == (400, -1, f"sandbox: {message}")
    assert gateway.booked("m1")[0]["cancels"] == []


@pytest.mark.parametrize("field", ["amount", "tax_free", "checksum", "enable_webhook"])
def test_a_form_is_read_as_strictly(gateway: Gateway, imp_uid: str, field: str) -> None:
    answer = gateway.post_form(CANCEL, {"imp_uid": imp_uid, field: "many"})

    assert answer.status == 400
    assert str(answer.message).startswith(f"sandbox: {field} must be ")


def test_a_token_is_needed(gateway: Gateway, imp_uid: str) -> None:
    answer = gateway.call("POST", CANCEL, json_body={"imp_uid": imp_uid})

    assert answer.refusal == (401, -1, "Unauthorized")
    assert gateway.seen_cancels(imp_uid) == []


def test_a_body_that_is_no_json_is_refused(gateway: Gateway) -> None:
    headers = {**gateway.bearer, "Content-Type": "application/json"}
    answer = gateway.call("POST", CANCEL, body=b"{", headers=headers)

    assert (answer.status, answer.code) == (400, -1)
