"""The charges that the gateway makes by itself: schedules whose instant has come."""

from deploy.sandbox import texts
from deploy.sandbox.again import next_step, verdict_of
from deploy.sandbox.book import DuplicatePolicy
from deploy.sandbox.endings import NO_DRAW, Ending, draw
from deploy.sandbox.orders import is_past_day
from deploy.sandbox.records import APPROVED, Payment, Status, Verdict
from deploy.sandbox.schedules import Schedule
from deploy.sandbox.state import Sandbox


def run_due(sandbox: Sandbox) -> list[Payment]:
    """Execute every schedule that is due, once; a failed one is not tried again.

    The merchant is told of both outcomes.
    """
    at = sandbox.clock.now()
    return [execute(sandbox, schedule, at=at) for schedule in sandbox.timetable.take_due(at)]


def execute(sandbox: Sandbox, schedule: Schedule, *, at: float) -> Payment:
    """Charge for a schedule, as its buyer's script or chance has it."""
    verdict = _refused(sandbox, schedule, at=at) or _verdict(sandbox, schedule)
    return enter(sandbox, schedule, verdict, at=at)


def enter(sandbox: Sandbox, schedule: Schedule, verdict: Verdict, *, at: float) -> Payment:
    """Book what became of a schedule and tell the merchant, whatever it was."""
    is_test = sandbox.settings.test_channel
    booked = sandbox.book.enter_scheduled(schedule.order, verdict, at=at, sandbox=is_test)
    sandbox.timetable.executed(schedule, imp_uid=booked.imp_uid, at=at)
    sandbox.webhooks.payment(booked)
    return booked


def is_used_up(sandbox: Sandbox, schedule: Schedule) -> bool:
    """Say whether the merchant_uid of a schedule was charged meanwhile.

    What the gateway was asked to try once more has failed before, and is not refused for that.
    """
    policy = sandbox.settings.duplicate_policy
    if schedule.is_repeat and policy is DuplicatePolicy.NEVER_REUSABLE:
        policy = DuplicatePolicy.REFUSED_IF_PAID
    return sandbox.book.is_used_up(schedule.order.merchant_uid, policy)


def _refused(sandbox: Sandbox, schedule: Schedule, *, at: float) -> Verdict | None:
    """Fail what `again` would refuse; that the text is the same is taken for granted."""
    order = schedule.order
    if sandbox.book.key(order.customer_uid) is None:
        return Verdict(Status.FAILED, texts.UNKNOWN_BUYER)
    if is_used_up(sandbox, schedule):
        return Verdict(Status.FAILED, texts.DUPLICATE_ORDER)
    if is_past_day(order.naver_use_cfm, at=at):
        return Verdict(Status.FAILED, texts.SERVICE_IS_OVER)
    return None


def _verdict(sandbox: Sandbox, schedule: Schedule) -> Verdict:
    """Ask the buyer's script or chance; a fault of the connection means nothing here."""
    order = schedule.order
    settings = sandbox.settings
    subject = f"schedule\x1f{order.merchant_uid}"
    nth = sum(1 for _ in sandbox.book.payments_of(order.merchant_uid))
    drawn = draw(settings.seed, subject, nth) if settings.draws else NO_DRAW
    step = next_step(sandbox, order, drawn.ending)
    sandbox.census.endings[step.ending] += 1
    if step.ending is Ending.KEY_ENDED:
        sandbox.book.end_key(order.customer_uid)
        return Verdict(Status.FAILED, texts.UNKNOWN_BUYER)
    if step.ending is Ending.REFUSED:
        return Verdict(Status.FAILED, step.fail_reason or texts.REFUSED_BY_PG)
    return verdict_of(step) or APPROVED
