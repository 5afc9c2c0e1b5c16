"""The questions a client may ask: what became of a merchant_uid, a payment, a billing key."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from deploy.sandbox import texts
from deploy.sandbox.annotations import customer_json, page_json, payment_json
from deploy.sandbox.book import in_order
from deploy.sandbox.calls import Call, Serve
from deploy.sandbox.endings import NO_DRAW, InquiryEnding, draw, pick
from deploy.sandbox.parameters import BadParametersError
from deploy.sandbox.queries import limit_of, page_of, sorting_of, status_of
from deploy.sandbox.records import Payment
from deploy.sandbox.replies import LOST, Reply, bad_gateway, failed, processed, refused
from deploy.sandbox.settings import EndpointName
from deploy.sandbox.state import Sandbox

_NOT_FOUND: Final = 404


def inquiry(name: EndpointName, answer: Callable[[Sandbox, Call], Reply]) -> Serve:
    """Give a lookup its latency and the faults of `inquiry_rates`."""

    async def serve(sandbox: Sandbox, call: Call) -> Reply:
        settings = sandbox.settings
        nth = sandbox.census.asked[call.path]
        sandbox.census.asked[call.path] += 1
        drawn = draw(settings.seed, call.path, nth) if settings.draws else NO_DRAW
        ending = pick(settings.inquiry_odds, drawn.ending)
        delay_s = settings.latency_s(name, drawn.latency)
        if ending is not None:
            sandbox.census.inquiry_endings[ending] += 1
            if ending is InquiryEnding.SLOW:
                delay_s += settings.delay_s
        if delay_s:
            await asyncio.sleep(delay_s)
        if ending is None or ending is InquiryEnding.SLOW:
            reply = _answered(answer, sandbox, call)
            return replace(reply, closing=True) if settings.closes(drawn.closing) else reply
        return _broken(ending, retry_after_s=settings.retry_after_s)

    return serve


def _answered(answer: Callable[[Sandbox, Call], Reply], sandbox: Sandbox, call: Call) -> Reply:
    try:
        return answer(sandbox, call)
    except BadParametersError as error:
        return failed(400, str(error))


def _broken(ending: InquiryEnding, *, retry_after_s: int) -> Reply:
    match ending:
        case InquiryEnding.LOST_REPLY:
            return LOST
        case InquiryEnding.BAD_GATEWAY:
            return bad_gateway()
        case InquiryEnding.THROTTLED:
            headers = (("Retry-After", str(retry_after_s)),)
            return failed(429, texts.TOO_MANY_REQUESTS, headers=headers)
        case _:
            return failed(500, texts.INTERNAL_ERROR)


def find_all(sandbox: Sandbox, call: Call) -> Reply:
    """Answer with every record of a merchant_uid, in pages."""
    query = call.query_values()
    page, limit = page_of(query), limit_of(query)
    payments = _of_merchant_uid(sandbox, call, query)
    if not payments:
        return failed(404, texts.UNKNOWN_PAYMENT)
    shown = payments[(page - 1) * limit : page * limit]
    float_amounts = sandbox.settings.float_amounts
    return processed(
        page_json(shown, total=len(payments), page=page, limit=limit, float_amounts=float_amounts)
    )


def find(sandbox: Sandbox, call: Call) -> Reply:
    """Answer with the first record of a merchant_uid in the order asked for."""
    payments = _of_merchant_uid(sandbox, call, call.query_values())
    if not payments:
        return failed(404, texts.UNKNOWN_PAYMENT)
    return _one(sandbox, payments[0])


def payment(sandbox: Sandbox, call: Call) -> Reply:
    """Answer with one record; those of a test channel only when the query asks for them."""
    found = sandbox.book.payment(call.parameters["imp_uid"])
    wants_test_payments = call.query_values().get("include_sandbox", "").lower() in {"true", "1"}
    if found is None or (found.sandbox and not wants_test_payments):
        return failed(404, texts.UNKNOWN_PAYMENT)
    return _one(sandbox, found)


def customer(sandbox: Sandbox, call: Call) -> Reply:
    """Answer with one billing key."""
    customer_uid = call.parameters["customer_uid"]
    key = sandbox.book.key(customer_uid)
    return unknown_customer(sandbox, customer_uid) if key is None else processed(customer_json(key))


def unknown_customer(sandbox: Sandbox, customer_uid: str) -> Reply:
    """Answer that there is no billing key; live clients and the specification disagree how."""
    message = texts.UNKNOWN_CUSTOMER.format(customer_uid=customer_uid)
    if sandbox.settings.unknown_customer_status == _NOT_FOUND:
        return failed(404, message)
    return refused(message)


def _one(sandbox: Sandbox, found: Payment) -> Reply:
    return processed(payment_json(found, float_amounts=sandbox.settings.float_amounts))


def _of_merchant_uid(sandbox: Sandbox, call: Call, query: dict[str, str]) -> list[Payment]:
    merchant_uid = call.parameters["merchant_uid"]
    if not merchant_uid:
        raise BadParametersError(texts.MISSING_PARAMETERS.format(names="merchant_uid"))
    wanted = status_of(call.parameters.get("payment_status"))
    sorting = sorting_of(query)
    hides_tests = sandbox.settings.lists_hide_test_payments
    payments = (
        found
        for found in sandbox.book.payments_of(merchant_uid)
        if (wanted is None or found.status == wanted) and not (hides_tests and found.sandbox)
    )
    return in_order(payments, sorting)
