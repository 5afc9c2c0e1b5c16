"""PortOne's replies, field for field for what we use; what we do not read is not parsed.

Nothing of a buyer's person is read back. A field that decides nothing and cannot be read counts as
absent: an odd receipt address must not make a payment unknown.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
)
from pydantic_core import CoreSchema, core_schema

from shared.billing.inquiry import (
    CHARGES,
    CancelRecord,
    Expectation,
    PaymentRecord,
    RecordStatus,
)

T = TypeVar("T")

# Above it a JSON number written with a point is not exact.
_EXACT_FLOAT_MAX = 2**53
# The end of the year 9999, the last a datetime can hold.
INSTANT_MAX_S = 253_402_300_799
_FAULTS_SHOWN_MAX = 5
_STATUSES = frozenset(RecordStatus)
KRW = "KRW"


class WireModel(BaseModel):
    """What both directions share: unknown fields are ignored, and no value is in an error text."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class Else:
    """Marks a field that decides nothing: what cannot be read becomes ``default``."""

    default: Any

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Wrap the field's schema so that its errors end here."""
        return core_schema.with_default_schema(
            handler(source), default=self.default, on_error="default"
        )


def _whole_won(value: object) -> int:
    """Return whole won from ``1004`` or ``1004.0``; a fraction, text or boolean is no amount."""
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer() and abs(value) <= _EXACT_FLOAT_MAX:
        return int(value)
    message = "not a whole number of won"
    raise ValueError(message)


Won: TypeAlias = Annotated[int, BeforeValidator(_whole_won), Field(ge=0)]
Text: TypeAlias = Annotated[StrictStr | None, Else(None)]
UnixSeconds: TypeAlias = Annotated[StrictInt, Else(0)]


def _none_as_zero(value: object) -> object:
    """Return the number of a page; that there is none was once written as false."""
    return 0 if value is False else value


PageNumber: TypeAlias = Annotated[StrictInt, BeforeValidator(_none_as_zero)]


def instant(seconds: int) -> datetime | None:
    """Return the instant of a unix time; 0, PortOne's word for none, and nonsense are None."""
    return instant_of(seconds) if 0 < seconds <= INSTANT_MAX_S else None


def instant_of(seconds: int) -> datetime:
    """Return the instant of a unix time."""
    return datetime.fromtimestamp(seconds, UTC)


class Auth(WireModel):
    """The token of ``getToken``, with the two instants from which its life is computed."""

    # It goes into a header: nothing but visible ASCII may.
    access_token: Annotated[StrictStr, Field(pattern=r"^[!-~]+$", repr=False)]
    expired_at: StrictInt
    now: StrictInt


class PaymentCancel(WireModel):
    """One cancel, whole or partial, of a payment."""

    amount: Won
    pg_tid: Text = None
    cancellation_id: Text = None
    cancelled_at: UnixSeconds = 0
    reason: Text = None
    receipt_url: Text = None

    def record(self) -> CancelRecord:
        """Return the cancel for the inquiry."""
        return CancelRecord(
            amount=self.amount,
            reason=self.reason,
            cancellation_id=self.cancellation_id,
            cancelled_at=instant(self.cancelled_at),
        )


class Payment(WireModel):
    """A payment as PortOne tells it.

    ``status`` stays text, because new values may appear at any time; ``cancelled`` is also the
    status after a partial cancel. ``customer_uid_usage`` is ``issue`` for the registration of a
    billing key, which looks like a paid payment and moved no money. Whether ``cancel_history``
    begins with the oldest is not documented.
    """

    imp_uid: Annotated[StrictStr, Field(min_length=1)]
    merchant_uid: StrictStr
    status: StrictStr
    amount: Won
    cancel_amount: Won = 0
    customer_uid: Annotated[StrictStr | None, Field(repr=False)] = None
    customer_uid_usage: Text = None
    currency: Text = None
    fail_reason: Text = None
    cancel_reason: Text = None
    started_at: UnixSeconds = 0
    paid_at: UnixSeconds = 0
    failed_at: UnixSeconds = 0
    cancelled_at: UnixSeconds = 0
    receipt_url: Text = None
    pay_method: Text = None
    channel: Text = None
    pg_provider: Text = None
    pg_id: Text = None
    pg_tid: Text = None
    sandbox: Annotated[StrictBool | None, Else(None)] = None
    cancel_history: Annotated[tuple[PaymentCancel, ...], Else(())] = ()

    @property
    def is_won(self) -> bool:
        """Whether the amounts are won."""
        return self.currency in {None, KRW}

    @property
    def status_at(self) -> int:
        """Since when it has its status, in unix seconds; 0 if nobody says."""
        match self.status:
            case RecordStatus.PAID:
                return self.paid_at
            case RecordStatus.FAILED:
                return self.failed_at
            case RecordStatus.CANCELLED:
                return self.cancelled_at
            case _:
                return self.started_at

    def difference_from(
        self, expected: Expectation, usages: frozenset[str | None] = CHARGES
    ) -> str | None:
        """Return in words how the payment is not the one expected, or None."""
        if self.merchant_uid != expected.merchant_uid:
            return f"the reply is of another merchant_uid, {self.merchant_uid}"
        if self.amount != expected.amount:
            return f"the reply is of {self.amount} won, {expected.amount} were sent"
        if self.customer_uid is not None and self.customer_uid != expected.customer_uid:
            return "the reply is of another buyer"
        if not self.is_won or self.customer_uid_usage not in usages:
            return f"the reply is of usage {self.customer_uid_usage} in {self.currency}"
        return None

    def record(self) -> PaymentRecord:
        """Return the payment for the inquiry.

        A status we do not know, and a record of foreign money, become ``ready``: it is the one
        status that settles nothing, so such a record waits for a person.
        """
        known = self.is_won and self.status in _STATUSES
        cancels = sorted(self.cancel_history, key=lambda cancel: cancel.cancelled_at)
        return PaymentRecord(
            imp_uid=self.imp_uid,
            merchant_uid=self.merchant_uid,
            status=RecordStatus(self.status) if known else RecordStatus.READY,
            amount=self.amount,
            cancel_amount=self.cancel_amount,
            customer_uid=self.customer_uid,
            fail_reason=self.fail_reason,
            started_at=instant(self.started_at),
            paid_at=instant(self.paid_at),
            receipt_url=self.receipt_url,
            usage=self.customer_uid_usage,
            cancels=tuple(cancel.record() for cancel in cancels),
        )


