"""Billing keys deleted, reservations revoked, windows prepared: all may be asked for twice."""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from shared.billing.inquiry import StillUnresolved
from shared.billing.refund import Requester
from shared.billing.window import KeyHeld, Prepared
from tests.integration.gateway.clients import client_of
from tests.integration.gateway.raw_server import RawServer, Received, Script, Wire, raw_server
from worker.gateway.adapter import PortOneGateway
from worker.gateway.client import PortOne
from worker.gateway.errors import (
    GatewayError,
    GatewayMisconfigured,
    GatewayRefused,
    GatewayThrottled,
    GatewayUnavailable,
)
from worker.gateway.requests import UnfitRequest

pytestmark = pytest.mark.anyio

KEY = "customer-1"
UNSCHEDULE = "/subscribe/payments/unschedule"
PREPARE = "/payments/prepare"
GONE = f"요청하신 customer_uid({KEY})로 등록된 정보를 찾을 수 없습니다."
NONE_PLANNED = "취소할 예약결제 기록이 존재하지 않습니다."
TAKEN = "결제정보 사전등록에 실패하였습니다(이미 등록된 merchant_uid입니다)."
NOT_TAKEN = "사전등록된 결제정보가 존재하지 않습니다."


def done(response: object) -> dict[str, Any]:
    return {"code": 0, "message": None, "response": response}


def refused(message: str, code: int = 1) -> dict[str, Any]:
    return {"code": code, "message": message, "response": None}


def bound(amount: object = 1_000, merchant_uid: str = "w1", **more: object) -> dict[str, Any]:
    return done({"merchant_uid": merchant_uid, "amount": amount, **more})


def answering(*answers: tuple[object, int]) -> Script:
    """Answer in order, and the last one for ever."""
    left = list(answers)

    async def answer(wire: Wire, _request: Received) -> None:
        body, status = left.pop(0) if len(left) > 1 else left[0]
        assert isinstance(body, bytes | dict)
        wire.reply(body, status)

    return answer


# What all of the commands would take for done.
ANY_DONE = done({"customer_uid": KEY, "merchant_uid": "w1", "amount": 1_000})


def asked(server: RawServer) -> list[Received]:
    """Return what arrived after the token."""
    return server.received[1:]


async def delete(client: PortOne) -> None:
    await client.delete_customer(KEY, reason="해지", requester=Requester.CUSTOMER)


async def unschedule(client: PortOne) -> None:
    await client.unschedule(KEY)


async def prepare(client: PortOne) -> str | None:
    return await client.prepare("w1", 1_000)


COMMANDS = pytest.mark.parametrize(
    ("command", "response"),
    [
        (delete, {"customer_uid": KEY}),
        (unschedule, []),
        (prepare, {"merchant_uid": "w1", "amount": 1_000}),
    ],
    ids=["delete", "unschedule", "prepare"],
)


@pytest.mark.parametrize("uid", [KEY, "a/b?c=d&e#f", "홍 길동", "100%", "..."])
@pytest.mark.parametrize("requester", Requester)
@pytest.mark.parametrize("reason", ["해지 요청", "a&extra[requester]=admin#x", "100% + 1/2?"])
async def test_a_deletion_carries_its_reason_and_its_requester_whatever_they_hold(
    uid: str, requester: Requester, reason: str
) -> None:
    script = answering((done({"customer_uid": uid}), 200))
    async with raw_server(script) as server, client_of(server.url) as client:
        await client.delete_customer(uid, reason=reason, requester=requester)

        (request,) = asked(server)
    target = urlsplit(request.target)
    assert request.method == "DELETE"
    assert request.body == b""
    assert target.path.count("/") == 3
    assert unquote(target.path.rpartition("/")[2]) == uid
    assert request.target.isascii()
    assert parse_qs(target.query, strict_parsing=True) == {
        "reason": [reason],
        "extra[requester]": [requester],
    }


async def test_reservations_are_revoked_by_billing_key() -> None:
    revoked = [{"customer_uid": KEY, "merchant_uid": "s1", "schedule_status": "revoked"}]
    script = answering((done(revoked), 200))
    async with raw_server(script) as server, client_of(server.url) as client:
        await client.unschedule(KEY)

        (request,) = asked(server)
    assert (request.method, request.target) == ("POST", UNSCHEDULE)
    assert request.fields == {"customer_uid": KEY}
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("message", "status"), [(GONE, 200), (GONE, 404), ("없는 고객입니다", 404)]
)
async def test_a_billing_key_that_is_not_there_has_been_deleted(message: str, status: int) -> None:
    script = answering((refused(message), status))
    async with raw_server(script) as server, client_of(server.url) as client:
        await delete(client)

        assert len(asked(server)) == 1


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("message", [NONE_PLANNED, "등록된 고객정보가 없습니다"])
async def test_where_nothing_is_reserved_nothing_is_left(message: str, status: int) -> None:
    script = answering((refused(message), status))
    async with raw_server(script) as server, client_of(server.url) as client:
        await unschedule(client)

        assert len(asked(server)) == 1


