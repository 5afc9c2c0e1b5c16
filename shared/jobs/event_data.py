"""What events say of invoices, payments, refunds and billing keys: one model of each kind of data.

A model is what readers may rely on, under its version: a field that is added keeps the version,
one that goes or changes its meaning raises it. Each is written by one producer and read by nobody
of ours; a test holds the two together.
"""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StrictInt, StrictStr

from shared.billing.inquiry import RecordStatus
from shared.billing.refund import RefundCause, Requester

Number = Annotated[StrictInt, Field(ge=1)]
Index = Annotated[StrictInt, Field(ge=0)]
Won = Annotated[StrictInt, Field(ge=0)]
Count = Annotated[StrictInt, Field(ge=0)]


class EventData(BaseModel):
    """The data of an event; ``at`` is when it happened."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: ClassVar[int] = 1

    at: AwareDatetime


class _Money(EventData):
    amount: Won
    tax_free: Won


class InvoiceData(_Money):
    """An invoice that was opened, voided, or is to be tried again at the buyer's wish."""

    invoice_id: Number
    period_index: Index


class _AttemptData(InvoiceData):
    attempt_number: Number
    merchant_uid: StrictStr


class InvoicePaidData(InvoiceData):
    """An invoice that is paid; what names an attempt is left out where none was needed."""

    attempt_number: Number | None = None
    merchant_uid: StrictStr | None = None
    imp_uid: StrictStr | None = None


class InvoiceUncollectibleData(InvoiceData):
    """An invoice that is given up, for good."""

    attempt_number: Number | None = None
    merchant_uid: StrictStr | None = None
    declines: Count | None = None
    message: StrictStr | None = None
    cause: StrictStr | None = None


class PeriodSkippedData(EventData):
    """A period that is not billed, and why."""

    period_index: Index
    period_start_at: AwareDatetime
    period_end_at: AwareDatetime
    reason: StrictStr


class PaymentDeclinedData(_AttemptData):
    """An attempt that the gateway declined, in its own words."""

    imp_uid: StrictStr | None
    fail_reason: StrictStr | None
    declines: Count


class PaymentParkedData(_AttemptData):
    """An attempt of which a person must find out what became of it."""

    cause: StrictStr


class BillingKeyDeadData(_AttemptData):
    """A billing key that the gateway refuses for good."""

    message: StrictStr | None


class _RefundData(_Money):
    refund_id: Number
    imp_uid: StrictStr
    merchant_uid: StrictStr
    reason: StrictStr
    requester: Requester


class RefundRequestedData(_RefundData):
    """A refund that was written down and will be sent."""

    invoice_id: Number | None
    cause: RefundCause


class RefundedData(_RefundData):
    """Money that went back; ``left`` can still be given back of the payment."""

    cancellation_id: StrictStr | None
    left: Won


class RefundEndedData(_RefundData):
    """A refund that was refused, or needs a person; ``message`` is the gateway's text."""

    cause: StrictStr
    message: StrictStr | None


class CancellationData(BaseModel):
    """One entry of the gateway's cancellation history."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: Won
    reason: StrictStr | None
    cancellation_id: StrictStr | None
    cancelled_at: AwareDatetime | None


class CancelledElsewhereData(_Money):
    """Money that went back by another way than ours."""

    imp_uid: StrictStr
    merchant_uid: StrictStr
    invoice_id: Number | None
    left: Won
    reason: StrictStr | None = None
    cancellations: tuple[CancellationData, ...] | None = None


class UnrecognizedData(EventData):
    """A payment at the gateway that belongs to nothing of ours."""

    imp_uid: StrictStr
    merchant_uid: StrictStr
    status: RecordStatus
    usage: StrictStr | None
    amount: StrictInt
    cancelled_amount: StrictInt
    cause: StrictStr


class WindowData(_Money):
    """A payment window."""

    window_id: UUID
    command_id: StrictStr
    merchant_uid: StrictStr
    billing_key_id: Number | None


class WindowRequestedData(WindowData):
    """A window that may be opened, with what the merchant's page hands to it."""

    expires_at: AwareDatetime
    parameters: dict[str, JsonValue]


class WindowRefusedData(WindowData):
    """A window that the gateway refused to prepare, in its own words."""

    message: StrictStr | None


class WindowConfirmedData(WindowData):
    """A window that the buyer has used."""

    imp_uid: StrictStr
    paid_at: AwareDatetime | None
    generation: Number | None = None
    invoices_due: Count | None = None


class WindowExpiredData(WindowData):
    """A window that is not waited for any longer."""

    cause: StrictStr


class BillingKeyDeletedData(EventData):
    """A billing key that the gateway holds no more."""

    billing_key_id: Number
    reason: StrictStr
    requester: Requester


class ConfirmationRejectedData(EventData):
    """What a buyer's page said of a window, and the gateway does not bear out."""

    command_id: StrictStr
    imp_uid: StrictStr
    merchant_uid: StrictStr | None
    cause: StrictStr
    message: StrictStr | None


class CommandDoneData(EventData):
    """A command that is done; ``result`` differs by task."""

    command_id: StrictStr
    task: StrictStr
    result: dict[str, JsonValue]


class CommandRefusedData(EventData):
    """A command that cannot be done, and why."""

    command_id: StrictStr
    task: StrictStr
    error: StrictStr


class UnworkedData(EventData):
    """A message that lies with the dead letters."""

    command_id: StrictStr | None
    task: StrictStr
    cause: StrictStr


class EndpointDisabledData(EventData):
    """An endpoint that nothing is posted to any more."""

    endpoint_id: Number
    reason: StrictStr
    failing_since: AwareDatetime
