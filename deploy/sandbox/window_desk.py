"""Windows that were opened, what became of them, and the orders of the demo shop."""

from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

from deploy.sandbox.records import Channel
from deploy.sandbox.window_request import Mode, WindowRequest

# What is kept of either; the oldest goes when another is opened.
KEPT_MAX: Final = 10_000

_Kept = TypeVar("_Kept")

# Everything that may stand in an address as it is; the rest is percent-encoded.
_ADDRESS_SAFE: Final = "!#$%&'()*+,/:;=?@[]~"


@dataclass(frozen=True, slots=True)
class Result:
    """What the merchant's page is told.

    Attributes:
        imp_uid: None where the window was refused before there was a payment.
        response: What a callback gets; of a redirect it is the source of the query.
        account: The buyer's account at Naver; None where nobody got that far.
    """

    success: bool
    merchant_uid: str | None
    imp_uid: str | None
    response: dict[str, Any]
    error_code: str | None = None
    error_msg: str | None = None
    account: str | None = None

    def address(self, redirect_url: str) -> str:
        """Give the merchant's address with the documented query parameters."""
        query: dict[str, str] = {}
        if self.imp_uid is not None:
            query["imp_uid"] = self.imp_uid
        if self.merchant_uid is not None:
            query["merchant_uid"] = self.merchant_uid
        query["imp_success"] = "true" if self.success else "false"
        if not self.success:
            query["error_code"] = self.error_code or ""
            query["error_msg"] = self.error_msg or ""
        return _with_query(redirect_url, urlencode(query, quote_via=quote, safe=""))


def refusal(
    merchant_uid: str | None,
    *,
    error_code: str,
    error_msg: str,
    imp_uid: str | None = None,
    account: str | None = None,
) -> Result:
    """Give the result of a window in which nothing was paid or registered."""
    response = {
        "success": False,
        "imp_uid": imp_uid,
        "merchant_uid": merchant_uid,
        "error_code": error_code,
        "error_msg": error_msg,
    }
    return Result(
        success=False,
        merchant_uid=merchant_uid,
        imp_uid=imp_uid,
        response=response,
        error_code=error_code,
        error_msg=error_msg,
        account=account,
    )


@dataclass(slots=True)
class Window:
    """One window; it ends once, whatever is clicked or sent again afterwards.

    Attributes:
        request: None where what the merchant sent cannot be read.
        redirect_url: Where a buyer goes back to, also then.
        origin: The page that a callback belongs to.
    """

    window_id: str
    mode: Mode
    opened_at: float
    request: WindowRequest | None = None
    redirect_url: str | None = None
    origin: str | None = None
    channel: Channel = Channel.PC
    user_agent: str | None = None
    result: Result | None = None

    @property
    def return_url(self) -> str | None:
        """Where the buyer's browser goes when the window has ended; None in a popup."""
        if self.mode is Mode.POPUP or self.result is None or self.redirect_url is None:
            return None
        return self.result.address(self.redirect_url)


@dataclass(slots=True)
class WindowDesk:
    """The windows and the shop's orders of one sandbox, the latest of them."""

    _windows: dict[str, Window] = field(default_factory=dict)
    _orders: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, window: Window) -> Window:
        """Keep a window."""
        _keep(self._windows, window.window_id, window)
        return window

    def window(self, window_id: str) -> Window | None:
        """Find a window."""
        return self._windows.get(window_id)

    def add_order(self, order_id: str, params: dict[str, Any]) -> None:
        """Keep the window parameters of an order of the demo shop."""
        _keep(self._orders, order_id, params)

    def order(self, order_id: str) -> dict[str, Any] | None:
        """Find them."""
        return self._orders.get(order_id)


def _keep(kept: dict[str, _Kept], name: str, value: _Kept) -> None:
    kept[name] = value
    while len(kept) > KEPT_MAX:
        del kept[next(iter(kept))]


def _with_query(address: str, query: str) -> str:
    """Add to an address's query, before its fragment; what is there stays byte for byte."""
    address = quote(address, safe=_ADDRESS_SAFE)
    before, hash_sign, fragment = address.partition("#")
    joint = "&" if "?" in before else "?"
    if before.endswith(("?", "&")):
        joint = ""
    return f"{before}{joint}{query}{hash_sign}{fragment}"
