"""Payments by status and range, by ids, and of a billing key."""

from typing import Any

import pytest

from tests.sandbox.client import Answer, Gateway

UNKNOWN_PAYMENT = (404, -1, "존재하지 않는 결제정보입니다.")
NOON = 1_767_322_800
DAY_S = 86_400


def _enter(gateway: Gateway, *payments: dict[str, Any]) -> list[str]:
    body = {"payments": [{"amount": 1004, **payment} for payment in payments]}
    found: list[str] = gateway.control("POST", "payments", body)["imp_uids"]
    return found


def _make_history(gateway: Gateway) -> dict[str, str]:
    """Book one record of every kind, an hour apart, in another order than they came about."""
    kinds: dict[str, dict[str, Any]] = {
        "paid": {"started_at": NOON + 3590, "at": NOON + 3600},
        "failed": {"status": "failed", "at": NOON + 7200, "fail_reason": "잔액 부족"},
        "ready": {"status": "ready", "started_at": NOON, "at": NOON + 10},
        # Paid long before anything else, and cancelled last.
        "cancelled": {
            "status": "cancelled",
            "at": NOON - 100 * DAY_S,
            "cancels": [{"amount": 4, "at": NOON + 9000}, {"at": NOON + 10_800}],
        },
    }
    gateway.control("PUT", "clock", {"now": NOON + DAY_S})
    uids = _enter(gateway, *({"merchant_uid": kind, **kinds[kind]} for kind in kinds))
    return dict(zip(kinds, uids, strict=True))


def _listed(gateway: Gateway, status: str = "all", **query: Any) -> list[str]:
    answer = _page(gateway, status, **query)
    assert (answer.status, answer.code) == (200, 0)
    return [payment["merchant_uid"] for payment in answer.response["list"]]


def _page(gateway: Gateway, status: str = "all", **query: Any) -> Answer:
    text = "&".join(f"{name.rstrip('_')}={value}" for name, value in query.items())
    return gateway.get(f"/payments/status/{status}?{text}")


def test_without_a_range_the_last_ninety_days_are_meant(gateway: Gateway) -> None:
    _make_history(gateway)

    assert _listed(gateway) == ["failed", "paid", "ready", "cancelled"]
    assert _listed(gateway, to=NOON - 1) == []
    assert _listed(gateway, to=NOON + 9999 - DAY_S) == []
    assert _listed(gateway, from_=NOON + 7200) == ["failed", "cancelled"]


def test_a_range_is_of_the_instant_of_the_status_and_holds_both_its_ends(
    gateway: Gateway,
) -> None:
    _make_history(gateway)
    for kind, at in (
        ("ready", NOON),
        ("paid", NOON + 3600),
        ("failed", NOON + 7200),
        ("cancelled", NOON + 10_800),
    ):
        for status in ("all", kind):
            assert _listed(gateway, status, from_=at, to=at) == [kind]
            assert _listed(gateway, status, from_=at - 60, to=at - 1) == []
            assert _listed(gateway, status, from_=at + 1, to=at + 60) == []
    assert _listed(gateway, "paid", from_=NOON - 10, to=NOON + 10) == []


@pytest.mark.parametrize(
    ("sorting", "order"),
    [
        ("-started", ["failed", "paid", "ready", "cancelled"]),
        ("started", ["cancelled", "ready", "paid", "failed"]),
        ("updated", ["ready", "paid", "failed", "cancelled"]),
        ("-updated", ["cancelled", "failed", "paid", "ready"]),
        ("paid", ["failed", "ready", "cancelled", "paid"]),
        ("-paid", ["paid", "cancelled", "ready", "failed"]),
    ],
)
def test_a_list_is_sorted_as_asked(gateway: Gateway, sorting: str, order: list[str]) -> None:
    _make_history(gateway)

    assert _listed(gateway, sorting=sorting) == order


def test_a_list_comes_in_pages(gateway: Gateway) -> None:
    _enter(gateway, *({"merchant_uid": f"m{n}"} for n in range(45)))
    pages = [_page(gateway, "paid", page=page, sorting="started") for page in (1, 2, 3)]

    assert [len(page.response["list"]) for page in pages] == [20, 20, 5]
    assert [(page.response["previous"], page.response["next"]) for page in pages] == [
        (0, 2),
        (1, 3),
        (2, 0),
    ]
    assert {page.response["total"] for page in pages} == {45}
    shown = [each["merchant_uid"] for page in pages for each in page.response["list"]]
    assert shown == [f"m{n}" for n in range(45)]
    assert len(_listed(gateway, limit=1000)) == 45


