"""The endpoints of the window: a browser's pages, and the same as JSON for tests.

A path that ends in `.json` answers with JSON, which pages of any origin may read.
"""

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from deploy.sandbox.bodies import BadBodyError, read_json_object, read_parameters
from deploy.sandbox.calls import Call, Endpoint, Serve
from deploy.sandbox.naver import CARDS, DEFAULT_ACCOUNT, account_view, is_account
from deploy.sandbox.records import Channel
from deploy.sandbox.replies import Reply, control
from deploy.sandbox.settings import InvalidInputError
from deploy.sandbox.state import Sandbox
from deploy.sandbox.window import Answer, Decision, decide, open_window
from deploy.sandbox.window_desk import Window
from deploy.sandbox.window_pages import ASSETS, ended_page, naver_page, open_page, shop_page
from deploy.sandbox.window_request import Mode, is_web_address

_COOKIE: Final = "sandbox_naver_account"
_COOKIE_ATTRIBUTES: Final = "Path=/_sandbox; SameSite=Lax; HttpOnly"
_JSON_SUFFIX: Final = ".json"
_ANY_ORIGIN: Final = (("Access-Control-Allow-Origin", "*"),)
_DEFAULT_CARD: Final = next(iter(CARDS))
_DEFAULT_CODE: Final = "Fail"


class _NotThereError(LookupError):
    """There is no such thing; the message names it."""


def _guarded(answer: Callable[[Sandbox, Call], Reply]) -> Serve:
    async def serve(sandbox: Sandbox, call: Call) -> Reply:
        try:
            return answer(sandbox, call)
        except (BadBodyError, InvalidInputError) as error:
            return control({"error": str(error)}, status=400)
        except _NotThereError as error:
            return control({"error": str(error)}, status=404)

    return serve


def _open(sandbox: Sandbox, call: Call) -> Reply:
    """Open a window, as the SDK's form does, and go to its page."""
    form = read_parameters(call.body, call.content_type).values
    given = form.get("params")
    if isinstance(given, str):
        try:
            given = read_json_object(given.encode())
        except UnicodeEncodeError:
            raise InvalidInputError("params: holds half a character") from None
    if not isinstance(given, dict):
        raise InvalidInputError("params: must be the object that request_pay is called with")
    mode = form.get("mode", Mode.REDIRECT)
    if mode not in set(Mode):
        raise InvalidInputError(f"mode: must be one of {', '.join(Mode)}")
    origin = form.get("origin")
    if origin is not None and not (isinstance(origin, str) and is_web_address(origin)):
        raise InvalidInputError("origin: must be the http or https origin of the merchant's page")
    user_agent = call.headers.get("User-Agent")
    window = open_window(
        sandbox,
        given,
        mode=Mode(mode),
        origin=origin,
        channel=Channel.MOBILE if "Mobi" in (user_agent or "") else Channel.PC,
        user_agent=user_agent,
    )
    return _see(f"/_sandbox/windows/{window.window_id}")


def _show(sandbox: Sandbox, call: Call) -> Reply:
    window, as_json = _window(sandbox, call)
    if as_json:
        return _as_json(sandbox, window)
    if window.result is not None:
        return ended_page(window, window.result, sandbox.naver)
    if window.request is None:
        raise AssertionError("a window without a request has ended when it opens")
    asked = call.query_values().get("account")
    account = _account_of(call) if asked is None else _checked(asked)
    page = open_page(window, window.request, sandbox.naver, account)
    return page if asked is None else _remembered(page, account)


def _decide(sandbox: Sandbox, call: Call) -> Reply:
    window, as_json = _window(sandbox, call)
    form = read_parameters(call.body, call.content_type).values
    answer = _answer(form, call)
    decide(sandbox, window, answer)
    if as_json:
        return _as_json(sandbox, window)
    return _remembered(_see(f"/_sandbox/windows/{window.window_id}"), answer.account)


