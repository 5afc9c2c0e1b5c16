"""The life of a window: opened for a merchant, ended once by the buyer.

What PortOne refuses by itself has no imp_uid and is not booked. What Naver refuses, and what the
buyer cancels, is booked as failed with the text that goes to the merchant's page.
"""

import json
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from deploy.sandbox import texts
from deploy.sandbox.annotations import payment_json
from deploy.sandbox.book import Refusal
from deploy.sandbox.naver import Card, Method, RegistrationRefusal
from deploy.sandbox.orders import AMOUNT_MIN
from deploy.sandbox.records import (
    APPROVED,
    BillingKey,
    Channel,
    Payment,
    Status,
    Usage,
    Verdict,
)
from deploy.sandbox.state import Sandbox
from deploy.sandbox.window_desk import Result, Window, refusal
from deploy.sandbox.window_request import (
    Action,
    BadRequestError,
    Mode,
    WindowRequest,
    read_request,
    return_address,
)

# The fields of a payment that a callback is documented to hold; `paid_amount`, `success` and
# `pg_type` come on top.
_ANSWERED: Final = (
    "apply_num",
    "bank_name",
    "buyer_addr",
    "buyer_email",
    "buyer_name",
    "buyer_postcode",
    "buyer_tel",
    "card_name",
    "card_number",
    "card_quota",
    "currency",
    "custom_data",
    "imp_uid",
    "merchant_uid",
    "name",
    "paid_at",
    "pay_method",
    "pg_provider",
    "pg_tid",
    "receipt_url",
    "status",
)

_REGISTRATION_TEXTS: Final = {
    RegistrationRefusal.ALREADY_REGISTERED: texts.ALREADY_REGISTERED,
    RegistrationRefusal.NOTHING_TO_CHANGE: texts.NOTHING_TO_CHANGE,
    RegistrationRefusal.OTHER_ACCOUNT: texts.OTHER_NAVER_ACCOUNT,
}


