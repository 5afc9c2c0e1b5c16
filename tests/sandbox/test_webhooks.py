"""Webhooks: which events are told, to whom, in which form, and what can go wrong on the way."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.sandbox.client import Gateway, WaitUntil
from tests.sandbox.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A merchant's endpoint."""
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def hooked(gateway: Gateway, receiver: Receiver) -> Gateway:
    """The session's sandbox, told where to send webhooks."""
    gateway.faults(webhook_url=receiver.url)
    return gateway


@pytest.fixture
def arrived(receiver: Receiver, wait_until: WaitUntil) -> Callable[[int], list[dict[str, Any]]]:
    """Wait until so many webhooks have arrived, and give what they say."""

    def wait(count: int) -> list[dict[str, Any]]:
        wait_until(lambda: len(receiver.arrivals) >= count)
        assert len(receiver.arrivals) == count
        return [arrival.values for arrival in receiver.arrivals]

    return wait


Arrived = Callable[[int], list[dict[str, Any]]]


def test_a_paid_charge_is_told_as_json(
    hooked: Gateway, receiver: Receiver, arrived: Arrived
) -> None:
    imp_uid = hooked.again().response["imp_uid"]

    assert arrived(1) == [{"imp_uid": imp_uid, "merchant_uid": "m1", "status": "paid"}]
    assert receiver.arrivals[0].content_type == "application/json"
    assert receiver.arrivals[0].path == "/webhook"


def test_a_form_says_the_same(hooked: Gateway, receiver: Receiver, arrived: Arrived) -> None:
    hooked.faults(webhook_content_type="form")
    imp_uid = hooked.again(merchant_uid="m 1/&=한").response["imp_uid"]

    expected = {"imp_uid": imp_uid, "merchant_uid": "m 1/&=한", "status": "paid"}
    assert arrived(1) == [expected]
    assert receiver.arrivals[0].content_type == "application/x-www-form-urlencoded"


def test_a_charge_that_was_not_paid_is_never_told(hooked: Gateway, arrived: Arrived) -> None:
    hooked.behave("declined", "ready", "refused", "key_ended")
    for n in range(4):
        hooked.again(merchant_uid=f"failed{n}")
    hooked.register("other")
    hooked.again(customer_uid="other", merchant_uid="paid")

    assert [each["merchant_uid"] for each in arrived(1)] == ["paid"]
    assert hooked.control("GET", "webhooks")["due"] == 1


def test_a_charge_is_told_also_when_its_reply_was_lost_or_late(
    hooked: Gateway, arrived: Arrived
) -> None:
    hooked.behave("lost_reply", {"ending": "late_success", "delay_s": 0.1}, "error_500_paid")
    assert hooked.raw(hooked.again_bytes(merchant_uid="m1")) == b""
    assert hooked.raw(hooked.again_bytes(merchant_uid="m2")) == b""
    assert hooked.again(merchant_uid="m3").status == 500

    assert {each["merchant_uid"] for each in arrived(3)} == {"m1", "m2", "m3"}


def test_a_refused_repeat_is_not_told_again(hooked: Gateway, arrived: Arrived) -> None:
    hooked.again()
    hooked.again()

    assert len(arrived(1)) == 1
    assert len(hooked.webhooks()) == 1


def test_a_payments_own_address_comes_before_that_of_the_console(
    hooked: Gateway, receiver: Receiver, arrived: Arrived
) -> None:
    own = receiver.url.replace("/webhook", "/own?a=1")
    hooked.again(notice_url=own)
    arrived(1)
    hooked.control("POST", "console/cancel", {"merchant_uid": "m1"})
    arrived(2)

    assert [arrival.path for arrival in receiver.arrivals] == ["/own?a=1", "/own?a=1"]


def test_without_any_address_nothing_is_sent_nor_due(gateway: Gateway) -> None:
    gateway.again()

    assert gateway.control("GET", "webhooks") == {
        "due": 0,
        "copies": 0,
        "outcomes": {},
        "statuses": {},
        "webhooks": [],
    }


def test_a_cancel_in_the_console_is_told_with_its_number(hooked: Gateway, arrived: Arrived) -> None:
    imp_uid = hooked.again(amount=10_000, tax_free=100).response["imp_uid"]
    arrived(1)
    cancel = {"imp_uid": imp_uid, "amount": 1_000, "tax_free": 100, "reason": "변심"}
    first = hooked.control("POST", "console/cancel", cancel)
    arrived(2)
    second = hooked.control("POST", "console/cancel", {"merchant_uid": "m1"})

    told = arrived(3)[1:]
    assert [each["status"] for each in told] == ["cancelled", "cancelled"]
    assert [each["cancellation_id"] for each in told] == [
        first["cancellation_id"],
        second["cancellation_id"],
    ]
    history = hooked.get(f"/payments/{imp_uid}").response["cancel_history"]
    assert [entry["cancellation_id"] for entry in history] == [
        each["cancellation_id"] for each in told
    ]
    assert [entry["amount"] for entry in history] == [1_000, 9_000]
    assert second["payment"]["cancel_tax_free"] == 100


