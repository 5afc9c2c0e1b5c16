"""`POST /subscribe/payments/again`: one charge on a billing key, with every way it can end.

A charge arrives (its parameters are read and its ending is chosen) and is concluded (the book is
changed and the reply made). Only waiting in between needs a running loop, so a simulation can
call the two halves and move its own clock.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from deploy.sandbox import texts
from deploy.sandbox.annotations import payment_json
from deploy.sandbox.bodies import BadBodyError, read_parameters
from deploy.sandbox.book import APPROVED, Book, Order, Payment, Refusal, Status, Verdict
from deploy.sandbox.calls import Call
from deploy.sandbox.census import Result, SeenCharge
from deploy.sandbox.endings import DELAYED, NO_DRAW, PAID, Draw, Ending, Step, draw, pick
from deploy.sandbox.orders import BadParametersError, read_order
from deploy.sandbox.replies import (
    HANGING,
    LOST,
    RESET,
    Reply,
    Wire,
    bad_gateway,
    failed,
    garbled,
    processed,
    refused,
)
from deploy.sandbox.state import Sandbox

NAME: Final = "again"

# What the bank says under each ending that reaches it. The others book nothing.
_BOOKED_AS: Final[dict[Ending, Verdict]] = {
    Ending.PAID: APPROVED,
    Ending.LOST_REPLY: APPROVED,
    Ending.LATE_SUCCESS: APPROVED,
    Ending.ERROR_500_PAID: APPROVED,
    Ending.BAD_GATEWAY_PAID: APPROVED,
    Ending.TRUNCATED: APPROVED,
    Ending.GARBAGE: APPROVED,
    Ending.SLOW: APPROVED,
    Ending.WRONG_AMOUNT: APPROVED,
    Ending.WRONG_CUSTOMER: APPROVED,
    Ending.READY: Verdict(Status.READY),
    Ending.DECLINED: Verdict(Status.FAILED, texts.INSUFFICIENT_BALANCE),
    Ending.SLOW_DECLINED: Verdict(Status.FAILED, texts.INSUFFICIENT_BALANCE),
    Ending.LIMIT_EXCEEDED: Verdict(Status.FAILED, texts.LIMIT_EXCEEDED),
    # Its key is gone by then, so the book refuses it by itself.
    Ending.KEY_ENDED: APPROVED,
}

_UNBOOKED: Final[dict[Ending, Reply]] = {
    Ending.LOST_REQUEST: LOST,
    Ending.RESET: RESET,
    Ending.HANG: HANGING,
    Ending.ERROR_500: failed(500, texts.INTERNAL_ERROR),
    Ending.BAD_GATEWAY: bad_gateway(),
    Ending.UNAUTHORIZED: failed(401, texts.UNAUTHORIZED),
}

_RESULTS: Final = {
    Status.PAID: Result.BOOKED_PAID,
    Status.FAILED: Result.BOOKED_FAILED,
    Status.READY: Result.BOOKED_READY,
    Refusal.UNKNOWN_BUYER: Result.REFUSED_UNKNOWN_BUYER,
    Refusal.DUPLICATE_ORDER: Result.REFUSED_DUPLICATE_ORDER,
}

_REFUSAL_TEXTS: Final = {
    Refusal.UNKNOWN_BUYER: texts.UNKNOWN_BUYER,
    Refusal.DUPLICATE_ORDER: texts.DUPLICATE_ORDER,
}


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge request that was understood and waits to be concluded.

    Attributes:
        delay_s: Seconds until it is to be concluded.
        late_s: For late_success: seconds from then until it is booked.
        closing: Whether the connection is closed after the reply.
        book: The book of the time it arrived; see `Sandbox`.
    """

    order: Order
    step: Step
    started_at: float
    delay_s: float
    late_s: float
    closing: bool
    book: Book
    seen: SeenCharge


async def serve(sandbox: Sandbox, call: Call) -> Reply:
    """Answer a charge request after the time it is to take.

    A client that leaves meanwhile changes nothing: the charge goes on without it.
    """
    try:
        charge = arrive(sandbox, call)
    except BadBodyError as error:
        return failed(error.status, f"{texts.SANDBOX}{error}")
    except BadParametersError as error:
        return failed(400, str(error))
    if charge.delay_s:
        await asyncio.sleep(charge.delay_s)
    reply = conclude(sandbox, charge)
    if charge.step.ending is Ending.LATE_SUCCESS:
        asyncio.get_running_loop().call_later(charge.late_s, book, sandbox, charge)
    return replace(reply, closing=True) if charge.closing else reply