class Decision(StrEnum):
    """What the buyer does with an open window."""

    APPROVE = "approve"
    CANCEL = "cancel"
    CLOSE = "close"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision with what belongs to it.

    Attributes:
        error_code: With FAIL: what the merchant's page gets as `error_code`.
        error_msg: With FAIL: what it gets as `error_msg`, byte for byte.
    """

    decision: Decision
    account: str
    card: Card
    error_code: str = ""
    error_msg: str = ""


def open_window(
    sandbox: Sandbox,
    params: dict[str, Any],
    *,
    mode: Mode,
    origin: str | None = None,
    channel: Channel = Channel.PC,
    user_agent: str | None = None,
) -> Window:
    """Open a window for what a merchant asks for; one that cannot be has ended when it opens."""
    at = sandbox.clock.now()
    window = Window(
        window_id=secrets.token_hex(12),
        mode=mode,
        opened_at=at,
        redirect_url=return_address(params),
        origin=origin,
        channel=channel,
        user_agent=user_agent,
    )
    try:
        window.request = read_request(params, mode=mode, at=at)
    except BadRequestError as error:
        merchant_uid = params.get("merchant_uid")
        window.result = refusal(
            merchant_uid if isinstance(merchant_uid, str) else None,
            error_code=texts.BAD_WINDOW_CODE,
            error_msg=f"{texts.SANDBOX}{error}",
        )
    else:
        window.result = _refused_on_opening(sandbox, window, window.request)
    return sandbox.windows.add(window)


def _refused_on_opening(sandbox: Sandbox, window: Window, request: WindowRequest) -> Result | None:
    order = request.order
    if sandbox.book.is_used_up(order.merchant_uid, sandbox.settings.duplicate_policy):
        return _already_paid(order.merchant_uid)
    prepared = sandbox.book.prepared_amount(order.merchant_uid)
    if prepared is not None and prepared != order.amount:
        return refusal(
            order.merchant_uid,
            error_code=texts.PREPARED_AMOUNT_CODE,
            error_msg=texts.PREPARED_AMOUNT_DIFFERS.format(asked=order.amount, prepared=prepared),
        )
    if order.amount < AMOUNT_MIN:
        text = texts.AMOUNT_BELOW_MINIMUM.format(minimum=AMOUNT_MIN)
        return _book_failure(sandbox, window, request, texts.MINIMUM_CODE, text)
    return None


def decide(sandbox: Sandbox, window: Window, answer: Answer) -> Result:
    """End a window as the buyer decides; of one that has ended, give what became of it."""
    if window.result is None:
        if window.request is None:
            raise AssertionError("a window without a request has ended when it opens")
        window.result = _decided(sandbox, window, window.request, answer)
    return window.result


def _decided(sandbox: Sandbox, window: Window, request: WindowRequest, answer: Answer) -> Result:
    account = answer.account
    match answer.decision:
        case Decision.APPROVE:
            return _approved(sandbox, window, request, answer)
        case Decision.CANCEL:
            code, text = texts.CANCELLED_CODE, texts.WINDOW_CANCELLED
        case Decision.CLOSE:
            code, text = texts.CANCELLED_CODE, texts.WINDOW_CLOSED
        case Decision.FAIL:
            code, text = answer.error_code, answer.error_msg
    return _book_failure(sandbox, window, request, code, text, account=account)


def _approved(sandbox: Sandbox, window: Window, request: WindowRequest, answer: Answer) -> Result:
    """Pay or register; another window may have paid the same merchant_uid meanwhile."""
    order = request.order
    if sandbox.book.is_used_up(order.merchant_uid, sandbox.settings.duplicate_policy):
        return _already_paid(order.merchant_uid, account=answer.account)
    if not request.is_registration:
        # A method that was used once has no customer_uid.
        used = _billing_key(sandbox, "", request, answer.card)
        return _book_success(sandbox, window, request, used, None, account=answer.account)
    registered = _register_at_naver(sandbox, request, order.customer_uid or "", answer)
    if isinstance(registered, RegistrationRefusal):
        return _book_failure(
            sandbox,
            window,
            request,
            texts.REGISTRATION_CODE,
            _REGISTRATION_TEXTS[registered],
            account=answer.account,
        )
    key = _billing_key(sandbox, registered.customer_uid, request, answer.card)
    key = sandbox.book.register(key)
    return _book_success(sandbox, window, request, key, Usage.ISSUE, account=answer.account)


def _register_at_naver(
    sandbox: Sandbox, request: WindowRequest, customer_uid: str, answer: Answer
) -> Method | RegistrationRefusal:
    at = sandbox.clock.now()
    naver = sandbox.naver
    # As documented: without a code every registration is a product of its own.
    product_code = request.product_code or _random_code()
    known = sandbox.book.key(customer_uid)
    if known is not None and naver.behind(customer_uid) is None:
        # Registered by the control API, "as if the buyer had been through the window".
        card = Card(
            known.card_name, known.card_code or "", known.card_number or "", known.card_type or 0
        )
        code = request.product_code or _random_code()
        adopted = naver.register(answer.account, code, customer_uid, card, at=known.inserted_at)
        if isinstance(adopted, RegistrationRefusal):
            return adopted
    act = naver.change if request.action is Action.CHANGE else naver.register
    return act(answer.account, product_code, customer_uid, answer.card, at=at)


def _random_code() -> str:
    return f"random-{secrets.token_hex(6)}"


def _billing_key(
    sandbox: Sandbox, customer_uid: str, request: WindowRequest, card: Card
) -> BillingKey:
    at = sandbox.clock.now()
    order = request.order
    return BillingKey(
        customer_uid=customer_uid,
        inserted_at=at,
        updated_at=at,
        sandbox=sandbox.settings.test_channel,
        card_name=card.name,
        card_code=card.code,
        card_number=card.number,
        card_type=card.type,
        customer_name=order.buyer_name,
        customer_tel=order.buyer_tel,
        customer_email=order.buyer_email,
        customer_addr=order.buyer_addr,
        customer_postcode=order.buyer_postcode,
    )


def _book_success(
    sandbox: Sandbox,
    window: Window,
    request: WindowRequest,
    key: BillingKey,
    usage: Usage | None,
    *,
    account: str,
) -> Result:
    booked = _enter(sandbox, window, request, APPROVED, usage, key)
    if isinstance(booked, Refusal):
        return _already_paid(request.order.merchant_uid, account=account)
    sandbox.webhooks.payment(booked)
    return Result(
        success=True,
        merchant_uid=booked.order.merchant_uid,
        imp_uid=booked.imp_uid,
        response=_response(booked),
        account=account,
    )


def _book_failure(
    sandbox: Sandbox,
    window: Window,
    request: WindowRequest,
    error_code: str,
    error_msg: str,
    *,
    account: str | None = None,
) -> Result:
    usage = Usage.ISSUE if request.is_registration else None
    booked = _enter(sandbox, window, request, Verdict(Status.FAILED, error_msg), usage, None)
    # Another window has paid meanwhile: then this failure is told, and leaves no record.
    imp_uid = None if isinstance(booked, Refusal) else booked.imp_uid
    return refusal(
        request.order.merchant_uid,
        error_code=error_code,
        error_msg=error_msg,
        imp_uid=imp_uid,
        account=account,
    )


def _enter(
    sandbox: Sandbox,
    window: Window,
    request: WindowRequest,
    verdict: Verdict,
    usage: Usage | None,
    key: BillingKey | None,
) -> Payment | Refusal:
    return sandbox.book.enter_window(
        request.order,
        verdict,
        usage=usage,
        channel=window.channel,
        started_at=window.opened_at,
        at=sandbox.clock.now(),
        policy=sandbox.settings.duplicate_policy,
        key=key,
        sandbox=sandbox.settings.test_channel,
        user_agent=window.user_agent,
    )


def _already_paid(merchant_uid: str, *, account: str | None = None) -> Result:
    return refusal(
        merchant_uid,
        error_code=texts.ALREADY_PAID_CODE,
        error_msg=texts.ALREADY_PAID,
        account=account,
    )


def _response(payment: Payment) -> dict[str, Any]:
    """Give what a callback is documented to hold."""
    shown = json.loads(payment_json(payment))
    answered = {name: shown[name] for name in _ANSWERED}
    return {
        "success": True,
        **answered,
        "paid_amount": payment.order.amount,
        "pg_type": "payment",
    }