@pytest.mark.parametrize(
    ("cancel", "word"),
    [
        ({"imp_uid": "imp_0"}, "refused_unknown_payment"),
        ({"merchant_uid": "m1", "amount": 1005}, "refused_above_remainder"),
        ({"merchant_uid": "m1", "tax_free": 1}, "refused_tax_free_above_remainder"),
        ({}, "give either imp_uid or merchant_uid"),
        ({"imp_uid": "i", "merchant_uid": "m1"}, "give either imp_uid or merchant_uid"),
        ({"merchant_uid": "m1", "amount": -1}, "greater than or equal to 0"),
        ({"merchant_uid": "m1", "checksum": 1}, "no such field"),
    ],
)
def test_a_cancel_in_the_console_that_cannot_be_is_refused_and_not_told(
    hooked: Gateway, arrived: Arrived, cancel: dict[str, Any], word: str
) -> None:
    hooked.again()
    answer = hooked.control("POST", "console/cancel", cancel, status=400)

    assert word in answer["error"]
    assert [each["status"] for each in arrived(1)] == ["paid"]


def test_a_cancel_by_the_api_is_told_only_when_asked_for(hooked: Gateway, arrived: Arrived) -> None:
    hooked.again()
    arrived(1)
    hooked.cancel(amount=10)
    hooked.cancel(amount=10, enable_webhook=False)
    told = hooked.cancel(amount=10, enable_webhook=True).response["cancel_history"]
    hooked.cancel(amount=100_000, enable_webhook=True)

    assert arrived(2)[1]["cancellation_id"] == told[2]["cancellation_id"]
    assert len(hooked.webhooks()) == 2


def test_a_deleted_key_and_a_prepared_amount_are_not_told(
    hooked: Gateway, arrived: Arrived
) -> None:
    hooked.again()
    hooked.delete("/subscribe/customers/buyer")
    hooked.post("/payments/prepare", merchant_uid="w1", amount=10)

    assert len(arrived(1)) == len(hooked.webhooks()) == 1


@pytest.mark.parametrize("status", [500, 404, 302])
def test_whatever_is_answered_there_is_no_second_send(
    hooked: Gateway, receiver: Receiver, wait_until: WaitUntil, status: int
) -> None:
    receiver.status = status
    receiver.location = receiver.url if status == 302 else None
    hooked.again()
    wait_until(lambda: hooked.webhooks()[0]["outcome"] == "sent")

    assert hooked.webhooks()[0]["answers"] == [status]
    assert len(receiver.arrivals) == 1


def test_nobody_there_harms_nothing(hooked: Gateway, receiver: Receiver) -> None:
    receiver.close()

    assert hooked.again().response["status"] == "paid"


def test_nobody_there_is_said_so(
    hooked: Gateway, receiver: Receiver, wait_until: WaitUntil
) -> None:
    receiver.close()
    hooked.again()

    wait_until(lambda: hooked.webhooks()[0]["outcome"] == "no_answer")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://192.0.2.7/webhook", "'192.0.2.7' is none"),
        ("http://merchant.example/webhook", "'merchant.example' is none"),
        ("http://127.0.0.1.merchant.example/", "is none"),
        ("http://localhost.merchant.example/", "is none"),
        ("http://127.0.0.1@merchant.example/", "must not hold a name or password"),
        ("https://127.0.0.1/webhook", "must begin with http://"),
        ("ftp://127.0.0.1/", "must begin with http://"),
        ("127.0.0.1:80", "must begin with http://"),
        ("http:///webhook", "must name a host and a port"),
        ("http://127.0.0.1:99999/", "it is no URL"),
        ("http://[::1/", "it is no URL"),
        ("", "must begin with http://"),
    ],
)
def test_an_address_of_another_machine_is_refused_in_words(
    gateway: Gateway, url: str, words: str
) -> None:
    answer = gateway.control("PUT", "faults", {"webhook_url": url}, status=400)

    assert words in answer["error"]
    assert gateway.control("GET", "faults")["webhook_url"] is None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.9.9.9:8080/a?b=c",
        "http://localhost:1/",
        "http://[::1]:8080/webhook",
    ],
)
def test_an_address_of_this_machine_is_taken(gateway: Gateway, url: str) -> None:
    assert gateway.faults(webhook_url=url)["webhook_url"] == url
    assert gateway.faults(webhook_url=None)["webhook_url"] is None


