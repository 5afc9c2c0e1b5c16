"""The control API under `/_sandbox/`: what a test or a demo tells the gateway to do, and asks it.

Bodies and answers are plain JSON; what cannot be is answered 400 with the words of what could.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deploy.sandbox import console, console_schedules, foreign
from deploy.sandbox.behaviours import read_behaviours, read_cancel_behaviours, script_view
from deploy.sandbox.bodies import read_json_object
from deploy.sandbox.calls import Call, Endpoint
from deploy.sandbox.console import payment_view
from deploy.sandbox.endings import Name, Script
from deploy.sandbox.guards import Answer, guarded, read_count, read_input, refuse_other
from deploy.sandbox.records import BillingKey, Payment
from deploy.sandbox.replies import Reply, control
from deploy.sandbox.state import Sandbox

CustomerUid = Annotated[str, Field(min_length=1, max_length=80)]

_INSTANT_MAX: Final = 253_402_300_799  # the end of the year 9999


class KeysInput(BaseModel):
    """Billing keys to register, as if their buyers had been through the window."""

    model_config = ConfigDict(extra="forbid")

    customer_uid: CustomerUid | None = None
    customer_uids: list[CustomerUid] | None = None
    card_name: str = "테스트카드"
    card_code: str | None = None
    card_number: str | None = None
    card_type: Annotated[int, Field(ge=0, le=1)] | None = None
    customer_id: str | None = None
    customer_name: Annotated[str, Field(max_length=20)] | None = None
    customer_tel: Annotated[str, Field(max_length=20)] | None = None
    customer_email: Annotated[str, Field(max_length=200)] | None = None
    customer_addr: Annotated[str, Field(max_length=200)] | None = None
    customer_postcode: Annotated[str, Field(max_length=8)] | None = None

    @model_validator(mode="after")
    def _one_or_many(self) -> Self:
        if (self.customer_uid is None) == (self.customer_uids is None):
            raise ValueError("give either customer_uid or customer_uids")
        return self


class ClockInput(BaseModel):
    """Where to move the sandbox's clock: by seconds, or to a unix instant."""

    model_config = ConfigDict(extra="forbid")

    offset_s: Annotated[float, Field(ge=-_INSTANT_MAX, le=_INSTANT_MAX)] | None = None
    now: Annotated[float, Field(ge=0, le=_INSTANT_MAX)] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.offset_s is None) == (self.now is None):
            raise ValueError("give either offset_s or now")
        return self


def _register_keys(sandbox: Sandbox, call: Call) -> Reply:
    given = read_input(KeysInput, call.body)
    now = sandbox.clock.now()
    details = given.model_dump(exclude={"customer_uid", "customer_uids"})
    details |= {"inserted_at": now, "updated_at": now, "sandbox": sandbox.settings.test_channel}
    customer_uids = given.customer_uids if given.customer_uid is None else [given.customer_uid]
    for customer_uid in customer_uids or ():
        sandbox.book.register(BillingKey(customer_uid=customer_uid, **details))
    return control({"registered": len(customer_uids or ()), "keys": sandbox.book.key_count})


def _end_key(sandbox: Sandbox, call: Call) -> Reply:
    customer_uid = call.parameters["customer_uid"]
    if sandbox.book.end_key(customer_uid) is None:
        return control({"error": f"no billing key {customer_uid!r}"}, status=404)
    return control({"removed": customer_uid})


def _put_behaviour(sandbox: Sandbox, call: Call) -> Reply:
    customer_uid = call.parameters["customer_uid"]
    sandbox.scripts |= read_behaviours({customer_uid: read_json_object(call.body)})
    return _get_behaviour(sandbox, call)


def _put_behaviours(sandbox: Sandbox, call: Call) -> Reply:
    scripts = read_behaviours(read_json_object(call.body))
    sandbox.scripts |= scripts
    return control({"set": len(scripts), "behaviours": len(sandbox.scripts)})


def _get_behaviour(sandbox: Sandbox, call: Call) -> Reply:
    return _behaviour(sandbox.scripts, call, "customer_uid")


def _delete_behaviour(sandbox: Sandbox, call: Call) -> Reply:
    return _drop_behaviour(sandbox.scripts, call, "customer_uid")


def _put_cancel_behaviour(sandbox: Sandbox, call: Call) -> Reply:
    imp_uid = call.parameters["imp_uid"]
    sandbox.cancel_scripts |= read_cancel_behaviours({imp_uid: read_json_object(call.body)})
    return _get_cancel_behaviour(sandbox, call)


def _get_cancel_behaviour(sandbox: Sandbox, call: Call) -> Reply:
    return _behaviour(sandbox.cancel_scripts, call, "imp_uid")


def _delete_cancel_behaviour(sandbox: Sandbox, call: Call) -> Reply:
    return _drop_behaviour(sandbox.cancel_scripts, call, "imp_uid")


def _behaviour(scripts: dict[str, Script[Name]], call: Call, parameter: str) -> Reply:
    subject = call.parameters[parameter]
    script = scripts.get(subject)
    if script is None:
        return control({"error": f"no behaviour for {subject!r}"}, status=404)
    return control({parameter: subject, **script_view(script)})


