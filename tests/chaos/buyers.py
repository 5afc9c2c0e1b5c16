"""Buyers in front of windows: they register a method, change it, pay once, or leave."""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from shared.jobs.command import Command
from shared.jobs.commands import (
    ChangeBillingKey,
    ConfirmBillingKey,
    ConfirmPayment,
    Product,
    RegisterBillingKey,
    RequestPayment,
)
from tests.support.system import System

_TEL = "010-0000-0000"
_USED_SHARE = 0.7
_CONFIRMED_SHARE = 0.6


@dataclass
class Buyers:
    """Those who were sent to a window.

    Attributes:
        say: Publishes a command of the merchant's until it is answered.
        new_id: Returns a ``command_id``.
        used: The ``imp_uid`` of every window that was used to its end, by its ``merchant_uid``.
    """

    system: System
    chance: random.Random
    say: Callable[[Command], None]
    new_id: Callable[[], str]
    used: dict[str, str] = field(default_factory=dict)
    did: Counter[str] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)

    def ask(self) -> None:
        """Have the merchant ask for a window: for a dead key, a living one, or none at all."""
        drawn = self.chance.random()
        key = self._some_key("dead" if drawn < 0.5 else "active")
        if key is not None and drawn < 0.75:
            kind = RegisterBillingKey if drawn < 0.5 else ChangeBillingKey
            self.say(
                kind(
                    command_id=self.new_id(),
                    customer_uid=key,
                    order_name="카오스 요금제",
                    amount=9_900,
                    buyer_tel=_TEL,
                )
            )
            self.did["key windows"] += 1
            return
        product = Product(
            category_type="PRODUCT", category_id="GENERAL", uid="tea-1", name="홍차", count=1
        )
        self.say(
            RequestPayment(
                command_id=self.new_id(),
                order_name="홍차",
                amount=12_000,
                products=(product,),
                buyer_tel=_TEL,
            )
        )
        self.did["payment windows"] += 1

    def visit(self) -> None:
        """Go to one of the windows that are open, and use it or leave it."""
        rows = self.system.rows(
            "SELECT w.id, w.kind, w.merchant_uid, w.parameters, k.customer_uid FROM windows w"
            " LEFT JOIN billing_keys k ON k.id = w.billing_key_id"
            " WHERE w.status = 'ready' AND NOT w.merchant_uid = ANY(%s) ORDER BY w.merchant_uid",
            list(self._seen),
        )
        if not rows:
            return
        window = self.chance.choice(rows)
        self._seen.add(window["merchant_uid"])
        if self.chance.random() > _USED_SHARE:
            self.did["windows left"] += 1
            return
        imp_uid = self._use(window)
        if imp_uid is None:
            return
        self.used[window["merchant_uid"]] = imp_uid
        self.did["windows used"] += 1
        # Some close the browser: then only the webhook, or the end of the window, tells.
        if self.chance.random() < _CONFIRMED_SHARE:
            kind = ConfirmPayment if window["kind"] == "payment" else ConfirmBillingKey
            self.say(
                kind(
                    command_id=self.new_id(),
                    imp_uid=imp_uid,
                    merchant_uid=window["merchant_uid"],
                )
            )

    def _some_key(self, status: str) -> str | None:
        rows = self.system.rows(
            "SELECT k.customer_uid FROM billing_keys k JOIN subscriptions s"
            " ON s.billing_key_id = k.id WHERE k.status = %s AND s.cancel_at IS NULL"
            " ORDER BY md5(k.customer_uid || %s) LIMIT 1",
            status,
            str(self.chance.random()),
        )
        return rows[0]["customer_uid"] if rows else None

    def _use(self, window: dict[str, Any]) -> str | None:
        """Do in the window what it is for; return the payment's name, or None if it is refused."""
        parameters = {**window["parameters"], "buyer_tel": _TEL, "m_redirect_url": "http://a.test"}
        if window["customer_uid"]:
            parameters["customer_uid"] = window["customer_uid"]
        with httpx.Client(base_url=self.system.sandbox.url, timeout=10) as browser:
            form = {"params": json.dumps(parameters), "mode": "redirect"}
            opened = browser.post("/_sandbox/windows", data=form)
            where = opened.headers["location"]
            account = f"a{self.chance.getrandbits(40):010x}"
            browser.post(where, data={"decision": "approve", "account": account})
            shown = browser.get(f"{where}.json").json()
        result = shown.get("result") or {}
        if not result.get("success"):
            self.did["windows refused"] += 1
            return None
        return str(result["imp_uid"])
