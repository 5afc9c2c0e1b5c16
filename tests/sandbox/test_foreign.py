"""Records that nobody of ours asked for, records that say something else, and lost ones."""

from typing import Any

import pytest

from tests.sandbox.client import Gateway


def _enter(gateway: Gateway, *payments: dict[str, Any], **more: Any) -> list[str]:
    found: list[str] = gateway.control("POST", "payments", {"payments": list(payments), **more})[
        "imp_uids"
    ]
    return found


def test_records_are_entered_as_they_are_described(gateway: Gateway) -> None:
    uids = _enter(
        gateway,
        {
            "merchant_uid": "f1",
            "amount": 9000,
            "tax_free": 100,
            "customer_uid": "buyer",
            "name": "남의 주문",
            "started_at": 1_700_000_000,
            "at": 1_700_000_002,
        },
        {"merchant_uid": "f1", "amount": 9000, "status": "failed", "fail_reason": "한도 초과"},
        {"merchant_uid": "f2", "amount": 4000, "usage": "issue", "channel": "mobile"},
        {
            "merchant_uid": "f3",
            "amount": 3000,
            "at": 1_700_000_000,
            "status": "cancelled",
            "cancels": [{"amount": 1000, "reason": "단순 변심", "at": 1_700_000_060}],
        },
    )
    paid, failed, registered, cancelled = (gateway.get(f"/payments/{uid}").response for uid in uids)

    assert [uid.partition("_")[0] for uid in uids] == ["imps", "imps", "imp", "imps"]
    assert (paid["status"], paid["started_at"], paid["paid_at"]) == (
        "paid",
        1_700_000_000,
        1_700_000_002,
    )
    assert (paid["customer_uid"], paid["customer_uid_usage"]) == ("buyer", "payment")
    assert (failed["status"], failed["fail_reason"]) == ("failed", "한도 초과")
    assert (failed["customer_uid"], failed["customer_uid_usage"]) == (None, None)
    assert (registered["customer_uid_usage"], registered["channel"]) == ("issue", "mobile")
    assert (cancelled["cancel_amount"], cancelled["cancelled_at"]) == (1000, 1_700_000_060)
    assert cancelled["cancel_history"][0]["reason"] == "단순 변심"
    assert gateway.get("/payments/findAll/f1").response["total"] == 2
    assert gateway.webhooks() == []


def test_the_merchant_is_told_of_them_if_that_is_asked_for(gateway: Gateway) -> None:
    gateway.faults(webhook_url="http://127.0.0.1:9/")
    _enter(gateway, {"merchant_uid": "f1", "amount": 9000}, tell=True)

    (told,) = gateway.webhooks()
    assert (told["body"]["merchant_uid"], told["body"]["status"]) == ("f1", "paid")


@pytest.mark.parametrize(
    ("payment", "what"),
    [
        ({"amount": 1}, "merchant_uid"),
        ({"merchant_uid": "f" * 41, "amount": 1}, "merchant_uid"),
        ({"merchant_uid": "f1", "amount": -1}, "amount"),
        ({"merchant_uid": "f1", "amount": 1, "status": "lost"}, "'ready', 'paid'"),
        ({"merchant_uid": "f1", "amount": 1, "status": "cancelled"}, "cancels belong to"),
        ({"merchant_uid": "f1", "amount": 1, "cancels": [{}]}, "cancels belong to"),
        (
            {"merchant_uid": "f1", "amount": 1, "status": "cancelled", "cancels": [{"amount": 2}]},
            "refused_above_remainder",
        ),
        ({"merchant_uid": "f1", "amount": 1, "imp_uid": "imp_1"}, "no such field"),
    ],
)
def test_a_record_that_cannot_be_is_not_entered(
    gateway: Gateway, payment: dict[str, Any], what: str
) -> None:
    answer = gateway.control("POST", "payments", {"payments": [payment]}, status=400)

    assert what in answer["error"]
    assert gateway.booked() == []


def test_a_record_says_something_else(gateway: Gateway) -> None:
    imp_uid = str(gateway.again().response["imp_uid"])
    path = f"payments/{imp_uid}"
    changed = gateway.control("PUT", path, {"amount": 2008, "customer_uid": "somebody"})
    assert (changed["amount"], changed["customer_uid"], changed["status"]) == (
        2008,
        "somebody",
        "paid",
    )
    gateway.control("PUT", path, {"status": "failed", "fail_reason": "한도 초과", "at": 1e9})
    record = gateway.get(f"/payments/{imp_uid}").response

    assert (record["status"], record["paid_at"], record["failed_at"]) == ("failed", 0, 10**9)
    assert (record["amount"], record["fail_reason"]) == (2008, "한도 초과")
    listed = gateway.get(f"/payments/status/failed?from={10**9}&to={10**9}").response["list"]
    assert [each["imp_uid"] for each in listed] == [imp_uid]
    assert (
        "console/cancel"
        in gateway.control("PUT", path, {"status": "cancelled"}, status=400)["error"]
    )
    gateway.control("PUT", "payments/imp_1", {"amount": 1}, status=404)


def test_a_record_is_lost_and_its_number_is_nobody_elses(gateway: Gateway) -> None:
    gateway.faults(duplicate_policy="none")
    first, second = (str(gateway.again().response["imp_uid"]) for _ in range(2))
    assert gateway.control("DELETE", f"payments/{first}") == {"forgotten": first}
    third = str(gateway.again().response["imp_uid"])

    assert len({first, second, third}) == 3
    assert [row["imp_uid"] for row in gateway.booked("m1")] == [second, third]
    assert gateway.get(f"/payments/{first}").status == 404
    gateway.control("DELETE", f"payments/{first}", status=404)
    for imp_uid in (second, third):
        gateway.control("DELETE", f"payments/{imp_uid}")
    assert gateway.get("/payments/findAll/m1").status == 404
