"""`POST /subscribe/payments/again`: one charge on a billing key, with every way it can end.

A charge arrives (its parameters are read and its ending is chosen) and is concluded (the book is
changed and the reply made). Only waiting in between needs a running loop, so a simulation can
call the two halves and move its own clock.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from deploy.sandbox import texts
from deploy.sandbox.annotations import payment_json
from deploy.sandbox.bodies import BadBodyError, read_parameters
from deploy.sandbox.book import Book, Refusal
from deploy.sandbox.calls import Call
from deploy.sandbox.census import Result, SeenCharge
from deploy.sandbox.endings import NO_DRAW, PAID, Ending, Step, draw
from deploy.sandbox.fates import Fate, choose, see_through, settle
from deploy.sandbox.faults import carried, left_waiting, unreached
from deploy.sandbox.orders import read_order
from deploy.sandbox.parameters import BadParametersError
from deploy.sandbox.records import APPROVED, Order, Payment, Status, Verdict
from deploy.sandbox.replies import Reply, failed, processed, refused
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
        book: The book of the time it arrived; see `Sandbox`.
    """

    order: Order
    fate: Fate[Ending]
    started_at: float
    book: Book
    seen: SeenCharge


async def serve(sandbox: Sandbox, call: Call) -> Reply:
    """Answer a charge request after the time it is to take."""
    try:
        charge = arrive(sandbox, call)
    except BadBodyError as error:
        return failed(error.status, f"{texts.SANDBOX}{error}")
    except BadParametersError as error:
        return failed(400, str(error))
    return await see_through(
        charge.fate, partial(conclude, sandbox, charge), partial(book, sandbox, charge)
    )


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
    step = next_step(sandbox, order, drawn.ending)
    seen.ending = step.ending
    sandbox.census.endings[step.ending] += 1
    fate = settle(step, settings, NAME, drawn)
    return Charge(order, fate, started_at=at, book=sandbox.book, seen=seen)


def next_step(sandbox: Sandbox, order: Order, number: float) -> Step[Ending]:
    """Choose what a charge of this buyer ends in; a step of the buyer's script is used up."""
    settings = sandbox.settings
    script = sandbox.scripts.get(order.customer_uid or "")
    return choose(settings.fail_all, script, settings.odds, number, plain=PAID)


def verdict_of(step: Step[Ending]) -> Verdict | None:
    """Give what the bank says under an ending; None if it is never asked."""
    verdict = _BOOKED_AS.get(step.ending)
    if verdict is None or step.fail_reason is None:
        return verdict
    return replace(verdict, fail_reason=step.fail_reason)


def conclude(sandbox: Sandbox, charge: Charge) -> Reply:
    """Change the book as the ending says and make the reply.

    Whether the buyer is known and the merchant_uid is free is asked here and not on arrival:
    of two equal requests that wait together, the first to finish is booked.
    """
    step = charge.fate.step
    if step.ending is Ending.KEY_ENDED:
        charge.book.end_key(charge.order.customer_uid)
    if step.ending is Ending.LATE_SUCCESS:
        return left_waiting(step)
    if step.ending in _BOOKED_AS:
        return carried(step.ending, _reply(sandbox, charge, book(sandbox, charge)))
    charge.seen.result = Result.NOTHING
    return unreached(step, sandbox.settings, refusal=texts.REFUSED_BY_PG)


def book(sandbox: Sandbox, charge: Charge) -> Payment | Refusal:
    """Book the charge, or be refused by the book; also what a late success does when it is due."""
    settings = sandbox.settings
    verdict = verdict_of(charge.fate.step) or APPROVED
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
        if booked.status is Status.PAID and charge.book is sandbox.book:
            sandbox.webhooks.payment(booked)
    return booked


def _reply(sandbox: Sandbox, charge: Charge, booked: Payment | Refusal) -> Reply:
    if isinstance(booked, Refusal):
        return refused(_REFUSAL_TEXTS[booked])
    told = shown(charge.fate.step.ending, booked)
    return processed(payment_json(told, float_amounts=sandbox.settings.float_amounts))


def shown(ending: Ending, booked: Payment) -> Payment:
    """Give the payment as the reply tells it; the book keeps the true one."""
    order = booked.order
    if ending is Ending.WRONG_AMOUNT:
        return replace(booked, order=replace(order, amount=order.amount + 1))
    if ending is Ending.WRONG_CUSTOMER:
        return replace(booked, order=replace(order, customer_uid=f"{order.customer_uid}-other"))
    return booked
