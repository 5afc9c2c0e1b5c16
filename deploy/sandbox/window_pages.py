"""The pages a browser sees: the window, the buyer's account at Naver and the demo shop.

A value is escaped wherever it goes into a page; only `Markup` is not, and only this module makes
any.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Final

from deploy.sandbox.naver import CARDS, Method, NaverAccounts
from deploy.sandbox.replies import Reply
from deploy.sandbox.window_desk import Result, Window
from deploy.sandbox.window_request import Action, Mode, Product, WindowRequest

_FOLDER: Final = Path(__file__).parent / "pages"
_HTML_TYPE: Final = "text/html; charset=utf-8"
_ASSET_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'"
)
_HEADERS: Final = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)
_KOREA: Final = timedelta(hours=9)

_NOTHING_REGISTERED: Final = "등록된 수단이 없습니다."


class Markup(str):
    """HTML that is put into a page as it is."""

    __slots__ = ()


def _template(name: str) -> Template:
    return Template((_FOLDER / name).read_text(encoding="utf-8"))


_WINDOW: Final = _template("window.html")
_ENDED: Final = _template("ended.html")
_NAVER: Final = _template("naver.html")
_SHOP: Final = _template("shop.html")

ASSETS: Final = {
    path.name: Reply(
        body=path.read_bytes(),
        content_type=_ASSET_TYPES[path.suffix],
        headers=(("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")),
    )
    for path in _FOLDER.iterdir()
    if path.suffix in _ASSET_TYPES
}


def open_page(window: Window, request: WindowRequest, naver: NaverAccounts, account: str) -> Reply:
    """Show an open window: what the merchant asks for, and what the buyer can do."""
    order = request.order
    title, explanation, approve = _words(request)
    return _page(
        _WINDOW,
        window_id=window.window_id,
        mode=window.mode,
        origin=window.origin or "",
        title=title,
        explanation=explanation,
        approve=approve,
        amount=order.amount,
        amount_text=f"{order.amount:,}",
        facts=_facts(request),
        products=_products(request.products),
        methods=_methods(naver.methods(account)),
        cards=_cards(),
        account=account,
    )


def ended_page(window: Window, result: Result, naver: NaverAccounts) -> Reply:
    """Show a window that has ended, and what is still registered with the buyer."""
    if result.success:
        registers = window.request is not None and window.request.is_registration
        title, tone = ("등록되었습니다" if registers else "결제되었습니다"), "success"
        facts = [("imp_uid", "imp_uid", result.imp_uid)]
    else:
        title, tone = "처리되지 않았습니다", "failure"
        facts = [
            ("error_msg", "error_msg", result.error_msg),
            ("error_code", "error_code", result.error_code),
            ("imp_uid", "imp_uid", result.imp_uid),
        ]
    return _page(
        _ENDED,
        window_id=window.window_id,
        mode=window.mode,
        origin=window.origin or "",
        success="true" if result.success else "false",
        result=json.dumps(result.response),
        title=title,
        tone=tone,
        facts=_join([Markup("<dl>"), *_terms(facts), Markup("</dl>")]),
        registered=_registered(naver, result),
        back=_way_back(window),
    )


def naver_page(naver: NaverAccounts, account: str) -> Reply:
    """Show everything that an account registered, and what of it still lives."""
    methods = list(naver.methods(account))
    live = sum(method.is_live for method in methods)
    return _page(_NAVER, account=account, live=live, methods=_methods(methods))


def shop_page(params: dict[str, Any] | None) -> Reply:
    """Show the demo shop, with the window parameters of an order or with an example."""
    return _page(_SHOP, params="" if params is None else json.dumps(params))


def _page(template: Template, **values: object) -> Reply:
    safe = {name: _safe(value) for name, value in values.items()}
    body = template.substitute(safe).encode()
    return Reply(body=body, content_type=_HTML_TYPE, headers=_HEADERS)


def _safe(value: object) -> str:
    if isinstance(value, Markup):
        return value
    # A parser turns a carriage return into a line feed unless it is written so.
    return escape(str(value)).replace("\r", "&#13;")


def _markup(template: str, **values: object) -> Markup:
    return Markup(Template(template).substitute({k: _safe(v) for k, v in values.items()}))


def _join(parts: Iterable[Markup]) -> Markup:
    return Markup("\n".join(parts))


def _words(request: WindowRequest) -> tuple[str, str, str]:
    """Give the title, an explanation and the name of the button that approves."""
    if not request.is_registration:
        return "결제", "승인하면 이 금액이 결제됩니다.", "결제하기"
    if request.action is Action.CHANGE:
        return (
            "정기결제 수단 변경",
            "표시된 금액은 결제되지 않습니다. 승인하면 이전 수단은 해지됩니다.",
            "변경하기",
        )
    return (
        "정기결제 등록",
        "표시된 금액은 결제되지 않습니다. 이전에 등록된 수단은 그대로 남습니다.",
        "등록하기",
    )


def _facts(request: WindowRequest) -> Markup:
    order = request.order
    facts: list[tuple[str, str, object]] = [
        ("상품명", "ask-name", order.name),
        ("주문번호", "ask-merchant_uid", order.merchant_uid),
    ]
    if request.is_registration:
        code = request.product_code or "지정하지 않음 (임의의 코드로 등록됩니다)"
        facts += [
            ("등록 구분", "ask-action", request.action),
            ("상품코드", "ask-product_code", code),
            ("상품 수", "ask-product_count", order.product_count),
            ("customer_uid", "ask-customer_uid", order.customer_uid),
        ]
    facts += [
        ("면세금액", "ask-tax_free", f"{order.tax_free:,}원" if order.tax_free else None),
        ("이용 완료일", "ask-use_cfm", order.naver_use_cfm),
        ("구매자", "ask-buyer_name", order.buyer_name),
        ("연락처", "ask-buyer_tel", order.buyer_tel),
        ("이메일", "ask-buyer_email", order.buyer_email),
        ("주소", "ask-buyer_addr", order.buyer_addr),
        ("우편번호", "ask-buyer_postcode", order.buyer_postcode),
        ("custom_data", "ask-custom_data", order.custom_data),
    ]
    return _join(_terms(facts))


def _terms(facts: Iterable[tuple[str, str, object]]) -> list[Markup]:
    return [
        _markup('<dt>$term</dt><dd id="$name" class="exact">$value</dd>', term=t, name=n, value=v)
        for t, n, v in facts
        if v is not None
    ]


def _products(products: tuple[Product, ...]) -> Markup:
    if not products:
        return Markup()
    head = "<table id='products'><tr><th>상품</th><th>분류</th><th>uid</th><th>수량</th></tr>"
    rows = [
        _markup(
            "<tr><td class='exact'>$name</td><td class='exact'>$kind</td>"
            "<td class='exact'>$uid</td><td>$count</td></tr>",
            name=product.name,
            kind=f"{product.category_type} / {product.category_id}",
            uid=product.uid,
            count=product.count,
        )
        for product in products
    ]
    return _join([Markup(head), *rows, Markup("</table>")])


def _cards() -> Markup:
    rows = [
        _markup(
            '<label class="card"><input type="radio" name="card" id="card-$name" value="$name"'
            "$checked> $label</label>",
            name=name,
            label=card.label,
            checked=Markup("" if place else " checked"),
        )
        for place, (name, card) in enumerate(CARDS.items())
    ]
    return _join(rows)


def _registered(naver: NaverAccounts, result: Result) -> Markup:
    """Show the buyer's account; a merchant should see at once what NEW has left behind."""
    if result.account is None:
        return Markup()
    methods = list(naver.methods(result.account))
    live = [method.customer_uid for method in methods if method.is_live]
    doubled = sorted({uid for uid in live if live.count(uid) > 1})
    warnings = [
        _markup(
            "<p class='warning' id='left-behind'>customer_uid <b class='exact'>$uid</b>(으)로 "
            "등록된 수단이 구매자에게 $count개 남아 있습니다. 포트원은 그중 마지막 수단만 알고 "
            "있습니다. 결제수단을 바꿀 때는 naverActionType을 CHANGE로 보내야 합니다.</p>",
            uid=uid,
            count=live.count(uid),
        )
        for uid in doubled
    ]
    head = _markup(
        "<section id='registered'><h2>네이버 계정 <a id='naver-account' "
        "href='/_sandbox/naver/$account'>$account</a>에 등록된 정기결제 수단 "
        "<span id='live-count'>$live</span>개</h2>",
        account=result.account,
        live=len(live),
    )
    return _join([head, *warnings, _methods(methods), Markup("</section>")])