def test_a_payment_that_names_another_machine_is_booked_and_not_told(hooked: Gateway) -> None:
    answer = hooked.again(notice_url="https://merchant.example/webhook")

    assert answer.response["status"] == "paid"
    (notice,) = hooked.webhooks()
    assert (notice["outcome"], notice["answers"]) == ("not_loopback", [])


def test_webhooks_can_be_doubled(
    hooked: Gateway, receiver: Receiver, wait_until: WaitUntil
) -> None:
    hooked.faults(webhook_duplicate_rate=1)
    hooked.again()
    wait_until(lambda: len(receiver.arrivals) == 2)

    assert receiver.arrivals[0].body == receiver.arrivals[1].body
    assert hooked.control("GET", "webhooks")["copies"] == 2


def test_webhooks_can_be_lost(hooked: Gateway, arrived: Arrived) -> None:
    hooked.faults(webhook_loss_rate=1)
    hooked.again(merchant_uid="lost")
    hooked.faults(webhook_loss_rate=0)
    hooked.again(merchant_uid="m1")

    assert [each["merchant_uid"] for each in arrived(1)] == ["m1"]
    assert hooked.control("GET", "webhooks")["outcomes"]["lost"] == 1


def test_webhooks_can_be_overtaken(hooked: Gateway, arrived: Arrived) -> None:
    hooked.faults(webhook_delay_rate=1, webhook_delay_s=1)
    hooked.again()
    hooked.faults(webhook_delay_rate=0)
    hooked.control("POST", "console/cancel", {"merchant_uid": "m1"})

    assert [each["status"] for each in arrived(2)] == ["cancelled", "paid"]


def test_a_doubled_and_late_webhook_is_in_time_once(hooked: Gateway, arrived: Arrived) -> None:
    hooked.faults(webhook_delay_rate=1, webhook_duplicate_rate=1, webhook_delay_s=1)
    hooked.again()
    arrived(1)
    hooked.faults(webhook_delay_rate=0, webhook_duplicate_rate=0)
    hooked.control("POST", "console/cancel", {"merchant_uid": "m1"})

    assert [each["status"] for each in arrived(3)] == ["paid", "cancelled", "paid"]


def _fates(gateway: Gateway, receiver: Receiver, *, seed: int) -> list[tuple[str, str, int]]:
    gateway.reset()
    gateway.faults(
        webhook_url=receiver.url, seed=seed, webhook_loss_rate=0.3, webhook_duplicate_rate=0.3
    )
    for n in range(40):
        gateway.again(merchant_uid=f"m{n}")
    rows = gateway.webhooks()
    return [
        (row["body"]["merchant_uid"], str(row["outcome"] == "lost"), row["copies"]) for row in rows
    ]


def test_what_happens_on_the_way_repeats_by_the_seed(gateway: Gateway, receiver: Receiver) -> None:
    first = _fates(gateway, receiver, seed=1)

    assert _fates(gateway, receiver, seed=1) == first
    assert _fates(gateway, receiver, seed=2) != first
    assert len({fate[1:] for fate in first}) == 3


def test_a_reset_of_the_sandbox_forgets_what_is_still_to_be_sent(
    hooked: Gateway, receiver: Receiver, arrived: Arrived
) -> None:
    hooked.faults(webhook_delay_rate=1, webhook_delay_s=0.2)
    hooked.again(merchant_uid="before")
    hooked.reset()
    hooked.faults(webhook_url=receiver.url, webhook_delay_rate=1, webhook_delay_s=0.4)
    hooked.again(merchant_uid="after")

    assert [each["merchant_uid"] for each in arrived(1)] == ["after"]
    assert len(hooked.webhooks()) == 1


def test_webhooks_can_be_asked_for_in_parts(hooked: Gateway, arrived: Arrived) -> None:
    for n in range(3):
        hooked.again(merchant_uid=f"m{n}")
    arrived(3)

    one = hooked.control("GET", "webhooks?merchant_uid=m1")["webhooks"]
    two = hooked.control("GET", "webhooks?offset=1&limit=1")
    assert [row["body"]["merchant_uid"] for row in one] == ["m1"]
    assert two["webhooks"] == one
    assert two["due"] == 3
    assert "no such filter" in hooked.control("GET", "webhooks?imp=1", status=400)["error"]
