"""Lists read to their end or not at all, and orders about reservations and at Naver."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.billing.inquiry import RecordStatus, StillUnresolved
from shared.billing.refund import Requester
from shared.billing.reservation import ScheduledPayment, ScheduleStatus
from tests.integration.gateway.clients import client_of
from tests.integration.gateway.raw_server import Received, Script, Wire, raw_server
from tests.integration.gateway.test_keys_and_windows import answering, done, refused
from tests.integration.gateway.test_lookups import NO_PAYMENT, page, record
from worker.gateway import keys, reservations
from worker.gateway.adapter import PortOneGateway
from worker.gateway.client import PortOne
from worker.gateway.errors import (
    GatewayError,
    GatewayMisconfigured,
    GatewayRefused,
    GatewayThrottled,
    GatewayUnavailable,
)
from worker.gateway.transport import REPLY_BYTES_MAX

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop of production alone: how bytes leave is looked at elsewhere, on both."""
    return "asyncio", {"use_uvloop": True}


KEY = "customer-1"
DAY = timedelta(days=1)
NOON = datetime(2026, 8, 15, 12, tzinfo=UTC)
NOON_S = int(NOON.timestamp())
FAR = datetime(2099, 1, 1, tzinfo=UTC)


def schedule(number: int, **changes: Any) -> dict[str, Any]:
    usual = {
        "merchant_uid": f"m{number}",
        "customer_uid": KEY,
        "amount": 9_900,
        "schedule_at": NOON_S + number,
        "schedule_status": "scheduled",
    }
    return {**usual, **changes}


def query(request: Received) -> dict[str, str]:
    asked = parse_qs(urlsplit(request.target).query, strict_parsing=True)
    return {name: ",".join(values) for name, values in asked.items()}


def targets(received: list[Received]) -> list[str]:
    return [request.target for request in received[1:]]


async def test_payments_in_a_span_are_asked_for_by_whole_seconds_with_both_ends() -> None:
    async with (
        raw_server(answering((page(record(1)), 200))) as server,
        client_of(server.url) as client,
    ):
        async for _ in client.payments_in(NOON, NOON + DAY):
            pass
        async for _ in client.payments_in(NOON, NOON + DAY, RecordStatus.PAID):
            pass

        asked = f"page=1&limit=1000&from={NOON_S}&to={NOON_S + 86_399}&sorting=started"
        assert targets(server.received) == [
            f"/payments/status/all?{asked}",
            f"/payments/status/paid?{asked}",
        ]


async def test_a_long_span_is_asked_for_in_windows_of_ninety_days() -> None:
    async with raw_server(answering((page(), 200))) as server, client_of(server.url) as client:
        found = [each async for each in client.payments_in(NOON, NOON + 200 * DAY)]

        assert found == []
        spans = [(int(query(one)["from"]), int(query(one)["to"])) for one in server.received[1:]]
    assert [to - begin + 1 for begin, to in spans] == [90 * 86_400, 90 * 86_400, 20 * 86_400]
    assert [begin for begin, _ in spans] == [NOON_S, spans[0][1] + 1, spans[1][1] + 1]


async def test_no_records_at_all_are_no_records_however_that_is_said() -> None:
    for script in (answering((page(), 200)), answering((NO_PAYMENT, 404))):
        async with raw_server(script) as server, client_of(server.url) as client:
            assert [each async for each in client.payments_in(NOON, NOON + DAY)] == []


async def test_foreign_money_among_the_records_spoils_none_of_them() -> None:
    others = [
        record(2, currency="USD", amount=12.5, cancel_amount=0.5, status="paid"),
        record(3, currency="USD", amount=12.0, status="paid"),
        record(4, status="brand_new"),
    ]
    async with (
        raw_server(answering((page(record(1, status="paid"), *others), 200))) as server,
        client_of(server.url) as client,
    ):
        found = [each async for each in client.payments_in(NOON, NOON + DAY)]

    assert [(each.imp_uid, each.status) for each in found] == [
        ("imps_1", RecordStatus.PAID),
        ("imps_2", RecordStatus.READY),
        ("imps_3", RecordStatus.READY),
        ("imps_4", RecordStatus.READY),
    ]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (page(record(1, amount=12.5)), 200, GatewayUnavailable),
        (page(record(1), total=2), 200, GatewayUnavailable),
        (refused("기간"), 400, GatewayMisconfigured),
        (b"", 502, GatewayUnavailable),
        (b"", 429, GatewayThrottled),
    ],
    ids=["half a won", "counted and not shown", "400", "502", "429"],
)
async def test_a_list_that_nobody_can_give_is_an_error(
    body: bytes | dict[str, Any], status: int, error: type[GatewayError]
) -> None:
    async with raw_server(answering((body, status))) as server, client_of(server.url) as client:
        with pytest.raises(error):
            [each async for each in client.payments_in(NOON, NOON + DAY)]


