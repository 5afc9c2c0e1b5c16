"""No log line, repr or traceback tells a billing key, a buyer, a token or a secret."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from shared.billing.refund import Requester
from tests.integration.gateway.clients import SECRET, charge, client_of, open_fence, refund
from tests.integration.gateway.raw_server import (
    GET_TOKEN,
    TOKEN,
    Received,
    Script,
    Wire,
    pay,
    payment,
    raw_server,
)
from worker.gateway.client import PortOne
from worker.gateway.fence import Fence
from worker.gateway.requests import ScheduleRequest

pytestmark = pytest.mark.anyio

KEY, NAME, TEL, EMAIL = "planted-key-7", "심어둔이름", "010-7777-7777", "planted@example.invalid"
FAR = datetime(2099, 1, 1, tzinfo=UTC)
PLANTED = (KEY, NAME, TEL, EMAIL, SECRET, TOKEN)


async def decline(wire: Wire, request: Received) -> None:
    wire.reply(payment(request, status="failed", fail_reason="잔액 부족"))


async def another_buyer(wire: Wire, request: Received) -> None:
    wire.reply(payment(request, customer_uid=f"not-{KEY}"))


async def odd_types(wire: Wire, request: Received) -> None:
    wire.reply(payment(request, amount=KEY, status=[NAME], buyer_name=NAME))


async def refuse(wire: Wire, _request: Received) -> None:
    wire.reply({"code": -1, "message": "Unauthorized", "response": None}, 401)


async def echo_error(wire: Wire, request: Received) -> None:
    wire.reply(request.body or request.target.encode(), 500)


async def close(wire: Wire, _request: Received) -> None:
    wire.writer.close()


async def never(wire: Wire, _request: Received) -> None:
    await wire.reader.read()


async def no_token(wire: Wire, request: Received) -> None:
    wire.reply(request.body if request.target == GET_TOKEN else b"", 500)


CALLS: dict[str, Callable[[PortOne], Awaitable[object]]] = {
    "charge": lambda client: client.charge(
        charge(customer_uid=KEY, buyer_name=NAME, buyer_tel=TEL, buyer_email=EMAIL), open_fence()
    ),
    "late charge": lambda client: client.charge(
        charge(customer_uid=KEY, buyer_name=NAME), Fence(0.0, 1.0, lambda: 2.0)
    ),
    "unfit charge": lambda client: client.charge(
        charge(customer_uid=KEY * 20, buyer_name=NAME * 5, order_name=""), open_fence()
    ),
    "customer": lambda client: client.customer(KEY),
    "refund": lambda client: client.refund(refund(), open_fence()),
    "delete": lambda client: client.delete_customer(
        KEY, reason=f"{NAME} {TEL}", requester=Requester.CUSTOMER
    ),
    "unfit delete": lambda client: client.delete_customer(
        KEY, reason=NAME * 99, requester=Requester.CUSTOMER
    ),
    "unschedule": lambda client: client.unschedule(KEY),
    "unfit unschedule": lambda client: client.unschedule(KEY * 20),
    "schedule": lambda client: client.schedule(
        ScheduleRequest(charge(customer_uid=KEY, buyer_name=NAME, buyer_tel=TEL), FAR),
        open_fence(),
    ),
    "customers": lambda client: client.customers([KEY]),
    "schedules_of": lambda client: client.schedules_of(KEY, FAR, FAR + timedelta(days=1)),
    "prepare": lambda client: client.prepare("w1", 1_000),
    "payments_of": lambda client: client.payments_of("sub1p1n1"),
}


@pytest.mark.parametrize(
    "script",
    [pay, decline, another_buyer, odd_types, refuse, echo_error, close, never, no_token],
    ids=lambda script: script.__name__,
)
@pytest.mark.parametrize("call", CALLS)
async def test_no_ending_tells_what_is_secret(
    call: str, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    async def charges_only(wire: Wire, request: Received) -> None:
        if request.method == "POST" or script in {refuse, echo_error, close, never}:
            await script(wire, request)
        else:
            wire.reply({"code": 0, "response": {"customer_uid": [KEY], "list": [{"a": NAME}]}})

    told: list[str] = []
    asyncio.get_running_loop().set_debug(True)
    with caplog.at_level(logging.DEBUG):
        async with raw_server(charges_only) as server:
            if script is no_token:
                server.token_life_s = 0
            client_logger_level = logging.getLogger("httpx").level
            async with client_of(server.url, read_timeout_s=0.2, total_timeout_s=1.5) as client:
                try:
                    outcome = await CALLS[call](client)
                except Exception as error:  # noqa: BLE001 - every way to end is looked at
                    told += [repr(error), str(error), *traceback.format_exception(error)]
                else:
                    told += [repr(outcome), str(outcome)]
                told += [repr(thing) for thing in (client, client._settings, client._tokens)]
            logging.getLogger("httpx").setLevel(client_logger_level)
    told += [caplog.text]

    for text in told:
        for secret in PLANTED:
            assert secret not in text


async def test_httpx_is_told_to_keep_addresses_to_itself() -> None:
    logging.getLogger("httpx").setLevel(logging.INFO)
    async with raw_server() as server, client_of(server.url):
        assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
