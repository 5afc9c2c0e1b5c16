"""What happened, told in the past tense: the names and payloads of the outbox."""

import enum
from dataclasses import dataclass, field
from uuid import UUID


class EventName(enum.StrEnum):
    """Every event, once."""

    INVOICE_OPENED = "invoice.opened"
    INVOICE_PAID = "invoice.paid"
    INVOICE_UNCOLLECTIBLE = "invoice.uncollectible"
    INVOICE_VOIDED = "invoice.voided"
    PERIOD_SKIPPED = "period.skipped"
    PAYMENT_DECLINED = "payment.declined"
    PAYMENT_PARKED = "payment.parked"
    BILLING_KEY_DEAD = "billing_key.dead"
    SUBSCRIPTION_CREATED = "subscription.created"
    SUBSCRIPTION_PAST_DUE = "subscription.past_due"
    SUBSCRIPTION_RECOVERED = "subscription.recovered"
    SUBSCRIPTION_CANCELED = "subscription.canceled"


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one subscription, written in the transaction of the change.

    ``data`` holds JSON values only: ids, amounts in won, instants as ISO 8601 in UTC, and the
    gateway's texts byte for byte. Never a billing key, a name or a telephone number.
    """

    name: EventName
    subscription_id: UUID
    data: dict[str, str | int | None] = field(default_factory=dict)
