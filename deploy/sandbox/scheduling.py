"""`/subscribe/payments/schedule` and its like: what the merchant asks of schedules."""

from dataclasses import replace
from typing import Any, Final

from deploy.sandbox import texts
from deploy.sandbox.annotations import schedule_json
from deploy.sandbox.bodies import Parameters, read_parameters
from deploy.sandbox.calls import Call
from deploy.sandbox.orders import read_order
from deploy.sandbox.parameters import BadParametersError, bad, read_texts, require, whole
from deploy.sandbox.queries import INSTANT_MAX, instant, limit_of, one_of, page_of
from deploy.sandbox.records import BillingKey, Order, Status
from deploy.sandbox.replies import Reply, failed, processed, refused
from deploy.sandbox.schedules import Schedule, ScheduleStatus
from deploy.sandbox.state import Sandbox

_PAGE_LENGTH: Final = 20
_EARLIEST_FIRST: Final = "scheduled"
# Three months at their longest.
_RANGE_MAX_S: Final = 92 * 86_400

# The samples of the guide have neither `name` nor `currency`.
_REQUIRED: Final = ("customer_uid", "merchant_uid", "schedule_at", "amount")


def schedule(sandbox: Sandbox, call: Call) -> Reply:
    """Keep charges for later, all of them or none."""
    parameters = read_parameters(call.body, call.content_type)
    added = add_all(sandbox, parameters.values, typed=parameters.typed)
    return refused(added) if isinstance(added, str) else _many(sandbox, added)


def add_all(sandbox: Sandbox, values: dict[str, Any], *, typed: bool) -> list[Schedule] | str:
    """Keep what a request asks for, or none of it; then say in the gateway's words why.

    Raises:
        BadParametersError: a parameter cannot be.
    """
    require(values, ("customer_uid", "schedules"))
    customer_uid = read_texts(values, {"customer_uid": 80})["customer_uid"]
    entries = values["schedules"]
    if not isinstance(entries, list) or not entries:
        raise bad("schedules must be an array of objects")
    now = sandbox.clock.now()
    wanted = [_read(entry, customer_uid, typed=typed, now=now) for entry in entries]
    key = sandbox.book.key(customer_uid)
    if key is None:
        return texts.UNKNOWN_CUSTOMER_OF_SCHEDULE
    merchant_uids = [order.merchant_uid for order, _ in wanted]
    if len(set(merchant_uids)) < len(merchant_uids) or any(
        _is_taken(sandbox, merchant_uid) for merchant_uid in merchant_uids
    ):
        return texts.SCHEDULED_ALREADY
    return [
        sandbox.timetable.add(_filled(order, key), schedule_at=schedule_at)
        for order, schedule_at in wanted
    ]


def _read(entry: object, customer_uid: str, *, typed: bool, now: float) -> tuple[Order, int]:
    if not isinstance(entry, dict):
        raise bad("schedules must be an array of objects")
    values: dict[str, Any] = {**entry, "customer_uid": customer_uid}
    # Asked for first, so that a missing one is named together with the others.
    require(values, _REQUIRED)
    schedule_at = _instant(values, typed=typed, now=now)
    order = read_order(Parameters(values, typed=typed), at=schedule_at, required=_REQUIRED)
    return order, schedule_at


def _instant(values: dict[str, Any], *, typed: bool, now: float) -> int:
    schedule_at = whole("schedule_at", values["schedule_at"], typed=typed, maximum=INSTANT_MAX)
    if schedule_at < now:
        raise BadParametersError(texts.IN_THE_PAST)
    return schedule_at


def _is_taken(sandbox: Sandbox, merchant_uid: str) -> bool:
    """Say whether a merchant_uid has a schedule; one revoked or failed may be made anew."""
    found = sandbox.timetable.find(merchant_uid)
    return found is not None and not is_over(sandbox, found)


def is_over(sandbox: Sandbox, schedule: Schedule) -> bool:
    """Say whether a schedule was revoked or has failed, so that it may be tried once more."""
    if schedule.status is ScheduleStatus.REVOKED:
        return True
    paid = None if schedule.imp_uid is None else sandbox.book.payment(schedule.imp_uid)
    return paid is not None and paid.status is Status.FAILED


def _filled(order: Order, key: BillingKey) -> Order:
    """Fill in what is missing about the buyer, as documented for schedules."""
    return replace(
        order,
        buyer_name=order.buyer_name or key.customer_name,
        buyer_email=order.buyer_email or key.customer_email,
        buyer_tel=order.buyer_tel or key.customer_tel,
        buyer_addr=order.buyer_addr or key.customer_addr,
        buyer_postcode=order.buyer_postcode or key.customer_postcode,
    )