def _parts_of_foreign_money(value: object) -> int:
    """Return the whole part of an amount that is no won, which nobody here may build upon."""
    if isinstance(value, int | float) and math.isfinite(value):
        return math.floor(value)
    message = "no amount"
    raise ValueError(message)


def _foreign(currency: str) -> str:
    if currency == KRW:
        message = "won are counted whole"
        raise ValueError(message)
    return currency


ForeignMoney: TypeAlias = Annotated[int, BeforeValidator(_parts_of_foreign_money)]
ForeignCurrency: TypeAlias = Annotated[StrictStr, AfterValidator(_foreign)]


class ForeignPayment(Payment):
    """A payment in money that has fractions; it is among others' and no business of ours."""

    amount: ForeignMoney
    cancel_amount: ForeignMoney = 0
    currency: ForeignCurrency


ListedPayment: TypeAlias = Annotated[Payment | ForeignPayment, Field(union_mode="left_to_right")]


class PaymentPage(WireModel):
    """A page of payments; ``next`` is 0 on the last."""

    total: StrictInt
    next: PageNumber
    payments: Annotated[tuple[ListedPayment, ...], Field(alias="list")] = ()


class PreparedAmount(WireModel):
    """The amount to which the windows of a ``merchant_uid`` are bound."""

    merchant_uid: StrictStr
    amount: Won
    currency: Text = None

    def binds(self, merchant_uid: str, amount: int) -> bool:
        """Say whether it is this amount, in won or in no currency at all."""
        return (self.merchant_uid, self.amount) == (merchant_uid, amount) and self.currency in {
            None,
            KRW,
        }


@dataclass(frozen=True, slots=True)
class BillingKeyRecord:
    """A billing key as PortOne holds it; that it is held does not prove that it is alive at Naver.

    ``updated_at`` moves when the buyer changes the means behind the same ``customer_uid``.
    """

    customer_uid: str = field(repr=False)
    pg_provider: str | None
    pg_id: str | None
    card_name: str | None
    sandbox: bool | None
    inserted_at: datetime | None
    updated_at: datetime | None


class Customer(WireModel):
    """A billing key as PortOne tells it; a super billing key has no ``pg_provider``."""

    customer_uid: Annotated[StrictStr, Field(repr=False)]
    pg_provider: Text = None
    pg_id: Text = None
    card_name: Text = None
    sandbox: Annotated[StrictBool | None, Else(None)] = None
    inserted: UnixSeconds = 0
    updated: UnixSeconds = 0

    def record(self) -> BillingKeyRecord:
        """Return the billing key for those who asked."""
        return BillingKeyRecord(
            customer_uid=self.customer_uid,
            pg_provider=self.pg_provider,
            pg_id=self.pg_id,
            card_name=self.card_name,
            sandbox=self.sandbox,
            inserted_at=instant(self.inserted),
            updated_at=instant(self.updated),
        )


class Envelope(WireModel, Generic[T]):
    """What every reply comes in; ``code`` 0 says only that the request was processed."""

    code: StrictInt
    message: StrictStr | None = None
    response: T | None = None


_BARE = Envelope[Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """``code`` other than 0; the number tells nothing more, and ``message`` is byte for byte."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A reply that is not what it should be; ``cause`` names fields, never their values."""

    cause: str


def read_done(body: bytes) -> Literal[True] | Refusal | Unreadable:
    """Read a reply that says only whether something was done."""
    try:
        envelope = _BARE.model_validate_json(body)
    except ValidationError as error:
        return Unreadable(faults_in(error))
    return Refusal(envelope.code, envelope.message or "") if envelope.code else True


def reader(model: type[T]) -> Callable[[bytes], T | Refusal | Unreadable]:
    """Return a function that reads a reply's body: the model, a refusal, or why neither."""
    whole = Envelope[model]  # type: ignore[valid-type]

    def read(body: bytes) -> T | Refusal | Unreadable:
        try:
            envelope = whole.model_validate_json(body)
        except ValidationError as error:
            # With a refusal, whatever stands in ``response`` does not matter.
            refusal = _refusal_in(body)
            return Unreadable(faults_in(error)) if refusal is None else refusal
        if envelope.code != 0:
            return Refusal(envelope.code, envelope.message or "")
        if envelope.response is None:
            return Unreadable("code 0 without a response")
        return envelope.response

    return read


def _refusal_in(body: bytes) -> Refusal | None:
    """Return the refusal a body holds beside a response that cannot be read, or None."""
    try:
        envelope = _BARE.model_validate_json(body)
    except ValidationError:
        return None
    return Refusal(envelope.code, envelope.message or "") if envelope.code else None


def faults_in(error: ValidationError) -> str:
    """Say what did not fit, without the values."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [
        f"{'.'.join(str(part) for part in fault['loc']) or 'body'}: {fault['msg']}"
        for fault in faults[:_FAULTS_SHOWN_MAX]
    ]
    return "; ".join(shown)
