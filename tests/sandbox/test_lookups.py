"""The lookups: by merchant_uid, by imp_uid, and a billing key."""

import pytest

from tests.sandbox.client import Gateway

UNKNOWN_PAYMENT = (404, -1, "존재하지 않는 결제정보입니다.")


def _make_history(gateway: Gateway) -> list[str]:
    """Book failed, failed, paid, ready, paid under one merchant_uid, a minute apart."""
    gateway.faults(duplicate_policy="none")
    gateway.behave("declined", "limit_exceeded", "paid", "ready", "paid")
    uids = []
    for minute in range(5):
        gateway.control("PUT", "clock", {"offset_s": 60 * minute})
        uids.append(gateway.again().response["imp_uid"])
    return uids


def test_find_all_lists_every_record_latest_first(gateway: Gateway) -> None:
    uids = _make_history(gateway)
    page = gateway.get("/payments/findAll/m1").response

    assert (page["total"], page["previous"], page["next"]) == (5, 0, 0)
    assert [payment["imp_uid"] for payment in page["list"]] == uids[::-1]


@pytest.mark.parametrize(
    ("sorting", "order"),
    [
        ("started", [0, 1, 2, 3, 4]),
        ("-started", [4, 3, 2, 1, 0]),
        ("updated", [0, 1, 2, 3, 4]),
        ("-paid", [4, 2, 3, 1, 0]),
        ("paid", [0, 1, 3, 2, 4]),
    ],
)
def test_find_all_sorts_as_asked(gateway: Gateway, sorting: str, order: list[int]) -> None:
    uids = _make_history(gateway)
    page = gateway.get(f"/payments/findAll/m1?sorting={sorting}").response

    assert [payment["imp_uid"] for payment in page["list"]] == [uids[n] for n in order]


def test_find_all_filters_by_status(gateway: Gateway) -> None:
    uids = _make_history(gateway)
    for status, order in (("paid", [4, 2]), ("failed", [1, 0]), ("ready", [3])):
        page = gateway.get(f"/payments/findAll/m1/{status}").response
        assert [payment["imp_uid"] for payment in page["list"]] == [uids[n] for n in order]
        assert page["total"] == len(order)
    assert gateway.get("/payments/findAll/m1/cancelled").refusal == UNKNOWN_PAYMENT


def test_find_all_comes_in_pages(gateway: Gateway) -> None:
    uids = _make_history(gateway)
    pages = [
        gateway.get(f"/payments/findAll/m1?limit=2&sorting=started&page={page}").response
        for page in (1, 2, 3, 4)
    ]

    assert [(page["previous"], page["next"], page["total"]) for page in pages] == [
        (0, 2, 5),
        (1, 3, 5),
        (2, 0, 5),
        (3, 0, 5),
    ]
    assert [[payment["imp_uid"] for payment in page["list"]] for page in pages] == [
        uids[0:2],
        uids[2:4],
        uids[4:],
        [],
    ]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("page=0", "sandbox: page must be between 1 and 1000000000"),
        ("page=x", "sandbox: page must be a whole number"),
        ("limit=0", "sandbox: limit must be between 1 and 1000"),
        ("limit=1001", "sandbox: limit must be between 1 and 1000"),
        ("limit=-1", "sandbox: limit must be a whole number"),
        (
            "sorting=oldest",
            "sandbox: sorting must be one of started, -started, paid, -paid, updated, -updated",
        ),
    ],
)
def test_a_bad_query_is_refused(gateway: Gateway, query: str, message: str) -> None:
    gateway.again()

    assert gateway.get(f"/payments/findAll/m1?{query}").refusal == (400, -1, message)


def test_an_unknown_status_is_refused(gateway: Gateway) -> None:
    gateway.again()
    for call in ("findAll", "find"):
        answer = gateway.get(f"/payments/{call}/m1/settled")
        assert answer.refusal == (400, -1, "지원되지 않는 상태값입니다.")


def test_find_gives_the_first_record_of_the_order(gateway: Gateway) -> None:
    uids = _make_history(gateway)

    def found(path: str) -> str:
        return str(gateway.get(path).response["imp_uid"])

    assert found("/payments/find/m1") == uids[4]
    assert found("/payments/find/m1?sorting=started") == uids[0]
    assert found("/payments/find/m1/failed") == uids[1]
    assert found("/payments/find/m1/failed?sorting=started") == uids[0]


def test_nothing_found_is_404(gateway: Gateway) -> None:
    for path in ("/payments/findAll/m1", "/payments/find/m1", "/payments/imps_1", "/payments/find"):
        assert gateway.get(path).refusal == UNKNOWN_PAYMENT, path