async def test_a_page_of_payments_may_be_longer_than_one_record_may_be() -> None:
    noted = "가" * (REPLY_BYTES_MAX // 8)
    long = page(*(record(number, custom_data=noted) for number in range(9)))
    assert len(json.dumps(long)) > REPLY_BYTES_MAX
    async with raw_server(answering((long, 200))) as server, client_of(server.url) as client:
        assert len([each async for each in client.payments_in(NOON, NOON + DAY)]) == 9
        with pytest.raises(GatewayUnavailable, match=f"longer than {REPLY_BYTES_MAX}"):
            await client.payments_of("m1")


async def test_many_ids_are_asked_for_by_the_hundred_and_each_once() -> None:
    async def echo(wire: Wire, request: Received) -> None:
        asked = query(request)["customer_uid[]"].split(",")
        wire.reply(done([{"customer_uid": uid} for uid in asked if uid != "nobody"]), 207)

    uids = [f"k{number}" for number in range(250)]
    async with raw_server(echo) as server, client_of(server.url) as client:
        found = await client.customers(["nobody", *uids, *uids[:9]])
        assert await client.customers([]) == []
        assert await client.payments() == []

        asked = [len(query(one)["customer_uid[]"].split(",")) for one in server.received[1:]]
    assert [each.customer_uid for each in found] == uids
    assert asked == [100, 100, 51]


async def test_payments_by_both_kinds_of_id_are_asked_for_apart() -> None:
    async with (
        raw_server(answering((done([record(1)]), 200))) as server,
        client_of(server.url) as client,
    ):
        found = await client.payments(imp_uids=["i/1"], merchant_uids=["m1", "m2"])

        assert targets(server.received) == [
            "/payments?imp_uid%5B%5D=i%2F1",
            "/payments?merchant_uid%5B%5D=m1&merchant_uid%5B%5D=m2",
        ]
    assert len(found) == 2


async def test_none_of_many_is_an_empty_list_and_a_part_is_one_where_it_may_be() -> None:
    async with (
        raw_server(answering((NO_PAYMENT, 404))) as server,
        client_of(server.url) as client,
    ):
        assert await client.payments(imp_uids=["i1"]) == []
        assert await client.customers([KEY]) == []
    partly = answering((done(record(1)), 207))
    async with raw_server(partly) as server, client_of(server.url) as client:
        with pytest.raises(GatewayUnavailable, match="HTTP 207"):
            await client.payment("imps_1")


async def test_payments_by_a_billing_key_are_read_to_the_last_page() -> None:
    async def paged(wire: Wire, request: Received) -> None:
        number = int(query(request)["page"])
        # One came in between: what was last on the first page is first on the second.
        shown = [record(2), record(1)] if number == 1 else [record(1), record(0)]
        wire.reply(page(*shown, following=2 if number == 1 else 0, total=3))

    async with raw_server(paged) as server, client_of(server.url) as client:
        found = await client.customer_payments("a/b")

        assert targets(server.received)[0] == "/subscribe/customers/a%2Fb/payments?page=1"
    assert found is not None
    assert [each.imp_uid for each in found] == ["imps_2", "imps_1", "imps_0"]


async def test_a_key_that_is_not_there_is_not_one_without_payments() -> None:
    gone = refused(f"요청하신 customer_uid({KEY})로 등록된 정보를 찾을 수 없습니다.")
    async with raw_server(answering((gone, 200))) as server, client_of(server.url) as client:
        assert await client.customer_payments(KEY) is None
    async with raw_server(answering((page(), 200))) as server, client_of(server.url) as client:
        assert await client.customer_payments(KEY) == []


@pytest.mark.parametrize("second", [(NO_PAYMENT, 404), (refused("쪽"), 400), (page(total=2), 200)])
async def test_payments_that_vanish_while_pages_are_turned_are_not_left_out(
    second: tuple[dict[str, Any], int],
) -> None:
    script = answering((page(record(1), following=2, total=2), 200), second)
    async with raw_server(script) as server, client_of(server.url) as client:
        with pytest.raises(GatewayUnavailable, match="does not show"):
            await client.customer_payments(KEY)


def _in_pages(*pages: object, beyond: tuple[object, int]) -> Script:
    async def paged(wire: Wire, request: Received) -> None:
        number = int(query(request)["page"])
        body, status = (done(pages[number - 1]), 200) if number <= len(pages) else beyond
        assert isinstance(body, bytes | dict)
        wire.reply(body, status)

    return paged


@pytest.mark.parametrize(
    "script",
    [
        _in_pages([schedule(2)], [schedule(1)], beyond=(done([]), 200)),
        _in_pages([schedule(2)], [schedule(1)], beyond=(refused("쪽"), 400)),
        _in_pages([schedule(2)], [schedule(1)], beyond=(done([schedule(1)]), 200)),
        _in_pages({"list": [schedule(2), schedule(1)], "next": 0}, beyond=(b"", 500)),
    ],
    ids=["empty page", "400", "the last page again", "an object that says so"],
)
async def test_reservations_of_a_key_are_read_until_nothing_comes(script: Script) -> None:
    async with raw_server(script) as server, client_of(server.url) as client:
        found = await client.schedules_of(KEY, NOON, NOON + DAY, ScheduleStatus.SCHEDULED)

        assert targets(server.received)[0] == (
            f"/subscribe/customers/{KEY}/schedules?page=1&from={NOON_S}&to={NOON_S + 86_400}"
            "&schedule-status=scheduled"
        )
    assert [each.merchant_uid for each in found] == ["m1", "m2"]


async def test_a_later_page_that_is_refused_for_a_fault_of_ours_is_not_the_end() -> None:
    forbidden = (refused("API 호출 권한이 없습니다."), 400)
    script = _in_pages([schedule(1)], beyond=forbidden)
    async with raw_server(script) as server, client_of(server.url) as client:
        with pytest.raises(GatewayMisconfigured):
            await client.schedules_of(KEY, NOON, NOON + DAY)


async def test_reservations_of_a_key_in_a_long_span_are_asked_for_in_parts() -> None:
    async with raw_server(answering((done([]), 200))) as server, client_of(server.url) as client:
        assert await client.schedules_of(KEY, NOON, NOON + 100 * DAY) == []

        spans = [(int(query(one)["from"]), int(query(one)["to"])) for one in server.received[1:]]
    assert [to - begin for begin, to in spans] == [89 * 86_400, 11 * 86_400]


@pytest.mark.parametrize("in_object", [False, True], ids=["array", "object"])
async def test_reservations_in_a_span_are_asked_for_up_to_its_end(in_object: bool) -> None:
    shown = [schedule(1), schedule(2, currency="USD", amount=0.5)]
    body = done({"list": shown, "total": 2, "next": 0} if in_object else shown)
    async with raw_server(answering((body, 200))) as server, client_of(server.url) as client:
        status = ScheduleStatus.REVOKED
        found = [each async for each in client.schedules_in(NOON, NOON + DAY, status)]

        assert targets(server.received) == [
            (
                f"/subscribe/payments/schedule?schedule_from={NOON_S}&schedule_to={NOON_S + 86_400}"
                "&page=1&limit=1000&sorting=scheduled&schedule_status=revoked"
            )
        ]
    assert [(each.merchant_uid, each.amount) for each in found] == [("m1", 9_900), ("m2", 0)]


async def test_a_reservation_is_found_absent_or_another() -> None:
    held = answering((done(schedule(1, imp_uid="imps_1", executed_at=NOON_S + 2)), 200))
    async with raw_server(held) as server, client_of(server.url) as client:
        assert await client.scheduled("m1") == ScheduledPayment(
            merchant_uid="m1",
            customer_uid=KEY,
            amount=9_900,
            schedule_at=NOON + timedelta(seconds=1),
            status=ScheduleStatus.SCHEDULED,
            imp_uid="imps_1",
            executed_at=NOON + timedelta(seconds=2),
        )
        with pytest.raises(GatewayUnavailable, match="reservation of another, m1"):
            await client.scheduled("m2")
    async with (
        raw_server(answering((refused("?"), 404))) as server,
        client_of(server.url) as client,
    ):
        assert await client.scheduled("m1") is None
        assert await client.move("m1", FAR) is None
    async with (
        raw_server(answering((refused("?"), 200))) as server,
        client_of(server.url) as client,
    ):
        with pytest.raises(GatewayRefused):
            await client.scheduled("m1")


async def test_a_reservation_that_cannot_be_moved_is_refused_in_the_gateways_words() -> None:
    async with (
        raw_server(answering((refused(" 이미 실행됨 "), 400))) as server,
        client_of(server.url) as client,
    ):
        with pytest.raises(GatewayRefused) as raised:
            await client.move("m1", FAR)

        assert raised.value.message == " 이미 실행됨 "
        assert len(server.received) == 2
    missing = answering((refused("파라미터 누락:schedule_at"), 400))
    async with raw_server(missing) as server, client_of(server.url) as client:
        with pytest.raises(GatewayMisconfigured):
            await client.move("m1", FAR)


async def test_a_reservation_that_was_not_moved_there_is_not_told_as_moved() -> None:
    async with (
        raw_server(answering((done(schedule(1)), 200))) as server,
        client_of(server.url) as client,
    ):
        with pytest.raises(GatewayUnavailable, match=f"stands at {NOON_S + 1}"):
            await client.move("m1", FAR)


async def test_a_move_is_asked_for_again_until_it_is_answered() -> None:
    moved = done(schedule(1, schedule_at=int(FAR.timestamp())))
    async with (
        raw_server(answering((b"", 502), (moved, 200))) as server,
        client_of(server.url) as client,
    ):
        found = await client.move("m1", FAR)

        assert [request.method for request in server.received[1:]] == ["PUT", "PUT"]
        assert server.received[1].fields == {"schedule_at": int(FAR.timestamp())}
    assert found is not None
    assert found.schedule_at == FAR


async def test_reservations_that_are_named_are_revoked_alone() -> None:
    async with raw_server(answering((done([]), 200))) as server, client_of(server.url) as client:
        await client.unschedule(KEY, ["m1"])

        assert server.received[1].fields == {"customer_uid": KEY, "merchant_uid": ["m1"]}


ORDERS = {
    "point": lambda client: client.point("imps_1"),
    "confirm": lambda client: client.confirm("imps_1", Requester.CUSTOMER),
}
orders = pytest.mark.parametrize("order", ORDERS)


async def give(client: PortOne, order: str) -> str | None:
    refusal: str | None = await ORDERS[order](client)
    return refusal


@orders
async def test_an_order_at_naver_is_done_or_refused_in_its_words(order: str) -> None:
    for body, status, refusal in (
        ({"code": 0, "message": None}, 200, None),
        (done(None), 200, None),
        (refused(" 적립 실패 "), 500, " 적립 실패 "),
        (refused("이미"), 200, "이미"),
        (NO_PAYMENT, 404, NO_PAYMENT["message"]),
    ):
        async with raw_server(answering((body, status))) as server, client_of(server.url) as client:
            assert await give(client, order) == refusal

            assert targets(server.received) == [f"/payments/imps_1/naver/{order}"]
            wanted = {"requester": "customer"} if order == "confirm" else {}
            assert server.received[1].fields == wanted


@orders
@pytest.mark.parametrize("status", [500, 502, 503])
async def test_an_order_at_naver_of_which_nothing_is_known_is_not_given_again(
    order: str, status: int
) -> None:
    async with (
        raw_server(answering((b"<html>", status))) as server,
        client_of(server.url) as client,
    ):
        with pytest.raises(GatewayUnavailable):
            await give(client, order)

        assert len(server.received) == 2


async def test_the_amount_of_a_cash_receipt_is_told_absent_or_refused() -> None:
    amounts = {
        "amount_total": 100,
        "amount_by_npoint": 40,
        "amount_by_primary": 60,
        "amount_supply": 91,
        "amount_vat": 9,
    }
    async with (
        raw_server(answering((done(amounts), 200))) as server,
        client_of(server.url) as client,
    ):
        told = await client.cash_amount("imps_1")
    assert told is not None
    assert (told.total, told.by_points, told.by_primary) == (100, 40, 60)
    assert (told.supply, told.vat) == (91, 9)
    for body, status, error in (
        (refused("결제형 아님"), 400, GatewayRefused),
        (refused("네이버 응답"), 500, GatewayUnavailable),
        (done({**amounts, "amount_vat": None}), 200, GatewayUnavailable),
    ):
        async with raw_server(answering((body, status))) as server, client_of(server.url) as client:
            with pytest.raises(error) as raised:
                await client.cash_amount("imps_1")

            # Only a refusal is an answer: whatever else came, the amount is asked for again.
            assert raised.type is error
            assert len(server.received) == 1 + (1 if error is GatewayRefused else 3)
    async with raw_server(answering((NO_PAYMENT, 404))) as server, client_of(server.url) as client:
        assert await client.cash_amount("imps_1") is None


async def test_an_amount_is_bound_anew_only_where_one_was_bound() -> None:
    bound = done({"merchant_uid": "w1", "amount": 1_000})
    async with raw_server(answering((bound, 200))) as server, client_of(server.url) as client:
        assert await client.rebind("w1", 1_000) is True
        with pytest.raises(GatewayUnavailable, match="bound something else"):
            await client.rebind("w1", 2_000)

        assert (server.received[1].method, server.received[1].target) == (
            "PUT",
            "/payments/prepare",
        )
    async with (
        raw_server(answering((refused("?"), 404))) as server,
        client_of(server.url) as client,
    ):
        assert await client.rebind("w1", 1_000) is False


async def test_channels_are_all_told_or_none() -> None:
    channel = {"pg_provider": "naverpay", "pg_id": "np", "sandbox": True, "type": "payment"}
    async with (
        raw_server(answering((done([channel, channel]), 200))) as server,
        client_of(server.url) as client,
    ):
        assert len(await client.channels()) == 2
    for body, status in ((done([channel, {"pg_id": "?"}]), 200), (refused("?"), 404)):
        async with raw_server(answering((body, status))) as server, client_of(server.url) as client:
            with pytest.raises(GatewayUnavailable):
                await client.channels()


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.customers([KEY, "other-key"]),
        lambda client: client.customer_payments(KEY),
        lambda client: client.schedules_of(KEY, NOON, NOON + DAY),
    ],
    ids=["customers", "customer_payments", "schedules_of"],
)
async def test_what_is_said_of_billing_keys_is_told_without_them(call: Any) -> None:
    words = refused(f"{KEY} 은(는) 처리할 수 없습니다")
    async with raw_server(answering((words, 200))) as server, client_of(server.url) as client:
        with pytest.raises(GatewayUnavailable) as raised:
            await call(client)

    assert KEY not in str(raised.value)
    assert "은(는) 처리할 수 없습니다" in str(raised.value)


