"""`/subscribe/payments/schedule` and its like: what the merchant asks of schedules."""

from dataclasses import replace
from typing import Any, Final

from deploy.sandbox import texts
from deploy.sandbox.annotations import schedule_json
from deploy.sandbox.bodies import Parameters, read_parameters
from deploy.sandbox.calls import Call
from deploy.sandbox.orders import read_order
from deploy.sandbox.parameters import BadParametersError, bad, read_texts, require, whole
from deploy.sandbox.records import BillingKey, Order, Status
from deploy.sandbox.replies import Reply, failed, processed, refused
from deploy.sandbox.schedules import Schedule, ScheduleStatus
from deploy.sandbox.state import Sandbox

_PAGE_LENGTH: Final = 20
_PAGE_MAX: Final = 10**9
_DIGITS_MAX: Final = 12
_INSTANT_MAX: Final = 253_402_300_799  # the end of the year 9999
# Three months at their longest.
_RANGE_MAX_S: Final = 92 * 86_400

# The samples of the guide have neither `name` nor `currency`.
_REQUIRED: Final = ("customer_uid", "merchant_uid", "schedule_at", "amount")


def schedule(sandbox: Sandbox, call: Call) -> Reply:
    """Keep charges for later, all of them or none."""
    parameters = read_parameters(call.body, call.content_type)
    require(parameters.values, ("customer_uid", "schedules"))
    customer_uid = read_texts(parameters.values, {"customer_uid": 80})["customer_uid"]
    entries = parameters.values["schedules"]
    if not isinstance(entries, list) or not entries:
        raise bad("schedules must be an array of objects")
    now = sandbox.clock.now()
    wanted = [_read(entry, customer_uid, typed=parameters.typed, now=now) for entry in entries]
    key = sandbox.book.key(customer_uid)
    if key is None:
        return refused(texts.UNKNOWN_CUSTOMER_OF_SCHEDULE)
    merchant_uids = [order.merchant_uid for order, _ in wanted]
    if len(set(merchant_uids)) < len(merchant_uids) or any(
        _is_taken(sandbox, merchant_uid) for merchant_uid in merchant_uids
    ):
        return refused(texts.SCHEDULED_ALREADY)
    kept = [
        sandbox.timetable.add(_filled(order, key), schedule_at=schedule_at)
        for order, schedule_at in wanted
    ]
    return _many(sandbox, kept)


def _read(entry: object, customer_uid: str, *, typed: bool, now: float) -> tuple[Order, int]:
    if not isinstance(entry, dict):
        raise bad("schedules must be an array of objects")
    values: dict[str, Any] = {**entry, "customer_uid": customer_uid}
    # Asked for first, so that a missing one is named together with the others.
    require(values, _REQUIRED)
    schedule_at = whole("schedule_at", values["schedule_at"], typed=typed, maximum=_INSTANT_MAX)
    if schedule_at < now:
        raise bad("schedule_at is in the past")
    order = read_order(Parameters(values, typed=typed), at=schedule_at, required=_REQUIRED)
    return order, schedule_at


def _is_taken(sandbox: Sandbox, merchant_uid: str) -> bool:
    """Say whether a merchant_uid has a schedule; one revoked or failed may be made anew."""
    found = sandbox.timetable.find(merchant_uid)
    if found is None or found.status is ScheduleStatus.REVOKED:
        return False
    paid = None if found.imp_uid is None else sandbox.book.payment(found.imp_uid)
    return paid is None or paid.status is not Status.FAILED


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


def scheduled(sandbox: Sandbox, call: Call) -> Reply:
    """Answer with the schedule of a merchant_uid."""
    found = sandbox.timetable.find(call.parameters["merchant_uid"])
    if found is None:
        return failed(404, texts.UNKNOWN_SCHEDULE)
    return processed(_text(sandbox, found))


def schedules(sandbox: Sandbox, call: Call) -> Reply:
    """Answer with one page of a customer's schedules, latest first."""
    query = call.query_values()
    try:
        begin, end = _read_range(query)
        page = _number(query.get("page", "1"), "page", minimum=1, maximum=_PAGE_MAX)
        wanted = _read_status(query)
    except BadParametersError as error:
        return failed(400, str(error))
    found = [
        each
        for each in sandbox.timetable.schedules()
        if each.order.customer_uid == call.parameters["customer_uid"]
        and begin <= each.schedule_at < end
        and (wanted is None or each.status == wanted)
    ]
    found.sort(key=lambda each: (each.schedule_at, each.number), reverse=True)
    return _many(sandbox, found[(page - 1) * _PAGE_LENGTH : page * _PAGE_LENGTH])


def _read_range(query: dict[str, str]) -> tuple[int, int]:
    require(query, ("from", "to"))
    begin = _number(query["from"], "from", minimum=0, maximum=_INSTANT_MAX)
    end = _number(query["to"], "to", minimum=0, maximum=_INSTANT_MAX)
    if not begin <= end <= begin + _RANGE_MAX_S:
        raise bad("from and to must be in order and at most three months apart")
    return begin, end


def _read_status(query: dict[str, str]) -> str | None:
    wanted = query.get("schedule-status")
    if wanted is not None and wanted not in _STATUSES:
        raise BadParametersError(texts.UNSUPPORTED_STATUS)
    return wanted


_STATUSES: Final = frozenset(ScheduleStatus)


def _number(text: str, name: str, *, minimum: int, maximum: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise bad(f"{name} must be a whole number")
    number = int(text)
    if not minimum <= number <= maximum:
        raise bad(f"{name} must be between {minimum} and {maximum}")
    return number


def _many(sandbox: Sandbox, found: list[Schedule]) -> Reply:
    return processed(f"[{','.join(_text(sandbox, each) for each in found)}]")


def _text(sandbox: Sandbox, found: Schedule) -> str:
    paid = None if found.imp_uid is None else sandbox.book.payment(found.imp_uid)
    return schedule_json(found, paid, float_amounts=sandbox.settings.float_amounts)
