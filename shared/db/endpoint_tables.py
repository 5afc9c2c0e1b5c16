"""The tables of events on their way to merchants: who is told, and how far each event has come."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from shared.billing.delivery import (
    SECRETS_MAX,
    URL_LENGTH_MAX,
    DeliveryStatus,
    EndpointStatus,
)
from shared.db.columns import count, created, instant, metadata, one_of

endpoints = Table(
    "endpoints",
    metadata,
    # Where a merchant wants to be told over HTTP.
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("url", Text, nullable=False),
    # What deliveries are signed with: every one of them, the newest first.
    Column("secrets", ARRAY(Text), nullable=False),
    # Which events are wanted; every one where nothing is named.
    Column("event_names", ARRAY(Text)),
    # Whether it may be at an address that the internet does not reach.
    Column("allow_private", Boolean, nullable=False, server_default=false()),
    Column("status", Text, nullable=False, server_default=EndpointStatus.ENABLED),
    # Since when nothing was delivered any more; cleared by every success.
    instant("failing_since"),
    instant("disabled_at"),
    Column("disabled_reason", Text),
    created(),
    CheckConstraint(one_of("status", EndpointStatus), name="status"),
    CheckConstraint(f"char_length(url) BETWEEN 1 AND {URL_LENGTH_MAX}", name="url"),
    CheckConstraint(
        f"CASE WHEN status = 'removed' THEN cardinality(secrets) = 0"
        f" ELSE cardinality(secrets) BETWEEN 1 AND {SECRETS_MAX} END",
        name="secrets",
    ),
    CheckConstraint("cardinality(event_names) >= 1", name="event_names"),
    CheckConstraint(
        "(disabled_at IS NULL) = (disabled_reason IS NULL)"
        " AND (status = 'enabled') = (disabled_at IS NULL)",
        name="disabled",
    ),
    Index(
        "endpoints_one_url_idx", "url", unique=True, postgresql_where=text("status <> 'removed'")
    ),
)

deliveries = Table(
    "deliveries",
    metadata,
    # One event for one endpoint.
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("endpoint_id", ForeignKey("endpoints.id"), nullable=False),
    Column("event_id", ForeignKey("events.id"), nullable=False),
    # The event's, repeated: what is of one subscription goes out in order.
    Column("subscription_id", ForeignKey("subscriptions.id")),
    Column("status", Text, nullable=False, server_default=DeliveryStatus.WAITING),
    # Every try there was; whoever writes down what came of one must have made the latest.
    count("tries"),
    # Those in a row that failed since the delivery, or its replay, began.
    count("failures"),
    instant("next_try_at"),
    # Set while somebody is trying.
    instant("lease_until"),
    Column("last_status", Integer),
    Column("last_error", Text),
    instant("dispatched_at"),
    instant("delivered_at"),
    created(),
    # An event is one delivery of an endpoint, however often it is relayed or replayed.
    UniqueConstraint("endpoint_id", "event_id"),
    CheckConstraint(one_of("status", DeliveryStatus), name="status"),
    CheckConstraint("(status = 'waiting') = (next_try_at IS NOT NULL)", name="next_try"),
    CheckConstraint("(status = 'delivered') = (delivered_at IS NOT NULL)", name="delivered"),
    CheckConstraint("lease_until IS NULL OR status = 'waiting'", name="lease"),
    CheckConstraint("failures >= 0 AND tries >= 0", name="counts"),
    Index(
        "deliveries_due_idx",
        "endpoint_id",
        "next_try_at",
        "event_id",
        postgresql_where=text("status = 'waiting'"),
    ),
    # What of a subscription must be delivered before.
    Index(
        "deliveries_order_idx",
        "subscription_id",
        "endpoint_id",
        "event_id",
        postgresql_where=text("status = 'waiting' AND subscription_id IS NOT NULL"),
    ),
    Index(
        "deliveries_under_way_idx",
        "endpoint_id",
        postgresql_where=text("status = 'waiting' AND dispatched_at IS NOT NULL"),
    ),
    Index("deliveries_given_up_idx", "endpoint_id", postgresql_where=text("status = 'given_up'")),
)