async def test_a_list_of_one_key_that_never_ends_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keys, "_PAGES_MAX", 7)
    monkeypatch.setattr(reservations, "_PAGES_MAX", 7)

    async def endless(wire: Wire, request: Received) -> None:
        number = int(query(request)["page"])
        if "schedules" in request.target:
            wire.reply(done([schedule(number)]))
        else:
            wire.reply(page(record(number), following=number + 1, total=10**6))

    async with raw_server(endless) as server, client_of(server.url) as client:
        with pytest.raises(GatewayUnavailable, match="more than 7 pages of payments"):
            await client.customer_payments(KEY)
        with pytest.raises(GatewayUnavailable, match="more than 7 pages of reservations"):
            await client.schedules_of(KEY, NOON, NOON + DAY)


LISTS = {
    "payments_in": lambda client: client.payments_in(NOON, NOON + DAY),
    "schedules_in": lambda client: client.schedules_in(NOON, NOON + DAY),
}


@pytest.mark.parametrize("listed", LISTS)
async def test_that_there_is_nothing_in_a_span_is_believed_by_words_that_are_known(
    listed: str,
) -> None:
    known = answering((NO_PAYMENT, 404))
    async with raw_server(known) as server, client_of(server.url) as client:
        assert [each async for each in LISTS[listed](client)] == []
    other = answering((refused("?"), 404))
    async with raw_server(other) as server, client_of(server.url) as client:
        with pytest.raises(GatewayUnavailable):
            [each async for each in LISTS[listed](client)]


