"""A buyer registers a payment method, loses it, changes it, and pays what was past due.

Real processes, the sandbox's window in a real browser, and a merchant who speaks to us in messages
and hears of us in events.
"""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from playwright.sync_api import Browser, Page

from shared.db.subscriptions import NewSubscription
from shared.jobs.commands import ChangeBillingKey, ConfirmBillingKey, RegisterBillingKey
from tests.support.browser import browser
from tests.support.system import CHECKOUT, System, ready

# Kept beside what else runs leave behind; nothing reads them but people.
ARTEFACTS = CHECKOUT / ".dalmada" / "artefacts"
BUYER = {"buyer_name": "홍길동", "buyer_tel": "010-1234-5678", "buyer_email": "buyer@example.com"}
PRODUCT_CODE = "slim-monthly"
pytestmark = pytest.mark.parametrize(
    "system",
    [{"DALMADA_DUNNING_DELAYS_S": "[86400]", "DALMADA_PORTONE_PG": "naverpay.slim"}],
    indirect=True,
)


class Merchant:
    """The shop on whose behalf we bill: it sends commands and reads events."""

    def __init__(self, system: System, running: Browser) -> None:
        self.system = system
        self.browser = running
        self.customer_uid = f"buyer_{uuid.uuid4().hex}"
        self._redis = redis.Redis.from_url(system.servers.valkey.url, decode_responses=True)
        self._context = running.new_context(locale="ko-KR")

    def event(self, name: str) -> dict[str, Any]:
        """Wait for an event and return what it tells."""

        def told() -> list[dict[str, Any]]:
            entries: Any = self._redis.xrange("dalmada:events")
            return [json.loads(entry["data"]) for _, entry in entries if entry["name"] == name]

        return self.system.wait(told, f"the event {name}")[-1]

    def register(self) -> dict[str, Any]:
        """Ask for a window in which the buyer registers a payment method."""
        self.system.publish(
            RegisterBillingKey(
                command_id=uuid.uuid4().hex,
                customer_uid=self.customer_uid,
                order_name="Slim 요금제",
                amount=9_900,
                product_code=PRODUCT_CODE,
                **BUYER,
            )
        )
        return self._window(self.event("billing_key.registration_requested"))

    def change(self) -> dict[str, Any]:
        """Ask for a window in which the buyer changes it."""
        self.system.publish(
            ChangeBillingKey(
                command_id=uuid.uuid4().hex,
                customer_uid=self.customer_uid,
                order_name="Slim 요금제",
                amount=9_900,
                product_code=PRODUCT_CODE,
                **BUYER,
            )
        )
        return self._window(self.event("billing_key.change_requested"))

    def _window(self, told: dict[str, Any]) -> dict[str, Any]:
        """Add to what we told what only the merchant knows of its buyer."""
        return {**told["parameters"], "customer_uid": self.customer_uid, **BUYER}

    def confirm(self, result: dict[str, Any]) -> None:
        """Pass on what the buyer's browser brought back."""
        self.system.publish(
            ConfirmBillingKey(
                command_id=uuid.uuid4().hex,
                imp_uid=result["imp_uid"],
                merchant_uid=result["merchant_uid"],
            )
        )

    def subscribe(self) -> NewSubscription:
        """Add a subscription that is billed with the registered method."""
        # The browser's driver keeps an event loop in this thread; the rows need one of their own.
        with ThreadPoolExecutor(1) as pool:
            added = pool.submit(
                self.system.subscribe, registered=False, customer_uid=self.customer_uid
            )
            (subscription,) = added.result()
        return subscription

    def walk(self, parameters: dict[str, Any], card: str, picture: str) -> dict[str, Any]:
        """Open the window, choose a card, go back to the shop; return what the shop was told."""
        page = self._context.new_page()
        page.goto(self.system.sandbox.shop(parameters))
        with page.expect_popup() as popup:
            page.click("#open")
        window = popup.value
        window.wait_for_selector("body#window[data-state=open]")
        self._keep(window, f"{picture}-asked")
        window.check(f"#card-{card}")
        window.click("#approve")
        window.wait_for_selector("body#window[data-state=ended]")
        self._keep(window, f"{picture}-done")
        # The window closes itself within the click, so the click is not waited for: a driver that
        # waits for it may see its page vanish meanwhile.
        window.click("#return", trial=True)
        with window.expect_event("close"):
            window.evaluate("setTimeout(() => document.querySelector('#return').click())")
        page.wait_for_selector("#answer[data-source=callback]")
        self._keep(page, f"{picture}-shop")
        answer: dict[str, Any] = json.loads(page.inner_text("#result"))
        page.close()
        return answer

    def methods(self) -> tuple[int, str]:
        """Return how many methods are registered at the buyer's Naver account, and show them."""
        page = self._context.new_page()
        page.goto(f"{self.system.sandbox.url}/_sandbox/naver/naver-buyer")
        self._keep(page, "3-naver-account")
        live = int(page.inner_text("#live-count"))
        shown = page.inner_text("#methods")
        page.close()
        return live, shown

    def _keep(self, page: Page, name: str) -> None:
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=ARTEFACTS / f"buyers-window-{name}.png", full_page=True)


def test_a_past_due_invoice_is_paid_on_the_changed_key(system: System) -> None:
    system.start(workers=1)
    ready(system.command_worker())
    with browser() as running:
        merchant = Merchant(system, running)

        merchant.confirm(merchant.walk(merchant.register(), "shinhan", "1-register"))
        merchant.event("billing_key.registered")

        # The first renewal is declined, and dunning would come back tomorrow.
        system.sandbox.behave(merchant.customer_uid, ["declined"])
        subscription = merchant.subscribe()
        declined = merchant.event("payment.declined")
        assert declined["fail_reason"] == "잔액 부족"
        assert system.value("SELECT status FROM subscriptions") == "past_due"

        merchant.confirm(merchant.walk(merchant.change(), "hyundai", "2-change"))
        merchant.event("billing_key.changed")
        paid = merchant.event("invoice.paid")

        # The old card is gone from the buyer's account: that is what CHANGE is for.
        live, shown = merchant.methods()
        assert live == 1
        assert "현대" in shown
    assert paid["attempt_number"] == 2
    assert system.value("SELECT status FROM subscriptions WHERE id = %s", subscription.id) == (
        "active"
    )
    attempts = system.rows("SELECT number, status, key_generation FROM payment_attempts")
    assert [(row["number"], row["status"]) for row in attempts] == [(1, "declined"), (2, "paid")]
    assert attempts[1]["key_generation"] == attempts[0]["key_generation"] + 1
    assert _pictures() >= {"1-register-done", "2-change-done", "3-naver-account"}


def _pictures() -> set[str]:
    """Return the names of the pictures that are worth looking at."""
    prefix = "buyers-window-"
    found = (path for path in ARTEFACTS.glob(f"{prefix}*.png") if _is_png(path))
    return {path.stem.removeprefix(prefix) for path in found}


def _is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 1_000
