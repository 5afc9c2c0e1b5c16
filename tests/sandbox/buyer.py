"""A buyer without a browser: opens windows as the SDK's form does, clicks, and reads the pages."""

import json
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import count
from typing import Any, Final

from tests.sandbox.client import Answer, Gateway

_NUMBERS: Final = count(1)
_VOID: Final = frozenset({"meta", "link", "input", "br", "option"})


class Page(HTMLParser):
    """What a browser would see: every element, and the text and attributes of those with an id."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: dict[str, dict[str, str]] = {}
        self.texts: dict[str, str] = {}
        self.rows: list[dict[str, str]] = []
        self._open: list[str | None] = []
        # A browser reads every line break as a line feed, unless it is written as an entity.
        self.feed(answer.body.decode().replace("\r\n", "\n").replace("\r", "\n"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        given = {name: value or "" for name, value in attrs}
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        if "data-live" in given and tag == "tr":
            self.rows.append(given)
        name = given.get("id")
        if name is not None:
            assert name not in self.attributes, f"{name} is there twice"
            self.attributes[name] = given
            self.texts[name] = ""
        if tag not in _VOID:
            self._open.append(name)

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        if tag not in _VOID:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        """Note a text for every element with an id around it."""
        for name in self._open:
            if name is not None:
                self.texts[name] += data


@dataclass
class Buyer:
    """One buyer with an account at Naver, in front of one merchant's windows."""

    gateway: Gateway
    account: str = "hong"

    def registration(self, **changes: Any) -> dict[str, Any]:
        """Give the parameters of a registration; a change to None leaves one out."""
        params = {
            "pg": "naverpay.sandbox",
            "customer_uid": "gildong_0001",
            "merchant_uid": f"register-{next(_NUMBERS)}",
            "name": "Slim 요금제",
            "amount": 1004,
            "buyer_tel": "010-0000-0000",
            "naverProductCode": "slim-monthly",
            "naverPopupMode": True,
            "m_redirect_url": "https://shop.example/done",
        }
        return {name: value for name, value in {**params, **changes}.items() if value is not None}

    def payment(self, **changes: Any) -> dict[str, Any]:
        """Give the parameters of a one-off payment; a change to None leaves one out."""
        params = {
            "pg": "naverpay.sandbox",
            "merchant_uid": f"pay-{next(_NUMBERS)}",
            "name": "한국사",
            "amount": 1004,
            "naverPopupMode": True,
            "m_redirect_url": "https://shop.example/done",
            "naverProducts": [product()],
        }
        return {name: value for name, value in {**params, **changes}.items() if value is not None}

    def open(self, params: dict[str, Any], *, mode: str = "redirect", **fields: str) -> str:
        """Open a window and give its path."""
        form = {"params": json.dumps(params), "mode": mode, **fields}
        answer = self.gateway.call("POST", "/_sandbox/windows", form=form)
        assert answer.status == 303, answer.body
        return answer.headers["location"]

    def page(self, path: str, *, cookie: str | None = None) -> Page:
        """Look at a page."""
        headers = {"Cookie": cookie or f"sandbox_naver_account={self.account}"}
        answer = self.gateway.call("GET", path, headers=headers)
        assert answer.status == 200, answer.body
        return Page(answer)

    def decide(self, path: str, decision: str, **form: str) -> dict[str, Any]:
        """Click a button and give what became of the window."""
        given = {"account": self.account, "decision": decision, **form}
        answer = self.gateway.call("POST", path, form=given)
        assert (answer.status, answer.headers["location"]) == (303, path), answer.body
        return self.view(path)

    def view(self, path: str) -> dict[str, Any]:
        """Read a window as JSON."""
        answer = self.gateway.call("GET", f"{path}.json")
        assert answer.status == 200, answer.body
        view: dict[str, Any] = answer.json
        return view

    def approved(self, params: dict[str, Any], *, card: str = "shinhan") -> dict[str, Any]:
        """Open a window, approve with a card and give the result."""
        result: dict[str, Any] = self.decide(self.open(params), "approve", card=card)["result"]
        return result

    def methods(self) -> list[dict[str, Any]]:
        """Read everything the buyer's account has registered."""
        path = f"/_sandbox/naver/{self.account}.json"
        rows: list[dict[str, Any]] = self.gateway.call("GET", path).json["methods"]
        return rows

    def live_cards(self) -> list[str]:
        """Read the cards that are still registered."""
        return [method["card_name"] for method in self.methods() if method["live"]]


def product(**changes: Any) -> dict[str, Any]:
    """Give one product of a one-off payment; a change to None leaves a field out."""
    values = {
        "categoryType": "BOOK",
        "categoryId": "GENERAL",
        "uid": "107922211",
        "name": "한국사",
        "count": 1,
    }
    return {name: value for name, value in {**values, **changes}.items() if value is not None}