def unschedule(sandbox: Sandbox, call: Call) -> Reply:
    """Revoke what is pending of a customer, of some merchant_uids, or of both."""
    values = read_parameters(call.body, call.content_type).values
    customer_uid = read_texts(values, {"customer_uid": 80}).get("customer_uid") or None
    merchant_uids = _read_merchant_uids(values.get("merchant_uid"))
    if customer_uid is None and merchant_uids is None:
        raise BadParametersError(
            texts.MISSING_PARAMETERS.format(names="customer_uid, merchant_uid")
        )
    now = sandbox.clock.now()
    revoked = sandbox.timetable.revoke(customer_uid, merchant_uids, at=now)
    return _many(sandbox, revoked) if revoked else refused(texts.NOTHING_TO_UNSCHEDULE)


def _read_merchant_uids(value: object) -> frozenset[str] | None:
    if value is None or value in ("", []):
        return None
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(merchant_uid, str) for merchant_uid in listed):
        raise bad("merchant_uid must be a string or an array of strings")
    return frozenset(listed)


def move(sandbox: Sandbox, call: Call) -> Reply:
    """Have a pending schedule executed at another instant."""
    found, schedule_at = _named(sandbox, call)
    if found is None:
        return failed(404, texts.UNKNOWN_SCHEDULE)
    if found.status is not ScheduleStatus.SCHEDULED:
        return failed(400, texts.NOT_PENDING)
    return processed(_text(sandbox, sandbox.timetable.move(found, schedule_at=schedule_at)))


def reschedule(sandbox: Sandbox, call: Call) -> Reply:
    """Keep a schedule that has failed or was revoked for another instant."""
    found, schedule_at = _named(sandbox, call)
    if found is None:
        return failed(404, texts.UNKNOWN_SCHEDULE)
    if not is_over(sandbox, found):
        return failed(400, texts.NOT_FAILED)
    return processed(_text(sandbox, sandbox.timetable.book_again(found, schedule_at=schedule_at)))


def _named(sandbox: Sandbox, call: Call) -> tuple[Schedule | None, int]:
    """Find the schedule that a path names, and read the instant that is wanted for it."""
    parameters = read_parameters(call.body, call.content_type)
    require(parameters.values, ("schedule_at",))
    now = sandbox.clock.now()
    schedule_at = _instant(parameters.values, typed=parameters.typed, now=now)
    return sandbox.timetable.find(call.parameters["merchant_uid"]), schedule_at


def scheduled(sandbox: Sandbox, call: Call) -> Reply:
    """Answer with the schedule of a merchant_uid."""
    found = sandbox.timetable.find(call.parameters["merchant_uid"])
    if found is None:
        return failed(404, texts.UNKNOWN_SCHEDULE)
    return processed(_text(sandbox, found))


def schedules(sandbox: Sandbox, call: Call) -> Reply:
    """Answer with one page of a customer's schedules, latest first."""
    query = call.query_values()
    begin, end = _read_range(query, "from", "to")
    page = page_of(query)
    wanted = one_of(query.get("schedule-status"), _STATUSES)
    found = [
        each
        for each in sandbox.timetable.of_customer(call.parameters["customer_uid"])
        if begin <= each.schedule_at < end and (wanted is None or each.status == wanted)
    ]
    return _list(sandbox, found[::-1][(page - 1) * _PAGE_LENGTH : page * _PAGE_LENGTH])


def all_schedules(sandbox: Sandbox, call: Call) -> Reply:
    """Answer with one page of everybody's schedules, latest first unless it is asked otherwise."""
    query = call.query_values()
    begin, end = _read_range(query, "schedule_from", "schedule_to")
    page, limit = page_of(query), limit_of(query)
    wanted = one_of(query.get("schedule_status"), _STATUSES)
    found = sandbox.timetable.between(begin, end)
    if wanted is not None:
        found = [each for each in found if each.status == wanted]
    if query.get("sorting") != _EARLIEST_FIRST:
        found = found[::-1]
    return _list(sandbox, found[(page - 1) * limit : page * limit])


def _read_range(query: dict[str, str], first: str, last: str) -> tuple[int, int]:
    require(query, (first, last))
    begin, end = instant(query[first], first), instant(query[last], last)
    if not begin <= end <= begin + _RANGE_MAX_S:
        raise bad(f"{first} and {last} must be in order and at most three months apart")
    return begin, end


_STATUSES: Final = frozenset(ScheduleStatus)


def _list(sandbox: Sandbox, found: list[Schedule]) -> Reply:
    if not sandbox.settings.schedules_in_an_object:
        return _many(sandbox, found)
    return processed(f'{{"list":{_array(sandbox, found)}}}')


def _many(sandbox: Sandbox, found: list[Schedule]) -> Reply:
    return processed(_array(sandbox, found))


def _array(sandbox: Sandbox, found: list[Schedule]) -> str:
    return f"[{','.join(_text(sandbox, each) for each in found)}]"


def _text(sandbox: Sandbox, found: Schedule) -> str:
    paid = None if found.imp_uid is None else sandbox.book.payment(found.imp_uid)
    return schedule_json(found, paid, float_amounts=sandbox.settings.float_amounts)
