"""The buyer's window over HTTP: registering, changing, paying, cancelling and failing."""

from typing import Any

import pytest

from tests.sandbox.buyer import Buyer
from tests.sandbox.client import Gateway

F1002 = ("F1002", "이미 결제가 이루어진 거래건입니다.")


@pytest.fixture
def buyer(gateway: Gateway) -> Buyer:
    """A buyer with an account that has nothing registered."""
    return Buyer(gateway)


def _error(result: dict[str, Any]) -> tuple[str, str]:
    assert result["success"] is False
    return result["error_code"], result["error_msg"]


def _customer(gateway: Gateway, customer_uid: str = "gildong_0001") -> Any:
    return gateway.get(f"/subscribe/customers/{customer_uid}").response


class TestRegistration:
    def test_it_is_booked_as_paid_with_the_usage_issue(self, buyer: Buyer) -> None:
        params = buyer.registration(custom_data={"plan": "슬림"}, buyer_name="홍길동")
        result = buyer.approved(params, card="hyundai")
        payment = buyer.gateway.get(f"/payments/{result['imp_uid']}").response

        assert result["success"] is True
        assert result["imp_uid"].startswith("imp_")
        assert (payment["status"], payment["customer_uid_usage"]) == ("paid", "issue")
        assert (payment["amount"], payment["customer_uid"]) == (1004, "gildong_0001")
        assert (payment["channel"], payment["card_name"]) == ("pc", "현대카드")
        assert payment["custom_data"] == '{"plan": "슬림"}'
        assert payment["started_at"] <= payment["paid_at"]

    def test_its_key_can_be_charged(self, buyer: Buyer) -> None:
        buyer.approved(buyer.registration(buyer_name="홍길동", buyer_email="a@example.com"))
        customer = _customer(buyer.gateway)
        charged = buyer.gateway.again(customer_uid="gildong_0001")

        assert (customer["customer_uid"], customer["card_name"]) == ("gildong_0001", "신한카드")
        assert (customer["customer_name"], customer["customer_tel"]) == ("홍길동", "010-0000-0000")
        assert charged.response["status"] == "paid"
        assert charged.response["card_name"] == "신한카드"

    def test_the_callback_holds_what_is_documented(self, buyer: Buyer) -> None:
        params = buyer.registration()
        result = buyer.approved(params)

        assert set(result) == {
            "success", "apply_num", "bank_name", "buyer_addr", "buyer_email", "buyer_name",
            "buyer_postcode", "buyer_tel", "card_name", "card_number", "card_quota", "currency",
            "custom_data", "imp_uid", "merchant_uid", "name", "paid_amount", "paid_at",
            "pay_method", "pg_provider", "pg_tid", "pg_type", "receipt_url", "status",
        }  # fmt: skip
        assert (result["merchant_uid"], result["paid_amount"]) == (params["merchant_uid"], 1004)
        assert (result["pg_provider"], result["status"]) == ("naverpay", "paid")

    def test_the_merchant_is_told_by_webhook(self, buyer: Buyer) -> None:
        url = "http://127.0.0.1:1/hook"
        result = buyer.approved(buyer.registration(notice_url=url))
        buyer.decide(buyer.open(buyer.registration(notice_url=url)), "cancel")

        (notice,) = buyer.gateway.webhooks()
        assert notice["url"] == url
        assert notice["body"]["imp_uid"] == result["imp_uid"]
        assert notice["body"]["status"] == "paid"

    def test_on_a_test_channel_it_is_a_test(self, buyer: Buyer) -> None:
        buyer.gateway.faults(test_channel=True)
        result = buyer.approved(buyer.registration())

        assert buyer.gateway.booked()[0]["sandbox"] is True
        assert _customer(buyer.gateway)["sandbox"] is True
        assert buyer.gateway.get(f"/payments/{result['imp_uid']}").status == 404

    def test_a_merchant_uid_of_a_registration_cannot_be_paid(self, buyer: Buyer) -> None:
        params = buyer.registration()
        buyer.approved(params)
        view = buyer.view(buyer.open(buyer.payment(merchant_uid=params["merchant_uid"])))

        assert view["state"] == "ended"
        assert _error(view["result"]) == F1002

    def test_of_two_windows_of_one_merchant_uid_one_registers(self, buyer: Buyer) -> None:
        params = buyer.registration()
        first, second = buyer.open(params), buyer.open({**params, "naverProductCode": "other"})
        buyer.decide(first, "approve")

        assert _error(buyer.decide(second, "approve", card="hyundai")["result"]) == F1002
        assert buyer.live_cards() == ["신한카드"]
        assert _customer(buyer.gateway)["card_name"] == "신한카드"