def arrive(sandbox: Sandbox, call: Call) -> Charge:
    """Read a charge request and choose its ending.

    Raises:
        BadBodyError, BadParametersError: it was not understood; no step of a script is used up.
    """
    at = sandbox.clock.now()
    parameters = read_parameters(call.body, call.content_type)
    seen = SeenCharge(at, parameters.values)
    merchant_uid = parameters.values.get("merchant_uid")
    nth = sandbox.census.note(merchant_uid if isinstance(merchant_uid, str) else "", seen)
    try:
        order = read_order(parameters, at=at)
    except BadParametersError:
        seen.result = Result.BAD_PARAMETERS
        raise
    settings = sandbox.settings
    drawn = draw(settings.seed, order.merchant_uid, nth) if settings.draws else NO_DRAW
    step = _choose(sandbox, order.customer_uid, drawn)
    seen.ending = step.ending
    sandbox.census.endings[step.ending] += 1
    delay_s = settings.latency_s(NAME, drawn.latency)
    own_s = step.delay_s
    if own_s is None:
        own_s = settings.delay_s if step.ending in DELAYED else 0.0
    is_late = step.ending is Ending.LATE_SUCCESS
    return Charge(
        order=order,
        step=step,
        started_at=at,
        delay_s=delay_s if is_late else delay_s + own_s,
        late_s=own_s if is_late else 0.0,
        closing=settings.closes(drawn.closing),
        book=sandbox.book,
        seen=seen,
    )


def _choose(sandbox: Sandbox, customer_uid: str, drawn: Draw) -> Step:
    settings = sandbox.settings
    if settings.fail_all is not None:
        return Step(settings.fail_all)
    script = sandbox.scripts.get(customer_uid)
    if script is not None:
        return script.take()
    ending = pick(settings.odds, drawn.ending)
    return PAID if ending is None else Step(ending)


def conclude(sandbox: Sandbox, charge: Charge) -> Reply:
    """Change the book as the ending says and make the reply.

    Whether the buyer is known and the merchant_uid is free is asked here and not on arrival:
    of two equal requests that wait together, the first to finish is booked.
    """
    step = charge.step
    if step.ending is Ending.KEY_ENDED:
        charge.book.end_key(charge.order.customer_uid)
    if step.ending is Ending.LATE_SUCCESS:
        return HANGING if step.hang else LOST
    if step.ending in _BOOKED_AS:
        return _carried(step.ending, _reply(sandbox, charge, book(sandbox, charge)))
    charge.seen.result = Result.NOTHING
    return _unbooked(sandbox, step)


def book(sandbox: Sandbox, charge: Charge) -> Payment | Refusal:
    """Book the charge, or be refused by the book; also what a late success does when it is due."""
    settings = sandbox.settings
    verdict = _BOOKED_AS[charge.step.ending]
    if charge.step.fail_reason is not None:
        verdict = replace(verdict, fail_reason=charge.step.fail_reason)
    booked = charge.book.charge(
        charge.order,
        verdict,
        started_at=charge.started_at,
        at=sandbox.clock.now(),
        policy=settings.duplicate_policy,
        sandbox=settings.test_channel,
    )
    if isinstance(booked, Refusal):
        charge.seen.result = _RESULTS[booked]
    else:
        charge.seen.result = _RESULTS[booked.status]
        charge.seen.imp_uid = booked.imp_uid
    return booked


def _reply(sandbox: Sandbox, charge: Charge, booked: Payment | Refusal) -> Reply:
    if isinstance(booked, Refusal):
        return refused(_REFUSAL_TEXTS[booked])
    shown = _shown(charge.step.ending, booked)
    return processed(payment_json(shown, float_amounts=sandbox.settings.float_amounts))


def _shown(ending: Ending, booked: Payment) -> Payment:
    """Give the payment as the reply tells it; the book keeps the true one."""
    order = booked.order
    if ending is Ending.WRONG_AMOUNT:
        return replace(booked, order=replace(order, amount=order.amount + 1))
    if ending is Ending.WRONG_CUSTOMER:
        return replace(booked, order=replace(order, customer_uid=f"{order.customer_uid}-other"))
    return booked


def _carried(ending: Ending, reply: Reply) -> Reply:
    """Give what the client gets of a reply to a request that reached the book."""
    match ending:
        case Ending.LOST_REPLY:
            return LOST
        case Ending.ERROR_500_PAID:
            return failed(500, texts.INTERNAL_ERROR)
        case Ending.BAD_GATEWAY_PAID:
            return bad_gateway()
        case Ending.TRUNCATED:
            return replace(reply, wire=Wire.TRUNCATE)
        case Ending.GARBAGE:
            return garbled(reply)
        case _:
            return reply


def _unbooked(sandbox: Sandbox, step: Step) -> Reply:
    """Answer a request that never reaches the book."""
    match step.ending:
        case Ending.REFUSED:
            return refused(step.fail_reason or texts.REFUSED_BY_PG, code=-1)
        case Ending.BAD_REQUEST:
            return failed(400, step.fail_reason or texts.BAD_REQUEST)
        case Ending.THROTTLED:
            return failed(429, texts.TOO_MANY_REQUESTS, headers=_retry_after(sandbox, step))
        case Ending.MAINTENANCE:
            return failed(503, texts.MAINTENANCE, headers=_retry_after(sandbox, step))
        case _:
            return _UNBOOKED[step.ending]


def _retry_after(sandbox: Sandbox, step: Step) -> tuple[tuple[str, str], ...]:
    seconds = step.retry_after_s
    if seconds is None:
        seconds = sandbox.settings.retry_after_s
    return (("Retry-After", str(seconds)),)
