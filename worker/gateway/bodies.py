"""What we send to PortOne, field for field; a field that does not fit is refused, never cut."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import ConfigDict, Field, StrictInt, StrictStr, model_validator

from shared.billing.refund import REASON_LENGTH_MAX, Requester
from worker.gateway.wire import WireModel

# At PortOne a reason is optional and of any length; Naver Pay's inspection demands one.
Reason: TypeAlias = Annotated[StrictStr, Field(max_length=REASON_LENGTH_MAX, pattern=r"\S")]


class _Body(WireModel):
    """A JSON body of ours, with no field but those named."""

    model_config = ConfigDict(extra="forbid")

    def encoded(self) -> bytes:
        """Return the body as it is sent."""
        return self.model_dump_json(exclude_none=True, by_alias=True).encode()


class AgainExtra(WireModel):
    """What only some contracts ask for."""

    naver_use_cfm: Annotated[str, Field(pattern=r"^\d{8}$", serialization_alias="naverUseCfm")]


class AgainBody(_Body):
    """The body of ``again``.

    ``tax_free`` is always sent, 0 too: that is PortOne's default, and its book shows what we meant.
    """

    customer_uid: Annotated[StrictStr, Field(min_length=1, max_length=80, repr=False)]
    merchant_uid: Annotated[StrictStr, Field(max_length=40, pattern=r"^[a-z0-9]+$")]
    amount: Annotated[StrictInt, Field(ge=1)]
    tax_free: Annotated[StrictInt, Field(ge=0)] = 0
    name: Annotated[StrictStr, Field(min_length=1, max_length=40)]
    buyer_name: Annotated[StrictStr | None, Field(max_length=16, repr=False)] = None
    buyer_email: Annotated[StrictStr | None, Field(max_length=64, repr=False)] = None
    buyer_tel: Annotated[StrictStr | None, Field(max_length=16, repr=False)] = None
    custom_data: Annotated[StrictStr | None, Field(repr=False)] = None
    notice_url: StrictStr | None = None
    extra: AgainExtra | None = None


class CancelExtra(WireModel):
    """What Naver Pay's inspection demands of every cancel."""

    requester: Requester


class CancelBody(_Body):
    """The body of ``cancel``; nothing has a default, so nothing can be left out.

    Without ``amount``, or with 0, PortOne gives everything back; without ``checksum`` it compares
    nothing, and a repetition would give back twice.
    """

    imp_uid: Annotated[StrictStr, Field(min_length=1)]
    merchant_uid: Annotated[StrictStr, Field(min_length=1, max_length=40)]
    amount: Annotated[StrictInt, Field(ge=1)]
    tax_free: Annotated[StrictInt, Field(ge=0)]
    checksum: StrictInt
    reason: Reason
    extra: CancelExtra

    @model_validator(mode="after")
    def _amounts_fit(self) -> Self:
        """Refuse more than there is to give back."""
        if self.tax_free > self.amount or self.amount > self.checksum:
            message = "tax_free must not exceed amount, and amount not checksum"
            raise ValueError(message)
        return self


class DeleteQuery(WireModel):
    """What Naver Pay's inspection demands of every deletion of a billing key."""

    reason: Reason
    requester: Requester


class ScheduleEntry(WireModel):
    """One reservation in the body of ``schedule``.

    The guide pages' samples have neither ``name`` nor ``currency``, which the specification
    demands: both are sent.
    """

    merchant_uid: Annotated[StrictStr, Field(max_length=40, pattern=r"^[a-z0-9]+$")]
    schedule_at: Annotated[StrictInt, Field(ge=1)]
    currency: Literal["KRW"] = "KRW"
    amount: Annotated[StrictInt, Field(ge=1)]
    tax_free: Annotated[StrictInt, Field(ge=0)] = 0
    name: Annotated[StrictStr, Field(min_length=1, max_length=40)]
    buyer_name: Annotated[StrictStr | None, Field(max_length=16, repr=False)] = None
    buyer_email: Annotated[StrictStr | None, Field(max_length=64, repr=False)] = None
    buyer_tel: Annotated[StrictStr | None, Field(max_length=16, repr=False)] = None
    extra: AgainExtra | None = None


class ScheduleBody(_Body):
    """The body of ``schedule``; one reservation a request, so that its answer is of that one."""

    customer_uid: Annotated[StrictStr, Field(min_length=1, max_length=80, repr=False)]
    schedules: tuple[ScheduleEntry]


class UnscheduleBody(_Body):
    """The body of ``unschedule``; without ``merchant_uid`` it concerns all of a billing key's.

    An empty list would read as none at all, and revoke everything.
    """

    customer_uid: Annotated[StrictStr, Field(min_length=1, max_length=80, repr=False)]
    merchant_uid: Annotated[
        tuple[Annotated[StrictStr, Field(min_length=1, max_length=40)], ...] | None,
        Field(min_length=1),
    ] = None


class InstantBody(_Body):
    """The body that gives a reservation another instant."""

    schedule_at: Annotated[StrictInt, Field(ge=1)]


class NothingBody(_Body):
    """The body of an order that its path says all of."""


class ConfirmBody(_Body):
    """The body of Naver Pay's ``confirm``; PortOne's default, the merchant, is never left to it."""

    requester: Requester


class PrepareBody(_Body):
    """The body of ``prepare``; without ``currency`` PortOne compares the amount only."""

    merchant_uid: Annotated[StrictStr, Field(max_length=40, pattern=r"^[a-z0-9]+$")]
    amount: Annotated[StrictInt, Field(ge=1)]