class TestNewAndChange:
    def test_the_same_product_twice_is_refused(self, buyer: Buyer) -> None:
        buyer.approved(buyer.registration())
        updated = _customer(buyer.gateway)["updated"]
        result = buyer.approved(buyer.registration(), card="hyundai")

        assert _error(result)[1].startswith("sandbox: ")
        assert buyer.live_cards() == ["신한카드"]
        assert _customer(buyer.gateway)["updated"] == updated
        payment = buyer.gateway.get(f"/payments/{result['imp_uid']}").response
        assert (payment["status"], payment["customer_uid_usage"]) == ("failed", "issue")
        assert payment["fail_reason"] == result["error_msg"]

    @pytest.mark.parametrize("code", ["another", None], ids=["another", "random"])
    def test_new_with_another_product_code_leaves_the_old_method_behind(
        self, buyer: Buyer, code: str | None
    ) -> None:
        buyer.approved(buyer.registration())
        path = buyer.open(buyer.registration(naverProductCode=code))
        buyer.decide(path, "approve", card="hyundai")
        page = buyer.page(path)

        assert buyer.live_cards() == ["신한카드", "현대카드"]
        assert _customer(buyer.gateway)["card_name"] == "현대카드"
        assert [row["data-live"] for row in page.rows] == ["true", "true"]
        assert page.texts["live-count"] == "2"
        assert "gildong_0001" in page.texts["left-behind"]

    def test_a_random_code_is_never_the_same(self, buyer: Buyer) -> None:
        for _ in range(3):
            assert buyer.approved(buyer.registration(naverProductCode=None))["success"]

        assert len({method["product_code"] for method in buyer.methods()}) == 3

    def test_change_ends_the_old_method(self, buyer: Buyer) -> None:
        buyer.approved(buyer.registration())
        before = _customer(buyer.gateway)
        buyer.gateway.control("PUT", "clock", {"offset_s": 600})
        path = buyer.open(buyer.registration(naverActionType="CHANGE"))
        result = buyer.decide(path, "approve", card="hyundai")["result"]
        after, page = _customer(buyer.gateway), buyer.page(path)

        assert result["success"] is True
        assert buyer.live_cards() == ["현대카드"]
        assert after["updated"] >= before["updated"] + 600
        assert (after["inserted"], after["card_name"]) == (before["inserted"], "현대카드")
        assert [row["data-live"] for row in page.rows] == ["false", "true"]
        assert "left-behind" not in page.texts
        payment = buyer.gateway.get(f"/payments/{result['imp_uid']}").response
        assert payment["customer_uid_usage"] == "issue"

    @pytest.mark.parametrize("decision", ["cancel", "close"])
    def test_a_change_that_is_not_finished_changes_nothing(
        self, buyer: Buyer, decision: str
    ) -> None:
        buyer.approved(buyer.registration())
        before = _customer(buyer.gateway)
        result = buyer.decide(buyer.open(buyer.registration(naverActionType="CHANGE")), decision)

        assert _error(result["result"])[1].startswith("sandbox: ")
        assert buyer.live_cards() == ["신한카드"]
        assert _customer(buyer.gateway) == before
        assert buyer.gateway.again(customer_uid="gildong_0001").response["status"] == "paid"

    def test_nothing_is_changed_where_nothing_is_registered(self, buyer: Buyer) -> None:
        result = buyer.approved(buyer.registration(naverActionType="CHANGE"))

        assert _error(result)[1].startswith("sandbox: ")
        assert buyer.methods() == []
        assert _customer(buyer.gateway) is None

    def test_another_account_cannot_change_it(self, buyer: Buyer) -> None:
        buyer.approved(buyer.registration())
        other = Buyer(buyer.gateway, account="kim")
        result = other.approved(other.registration(naverActionType="CHANGE"))

        assert _error(result)[1].startswith("sandbox: ")
        assert buyer.live_cards() == ["신한카드"]
        assert other.methods() == []

    def test_a_key_of_the_control_api_counts_as_registered(self, buyer: Buyer) -> None:
        buyer.gateway.register("gildong_0001")
        refused = buyer.approved(buyer.registration())
        changed = buyer.approved(buyer.registration(naverActionType="CHANGE"), card="samsung")

        assert refused["success"] is False
        assert changed["success"] is True
        assert [(m["card_name"], m["live"]) for m in buyer.methods()] == [
            ("테스트카드", False),
            ("삼성카드", True),
        ]

    def test_a_card_of_one_buyer_says_nothing_about_another(self, buyer: Buyer) -> None:
        other = Buyer(buyer.gateway, account="kim")
        buyer.approved(buyer.registration())

        assert other.approved(other.registration(customer_uid="kim_0001"))["success"]
        assert (len(buyer.methods()), len(other.methods())) == (1, 1)