# What the gateway says of a buyer whom it does not know: of no other thing it says anything.
OF_BUYERS = (
    "등록되지 않은 구매자입니다",
    "등록된 고객정보가 없습니다",
    f"요청하신 customer_uid({KEY})로 등록된 정보를 찾을 수 없습니다.",
)
OUTLIVE_THEIR_KEY: dict[str, Callable[[PortOne], Awaitable[object]]] = {
    "scheduled": lambda client: client.scheduled("m1"),
    "move": lambda client: client.move("m1", FAR),
    "schedules_of": lambda client: client.schedules_of(KEY, NOON, NOON + DAY),
    "schedules_in": lambda client: all_of(client.schedules_in(NOON, NOON + DAY)),
    "payments_in": lambda client: all_of(client.payments_in(NOON, NOON + DAY)),
    "payments_of": lambda client: client.payments_of("m1"),
    "find": lambda client: client.find("m1"),
    "payment": lambda client: client.payment("imps_1"),
    "payments": lambda client: client.payments(merchant_uids=["m1"]),
    "cash_amount": lambda client: client.cash_amount("imps_1"),
}


async def all_of(listed: AsyncIterator[object]) -> list[object]:
    return [each async for each in listed]


@pytest.mark.parametrize("call", OUTLIVE_THEIR_KEY)
async def test_a_buyer_who_is_not_known_does_not_say_that_nothing_is_reserved_or_was_charged(
    call: str,
) -> None:
    for words in OF_BUYERS:
        script = answering((refused(words), 200))
        async with raw_server(script) as server, client_of(server.url) as client:
            with pytest.raises(GatewayUnavailable):
                await OUTLIVE_THEIR_KEY[call](client)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.customer(KEY),
        lambda client: client.customers([KEY]),
        lambda client: client.customer_payments(KEY),
        lambda client: client.delete_customer(KEY, reason="해지", requester=Requester.CUSTOMER),
        lambda client: client.scheduled("m1"),
        lambda client: client.move("m1", FAR),
    ],
    ids=["customer", "customers", "customer_payments", "delete_customer", "scheduled", "move"],
)
async def test_a_payment_that_is_not_there_says_nothing_of_a_key_or_of_a_reservation(
    call: Any,
) -> None:
    async with raw_server(answering((NO_PAYMENT, 200))) as server, client_of(server.url) as client:
        with pytest.raises(GatewayRefused, match="존재하지 않는 결제정보입니다"):
            await call(client)


async def test_the_amount_of_a_cash_receipt_is_not_absent_by_a_404_of_unknown_words() -> None:
    async with (
        raw_server(answering((refused("?"), 404))) as server,
        client_of(server.url) as client,
    ):
        with pytest.raises(GatewayRefused):
            await client.cash_amount("imps_1")


async def test_the_services_are_told_why_nobody_can_say() -> None:
    async with raw_server(answering((b"", 502))) as server, client_of(server.url) as client:
        gateway = PortOneGateway(client, send_window_s=30.0)
        for answer in (
            await gateway.scheduled("m1"),
            await gateway.revoke_schedules(KEY, ["m1"]),
            await gateway.channels(),
        ):
            assert isinstance(answer, StillUnresolved)
        with pytest.raises(GatewayUnavailable):
            [each async for each in gateway.payments_in(NOON, NOON + DAY)]
        with pytest.raises(GatewayUnavailable):
            [each async for each in gateway.schedules_in(NOON, NOON + DAY)]
