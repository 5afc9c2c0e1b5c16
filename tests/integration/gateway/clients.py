"""Clients and charges as these tests use them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from pydantic import SecretStr

from shared.billing.money import Price
from shared.billing.outcome import Outcome, Paid
from shared.billing.refund import (
    RefundClaim,
    Refunded,
    RefundOrder,
    RefundOutcome,
    Requester,
)
from shared.clock import boot_clock_s
from tests.integration.gateway.raw_server import AGAIN, CANCEL
from tests.support.certificates import trusted
from worker.gateway.client import PortOne
from worker.gateway.fence import Fence
from worker.gateway.requests import ChargeRequest
from worker.gateway.settings import GatewaySettings
from worker.gateway.transport import GatewayTransport

SECRET = "planted-imp-secret"


def settings_for(url: str, **changes: Any) -> GatewaySettings:
    """Return settings that give up soon."""
    patient = {
        "base_url": url,
        "imp_key": SecretStr("key"),
        "imp_secret": SecretStr(SECRET),
        "connect_timeout_s": 10.0,
        "read_timeout_s": 20.0,
        "pool_timeout_s": 10.0,
        "total_timeout_s": 30.0,
    }
    return GatewaySettings(**{**patient, **changes})


@asynccontextmanager
async def client_of(
    url: str, *, ssl_context: ssl.SSLContext | None = None, **changes: Any
) -> AsyncIterator[PortOne]:
    """Open a client and close it at the end."""
    client = PortOne(settings_for(url, **changes), ssl_context=ssl_context or trusted())
    try:
        yield client
    finally:
        await client.aclose()


def charge(number: int = 1, **changes: Any) -> ChargeRequest:
    """Return a charge that differs from every other number's."""
    usual: dict[str, Any] = {
        "merchant_uid": f"sub1p1n{number}",
        "customer_uid": f"customer-{number}",
        "price": Price(9_900),
        "order_name": "정기구독",
    }
    return ChargeRequest(**{**usual, **changes})


def refund(number: int = 1, **changes: Any) -> RefundClaim:
    """Return the refund of a part of the payment of that number."""
    usual: dict[str, Any] = {
        "refund_id": number,
        "payment_id": number,
        "subscription_id": None,
        "imp_uid": f"imps_{number}",
        "merchant_uid": f"sub1p1n{number}",
        "paid_amount": 9_900,
        "order": RefundOrder(Price(900), "단순 변심", Requester.CUSTOMER),
        "checksum": 9_900,
        "send_number": 1,
        "claimed_at": datetime(2026, 8, 15, tzinfo=UTC),
    }
    return RefundClaim(**{**usual, **changes})


@dataclass(frozen=True)
class Sending:
    """One of the two ways in which money moves; what holds for one must hold for the other."""

    name: str
    path: str
    done: type[Paid | Refunded]
    send: Callable[[PortOne, int, Fence], Coroutine[Any, Any, Outcome | RefundOutcome]]

    def __call__(
        self, client: PortOne, number: int = 1, fence: Fence | None = None
    ) -> Coroutine[Any, Any, Outcome | RefundOutcome]:
        """Send the charge, or the refund, of that number."""
        return self.send(client, number, fence or open_fence())


SENDINGS = (
    Sending("charge", AGAIN, Paid, lambda client, n, fence: client.charge(charge(n), fence)),
    Sending("refund", CANCEL, Refunded, lambda client, n, fence: client.refund(refund(n), fence)),
)


def open_fence(send_window_s: float = 30.0) -> Fence:
    """Return a fence that has just been opened."""
    return Fence(boot_clock_s(), send_window_s)


def idle_connections(client: PortOne) -> list[ResponseHandler]:
    """Return the connections a client keeps for the next call."""
    transport = client._channel._client._transport
    assert isinstance(transport, GatewayTransport)
    session = transport.client
    assert isinstance(session, aiohttp.ClientSession)
    assert session.connector is not None
    return [kept for pool in session.connector._conns.values() for kept, _ in pool]


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - conditions of others have no event
            await asyncio.sleep(0.001)