class TestDeletion:
    @pytest.mark.parametrize("way", ["rest", "control", "charge"])
    def test_a_key_that_ends_is_not_registered_with_the_buyer(self, buyer: Buyer, way: str) -> None:
        gateway = buyer.gateway
        buyer.approved(buyer.registration())
        if way == "rest":
            gateway.delete("/subscribe/customers/gildong_0001?reason=a&extra[requester]=customer")
        elif way == "control":
            gateway.control("DELETE", "billing-keys/gildong_0001")
        else:
            gateway.behave("key_ended", customer_uid="gildong_0001")
            gateway.again(customer_uid="gildong_0001")
        (method,) = buyer.methods()

        assert method["live"] is False
        assert method["registered_at"] <= method["ended_at"]
        assert buyer.approved(buyer.registration())["success"] is True

    def test_what_new_left_behind_outlives_the_deletion(self, buyer: Buyer) -> None:
        buyer.approved(buyer.registration())
        buyer.approved(buyer.registration(naverProductCode=None), card="hyundai")
        buyer.gateway.delete("/subscribe/customers/gildong_0001?reason=a")

        assert buyer.live_cards() == ["신한카드"]

    def test_a_reset_empties_the_accounts(self, buyer: Buyer) -> None:
        buyer.approved(buyer.registration())
        path = buyer.open(buyer.registration())
        buyer.gateway.reset()

        assert buyer.methods() == []
        assert buyer.gateway.call("GET", path).status == 404


class TestPayment:
    def test_it_is_booked_without_a_usage(self, buyer: Buyer) -> None:
        params = buyer.payment(tax_free=4, naverUseCfm="20991231")
        result = buyer.approved(params, card="kb-check")
        payment = buyer.gateway.get(f"/payments/{result['imp_uid']}").response

        assert (payment["status"], payment["amount"]) == ("paid", 1004)
        assert (payment["customer_uid"], payment["customer_uid_usage"]) == (None, None)
        assert (payment["card_name"], payment["card_type"]) == ("KB국민카드", 1)
        assert buyer.gateway.booked()[0]["tax_free"] == 4
        assert buyer.methods() == []

    def test_a_paid_merchant_uid_opens_no_window(self, buyer: Buyer) -> None:
        params = buyer.payment()
        buyer.approved(params)
        view = buyer.view(buyer.open(params))

        assert view["state"] == "ended"
        assert _error(view["result"]) == F1002
        assert view["result"]["imp_uid"] is None
        assert len(buyer.gateway.booked()) == 1

    def test_of_two_open_windows_one_is_paid(self, buyer: Buyer) -> None:
        params = buyer.payment()
        first, second = buyer.open(params), buyer.open(params)

        assert buyer.decide(first, "approve")["result"]["success"] is True
        assert _error(buyer.decide(second, "approve")["result"]) == F1002
        assert [row["status"] for row in buyer.gateway.booked()] == ["paid"]

    def test_a_window_beside_a_paid_one_leaves_no_record_when_it_is_cancelled(
        self, buyer: Buyer
    ) -> None:
        params = buyer.payment()
        first, second = buyer.open(params), buyer.open(params)
        buyer.decide(first, "approve")

        assert buyer.decide(second, "cancel")["result"]["imp_uid"] is None
        assert [row["status"] for row in buyer.gateway.booked()] == ["paid"]

    def test_a_merchant_uid_that_failed_may_be_tried_again(self, buyer: Buyer) -> None:
        params = buyer.payment()
        buyer.decide(buyer.open(params), "fail", error_msg="잔액 부족")

        assert buyer.approved(params)["success"] is True
        assert [row["status"] for row in buyer.gateway.booked()] == ["failed", "paid"]

    def test_unless_nothing_may_be_used_twice(self, buyer: Buyer) -> None:
        buyer.gateway.faults(duplicate_policy="never_reusable")
        params = buyer.payment()
        buyer.decide(buyer.open(params), "fail", error_msg="잔액 부족")

        assert _error(buyer.view(buyer.open(params))["result"]) == F1002

    def test_a_window_ends_once(self, buyer: Buyer) -> None:
        path = buyer.open(buyer.payment())
        first = buyer.decide(path, "approve")

        for decision in ("approve", "cancel", "close"):
            assert buyer.decide(path, decision) == first
        assert len(buyer.gateway.booked()) == 1

    def test_the_prepared_amount_opens_the_window(self, buyer: Buyer) -> None:
        params = buyer.payment()
        body = {"merchant_uid": params["merchant_uid"], "amount": 1004}
        buyer.gateway.post("/payments/prepare", **body)

        assert buyer.approved(params)["success"] is True

    @pytest.mark.parametrize("registers", [True, False])
    def test_another_amount_than_the_prepared_opens_none(
        self, buyer: Buyer, registers: bool
    ) -> None:
        params = buyer.registration() if registers else buyer.payment()
        body = {"merchant_uid": params["merchant_uid"], "amount": 1005}
        buyer.gateway.post("/payments/prepare", **body)
        view = buyer.view(buyer.open(params))

        assert view["result"]["imp_uid"] is None
        assert _error(view["result"])[1] == "sandbox: amount 1004 is not the prepared 1005"
        assert buyer.gateway.booked() == []

    @pytest.mark.parametrize("amount", [0, 1, 9])
    def test_less_than_ten_won_fails(self, buyer: Buyer, amount: int) -> None:
        view = buyer.view(buyer.open(buyer.payment(amount=amount)))
        (row,) = buyer.gateway.booked()

        assert "10원" in _error(view["result"])[1]
        assert (row["status"], row["imp_uid"]) == ("failed", view["result"]["imp_uid"])

    def test_ten_won_are_enough(self, buyer: Buyer) -> None:
        assert buyer.approved(buyer.payment(amount=10))["success"] is True

    def test_a_mobile_browser_pays_on_mobile(self, buyer: Buyer) -> None:
        agent = "Mozilla/5.0 (Linux; Android 15) Mobile Safari/537.36"
        buyer.gateway.call(
            "POST",
            "/_sandbox/windows",
            json_body={"params": buyer.payment(amount=9)},
            headers={"User-Agent": agent},
        )
        (row,) = buyer.gateway.booked()
        payment = buyer.gateway.get(f"/payments/{row['imp_uid']}").response

        assert (payment["channel"], payment["user_agent"]) == ("mobile", agent)