def _drop_behaviour(scripts: dict[str, Script[Name]], call: Call, parameter: str) -> Reply:
    subject = call.parameters[parameter]
    if scripts.pop(subject, None) is None:
        return control({"error": f"no behaviour for {subject!r}"}, status=404)
    return control({"removed": subject})


def _put_faults(sandbox: Sandbox, call: Call) -> Reply:
    sandbox.settings = sandbox.settings.changed(read_json_object(call.body))
    return _get_faults(sandbox, call)


def _get_faults(sandbox: Sandbox, _call: Call) -> Reply:
    return control(sandbox.settings.model_dump(mode="json"))


def _payments(sandbox: Sandbox, call: Call) -> Reply:
    query = call.query_values()
    merchant_uid = query.pop("merchant_uid", None)
    customer_uid = query.pop("customer_uid", None)
    offset = read_count(query.pop("offset", "0"), "offset")
    limit = read_count(query.pop("limit", str(sandbox.book.payment_count)), "limit")
    refuse_other(query, "merchant_uid, customer_uid, offset, limit")
    source: Iterable[Payment] = (
        sandbox.book.payments() if merchant_uid is None else sandbox.book.payments_of(merchant_uid)
    )
    rows = [
        payment
        for payment in source
        if customer_uid is None or payment.order.customer_uid == customer_uid
    ]
    shown = [payment_view(payment) for payment in islice(rows, offset, offset + limit)]
    return control({"total": len(rows), "payments": shown})


def _requests(sandbox: Sandbox, call: Call) -> Reply:
    query = call.query_values()
    merchant_uid = query.pop("merchant_uid", None)
    imp_uid = query.pop("imp_uid", None)
    refuse_other(query, "merchant_uid, imp_uid")
    if imp_uid is not None:
        return _cancel_requests(sandbox, imp_uid)
    if merchant_uid is None:
        return control(sandbox.census.summary())
    charges = sandbox.census.seen.get(merchant_uid, [])
    rows = [
        {
            "at": charge.at,
            "endpoint": charge.endpoint,
            "body": charge.body,
            "ending": charge.ending,
            "result": charge.result,
            "imp_uid": charge.imp_uid,
        }
        for charge in charges
    ]
    return control({"merchant_uid": merchant_uid, "requests": rows})


def _cancel_requests(sandbox: Sandbox, imp_uid: str) -> Reply:
    rows = [
        {
            "at": cancel.at,
            "body": cancel.body,
            "ending": cancel.ending,
            "result": cancel.result,
            "cancellation_id": cancel.cancellation_id,
        }
        for cancel in sandbox.census.seen_cancels.get(imp_uid, [])
    ]
    return control({"imp_uid": imp_uid, "requests": rows})


def _put_clock(sandbox: Sandbox, call: Call) -> Reply:
    given = read_input(ClockInput, call.body)
    if given.now is not None:
        sandbox.clock.move_to(given.now)
    elif given.offset_s is not None:
        sandbox.clock.offset_s = given.offset_s
    return _get_clock(sandbox, call)


def _get_clock(sandbox: Sandbox, _call: Call) -> Reply:
    return control({"now": sandbox.clock.now(), "offset_s": sandbox.clock.offset_s})


def _revoke_token(sandbox: Sandbox, _call: Call) -> Reply:
    sandbox.tokens.revoke()
    return control({"revoked": True})


def _reset(sandbox: Sandbox, _call: Call) -> Reply:
    sandbox.reset()
    return control({"reset": True})


_ANSWERS: Final[tuple[tuple[str, str, Answer], ...]] = (
    ("POST", "/_sandbox/billing-keys", _register_keys),
    ("DELETE", "/_sandbox/billing-keys/{customer_uid}", _end_key),
    ("PUT", "/_sandbox/behaviours", _put_behaviours),
    ("PUT", "/_sandbox/behaviours/{customer_uid}", _put_behaviour),
    ("GET", "/_sandbox/behaviours/{customer_uid}", _get_behaviour),
    ("DELETE", "/_sandbox/behaviours/{customer_uid}", _delete_behaviour),
    ("PUT", "/_sandbox/cancel-behaviours/{imp_uid}", _put_cancel_behaviour),
    ("GET", "/_sandbox/cancel-behaviours/{imp_uid}", _get_cancel_behaviour),
    ("DELETE", "/_sandbox/cancel-behaviours/{imp_uid}", _delete_cancel_behaviour),
    ("PUT", "/_sandbox/faults", _put_faults),
    ("GET", "/_sandbox/faults", _get_faults),
    ("GET", "/_sandbox/payments", _payments),
    ("GET", "/_sandbox/requests", _requests),
    ("PUT", "/_sandbox/clock", _put_clock),
    ("GET", "/_sandbox/clock", _get_clock),
    ("DELETE", "/_sandbox/token", _revoke_token),
    ("POST", "/_sandbox/reset", _reset),
    *console.ANSWERS,
    *console_schedules.ANSWERS,
    *foreign.ANSWERS,
)

ENDPOINTS: Final = tuple(
    Endpoint(method, path, guarded(answer), needs_token=False) for method, path, answer in _ANSWERS
)
