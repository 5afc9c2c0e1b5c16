"""`POST …/schedule/{merchant_uid}/retry`: a failed or revoked schedule, charged at once.

It ends as an execution does, by the buyer's script or the rates; but here a connection can break,
and so every ending of a charge can be met. That its documented answer for what is under way is
never given has one reason: between the question and the booking nothing else happens here.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from deploy.sandbox import texts
from deploy.sandbox.again import next_step, shown, verdict_of
from deploy.sandbox.annotations import payment_json
from deploy.sandbox.bodies import BadBodyError, read_parameters
from deploy.sandbox.book import Book
from deploy.sandbox.calls import Call
from deploy.sandbox.census import Result, SeenCharge
from deploy.sandbox.due import enter, is_used_up
from deploy.sandbox.endings import NO_DRAW, Ending, draw
from deploy.sandbox.fates import Fate, see_through, settle
from deploy.sandbox.faults import carried, left_waiting, unreached
from deploy.sandbox.orders import is_past_day
from deploy.sandbox.records import APPROVED, Payment, Status, Verdict
from deploy.sandbox.replies import LOST, Reply, failed, processed, refused
from deploy.sandbox.schedules import Schedule
from deploy.sandbox.scheduling import is_over
from deploy.sandbox.state import Sandbox

NAME: Final = "retry"

_RESULTS: Final = {
    Status.PAID: Result.BOOKED_PAID,
    Status.FAILED: Result.BOOKED_FAILED,
    Status.READY: Result.BOOKED_READY,
}


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry that was understood and waits to be concluded.

    Attributes:
        book: The book of the time it arrived; see `Sandbox`.
    """

    merchant_uid: str
    fate: Fate[Ending]
    book: Book
    seen: SeenCharge


async def serve(sandbox: Sandbox, call: Call) -> Reply:
    """Answer a retry after the time it is to take."""
    try:
        retry = arrive(sandbox, call)
    except BadBodyError as error:
        return failed(error.status, f"{texts.SANDBOX}{error}")
    if isinstance(retry, Reply):
        return retry
    return await see_through(
        retry.fate, partial(conclude, sandbox, retry), partial(book, sandbox, retry)
    )


def arrive(sandbox: Sandbox, call: Call) -> Retry | Reply:
    """Read a retry and choose its ending; what cannot be tried is answered and uses up no step.

    Raises:
        BadBodyError: it was not understood.
    """
    values = read_parameters(call.body, call.content_type).values
    merchant_uid = call.parameters["merchant_uid"]
    found = find(sandbox, merchant_uid)
    if isinstance(found, Reply):
        return found
    seen = SeenCharge(sandbox.clock.now(), values, endpoint=NAME)
    nth = sandbox.census.note(merchant_uid, seen)
    settings = sandbox.settings
    drawn = draw(settings.seed, f"{NAME}\x1f{merchant_uid}", nth) if settings.draws else NO_DRAW
    step = next_step(sandbox, found.order, drawn.ending)
    seen.ending = step.ending
    sandbox.census.endings[step.ending] += 1
    return Retry(merchant_uid, settle(step, settings, NAME, drawn), sandbox.book, seen)


def find(sandbox: Sandbox, merchant_uid: str) -> Schedule | Reply:
    """Find a schedule that can be retried, or what is answered where there is none."""
    found = sandbox.timetable.find(merchant_uid)
    if found is None:
        return failed(404, texts.UNKNOWN_SCHEDULE)
    if not is_over(sandbox, found):
        return failed(400, texts.NOT_FAILED)
    if sandbox.book.key(found.order.customer_uid) is None:
        return failed(404, texts.NO_KEY_TO_RETRY)
    return found


def conclude(sandbox: Sandbox, retry: Retry) -> Reply:
    """Change the book as the ending says and make the reply.

    Whether it may be tried is asked once more: of two retries that wait together, the second
    finds what the first has left.
    """
    step = retry.fate.step
    if step.ending is Ending.LATE_SUCCESS:
        return left_waiting(step)
    if verdict_of(step) is None:
        retry.seen.result = Result.NOTHING
        return unreached(step, sandbox.settings, refusal=texts.REFUSED_BY_PG)
    booked = book(sandbox, retry)
    if isinstance(booked, Payment):
        told = shown(step.ending, booked)
        booked = processed(payment_json(told, float_amounts=sandbox.settings.float_amounts))
    return carried(step.ending, booked)


def book(sandbox: Sandbox, retry: Retry) -> Payment | Reply:
    """Charge, or be refused; also what a late success does when it is due."""
    retry.seen.result = Result.NOTHING
    if retry.book is not sandbox.book:  # it is from before a reset
        return LOST
    if retry.fate.step.ending is Ending.KEY_ENDED:
        found = sandbox.timetable.find(retry.merchant_uid)
        sandbox.book.end_key(None if found is None else found.order.customer_uid)
    schedule = find(sandbox, retry.merchant_uid)
    if isinstance(schedule, Reply):
        return schedule
    repeat = replace(schedule, is_repeat=True)
    if is_used_up(sandbox, repeat):
        retry.seen.result = Result.REFUSED_DUPLICATE_ORDER
        return refused(texts.DUPLICATE_ORDER)
    return _charge(sandbox, repeat, retry)


def _charge(sandbox: Sandbox, schedule: Schedule, retry: Retry) -> Payment:
    at = sandbox.clock.now()
    verdict = verdict_of(retry.fate.step) or APPROVED
    if is_past_day(schedule.order.naver_use_cfm, at=at):
        verdict = Verdict(Status.FAILED, texts.SERVICE_IS_OVER)
    booked = enter(sandbox, schedule, verdict, at=at)
    retry.seen.result = _RESULTS[booked.status]
    retry.seen.imp_uid = booked.imp_uid
    return booked
