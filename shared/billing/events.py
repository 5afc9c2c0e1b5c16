"""What happened, told in the past tense: the names and payloads of the outbox."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

Json: TypeAlias = str | int | Mapping[str, "Json"] | Sequence["Json"] | None


class EventName(enum.StrEnum):
    """Every event, once."""

    INVOICE_OPENED = "invoice.opened"
    INVOICE_PAID = "invoice.paid"
    INVOICE_UNCOLLECTIBLE = "invoice.uncollectible"
    INVOICE_VOIDED = "invoice.voided"
    PERIOD_SKIPPED = "period.skipped"
    PAYMENT_DECLINED = "payment.declined"
    PAYMENT_PARKED = "payment.parked"
    PAYMENT_REFUND_REQUESTED = "payment.refund_requested"
    PAYMENT_REFUNDED = "payment.refunded"
    REFUND_REFUSED = "payment.refund_refused"
    REFUND_PARKED = "payment.refund_parked"
    PAYMENT_CANCELLED_ELSEWHERE = "payment.cancelled_elsewhere"
    PAYMENT_UNRECOGNIZED = "payment.unrecognized"
    PAYMENT_REQUESTED = "payment.requested"
    PAYMENT_REQUEST_REFUSED = "payment.request_refused"
    PAYMENT_CONFIRMED = "payment.confirmed"
    PAYMENT_EXPIRED = "payment.expired"
    BILLING_KEY_REGISTRATION_REQUESTED = "billing_key.registration_requested"
    BILLING_KEY_REGISTERED = "billing_key.registered"
    BILLING_KEY_REGISTRATION_EXPIRED = "billing_key.registration_expired"
    BILLING_KEY_CHANGE_REQUESTED = "billing_key.change_requested"
    BILLING_KEY_CHANGED = "billing_key.changed"
    BILLING_KEY_CHANGE_EXPIRED = "billing_key.change_expired"
    CONFIRMATION_REJECTED = "confirmation.rejected"
    BILLING_KEY_DEAD = "billing_key.dead"
    BILLING_KEY_DELETED = "billing_key.deleted"
    SUBSCRIPTION_CREATED = "subscription.created"
    SUBSCRIPTION_CONVERTED = "subscription.converted"
    SUBSCRIPTION_PAST_DUE = "subscription.past_due"
    SUBSCRIPTION_RECOVERED = "subscription.recovered"
    SUBSCRIPTION_PAUSE_SCHEDULED = "subscription.pause_scheduled"
    SUBSCRIPTION_PAUSE_WITHDRAWN = "subscription.pause_withdrawn"
    SUBSCRIPTION_PAUSED = "subscription.paused"
    SUBSCRIPTION_RESUMED = "subscription.resumed"
    SUBSCRIPTION_CHANGE_SCHEDULED = "subscription.change_scheduled"
    SUBSCRIPTION_CHANGE_WITHDRAWN = "subscription.change_withdrawn"
    SUBSCRIPTION_CHANGE_REFUSED = "subscription.change_refused"
    SUBSCRIPTION_CHANGED = "subscription.changed"
    SUBSCRIPTION_ADJUSTED = "subscription.adjusted"
    SUBSCRIPTION_DUNNING_SWITCHED = "subscription.dunning_switched"
    SUBSCRIPTION_COLLECTION_SWITCHED = "subscription.collection_switched"
    SUBSCRIPTION_CANCELLATION_SCHEDULED = "subscription.cancellation_scheduled"
    SUBSCRIPTION_CANCELLATION_WITHDRAWN = "subscription.cancellation_withdrawn"
    SUBSCRIPTION_CANCELED = "subscription.canceled"
    SUBSCRIPTION_REACTIVATED = "subscription.reactivated"
    RENEWAL_UPCOMING = "subscription.renewal_upcoming"
    TRIAL_ENDING = "subscription.trial_ending"
    PRICE_CHANGE_UPCOMING = "subscription.price_change_upcoming"
    CONSENT_GIVEN = "consent.given"
    CONSENT_MISSING = "consent.missing"
    CATCH_UP_APPLIED = "catch_up.applied"
    INVOICE_RETRY_ASKED = "invoice.retry_asked"
    COMMAND_DONE = "command.done"
    COMMAND_REFUSED = "command.refused"
    COMMAND_PARKED = "command.parked"
    MESSAGE_MALFORMED = "message.malformed"
    ENDPOINT_DISABLED = "endpoint.disabled"


@dataclass(frozen=True, slots=True)
class Event:
    """One change, written in its transaction; of one subscription, or of none it belongs to.

    ``data`` holds JSON values only: ids, amounts in won, instants as ISO 8601 in UTC, and the
    gateway's texts byte for byte. Never a billing key, a name or a telephone number.
    """

    name: EventName
    subscription_id: UUID | None
    data: dict[str, Json] = field(default_factory=dict)


def iso(instant: datetime | None) -> str | None:
    """Return an instant as events, results and rows in JSON tell it."""
    return None if instant is None else instant.isoformat()
