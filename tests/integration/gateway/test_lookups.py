"""Questions to the gateway: what is found, what is absent, and when nobody can say."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest

from shared.billing.inquiry import PaymentRecord, RecordStatus
from tests.integration.gateway.clients import client_of
from tests.integration.gateway.raw_server import Received, Script, Wire, raw_server
from worker.gateway.errors import (
    GatewayError,
    GatewayMisconfigured,
    GatewayRefused,
    GatewayThrottled,
    GatewayUnavailable,
)
from worker.gateway.wire import BillingKeyRecord

pytestmark = pytest.mark.anyio

NO_PAYMENT = {"code": -1, "message": "존재하지 않는 결제정보입니다.", "response": None}


def record(number: int, **changes: Any) -> dict[str, Any]:
    usual = {
        "imp_uid": f"imps_{number}",
        "merchant_uid": "sub1p1n1",
        "customer_uid": "customer-1",
        "customer_uid_usage": "payment",
        "status": "failed",
        "amount": 9900.0,
        "cancel_amount": 0,
        "currency": "KRW",
        "started_at": 1_780_000_000 + number,
        "fail_reason": " 잔액 부족 ",
        "brand_new_field": {"a": [1]},
    }
    return {**usual, **changes}


def page(*records: dict[str, Any], following: int = 0, total: int | None = None) -> dict[str, Any]:
    counted = len(records) if total is None else total
    listed = {"total": counted, "previous": 0, "next": following, "list": list(records)}
    return {"code": 0, "message": None, "response": listed}


def answering(body: bytes | dict[str, Any], status: int = 200, *headers: str) -> Script:
    async def answer(wire: Wire, _request: Received) -> None:
        wire.reply(body, status, *headers)

    return answer


async def test_every_record_of_a_merchant_uid_is_returned_oldest_first() -> None:
    both = page(record(2, status="paid", paid_at=1_780_000_100), record(1))
    async with raw_server(answering(both)) as server, client_of(server.url) as client:
        records = await client.payments_of("sub1p1n1")

        assert server.received[1].target == (
            "/payments/findAll/sub1p1n1?page=1&limit=100&sorting=started"
        )
    assert records == [
        PaymentRecord(
            imp_uid="imps_1",
            merchant_uid="sub1p1n1",
            status=RecordStatus.FAILED,
            amount=9900,
            cancel_amount=0,
            customer_uid="customer-1",
            fail_reason=" 잔액 부족 ",
            started_at=datetime.fromtimestamp(1_780_000_001, UTC),
            usage="payment",
        ),
        PaymentRecord(
            imp_uid="imps_2",
            merchant_uid="sub1p1n1",
            status=RecordStatus.PAID,
            amount=9900,
            cancel_amount=0,
            customer_uid="customer-1",
            fail_reason=" 잔액 부족 ",
            started_at=datetime.fromtimestamp(1_780_000_002, UTC),
            usage="payment",
            paid_at=datetime.fromtimestamp(1_780_000_100, UTC),
        ),
    ]


async def test_records_are_read_to_the_last_page() -> None:
    async def paged(wire: Wire, request: Received) -> None:
        number = int(request.target.partition("page=")[2].partition("&")[0])
        wire.reply(page(record(number), following=number + 1 if number < 3 else 0, total=3))

    async with raw_server(paged) as server, client_of(server.url) as client:
        records = await client.payments_of("sub1p1n1")

    assert [record.imp_uid for record in records] == ["imps_1", "imps_2", "imps_3"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (page(record(1), following=2), "more than 1000 records"),
        (page(total=1), "counts records that it does not show"),
    ],
)
async def test_records_that_cannot_be_read_to_the_end_are_not_returned_at_all(
    body: dict[str, Any], message: str
) -> None:
    async with raw_server(answering(body)) as server, client_of(server.url) as client:
        with pytest.raises(GatewayUnavailable, match=message):
            await client.payments_of("sub1p1n1")


async def test_a_page_that_vanishes_while_it_is_turned_is_not_taken_for_the_end() -> None:
    async def vanishing(wire: Wire, request: Received) -> None:
        if "page=1&" in request.target:
            wire.reply(page(record(1), following=2, total=2))
        else:
            wire.reply(NO_PAYMENT, 404)

    async with raw_server(vanishing) as server, client_of(server.url) as client:
        with pytest.raises(GatewayUnavailable, match="does not show"):
            await client.payments_of("sub1p1n1")


@pytest.mark.parametrize(
    "script",
    [answering(NO_PAYMENT, 404), answering(NO_PAYMENT, 200), answering(page())],
    ids=["404", "200", "empty page"],
)
async def test_no_record_is_an_empty_list(script: Script) -> None:
    async with raw_server(script) as server, client_of(server.url) as client:
        assert await client.payments_of("sub1p1n1") == []


@pytest.mark.parametrize(
    "script",
    [answering(NO_PAYMENT, 404), answering(NO_PAYMENT, 200)],
    ids=["404", "200"],
)
async def test_a_payment_that_is_not_there_is_none(script: Script) -> None:
    async with raw_server(script) as server, client_of(server.url) as client:
        assert await client.find("sub1p1n1") is None
        assert await client.payment("imps_1") is None


@pytest.mark.parametrize("status", [200, 404])
async def test_a_billing_key_that_is_not_there_is_none(status: int) -> None:
    message = "요청하신 customer_uid(customer-1)로 등록된 정보를 찾을 수 없습니다."
    absent = answering({"code": 1, "message": message, "response": None}, status)
    async with raw_server(absent) as server, client_of(server.url) as client:
        assert await client.customer("customer-1") is None


async def test_a_404_that_is_not_portones_does_not_say_that_nothing_was_charged() -> None:
    pages: list[bytes | dict[str, Any]] = [
        b"<html>404</html>",
        {"status": 404, "error": "Not Found"},
        page(),
    ]
    for body in pages:
        async with (
            raw_server(answering(body, 404)) as server,
            client_of(server.url) as client,
        ):
            with pytest.raises(GatewayUnavailable):
                await client.payments_of("sub1p1n1")


@pytest.mark.parametrize(
    ("script", "error", "text"),
    [
        (answering(b"", 500), GatewayUnavailable, "HTTP 500, unreadable"),
        (answering(b"{}", 200), GatewayUnavailable, "code: Field required"),
        (answering(b"", 503), GatewayUnavailable, "HTTP 503"),
        (answering(b"", 503, "Retry-After: 2"), GatewayThrottled, "HTTP 503"),
        (answering(b"", 429), GatewayThrottled, "HTTP 429"),
        (answering(b"", 302, "Location: /x"), GatewayUnavailable, "HTTP 302"),
        (answering(b"", 403), GatewayMisconfigured, "HTTP 403"),
        (answering({"code": -1, "message": "나쁨"}, 400), GatewayMisconfigured, "나쁨"),
        (
            answering({"code": -1, "message": "API 호출 권한이 없습니다."}, 404),
            GatewayMisconfigured,
            "API 호출 권한이 없습니다.",
        ),
        (
            answering({"code": -1, "message": "MaintenanceOngoing"}),
            GatewayThrottled,
            "MaintenanceOngoing",
        ),
        (
            answering({"code": -1, "message": "뭔가"}),
            GatewayRefused,
            "HTTP 200, code -1: 뭔가",
        ),
        (
            answering({"code": -1, "message": "뭔가"}, 500),
            GatewayUnavailable,
            "HTTP 500, code -1: 뭔가",
        ),
    ],
)
async def test_an_answer_that_tells_nothing_is_an_error(
    script: Script, error: type[GatewayError], text: str
) -> None:
    async with raw_server(script) as server, client_of(server.url) as client:
        with pytest.raises(error) as raised:
            await client.find("sub1p1n1")

        assert text in str(raised.value)


async def test_a_lookup_is_asked_again_until_it_is_answered() -> None:
    async def third_time(wire: Wire, _request: Received) -> None:
        match len(server.received):
            case 2:
                wire.reset()
            case 3:
                wire.reply(b"", 502)
            case _:
                wire.reply({"code": 0, "response": record(1)})

    async with raw_server(third_time) as server, client_of(server.url) as client:
        found = await client.find("sub1p1n1")

        assert found is not None
        assert len(server.received) == 4


async def test_a_lookup_is_not_asked_for_ever() -> None:
    async with raw_server(answering(b"", 500)) as server, client_of(server.url) as client:
        with pytest.raises(GatewayUnavailable):
            await client.find("sub1p1n1")

        assert len(server.received) == 4


async def test_a_lookup_that_was_refused_in_words_is_not_repeated() -> None:
    refused = answering({"code": -1, "message": " 뭔가 "})
    async with raw_server(refused) as server, client_of(server.url) as client:
        with pytest.raises(GatewayRefused) as raised:
            await client.find("sub1p1n1")

        assert raised.value.message == " 뭔가 "
        assert len(server.received) == 2


async def test_a_lookup_that_is_told_to_wait_is_not_repeated() -> None:
    wait = answering(b"", 429, "Retry-After: 5")
    async with raw_server(wait) as server, client_of(server.url) as client:
        with pytest.raises(GatewayThrottled) as raised:
            await client.find("sub1p1n1")

        assert raised.value.retry_after_s == 5.0
        assert len(server.received) == 2


async def test_a_lookup_by_status_and_one_in_test_mode_ask_so() -> None:
    found = answering({"code": 0, "response": record(1)})
    async with raw_server(found) as server:
        async with client_of(server.url) as client:
            await client.find("sub1p1n1", RecordStatus.PAID)
            await client.payment("imps_1")
        async with client_of(server.url, test_mode=True) as client:
            await client.payment("imps_1")

        assert [request.target for request in server.received if request.method == "GET"] == [
            "/payments/find/sub1p1n1/paid",
            "/payments/imps_1",
            "/payments/imps_1?include_sandbox=true",
        ]


async def test_a_billing_key_is_read() -> None:
    customer = {
        "customer_uid": "customer-1",
        "pg_provider": "naverpay",
        "pg_id": "np_shop",
        "card_name": "네이버페이",
        "sandbox": True,
        "inserted": 1_780_000_000,
        "updated": 0,
        "customer_tel": "010-0000-0000",
    }
    script = answering({"code": 0, "message": None, "response": customer})
    async with raw_server(script) as server, client_of(server.url) as client:
        assert await client.customer("customer-1") == BillingKeyRecord(
            customer_uid="customer-1",
            pg_provider="naverpay",
            pg_id="np_shop",
            card_name="네이버페이",
            sandbox=True,
            inserted_at=datetime.fromtimestamp(1_780_000_000, UTC),
            updated_at=None,
        )


@pytest.mark.parametrize(
    "uid", ["a/b", "a?b=c", "a#b", "a b", "50%", "%2F", "홍길동", "a+b&c;d", "a\\b", "...", "~"]
)
async def test_an_id_is_one_part_of_the_path_whatever_it_holds(uid: str) -> None:
    found = answering({"code": 0, "response": {"customer_uid": uid}})
    async with raw_server(found) as server, client_of(server.url) as client:
        assert await client.customer(uid) is not None

        target = server.received[1].target
        assert target.count("/") == 3
        assert "?" not in target
        assert unquote(target.rpartition("/")[2]) == uid


@pytest.mark.parametrize("uid", ["", ".", "..", "\ud800"])
async def test_an_id_that_would_be_another_path_is_refused(uid: str) -> None:
    async with raw_server() as server, client_of(server.url) as client:
        with pytest.raises(ValueError, match="an id must"):
            await client.customer(uid)

        assert server.received == []


async def test_what_the_gateway_says_of_a_billing_key_is_told_without_it() -> None:
    refused = {"code": -1, "message": "customer-1 은(는) 처리할 수 없습니다", "response": None}
    async with raw_server(answering(refused)) as server, client_of(server.url) as client:
        with pytest.raises(GatewayUnavailable) as raised:
            await client.customer("customer-1")

        assert "customer-1" not in str(raised.value)
        assert "은(는) 처리할 수 없습니다" in str(raised.value)


async def test_a_client_closed_while_it_fetches_a_token_leaves_nothing_behind() -> None:
    async def never(wire: Wire, _request: Received) -> None:
        await wire.reader.read()

    async with raw_server(never) as server:
        server.token_life_s = 0
        async with client_of(server.url) as client:
            asking = asyncio.create_task(client.find("sub1p1n1"))
            await server.arrived.wait()
            asking.cancel()
        assert not client._tokens._fetch