def test_what_comes_between_two_pages_moves_the_second(gateway: Gateway) -> None:
    gateway.control("PUT", "clock", {"now": NOON})
    _enter(gateway, *({"merchant_uid": f"m{n}", "at": NOON - 10 + n} for n in range(4)))
    window: dict[str, Any] = {"from_": NOON - 60, "to": NOON + 60, "limit": 2}

    assert _listed(gateway, **window) == ["m3", "m2"]
    _enter(gateway, {"merchant_uid": "m4", "at": NOON})
    assert _listed(gateway, **window, page=2) == ["m2", "m1"]
    gateway.cancel(merchant_uid="m2")
    assert _listed(gateway, "paid", **window, page=2) == ["m1", "m0"]
    assert _listed(gateway, "cancelled", **window) == ["m2"]


def test_a_page_beyond_the_last_is_refused_and_an_empty_first_is_not(gateway: Gateway) -> None:
    assert _page(gateway).response == {"total": 0, "previous": 0, "next": 0, "list": []}
    assert _page(gateway, page=2).refusal == (400, -1, "sandbox: there is no such page")


@pytest.mark.parametrize(
    ("status", "query", "message"),
    [
        ("settled", {}, "지원되지 않는 상태값입니다."),
        ("all", {"page": 0}, "sandbox: page must be between 1 and 1000000000"),
        ("all", {"limit": 1001}, "sandbox: limit must be between 1 and 1000"),
        ("all", {"to": "now"}, "sandbox: to must be a whole number"),
        (
            "all",
            {"from_": 1, "to": 2 + 90 * DAY_S},
            "sandbox: from and to must be in order and at most 90 days apart",
        ),
        (
            "all",
            {"from_": 2, "to": 1},
            "sandbox: from and to must be in order and at most 90 days apart",
        ),
        (
            "all",
            {"sorting": "oldest"},
            "sandbox: sorting must be one of started, -started, paid, -paid, updated, -updated",
        ),
    ],
)
def test_a_list_that_cannot_be_is_refused(
    gateway: Gateway, status: str, query: dict[str, Any], message: str
) -> None:
    assert _page(gateway, status, **query).refusal == (400, -1, message)


def test_test_payments_can_be_hidden_from_lists(gateway: Gateway) -> None:
    gateway.faults(test_channel=True)
    (imp_uid,) = _enter(gateway, {"merchant_uid": "m1", "customer_uid": "buyer"})
    paths = (
        "/payments/status/paid",
        "/subscribe/customers/buyer/payments",
    )

    assert [gateway.get(path).response["total"] for path in paths] == [1, 1]
    assert len(gateway.get(f"/payments?imp_uid[]={imp_uid}").response) == 1
    gateway.faults(lists_hide_test_payments=True)
    assert [gateway.get(path).response["total"] for path in paths] == [0, 0]
    assert gateway.get(f"/payments?imp_uid[]={imp_uid}").refusal == UNKNOWN_PAYMENT


def test_several_payments_are_given_at_once_by_either_id(gateway: Gateway) -> None:
    gateway.behave("declined", "paid")
    uids = [gateway.again().response["imp_uid"] for _ in range(2)]
    (other,) = _enter(gateway, {"merchant_uid": "주문/2"})

    def asked(query: str) -> tuple[int, int, list[str]]:
        answer = gateway.get(f"/payments?{query}")
        return answer.status, answer.code, [each["imp_uid"] for each in answer.response]

    both = f"imp_uid[]={other}&imp_uid[]={uids[0]}"
    assert asked(both) == (200, 0, [other, uids[0]])
    assert asked(both.replace("[]", "%5B%5D")) == asked(both)
    assert asked("merchant_uid[]=%EC%A3%BC%EB%AC%B8%2F2") == (200, 0, [other])
    # Every record of a merchant_uid, latest first, or the latest alone: nobody has said.
    assert asked("merchant_uid[]=m1") == (200, 0, [uids[1], uids[0]])
    gateway.faults(lists_tell_latest_only=True)
    assert asked("merchant_uid[]=m1") == (200, 0, [uids[1]])
    assert asked(f"imp_uid[]={uids[0]}&merchant_uid[]=m1") == (200, 0, uids)


