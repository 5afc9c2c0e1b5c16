"""Every event's schema: which data it has, under which version, and how that is published.

The files in ``docs/events`` are made of these models by ``dalmada endpoint schema``, and describe
the body that is posted to endpoints: ``type``, ``timestamp`` and ``data``.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, ValidationError, create_model

from shared.billing.events import EventName
from shared.jobs import event_data as money
from shared.jobs import event_data_of_life as life
from shared.jobs.event_data import EventData

DIALECT = "https://json-schema.org/draft/2020-12/schema"

DATA: Mapping[EventName, type[EventData]] = {
    EventName.INVOICE_OPENED: money.InvoiceData,
    EventName.INVOICE_PAID: money.InvoicePaidData,
    EventName.INVOICE_UNCOLLECTIBLE: money.InvoiceUncollectibleData,
    EventName.INVOICE_VOIDED: money.InvoiceData,
    EventName.INVOICE_RETRY_ASKED: money.InvoiceData,
    EventName.PERIOD_SKIPPED: money.PeriodSkippedData,
    EventName.PAYMENT_DECLINED: money.PaymentDeclinedData,
    EventName.PAYMENT_PARKED: money.PaymentParkedData,
    EventName.PAYMENT_REFUND_REQUESTED: money.RefundRequestedData,
    EventName.PAYMENT_REFUNDED: money.RefundedData,
    EventName.REFUND_REFUSED: money.RefundEndedData,
    EventName.REFUND_PARKED: money.RefundEndedData,
    EventName.PAYMENT_CANCELLED_ELSEWHERE: money.CancelledElsewhereData,
    EventName.PAYMENT_UNRECOGNIZED: money.UnrecognizedData,
    EventName.PAYMENT_REQUESTED: money.WindowRequestedData,
    EventName.PAYMENT_REQUEST_REFUSED: money.WindowRefusedData,
    EventName.PAYMENT_CONFIRMED: money.WindowConfirmedData,
    EventName.PAYMENT_EXPIRED: money.WindowExpiredData,
    EventName.BILLING_KEY_REGISTRATION_REQUESTED: money.WindowRequestedData,
    EventName.BILLING_KEY_REGISTERED: money.WindowConfirmedData,
    EventName.BILLING_KEY_REGISTRATION_EXPIRED: money.WindowExpiredData,
    EventName.BILLING_KEY_CHANGE_REQUESTED: money.WindowRequestedData,
    EventName.BILLING_KEY_CHANGED: money.WindowConfirmedData,
    EventName.BILLING_KEY_CHANGE_EXPIRED: money.WindowExpiredData,
    EventName.BILLING_KEY_DEAD: money.BillingKeyDeadData,
    EventName.BILLING_KEY_DELETED: money.BillingKeyDeletedData,
    EventName.CONFIRMATION_REJECTED: money.ConfirmationRejectedData,
    EventName.SUBSCRIPTION_CREATED: life.CreatedData,
    EventName.SUBSCRIPTION_CONVERTED: life.ConvertedData,
    EventName.SUBSCRIPTION_PAST_DUE: life.StatusData,
    EventName.SUBSCRIPTION_RECOVERED: life.StatusData,
    EventName.SUBSCRIPTION_PAUSE_SCHEDULED: life.PauseScheduledData,
    EventName.SUBSCRIPTION_PAUSE_WITHDRAWN: life.PausedData,
    EventName.SUBSCRIPTION_PAUSED: life.PausedData,
    EventName.SUBSCRIPTION_RESUMED: life.ResumedData,
    EventName.SUBSCRIPTION_CHANGE_SCHEDULED: life.ChangeScheduledData,
    EventName.SUBSCRIPTION_CHANGE_WITHDRAWN: life.ChangeWithdrawnData,
    EventName.SUBSCRIPTION_CHANGE_REFUSED: life.ChangeRefusedData,
    EventName.SUBSCRIPTION_CHANGED: life.ChangedData,
    EventName.SUBSCRIPTION_ADJUSTED: life.AdjustedData,
    EventName.SUBSCRIPTION_DUNNING_SWITCHED: life.DunningSwitchedData,
    EventName.SUBSCRIPTION_COLLECTION_SWITCHED: life.CollectionSwitchedData,
    EventName.SUBSCRIPTION_CANCELLATION_SCHEDULED: life.CancellationScheduledData,
    EventName.SUBSCRIPTION_CANCELLATION_WITHDRAWN: life.CancellationWithdrawnData,
    EventName.SUBSCRIPTION_CANCELED: life.CanceledData,
    EventName.SUBSCRIPTION_REACTIVATED: life.ReactivatedData,
    EventName.RENEWAL_UPCOMING: life.NoticeData,
    EventName.TRIAL_ENDING: life.TrialEndingData,
    EventName.PRICE_CHANGE_UPCOMING: life.PriceChangeUpcomingData,
    EventName.CONSENT_GIVEN: life.ConsentGivenData,
    EventName.CONSENT_MISSING: life.ConsentMissingData,
    EventName.CATCH_UP_APPLIED: life.CatchUpData,
    EventName.COMMAND_DONE: money.CommandDoneData,
    EventName.COMMAND_REFUSED: money.CommandRefusedData,
    EventName.COMMAND_PARKED: money.UnworkedData,
    EventName.MESSAGE_MALFORMED: money.UnworkedData,
    EventName.ENDPOINT_DISABLED: money.EndpointDisabledData,
}


def version_of(name: str) -> int:
    """Return the version of an event's schema; one that is not told any more has its first."""
    return DATA[EventName(name)].version if name in DATA else EventData.version


def file_name(name: EventName) -> str:
    """Return the name of an event's published schema."""
    return f"{name}.v{DATA[name].version}.json"


def faults(name: str, data: Mapping[str, object]) -> list[str]:
    """Return what is wrong with the data of an event, as its schema has it."""
    try:
        DATA[EventName(name)].model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        return [f"{name}: {fault['loc']}: {fault['msg']}" for fault in found]
    return []


def schema_of(name: EventName) -> str:
    """Return an event's published schema as the text of its file."""
    schema = {
        "$schema": DIALECT,
        "$id": file_name(name),
        **_open(_body(name).model_json_schema()),
        "title": name,
        "description": (DATA[name].__doc__ or "").partition("\n")[0],
    }
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"


def _body(name: EventName) -> type[BaseModel]:
    """Return the model of what is posted: the event's data, and what every body has."""
    data = DATA[name]
    beside: dict[str, Any] = {
        "event_id": (Annotated[int, Field(ge=1, description="The number in webhook-id.")], ...),
        "schema_version": (Literal[data.version], ...),
        "subscription_id": (UUID | None, ...),
    }
    whole: Any = create_model("Data", __base__=data, **beside)
    fields: dict[str, Any] = {
        "type": (Literal[str(name)], ...),
        "timestamp": (AwareDatetime, ...),
        "data": (whole, ...),
    }
    made: type[BaseModel] = create_model("Body", **fields)
    return made


def _open(schema: Any) -> Any:
    """Return a schema that takes fields which are added later, as readers must.

    The titles that pydantic makes of names say nothing more than these.
    """
    if isinstance(schema, dict):
        return {
            key: _open(value)
            for key, value in schema.items()
            if not (key == "additionalProperties" and value is False)
            and not (key == "title" and isinstance(value, str))
        }
    return [_open(item) for item in schema] if isinstance(schema, list) else schema
