"""The control API: what it takes, what it shows, and what it says to nonsense."""

from typing import Any

import pytest

from tests.sandbox.client import Gateway


def test_settings_merge_and_come_back(gateway: Gateway) -> None:
    gateway.faults(seed=5, rates={"declined": 0.25}, latency_ms=0)
    gateway.faults(token_ttl_s=60)
    settings = gateway.control("GET", "faults")

    assert (settings["seed"], settings["token_ttl_s"]) == (5, 60)
    assert settings["rates"] == {"declined": 0.25}
    assert set(settings) >= {
        "inquiry_rates",
        "fail_all",
        "latency_jitter",
        "endpoint_latency_ms",
        "close_after_reply_rate",
        "duplicate_policy",
        "float_amounts",
        "test_channel",
    }


def test_a_map_is_replaced_as_a_whole(gateway: Gateway) -> None:
    gateway.faults(rates={"declined": 0.25})

    assert gateway.faults(rates={"error_500": 0.5})["rates"] == {"error_500": 0.5}


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"rates": {"paidd": 0.1}}, "limit_exceeded"),
        ({"rates": {"declined": 1.1}}, "rates.declined"),
        ({"rates": {"declined": -0.1}}, "rates.declined"),
        ({"rates": {"declined": 0.6, "error_500": 0.6}}, "add up to 1.2"),
        ({"rates": [1]}, "rates"),
        ({"inquiry_rates": {"declined": 0.1}}, "bad_gateway"),
        ({"latency": 5}, "latency_ms"),
        ({"latency_ms": -1}, "latency_ms"),
        ({"latency_ms": "soon"}, "latency_ms"),
        ({"endpoint_latency_ms": {"pay": 5}}, "findAll"),
        ({"latency_jitter": 2}, "latency_jitter"),
        ({"token_ttl_s": 0}, "token_ttl_s"),
        ({"duplicate_policy": "sometimes"}, "refused_if_paid"),
        ({"fail_all": "everything"}, "error_500"),
        ({"unknown_customer_status": 500}, "200 or 404"),
    ],
)
def test_a_wrong_setting_is_refused_and_what_is_right_is_named(
    gateway: Gateway, settings: dict[str, Any], names: str
) -> None:
    before = gateway.control("GET", "faults")
    answer = gateway.control("PUT", "faults", settings, status=400)

    assert names in answer["error"]
    assert gateway.control("GET", "faults") == before


@pytest.mark.parametrize(
    ("behaviour", "names"),
    [
        ({"script": ["approved"]}, "'paid'"),
        ({"script": [{"ending": "approved"}]}, "'paid'"),
        ({"script": [{"name": "paid"}]}, "ending"),
        ({"script": "paid"}, "script"),
        ({"script": [17]}, "script.0"),
        ({"scripts": []}, "script, then"),
        ({"then": "never"}, "'paid'"),
        ({"script": [{"ending": "slow", "delay_s": -1}]}, "delay_s"),
        ({"script": [{"ending": "slow", "delay_s": 1e9}]}, "delay_s"),
        ({"script": [{"ending": "paid", "fail_reason": "x"}]}, "fail_reason belongs to"),
        ({"script": [{"ending": "paid", "retry_after_s": 1}]}, "retry_after_s belongs to"),
        ({"script": [{"ending": "paid", "hang": True}]}, "hang belongs to late_success"),
    ],
)
def test_a_wrong_behaviour_is_refused_and_what_is_right_is_named(
    gateway: Gateway, behaviour: dict[str, Any], names: str
) -> None:
    answer = gateway.control("PUT", "behaviours/buyer", behaviour, status=400)

    assert names in answer["error"]
    gateway.control("GET", "behaviours/buyer", status=404)


def test_behaviours_can_be_set_in_bulk_all_or_none(gateway: Gateway) -> None:
    gateway.register("a", "b")
    answer = gateway.control(
        "PUT", "behaviours", {"a": {"script": ["declined"]}, "b": {"then": "error_500"}}
    )
    assert answer == {"set": 2, "behaviours": 2}
    assert gateway.again(customer_uid="a").response["status"] == "failed"
    assert gateway.again(customer_uid="b", merchant_uid="m2").status == 500
    bad = {"a": {"then": "error_500"}, "b": {"then": "nothing"}}

    assert "b.then" in gateway.control("PUT", "behaviours", bad, status=400)["error"]
    assert gateway.again(customer_uid="a").response["status"] == "paid"


def test_what_is_left_of_a_script_can_be_seen(gateway: Gateway) -> None:
    gateway.behave("declined", {"ending": "throttled", "retry_after_s": 3}, then="error_500")
    gateway.again()

    assert gateway.control("GET", "behaviours/buyer") == {
        "customer_uid": "buyer",
        "script": [{"ending": "throttled", "retry_after_s": 3}],
        "then": {"ending": "error_500"},
    }


def test_billing_keys_come_singly_and_in_bulk(gateway: Gateway) -> None:
    one = gateway.control("POST", "billing-keys", {"customer_uid": "one"})
    many = gateway.control("POST", "billing-keys", {"customer_uids": ["two", "three", "one"]})

    assert one == {"registered": 1, "keys": 2}
    assert many == {"registered": 3, "keys": 4}