def _methods(methods: Iterable[Method]) -> Markup:
    rows = [
        _markup(
            '<tr data-number="$number" data-live="$live" data-product-code="$code" '
            'data-customer-uid="$uid"><td class="state">$state</td>'
            '<td class="card">$card<br>$digits</td>'
            '<td><span class="exact">$code</span><br><span class="exact">$uid</span></td>'
            '<td class="when">$since 등록$until</td></tr>',
            number=method.number,
            live="true" if method.is_live else "false",
            state="등록됨" if method.is_live else "해지됨",
            card=method.card.name,
            digits=method.card.number,
            code=method.product_code,
            uid=method.customer_uid,
            since=_korean_time(method.registered_at),
            until=_until(method),
        )
        for method in methods
    ]
    if not rows:
        return _markup('<p class="soft" id="no-methods">$text</p>', text=_NOTHING_REGISTERED)
    head = (
        "<table id='methods'><tr><th>상태</th><th>카드</th><th>상품코드<br>customer_uid</th>"
        "<th>한국 시각</th></tr>"
    )
    return _join([Markup(head), *rows, Markup("</table>")])


def _until(method: Method) -> Markup:
    if method.ended_at is None:
        return Markup()
    return _markup("<br>$until 해지", until=_korean_time(method.ended_at))


def _way_back(window: Window) -> Markup:
    if window.mode is Mode.POPUP:
        return Markup('<button class="main full" id="return">상점으로 돌아가기</button>')
    if window.return_url is None:
        return Markup('<p class="soft" id="no-way-back">돌아갈 m_redirect_url이 없습니다.</p>')
    return _markup(
        '<a class="button main full" id="return" href="$address">상점으로 돌아가기</a>',
        address=window.return_url,
    )


def _korean_time(instant: float) -> str:
    return (datetime.fromtimestamp(instant, UTC) + _KOREA).strftime("%Y-%m-%d %H:%M:%S")