def _answer(form: dict[str, Any], call: Call) -> Answer:
    for name, value in form.items():
        if not isinstance(value, str) or not _is_whole(value):
            raise InvalidInputError(f"{name}: must be a string without half characters")
    decision = form.get("decision")
    if decision not in set(Decision):
        raise InvalidInputError(f"decision: must be one of {', '.join(Decision)}")
    card = CARDS.get(form.get("card", _DEFAULT_CARD))
    if card is None:
        raise InvalidInputError(f"card: must be one of {', '.join(CARDS)}")
    text = form.get("error_msg", "")
    if decision == Decision.FAIL and not text:
        raise InvalidInputError("error_msg: must say why the window is to fail")
    account = form.get("account")
    return Answer(
        decision=Decision(decision),
        account=_account_of(call) if account is None else _checked(account),
        card=card,
        error_code=form.get("error_code") or _DEFAULT_CODE,
        error_msg=text,
    )


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _naver(sandbox: Sandbox, call: Call) -> Reply:
    name = call.parameters["account"]
    account = _checked(name.removesuffix(_JSON_SUFFIX))
    if name.endswith(_JSON_SUFFIX):
        return replace(control(account_view(sandbox.naver, account)), headers=_ANY_ORIGIN)
    return naver_page(sandbox.naver, account)


def _shop(sandbox: Sandbox, call: Call) -> Reply:
    order_id = call.parameters.get("order")
    if order_id is None:
        return shop_page(None)
    params = sandbox.windows.order(order_id)
    if params is None:
        raise _NotThereError(f"no order {order_id!r} in the shop")
    return shop_page(params)


def _add_order(sandbox: Sandbox, call: Call) -> Reply:
    order_id = secrets.token_hex(8)
    sandbox.windows.add_order(order_id, read_json_object(call.body))
    return control({"url": f"/_sandbox/shop/{order_id}"})


def _asset(_sandbox: Sandbox, call: Call) -> Reply:
    found = ASSETS.get(call.parameters["name"])
    if found is None:
        raise _NotThereError(f"no such file; known are {', '.join(sorted(ASSETS))}")
    return found


def _window(sandbox: Sandbox, call: Call) -> tuple[Window, bool]:
    name = call.parameters["window"]
    window_id = name.removesuffix(_JSON_SUFFIX)
    window = sandbox.windows.window(window_id)
    if window is None:
        raise _NotThereError(f"no window {window_id!r}")
    return window, name != window_id


def _as_json(sandbox: Sandbox, window: Window) -> Reply:
    request, result = window.request, window.result
    account = None if result is None else result.account
    shown = {
        "window": window.window_id,
        "state": "open" if result is None else "ended",
        "mode": window.mode,
        "merchant_uid": None if request is None else request.order.merchant_uid,
        "customer_uid": None if request is None else request.order.customer_uid,
        "amount": None if request is None else request.order.amount,
        "name": None if request is None else request.order.name,
        "action": request.action if request is not None and request.is_registration else None,
        "product_code": None if request is None else request.product_code,
        "result": None if result is None else result.response,
        "return_url": window.return_url,
        "naver": None if account is None else account_view(sandbox.naver, account),
    }
    return replace(control(shown), headers=_ANY_ORIGIN)


def _account_of(call: Call) -> str:
    """Give the account that this browser is logged in to."""
    for cookie in call.headers.get("Cookie", "").split(";"):
        name, _, value = cookie.strip().partition("=")
        if name == _COOKIE and is_account(value):
            return value
    return DEFAULT_ACCOUNT


def _checked(account: str) -> str:
    if not is_account(account):
        raise InvalidInputError("account: must be letters, digits, _ and -, at most 40 of them")
    return account


def _remembered(reply: Reply, account: str) -> Reply:
    cookie = ("Set-Cookie", f"{_COOKIE}={account}; {_COOKIE_ATTRIBUTES}")
    return replace(reply, headers=(*reply.headers, cookie))


def _see(path: str) -> Reply:
    return Reply(status=303, headers=(("Location", path), ("Cache-Control", "no-store")))


_ANSWERS: Final[tuple[tuple[str, str, Callable[[Sandbox, Call], Reply]], ...]] = (
    ("POST", "/_sandbox/windows", _open),
    ("GET", "/_sandbox/windows/{window}", _show),
    ("POST", "/_sandbox/windows/{window}", _decide),
    ("GET", "/_sandbox/naver/{account}", _naver),
    ("GET", "/_sandbox/shop", _shop),
    ("POST", "/_sandbox/shop", _add_order),
    ("GET", "/_sandbox/shop/{order}", _shop),
    ("GET", "/_sandbox/sdk/{name}", _asset),
    ("GET", "/_sandbox/assets/{name}", _asset),
)

ENDPOINTS: Final = tuple(
    Endpoint(method, path, _guarded(answer), needs_token=False) for method, path, answer in _ANSWERS
)