class TestFailure:
    def test_the_reason_comes_back_as_it_was_typed(self, buyer: Buyer) -> None:
        params = buyer.payment()
        path = buyer.open(params)
        result = buyer.decide(path, "fail", error_msg="잔액 부족", error_code="Fail")["result"]
        (row,) = buyer.gateway.booked()

        assert result == {
            "success": False,
            "imp_uid": row["imp_uid"],
            "merchant_uid": params["merchant_uid"],
            "error_code": "Fail",
            "error_msg": "잔액 부족",
        }
        assert (row["status"], row["fail_reason"]) == ("failed", "잔액 부족")
        assert buyer.page(path).texts["error_msg"] == "잔액 부족"

    def test_a_cancelled_window_is_booked_as_failed(self, buyer: Buyer) -> None:
        result = buyer.decide(buyer.open(buyer.payment()), "cancel")["result"]
        (row,) = buyer.gateway.booked()

        assert _error(result)[1].startswith("sandbox: ")
        assert (row["status"], row["fail_reason"]) == ("failed", result["error_msg"])

    @pytest.mark.parametrize(
        ("form", "names"),
        [
            ({}, "approve, cancel, close, fail"),
            ({"decision": "pay"}, "approve, cancel, close, fail"),
            ({"decision": "fail"}, "error_msg"),
            ({"decision": "approve", "card": "gold"}, "shinhan"),
            ({"decision": "approve", "account": "a b"}, "account"),
            ({"decision": "fail", "error_msg": "\ud800"}, "error_msg"),
            ({"decision": "fail", "error_msg": 5}, "error_msg"),
        ],
    )
    def test_a_click_that_cannot_be_ends_nothing(
        self, buyer: Buyer, form: dict[str, Any], names: str
    ) -> None:
        path = buyer.open(buyer.payment())
        answer = buyer.gateway.call("POST", path, json_body=form)

        assert answer.status == 400
        assert names in answer.json["error"]
        assert buyer.view(path)["state"] == "open"
        assert buyer.gateway.booked() == []

    def test_an_empty_product_list_is_missing(self, buyer: Buyer) -> None:
        view = buyer.view(buyer.open(buyer.payment(naverProducts=[])))

        assert _error(view["result"])[1] == "sandbox: missing naverProducts"