async def test_a_404_of_unknown_words_does_not_say_that_nothing_is_reserved() -> None:
    script = answering((refused("없는 주소입니다", -1), 404))
    async with raw_server(script) as server, client_of(server.url) as client:
        with pytest.raises(GatewayRefused, match="없는 주소입니다"):
            await unschedule(client)


@COMMANDS
async def test_a_command_whose_first_tries_fail_is_given_again(
    command: Any, response: object
) -> None:
    async def third_time(wire: Wire, _request: Received) -> None:
        match len(asked(server)):
            case 1:
                wire.reset()
            case 2:
                wire.reply(b"", 502)
            case _:
                wire.reply(done(response))

    async with raw_server(third_time) as server, client_of(server.url) as client:
        assert await command(client) is None

        first, second, third = asked(server)
        assert (first.target, first.body) == (second.target, second.body)
        assert (first.target, first.body) == (third.target, third.body)


@COMMANDS
async def test_a_command_refused_for_its_token_is_given_again_with_another(
    command: Any, response: object
) -> None:
    unauthorized = (refused("Unauthorized", -1), 401)
    script = answering(unauthorized, (done(response), 200))
    async with raw_server(script) as server, client_of(server.url) as client:
        assert await command(client) is None

        assert server.tokens_given == 2


@COMMANDS
@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        ((b"", 500), GatewayUnavailable, "HTTP 500, unreadable"),
        ((b"<html>404</html>", 404), GatewayUnavailable, "HTTP 404, unreadable"),
        ((b"<html>ok</html>", 200), GatewayUnavailable, "HTTP 200, unreadable"),
        ((done(None), 200), GatewayUnavailable, "code 0 without a response"),
        ((ANY_DONE, 201), GatewayUnavailable, "HTTP 201, unreadable: code 0 beside that status"),
        ((b"", 429), GatewayThrottled, "HTTP 429"),
        ((refused("MaintenanceOngoing"), 200), GatewayThrottled, "MaintenanceOngoing"),
        ((refused("API 호출 권한이 없습니다."), 200), GatewayMisconfigured, "권한이 없습니다"),
        ((refused("Unauthorized", -1), 401), GatewayMisconfigured, "Unauthorized"),
        ((b"", 403), GatewayMisconfigured, "HTTP 403"),
        ((refused("파라미터 누락:x", -1), 400), GatewayMisconfigured, "파라미터 누락:x"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_command_that_nobody_can_say_was_done_is_an_error(
    command: Any,
    response: object,
    answer: tuple[object, int],
    error: type[GatewayError],
    text: str,
) -> None:
    assert response is not None
    async with raw_server(answering(answer)) as server, client_of(server.url) as client:
        with pytest.raises(error) as raised:
            await command(client)

    assert text in str(raised.value)


@pytest.mark.parametrize("command", [delete, unschedule], ids=["delete", "unschedule"])
async def test_what_is_said_of_a_billing_key_is_told_without_it(command: Any) -> None:
    script = answering((refused(f"{KEY} 은(는) 처리할 수 없습니다"), 200))
    async with raw_server(script) as server, client_of(server.url) as client:
        with pytest.raises(GatewayRefused) as raised:
            await command(client)

    assert raised.value.message == "… 은(는) 처리할 수 없습니다"
    assert KEY not in str(raised.value)


async def test_what_is_unfit_calls_nobody() -> None:
    async with raw_server() as server, client_of(server.url) as client:
        for uid in ("", ".", ".."):
            with pytest.raises(UnfitRequest):
                await client.delete_customer(uid, reason="해지", requester=Requester.ADMIN)
        with pytest.raises(UnfitRequest):
            await client.delete_customer(KEY, reason=" ", requester=Requester.ADMIN)
        with pytest.raises(UnfitRequest):
            await client.unschedule("")
        with pytest.raises(UnfitRequest):
            await client.prepare("w1", 0)

        assert server.received == []


async def test_a_window_is_bound_to_its_amount() -> None:
    script = answering((bound(1_000.0, currency=None), 200))
    async with raw_server(script) as server, client_of(server.url) as client:
        assert await prepare(client) is None

        (request,) = asked(server)
    assert (request.method, request.target) == ("POST", PREPARE)
    assert request.fields == {"merchant_uid": "w1", "amount": 1_000}


@pytest.mark.parametrize("body", [bound(1_001), bound(merchant_uid="w2"), bound(currency="USD")])
async def test_a_reply_that_binds_something_else_settles_nothing(body: dict[str, Any]) -> None:
    async with raw_server(answering((body, 200))) as server, client_of(server.url) as client:
        with pytest.raises(GatewayUnavailable, match="bound something else"):
            await prepare(client)


@pytest.mark.parametrize("status", [200, 404, 409])
async def test_a_window_bound_to_the_same_amount_before_is_prepared(status: int) -> None:
    script = answering((refused(TAKEN), status), (bound(), 200))
    async with raw_server(script) as server, client_of(server.url) as client:
        assert await prepare(client) is None

        assert [(one.method, one.target) for one in asked(server)] == [
            ("POST", PREPARE),
            ("GET", f"{PREPARE}/w1"),
        ]


@pytest.mark.parametrize("body", [bound(1_001), bound(currency="USD")])
async def test_a_window_bound_to_another_amount_is_refused_and_left_as_it_is(
    body: dict[str, Any],
) -> None:
    script = answering((refused(TAKEN), 200), (body, 200))
    async with raw_server(script) as server, client_of(server.url) as client:
        assert await prepare(client) == TAKEN

        assert [one.method for one in asked(server)] == ["POST", "GET"]


@pytest.mark.parametrize("status", [200, 404])
async def test_a_window_said_to_be_bound_to_nothing_settles_nothing(status: int) -> None:
    script = answering((refused(TAKEN), 200), (refused(NOT_TAKEN), status))
    async with raw_server(script) as server, client_of(server.url) as client:
        with pytest.raises(GatewayUnavailable, match="shows none"):
            await prepare(client)


async def test_any_other_refusal_of_a_window_is_told_byte_for_byte() -> None:
    script = answering((refused(" 등록할 수 없는 금액입니다.\t"), 200))
    async with raw_server(script) as server, client_of(server.url) as client:
        assert await prepare(client) == " 등록할 수 없는 금액입니다.\t"

        assert len(asked(server)) == 1


async def test_the_services_port_tells_what_became_of_each() -> None:
    held = done({"customer_uid": KEY, "updated": 0})
    script = answering(
        (held, 200), (refused(GONE), 200), (refused(GONE), 200), (refused(NONE_PLANNED), 200)
    )
    async with raw_server(script) as server, client_of(server.url) as client:
        gateway = PortOneGateway(client, send_window_s=30.0)

        assert await gateway.key(KEY) == KeyHeld(None)
        assert await gateway.key(KEY) is None
        assert await gateway.delete_key(KEY, reason="해지", requester=Requester.ADMIN) is None
        assert await gateway.revoke_schedules(KEY) is None


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([(bound(), 200)], Prepared()),
        ([(refused(TAKEN), 200), (bound(), 200)], Prepared()),
        ([(refused(TAKEN), 200), (bound(2_000), 200)], Prepared(TAKEN)),
        ([(refused("안 됩니다"), 200)], Prepared("안 됩니다")),
    ],
)
async def test_the_services_port_tells_whether_a_window_is_prepared(
    answers: list[tuple[object, int]], expected: Prepared
) -> None:
    async with raw_server(answering(*answers)) as server, client_of(server.url) as client:
        gateway = PortOneGateway(client, send_window_s=30.0)

        assert await gateway.prepare("w1", 1_000) == expected


async def test_the_services_port_says_why_nobody_can_say() -> None:
    async with client_of("http://127.0.0.1:9", total_timeout_s=0.2) as client:
        gateway = PortOneGateway(client, send_window_s=30.0)
        answers = [
            await gateway.payment("imps_1"),
            await gateway.key(KEY),
            await gateway.delete_key(KEY, reason="해지", requester=Requester.ADMIN),
            await gateway.revoke_schedules(KEY),
            await gateway.prepare("w1", 1_000),
        ]

    assert all(isinstance(answer, StillUnresolved) for answer in answers)


@pytest.mark.parametrize("imp_uid", ["", ".", "..", "\ud800"])
async def test_no_payment_has_an_id_that_is_none(imp_uid: str) -> None:
    async with raw_server() as server, client_of(server.url) as client:
        assert await PortOneGateway(client, send_window_s=30.0).payment(imp_uid) is None

        assert server.received == []
