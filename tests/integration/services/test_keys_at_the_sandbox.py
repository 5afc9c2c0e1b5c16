"""From the command to the money, with the real client, against the sandbox and its window."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from shared.billing.window_channel import Channel
from shared.clock import Clock, WallClock
from tests.integration.gateway.clients import client_of
from tests.sandbox.buyer import Buyer
from tests.sandbox.client import Gateway
from tests.support.billing import World
from tests.support.keys import CUSTOMER, TERMS, Shop, owing
from tests.support.sandbox import IMP_KEY, IMP_SECRET, SandboxControl
from worker.gateway.adapter import PortOneGateway


@asynccontextmanager
async def gateway_at(url: str, clock: Clock) -> AsyncIterator[PortOneGateway]:
    credentials: dict[str, Any] = {
        "imp_key": SecretStr(IMP_KEY),
        "imp_secret": SecretStr(IMP_SECRET),
    }
    async with client_of(url, **credentials) as client:
        yield PortOneGateway(client, send_window_s=30.0, clock=clock)


@pytest.fixture
def shop(world: World, sandbox: SandboxControl) -> Iterator[Shop]:
    """A shop that asks the sandbox."""
    world.clock.instant = WallClock().now()
    shop = Shop(world, replace(TERMS, channel=Channel(pg="naverpay.sandbox")))
    opened = gateway_at(sandbox.url, world.clock)
    shop.gateway = world.gateway = world.run(opened.__aenter__())  # type: ignore[assignment]
    try:
        yield shop
    finally:
        world.run(opened.__aexit__(None, None, None))


@pytest.fixture
def buyer(sandbox: SandboxControl) -> Buyer:
    address = urlsplit(sandbox.url)
    return Buyer(Gateway(address.hostname or "", address.port or 0))


def page_of(asked: Mapping[str, Any], **buyers: Any) -> dict[str, Any]:
    """What the merchant's page hands to the SDK: our parameters, the key and the buyer."""
    return {
        **asked["parameters"],
        "m_redirect_url": "https://shop.example/done",
        "buyer_tel": "010-1234-5678",
        **buyers,
    }


def test_a_registration_a_change_and_the_invoice_that_was_past_due(
    world: World, shop: Shop, buyer: Buyer, sandbox: SandboxControl
) -> None:
    asked = world.run(shop.ask())
    result = buyer.approved(page_of(asked, customer_uid=CUSTOMER))
    world.run(shop.confirm(asked, result["imp_uid"]))
    assert world.run(shop.read()) == ["confirmed"]

    sandbox.behave(CUSTOMER, ["declined"])
    (invoice_id,) = world.run(owing(world))
    assert world.run(world.charge_all()) == ["declined"]
    assert world.run(world.subscription(invoice_id)).status == "past_due"

    changing = world.run(shop.change())
    result = buyer.approved(page_of(changing, customer_uid=CUSTOMER), card="hyundai")
    assert buyer.live_cards() == ["현대카드"]
    world.run(shop.webhook(result["imp_uid"], changing["merchant_uid"]))
    assert world.run(shop.read()) == ["confirmed"]
    assert world.run(shop.key()).generation == 2

    assert world.run(world.charge_all()) == ["paid"]
    assert world.run(world.subscription(invoice_id)).status == "active"
    first, second = world.run(world.attempts(invoice_id))
    assert (first.status, second.status) == ("declined", "paid")


def test_a_change_that_the_buyer_cancels_changes_nothing(
    world: World, shop: Shop, buyer: Buyer
) -> None:
    asked = world.run(shop.ask())
    result = buyer.approved(page_of(asked, customer_uid=CUSTOMER))
    world.run(shop.confirm(asked, result["imp_uid"]))
    world.run(shop.read())
    before = buyer.live_cards()
    changing = world.run(shop.change())
    path = buyer.open(page_of(changing, customer_uid=CUSTOMER))
    told = buyer.decide(path, "cancel")["result"]
    assert told["error_msg"]
    world.pass_time(TERMS.ttl)
    assert world.run(shop.advance()) == ["expired"]
    assert buyer.live_cards() == before
    assert world.run(shop.key()).status == "active"


def test_a_single_payment_whose_webhook_was_lost(
    world: World, shop: Shop, buyer: Buyer, sandbox: SandboxControl
) -> None:
    asked = world.run(shop.request_payment(tax_free=4_000))
    assert world.run(shop.advance()) == ["ready"]
    (told,) = world.run(world.events("payment.requested"))
    result = buyer.approved(page_of(told))
    world.pass_time(TERMS.ttl)
    assert world.run(shop.advance()) == ["used"]
    assert world.run(shop.window(asked)).imp_uid == result["imp_uid"]
    (payment,) = world.run(world.rows("SELECT * FROM payments"))
    assert (payment.amount, payment.tax_free) == (14_000, 4_000)
    assert len(sandbox.paid()) == 1


def test_a_forged_imp_uid_and_one_of_another_buyer_change_nothing(
    world: World, shop: Shop, buyer: Buyer
) -> None:
    mine = world.run(shop.ask())
    theirs = world.run(shop.ask(customer_uid="another"))
    result = buyer.approved(page_of(theirs, customer_uid="another"))
    for imp_uid, ending in ((result["imp_uid"], "rejected"), ("imp_forged", "later")):
        world.run(shop.confirm(mine, imp_uid))
        assert world.run(shop.read()) == [ending]
    assert world.run(shop.key()).status == "pending"
    assert world.run(shop.key("another")).status == "pending"


def test_a_removal_takes_the_method_from_the_buyers_account(
    world: World, shop: Shop, buyer: Buyer
) -> None:
    asked = world.run(shop.ask())
    result = buyer.approved(page_of(asked, customer_uid=CUSTOMER))
    world.run(shop.confirm(asked, result["imp_uid"]))
    world.run(shop.read())
    assert len(buyer.live_cards()) == 1
    world.run(shop.delete())
    assert world.run(shop.remove()) == ["deleted"]
    assert buyer.live_cards() == []
    assert world.run(shop.key()).status == "deleted"
