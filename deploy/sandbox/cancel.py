"""`POST /payments/cancel`: money given back, with every way the request can end.

As a charge, a cancel arrives and is concluded, and only the waiting in between needs a loop.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

from deploy.sandbox import texts
from deploy.sandbox.annotations import payment_json
from deploy.sandbox.bodies import BadBodyError, Parameters, read_parameters
from deploy.sandbox.book import Book
from deploy.sandbox.calls import Call
from deploy.sandbox.census import Result, SeenCancel
from deploy.sandbox.endings import DOING, DONE, NO_DRAW, CommandEnding, Draw, Step, draw
from deploy.sandbox.fates import Fate, choose, see_through, settle
from deploy.sandbox.faults import carried, left_waiting, unreached
from deploy.sandbox.parameters import (
    AMOUNT_MAX,
    NO_LIMIT,
    BadParametersError,
    bad,
    optional_truth,
    optional_whole,
    read_extra,
    read_texts,
    whole,
)
from deploy.sandbox.records import Payment
from deploy.sandbox.refunds import CancelOrder, CancelRefusal, Requester
from deploy.sandbox.replies import Reply, failed, processed, refused
from deploy.sandbox.state import Sandbox

NAME: Final = "cancel"

_PG_FAILED: Final = -1
_REFUSED: Final = 1

# `reason` has a length in the old English reference only, so it is not held to it.
_TEXTS: Final = {
    "imp_uid": 32,
    "merchant_uid": 40,
    "reason": NO_LIMIT,
    "refund_holder": NO_LIMIT,
    "refund_bank": NO_LIMIT,
    "refund_account": NO_LIMIT,
    "refund_tel": NO_LIMIT,
}

_REFUSALS: Final[dict[CancelRefusal, tuple[int, str]]] = {
    CancelRefusal.UNKNOWN_PAYMENT: (_REFUSED, texts.NOTHING_TO_CANCEL),
    CancelRefusal.NOT_PAID: (_REFUSED, texts.NOT_PAID),
    CancelRefusal.REGISTRATION: (_REFUSED, texts.REGISTRATION),
    CancelRefusal.ALREADY_CANCELLED: (_REFUSED, texts.ALREADY_CANCELLED),
    CancelRefusal.STALE_CHECKSUM: (_REFUSED, texts.STALE_CHECKSUM),
    CancelRefusal.ABOVE_REMAINDER: (_PG_FAILED, texts.CANCEL_ABOVE_REMAINDER),
    CancelRefusal.TAX_FREE_ABOVE_AMOUNT: (_REFUSED, texts.TAX_FREE_ABOVE_AMOUNT),
    CancelRefusal.TAX_FREE_ABOVE_REMAINDER: (_REFUSED, texts.TAX_FREE_ABOVE_REMAINDER),
}


@dataclass(frozen=True, slots=True)
class Cancelling:
    """A cancel request that was understood and waits to be concluded.

    Attributes:
        book: The book of the time it arrived; see `Sandbox`.
    """

    wanted: CancelOrder
    fate: Fate[CommandEnding]
    book: Book
    seen: SeenCancel


async def serve(sandbox: Sandbox, call: Call) -> Reply:
    """Answer a cancel request after the time it is to take."""
    try:
        cancelling = arrive(sandbox, call)
    except BadBodyError as error:
        return failed(error.status, f"{texts.SANDBOX}{error}")
    except BadParametersError as error:
        return failed(400, str(error))
    return await see_through(
        cancelling.fate,
        partial(conclude, sandbox, cancelling),
        partial(book, sandbox, cancelling),
    )


def arrive(sandbox: Sandbox, call: Call) -> Cancelling:
    """Read a cancel request and choose its ending.

    Raises:
        BadBodyError, BadParametersError: it was not understood; no step of a script is used up.
    """
    parameters = read_parameters(call.body, call.content_type)
    seen = SeenCancel(sandbox.clock.now(), parameters.values)
    try:
        wanted = read_cancel(parameters)
    except BadParametersError:
        seen.result = Result.BAD_PARAMETERS
        imp_uid = parameters.values.get("imp_uid")
        sandbox.census.note_cancel(imp_uid if isinstance(imp_uid, str) else "", seen)
        raise
    payment = sandbox.book.to_cancel(wanted)
    imp_uid = payment.imp_uid if payment is not None else wanted.imp_uid or ""
    nth = sandbox.census.note_cancel(imp_uid, seen)
    settings = sandbox.settings
    # By the merchant's name for the payment: the imp_uid is another in every run.
    subject = payment.order.merchant_uid if payment is not None else imp_uid
    drawn = draw(settings.seed, f"{NAME}\x1f{subject}", nth) if settings.draws else NO_DRAW
    step = _choose(sandbox, imp_uid, drawn)
    seen.ending = step.ending
    sandbox.census.cancel_endings[step.ending] += 1
    return Cancelling(wanted, settle(step, settings, NAME, drawn), sandbox.book, seen)


def _choose(sandbox: Sandbox, imp_uid: str, drawn: Draw) -> Step[CommandEnding]:
    settings = sandbox.settings
    script = sandbox.cancel_scripts.get(imp_uid)
    odds = settings.cancel_odds
    return choose(settings.fail_all_cancels, script, odds, drawn.ending, plain=DONE)


def conclude(sandbox: Sandbox, cancelling: Cancelling) -> Reply:
    """Change the book as the ending says and make the reply.

    What is left is asked here and not on arrival: of two equal requests that wait together, the
    second finds what the first has left.
    """
    step = cancelling.fate.step
    if step.ending is CommandEnding.LATE_SUCCESS:
        return left_waiting(step)
    if step.ending in DOING:
        return carried(step.ending, _reply(sandbox, book(sandbox, cancelling)))
    cancelling.seen.result = Result.NOTHING
    return unreached(step, sandbox.settings, refusal=texts.CANCEL_REFUSED_BY_PG)


def book(sandbox: Sandbox, cancelling: Cancelling) -> Payment | CancelRefusal:
    """Give the money back or be refused by the book; also what a late success does when due."""
    wanted = cancelling.wanted
    booked = cancelling.book.cancel(wanted, at=sandbox.clock.now())
    seen = cancelling.seen
    if isinstance(booked, CancelRefusal):
        seen.result = booked
        return booked
    seen.result = Result.CANCELLED
    seen.cancellation_id = booked.cancels[-1].cancellation_id
    if wanted.enable_webhook and cancelling.book is sandbox.book:
        sandbox.webhooks.payment(booked, cancellation_id=seen.cancellation_id)
    return booked


def _reply(sandbox: Sandbox, booked: Payment | CancelRefusal) -> Reply:
    if isinstance(booked, CancelRefusal):
        code, message = _REFUSALS[booked]
        return refused(message, code=code)
    return processed(payment_json(booked, float_amounts=sandbox.settings.float_amounts))


def refusal_text(refusal: CancelRefusal) -> str:
    """Give what the gateway says to a cancel that cannot be done."""
    return _REFUSALS[refusal][1]


def read_cancel(parameters: Parameters) -> CancelOrder:
    """Check the parameters of a cancel; unknown ones are ignored.

    Raises:
        BadParametersError: one is of the wrong type, too long or out of range, or no payment is
            named.
    """
    values = parameters.values
    kept = read_texts(values, _TEXTS)
    imp_uid, merchant_uid = kept.get("imp_uid"), kept.get("merchant_uid")
    if not imp_uid and not merchant_uid:
        raise BadParametersError(texts.NO_IDENTIFIER)
    checksum = values.get("checksum")
    if checksum is not None:
        checksum = whole("checksum", checksum, typed=parameters.typed, maximum=AMOUNT_MAX)
    return CancelOrder(
        imp_uid=imp_uid or None,
        merchant_uid=merchant_uid or None,
        amount=optional_whole("amount", parameters, default=0, maximum=AMOUNT_MAX),
        tax_free=optional_whole("tax_free", parameters, default=0, maximum=AMOUNT_MAX),
        checksum=checksum,
        reason=kept.get("reason"),
        requester=read_requester(read_extra(values).get("requester"), "extra.requester"),
        enable_webhook=optional_truth("enable_webhook", parameters),
    )


def read_requester(value: object, name: str) -> Requester:
    """Read who wants something done; an administrator where nothing is said.

    Raises:
        BadParametersError: it is somebody else.
    """
    if value is None:
        return Requester.ADMIN
    if not isinstance(value, str) or value not in _REQUESTERS:
        raise bad(f"{name} must be one of {', '.join(Requester)}")
    return Requester(value)


_REQUESTERS: Final = frozenset(Requester)