@pytest.mark.parametrize("call", ["find", "findAll"])
def test_a_merchant_uid_that_is_not_there_at_all_is_a_missing_parameter(
    gateway: Gateway, call: str
) -> None:
    answer = gateway.get(f"/payments/{call}//")

    assert answer.refusal == (400, -1, "파라미터 누락:merchant_uid")


def test_a_trailing_slash_makes_no_difference(gateway: Gateway) -> None:
    imp_uid = gateway.again().response["imp_uid"]
    for path in (
        "/payments/findAll/m1",
        "/payments/findAll/m1/paid",
        "/payments/find/m1",
        "/payments/find/m1/paid",
        f"/payments/{imp_uid}",
        "/subscribe/customers/buyer",
    ):
        with_slash = gateway.get(f"{path}/")
        assert with_slash.status == 200, path
        assert with_slash.json == gateway.get(path).json


def test_uids_may_hold_anything_when_they_are_encoded(gateway: Gateway) -> None:
    gateway.register("구매자/1?#")
    gateway.again(customer_uid="구매자/1?#", merchant_uid="주문 1/2%&")
    quoted = "%EC%A3%BC%EB%AC%B8%201%2F2%25%26"

    assert gateway.get(f"/payments/findAll/{quoted}/").response["total"] == 1
    customer = gateway.get("/subscribe/customers/%EA%B5%AC%EB%A7%A4%EC%9E%90%2F1%3F%23")
    assert customer.response["customer_uid"] == "구매자/1?#"


def test_a_test_payment_is_hidden_unless_asked_for(gateway: Gateway) -> None:
    gateway.faults(test_channel=True)
    imp_uid = gateway.again().response["imp_uid"]
    gateway.faults(test_channel=False)
    path = f"/payments/{imp_uid}"

    assert gateway.get(path).refusal == UNKNOWN_PAYMENT
    assert gateway.get(f"{path}?include_sandbox=false").status == 404
    assert gateway.get(f"{path}?include_sandbox=true").response["sandbox"] is True
    assert gateway.get("/payments/findAll/m1").response["total"] == 1
    gateway.faults(lists_hide_test_payments=True)
    assert gateway.get("/payments/findAll/m1").status == 404
    assert gateway.get("/payments/find/m1").status == 404


def test_a_live_payment_is_found_with_and_without_include_sandbox(gateway: Gateway) -> None:
    payment = gateway.again().response
    path = f"/payments/{payment['imp_uid']}"

    assert gateway.get(path).response == payment
    assert gateway.get(f"{path}?include_sandbox=true").response == payment


def test_a_billing_key_is_shown_with_every_documented_field(gateway: Gateway) -> None:
    details = {
        "customer_uid": "buyer2",
        "card_name": "신한카드",
        "card_number": "5555-****-****-0000",
        "card_type": 1,
        "customer_name": "홍길동",
    }
    gateway.control("POST", "billing-keys", details)
    customer = gateway.get("/subscribe/customers/buyer2").response

    assert set(customer) == {
        "customer_uid",
        "pg_provider",
        "pg_id",
        "sandbox",
        "customer_id",
        "card_name",
        "card_code",
        "card_issuer_code",
        "card_issuer_name",
        "card_publisher_code",
        "card_publisher_name",
        "card_number",
        "card_type",
        "customer_name",
        "customer_tel",
        "customer_email",
        "customer_addr",
        "customer_postcode",
        "inserted",
        "updated",
    }
    assert {name: customer[name] for name in details} == details
    assert customer["inserted"] == customer["updated"] > 0


def test_registering_again_moves_updated_and_keeps_inserted(gateway: Gateway) -> None:
    before = gateway.get("/subscribe/customers/buyer").response
    gateway.control("PUT", "clock", {"offset_s": 100})
    gateway.register("buyer")
    after = gateway.get("/subscribe/customers/buyer").response

    assert after["inserted"] == before["inserted"]
    assert after["updated"] >= before["updated"] + 99


def test_an_unknown_billing_key_is_refused_as_live_clients_saw_it_or_as_the_specification_says(
    gateway: Gateway,
) -> None:
    message = "요청하신 customer_uid(nobody)로 등록된 정보를 찾을 수 없습니다."
    assert gateway.get("/subscribe/customers/nobody").refusal == (200, 1, message)
    gateway.faults(unknown_customer_status=404)

    assert gateway.get("/subscribe/customers/nobody").refusal == (404, -1, message)
