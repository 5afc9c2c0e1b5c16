"""What a person does with schedules in the gateway's console, and what it does by itself.

As of a cancellation made there, the merchant learns of it by webhook, if at all.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from deploy.sandbox import texts
from deploy.sandbox.bodies import read_json_object
from deploy.sandbox.calls import Call
from deploy.sandbox.clock import korean_day
from deploy.sandbox.console import payment_view, schedule_view
from deploy.sandbox.due import execute
from deploy.sandbox.guards import Answer, read_input
from deploy.sandbox.parameters import BadParametersError
from deploy.sandbox.queries import INSTANT_MAX
from deploy.sandbox.records import Payment
from deploy.sandbox.replies import Reply, control
from deploy.sandbox.schedules import Schedule, ScheduleStatus
from deploy.sandbox.scheduling import add_all, is_over
from deploy.sandbox.settings import InvalidInputError
from deploy.sandbox.state import Sandbox

_DAY_S: Final = 86_400


class InstantInput(BaseModel):
    """When a schedule is to be executed."""

    model_config = ConfigDict(extra="forbid")

    schedule_at: Annotated[int, Field(ge=0, le=INSTANT_MAX)]


def _add(sandbox: Sandbox, call: Call) -> Reply:
    """Keep schedules as the API does; of the same merchant, made by another of its systems."""
    try:
        added = add_all(sandbox, read_json_object(call.body), typed=True)
    except BadParametersError as error:
        raise InvalidInputError(str(error)) from None
    if isinstance(added, str):
        raise InvalidInputError(added)
    return control({"schedules": [schedule_view(each) for each in added]})


def _move(sandbox: Sandbox, call: Call) -> Reply:
    wanted = read_input(InstantInput, call.body)
    found = _named(sandbox, call)
    if found.status is ScheduleStatus.SCHEDULED:
        moved = sandbox.timetable.move(found, schedule_at=wanted.schedule_at)
    elif is_over(sandbox, found):
        moved = sandbox.timetable.book_again(found, schedule_at=wanted.schedule_at)
    else:
        raise InvalidInputError(texts.NOT_FAILED)
    return control(schedule_view(moved))


def _revoke(sandbox: Sandbox, call: Call) -> Reply:
    merchant_uid = _named(sandbox, call).order.merchant_uid
    revoked = sandbox.timetable.revoke(None, {merchant_uid}, at=sandbox.clock.now())
    if not revoked:
        raise InvalidInputError(texts.NOT_PENDING)
    return control(schedule_view(revoked[0]))


def _retry(sandbox: Sandbox, call: Call) -> Reply:
    found = _named(sandbox, call)
    if not is_over(sandbox, found):
        raise InvalidInputError(texts.NOT_FAILED)
    return control(payment_view(try_again(sandbox, found)))


def _recover(sandbox: Sandbox, _call: Call) -> Reply:
    return control({"tried": [payment_view(payment) for payment in recover(sandbox)]})


def recover(sandbox: Sandbox) -> list[Payment]:
    """Try once more what has failed yesterday, as the console's recovery does where it is on."""
    yesterday = korean_day(sandbox.clock.now() - _DAY_S)
    failed = [
        each
        for each in sandbox.timetable.schedules()
        if each.status is ScheduleStatus.EXECUTED
        and korean_day(each.executed_at) == yesterday
        and is_over(sandbox, each)
    ]
    return [try_again(sandbox, each) for each in failed]


def try_again(sandbox: Sandbox, found: Schedule) -> Payment:
    """Charge for a failed or revoked schedule at once, as an execution does."""
    at = sandbox.clock.now()
    again = sandbox.timetable.book_again(found, schedule_at=int(at))
    return execute(sandbox, again, at=at)


def _named(sandbox: Sandbox, call: Call) -> Schedule:
    found = sandbox.timetable.find(call.parameters["merchant_uid"])
    if found is None:
        raise InvalidInputError(texts.UNKNOWN_SCHEDULE)
    return found


_ONE: Final = "/_sandbox/console/schedules/{merchant_uid}"

ANSWERS: Final[tuple[tuple[str, str, Answer], ...]] = (
    ("POST", "/_sandbox/console/schedules", _add),
    ("PUT", _ONE, _move),
    ("DELETE", _ONE, _revoke),
    ("POST", f"{_ONE}/retry", _retry),
    ("POST", "/_sandbox/console/recovery", _recover),
)