def test_a_bulk_larger_than_a_gateway_request_may_be_is_taken(gateway: Gateway) -> None:
    uids = [f"customer-{n:070d}" for n in range(20_000)]

    assert gateway.control("POST", "billing-keys", {"customer_uids": uids})["registered"] == 20_000


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, "customer_uid or customer_uids"),
        ({"customer_uid": "a", "customer_uids": ["b"]}, "customer_uid or customer_uids"),
        ({"customer_uid": ""}, "customer_uid"),
        ({"customer_uid": "c" * 81}, "80"),
        ({"customer_uids": ["ok", 5]}, "customer_uids.1"),
        ({"customer_uid": "a", "card": "x"}, "card_name"),
    ],
)
def test_a_wrong_billing_key_is_refused_and_what_is_right_is_named(
    gateway: Gateway, body: dict[str, Any], names: str
) -> None:
    assert names in gateway.control("POST", "billing-keys", body, status=400)["error"]
    assert gateway.control("POST", "billing-keys", {"customer_uids": []})["keys"] == 1


def test_removing_what_is_not_there_is_404(gateway: Gateway) -> None:
    gateway.control("DELETE", "billing-keys/nobody", status=404)
    gateway.control("DELETE", "behaviours/nobody", status=404)


def test_the_book_can_be_filtered_and_paged(gateway: Gateway) -> None:
    gateway.register("other")
    for n in range(3):
        gateway.again(merchant_uid=f"m{n}")
    gateway.again(merchant_uid="m9", customer_uid="other")

    def book(query: str) -> list[str]:
        rows = gateway.control("GET", f"payments?{query}")["payments"]
        return [row["merchant_uid"] for row in rows]

    assert book("") == ["m0", "m1", "m2", "m9"]
    assert book("merchant_uid=m1") == ["m1"]
    assert book("customer_uid=buyer") == ["m0", "m1", "m2"]
    assert book("customer_uid=other&merchant_uid=m1") == []
    assert book("offset=1&limit=2") == ["m1", "m2"]
    assert gateway.control("GET", "payments?limit=1")["total"] == 4
    for query in ("limit=x", "uid=m1"):
        gateway.control("GET", f"payments?{query}", status=400)


def test_the_requests_of_a_merchant_uid_are_listed_in_order(gateway: Gateway) -> None:
    gateway.behave("declined", "lost_request")
    gateway.again(amount=1000)
    gateway.raw(gateway.again_bytes(amount=2000))
    gateway.again(amount=3000)
    gateway.again(amount=3000)
    seen = gateway.seen()

    assert [row["body"]["amount"] for row in seen] == [1000, 2000, 3000, 3000]
    assert [row["ending"] for row in seen] == ["declined", "lost_request", "paid", "paid"]
    assert [row["result"] for row in seen] == [
        "booked_failed",
        "nothing",
        "booked_paid",
        "refused_duplicate_order",
    ]
    assert [row["at"] for row in seen] == sorted(row["at"] for row in seen)
    assert seen[0]["imp_uid"] == gateway.booked()[0]["imp_uid"]
    assert seen[3]["imp_uid"] is None
    assert gateway.seen("unknown") == []


def test_the_clock_moves_what_the_gateway_writes(gateway: Gateway) -> None:
    gateway.control("PUT", "clock", {"now": 1_900_000_000})
    payment = gateway.again().response

    assert 1_900_000_000 <= payment["paid_at"] < 1_900_000_100
    assert payment["pg_tid"].startswith("20300318")
    gateway.control("PUT", "clock", {"offset_s": 0})
    assert gateway.control("GET", "clock")["offset_s"] == 0


@pytest.mark.parametrize(
    "body", [{}, {"now": 1, "offset_s": 1}, {"now": -1}, {"offset_s": 1e300}, {"at": 5}]
)
def test_a_wrong_clock_is_refused(gateway: Gateway, body: dict[str, float]) -> None:
    gateway.control("PUT", "clock", body, status=400)


def test_a_reset_forgets_everything(gateway: Gateway) -> None:
    gateway.behave("declined")
    gateway.faults(seed=9, fail_all="error_500")
    gateway.control("PUT", "clock", {"offset_s": 500})
    gateway.again()
    token = gateway.token
    gateway.control("POST", "reset")

    assert gateway.booked() == []
    assert gateway.seen() == []
    assert gateway.control("GET", "faults")["fail_all"] is None
    assert gateway.control("GET", "clock")["offset_s"] == 0
    assert gateway.counts()["endpoints"] == {}
    headers = {"Authorization": token}
    assert gateway.call("GET", "/payments/imps_1", headers=headers).status == 401
    gateway.control("DELETE", "billing-keys/buyer", status=404)


def test_imp_uids_are_not_given_twice_over_a_reset(gateway: Gateway) -> None:
    first = gateway.again().response["imp_uid"]
    gateway.reset()

    assert gateway.again().response["imp_uid"] != first


@pytest.mark.parametrize(
    ("method", "path", "status", "names"),
    [
        ("GET", "", 404, "/_sandbox/faults"),
        ("GET", "fault", 404, "/_sandbox/faults"),
        ("POST", "faults", 405, "GET, PUT"),
        ("PATCH", "billing-keys", 405, "POST"),
    ],
)
def test_a_control_request_that_does_not_exist_is_told_what_does(
    gateway: Gateway, method: str, path: str, status: int, names: str
) -> None:
    assert names in gateway.control(method, path, status=status)["error"]
