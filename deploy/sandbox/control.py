"""The control API under `/_sandbox/`: what a test or a demo tells the gateway to do, and asks it.

Bodies and answers are plain JSON; what cannot be is answered 400 with the words of what could.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from deploy.sandbox.behaviours import read_behaviours, script_view
from deploy.sandbox.bodies import BadBodyError, read_json_object
from deploy.sandbox.book import BillingKey, Payment
from deploy.sandbox.calls import Call, Endpoint, Serve
from deploy.sandbox.replies import Reply, control
from deploy.sandbox.settings import InvalidInputError, explain
from deploy.sandbox.state import Sandbox

CustomerUid = Annotated[str, Field(min_length=1, max_length=80)]

_DIGITS_MAX: Final = 12
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


def _guarded(answer: Callable[[Sandbox, Call], Reply]) -> Serve:
    async def serve(sandbox: Sandbox, call: Call) -> Reply:
        try:
            return answer(sandbox, call)
        except (BadBodyError, InvalidInputError) as error:
            return control({"error": str(error)}, status=400)

    return serve


def _register_keys(sandbox: Sandbox, call: Call) -> Reply:
    try:
        given = KeysInput.model_validate(read_json_object(call.body))
    except ValidationError as error:
        raise _invalid(error, KeysInput) from None
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
    customer_uid = call.parameters["customer_uid"]
    script = sandbox.scripts.get(customer_uid)
    if script is None:
        return control({"error": f"no behaviour for {customer_uid!r}"}, status=404)
    return control({"customer_uid": customer_uid, **script_view(script)})


def _delete_behaviour(sandbox: Sandbox, call: Call) -> Reply:
    customer_uid = call.parameters["customer_uid"]
    if sandbox.scripts.pop(customer_uid, None) is None:
        return control({"error": f"no behaviour for {customer_uid!r}"}, status=404)
    return control({"removed": customer_uid})


def _put_faults(sandbox: Sandbox, call: Call) -> Reply:
    sandbox.settings = sandbox.settings.changed(read_json_object(call.body))
    return _get_faults(sandbox, call)


def _get_faults(sandbox: Sandbox, _call: Call) -> Reply:
    return control(sandbox.settings.model_dump(mode="json"))


def _payments(sandbox: Sandbox, call: Call) -> Reply:
    query = call.query_values()
    merchant_uid = query.pop("merchant_uid", None)
    customer_uid = query.pop("customer_uid", None)
    offset = _count(query.pop("offset", "0"), "offset")
    limit = _count(query.pop("limit", str(sandbox.book.payment_count)), "limit")
    _refuse_other(query, "merchant_uid, customer_uid, offset, limit")
    source: Iterable[Payment] = (
        sandbox.book.payments() if merchant_uid is None else sandbox.book.payments_of(merchant_uid)
    )
    rows = [
        payment
        for payment in source
        if customer_uid is None or payment.order.customer_uid == customer_uid
    ]
    shown = [_book_row(payment) for payment in islice(rows, offset, offset + limit)]
    return control({"total": len(rows), "payments": shown})


def _book_row(payment: Payment) -> dict[str, Any]:
    """Show what a test compares; instants keep their fractions here."""
    order = payment.order
    return {
        "imp_uid": payment.imp_uid,
        "merchant_uid": order.merchant_uid,
        "customer_uid": order.customer_uid,
        "status": payment.status,
        "amount": order.amount,
        "tax_free": order.tax_free,
        "name": order.name,
        "naver_use_cfm": order.naver_use_cfm,
        "custom_data": order.custom_data,
        "fail_reason": payment.fail_reason,
        "sandbox": payment.sandbox,
        "started_at": payment.started_at,
        "paid_at": payment.paid_at,
        "failed_at": payment.failed_at,
    }


def _requests(sandbox: Sandbox, call: Call) -> Reply:
    query = call.query_values()
    merchant_uid = query.pop("merchant_uid", None)
    _refuse_other(query, "merchant_uid")
    if merchant_uid is None:
        return control(sandbox.census.summary())
    charges = sandbox.census.seen.get(merchant_uid, [])
    rows = [
        {
            "at": charge.at,
            "body": charge.body,
            "ending": charge.ending,
            "result": charge.result,
            "imp_uid": charge.imp_uid,
        }
        for charge in charges
    ]
    return control({"merchant_uid": merchant_uid, "requests": rows})


def _put_clock(sandbox: Sandbox, call: Call) -> Reply:
    try:
        given = ClockInput.model_validate(read_json_object(call.body))
    except ValidationError as error:
        raise _invalid(error, ClockInput) from None
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


def _invalid(error: ValidationError, model: type[BaseModel]) -> InvalidInputError:
    return InvalidInputError(explain(error, known=", ".join(model.model_fields)))


def _count(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise InvalidInputError(f"{name}: must be a whole number")
    return int(text)


def _refuse_other(query: dict[str, str], known: str) -> None:
    if query:
        raise InvalidInputError(f"{', '.join(query)}: no such filter; known are {known}")


_ANSWERS: Final[tuple[tuple[str, str, Callable[[Sandbox, Call], Reply]], ...]] = (
    ("POST", "/_sandbox/billing-keys", _register_keys),
    ("DELETE", "/_sandbox/billing-keys/{customer_uid}", _end_key),
    ("PUT", "/_sandbox/behaviours", _put_behaviours),
    ("PUT", "/_sandbox/behaviours/{customer_uid}", _put_behaviour),
    ("GET", "/_sandbox/behaviours/{customer_uid}", _get_behaviour),
    ("DELETE", "/_sandbox/behaviours/{customer_uid}", _delete_behaviour),
    ("PUT", "/_sandbox/faults", _put_faults),
    ("GET", "/_sandbox/faults", _get_faults),
    ("GET", "/_sandbox/payments", _payments),
    ("GET", "/_sandbox/requests", _requests),
    ("PUT", "/_sandbox/clock", _put_clock),
    ("GET", "/_sandbox/clock", _get_clock),
    ("DELETE", "/_sandbox/token", _revoke_token),
    ("POST", "/_sandbox/reset", _reset),
)

ENDPOINTS: Final = tuple(
    Endpoint(method, path, _guarded(answer), needs_token=False) for method, path, answer in _ANSWERS
)