def test_some_of_several_payments_are_207_and_none_of_them_404(gateway: Gateway) -> None:
    imp_uid = gateway.again().response["imp_uid"]
    partly = gateway.get(f"/payments?imp_uid[]={imp_uid}&imp_uid[]=imp_1&merchant_uid[]=m9")

    assert (partly.status, partly.code, len(partly.response)) == (207, 0, 1)
    assert gateway.get("/payments?imp_uid[]=imp_1&merchant_uid[]=m9").refusal == UNKNOWN_PAYMENT


def test_several_billing_keys_are_given_at_once(gateway: Gateway) -> None:
    gateway.register("buyer2")
    path = "/subscribe/customers?customer_uid[]=buyer2&customer_uid[]=buyer"
    both, partly = gateway.get(path), gateway.get(f"{path}&customer_uid[]=nobody")

    assert [each["customer_uid"] for each in both.response] == ["buyer2", "buyer"]
    assert both.response[1] == gateway.get("/subscribe/customers/buyer").response
    assert (both.status, partly.status, partly.code) == (200, 207, 0)
    assert partly.response == both.response
    none = gateway.get("/subscribe/customers?customer_uid[]=nobody")
    assert (none.status, none.code) == (404, -1)
    assert str(none.message).startswith("sandbox: ")


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/payments", "imp_uid[], merchant_uid[]"),
        ("/payments?imp_uid[]=", "imp_uid[], merchant_uid[]"),
        ("/subscribe/customers", "customer_uid[]"),
    ],
)
def test_ids_that_are_not_there_are_missing(gateway: Gateway, path: str, names: str) -> None:
    assert gateway.get(path).refusal == (400, -1, f"파라미터 누락:{names}")


def test_more_than_a_hundred_ids_are_refused(gateway: Gateway) -> None:
    _enter(gateway, *({"merchant_uid": f"m{n}"} for n in range(101)))
    query = "&".join(f"merchant_uid[]=m{n}" for n in range(100))

    assert len(gateway.get(f"/payments?{query}").response) == 100
    refusal = (400, -1, "sandbox: 101 ids in one request; 100 are the most")
    assert gateway.get(f"/payments?{query}&merchant_uid[]=m100").refusal == refusal


def test_the_payments_of_a_billing_key_come_in_pages_latest_first(gateway: Gateway) -> None:
    gateway.register("other")
    of_buyer = [{"merchant_uid": f"m{n}", "customer_uid": "buyer"} for n in range(25)]
    _enter(gateway, *of_buyer, {"merchant_uid": "o1", "customer_uid": "other"})
    path = "/subscribe/customers/buyer/payments"
    first, second = (gateway.get(f"{path}?page={page}").response for page in (1, 2))

    assert (first["total"], first["previous"], first["next"]) == (25, 0, 2)
    assert [each["merchant_uid"] for each in first["list"]] == [f"m{n}" for n in range(24, 4, -1)]
    assert [each["merchant_uid"] for each in second["list"]] == ["m4", "m3", "m2", "m1", "m0"]
    gateway.delete("/subscribe/customers/buyer")
    message = "요청하신 customer_uid(buyer)로 등록된 정보를 찾을 수 없습니다."
    assert gateway.get(path).refusal == (200, 1, message)
    gateway.faults(unknown_customer_status=404)
    assert gateway.get(path).refusal == (404, -1, message)


def test_the_channels_of_the_merchant_are_shown(gateway: Gateway) -> None:
    (only,) = gateway.get("/users/pg").response
    key = "channel-key-sandbox-naverpay"
    assert (only["pg_provider"], only["type"], only["sandbox"]) == ("naverpay", "payment", False)
    assert only["channel_key"] == key
    gateway.faults(test_channel=True)
    assert gateway.get("/users/pg").response[0]["sandbox"] is True
    gateway.faults(channels=[{"pg_provider": "kcp", "pg_id": "site", "sandbox": True}])
    (other,) = gateway.get("/users/pg").response
    assert other == {
        "pg_provider": "kcp",
        "pg_id": "site",
        "sandbox": True,
        "type": "payment",
        "channel_name": None,
        "channel_key": None,
    }
    gateway.faults(channels=[])
    assert gateway.get("/users/pg").response == []
