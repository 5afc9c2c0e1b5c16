"""The table of what is reserved at PortOne: charges that it makes by itself at an instant."""

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
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.billing.reserving import ATTEMPTED, LIVE, LOOKED_AT, ReservationStatus
from shared.db.columns import count, created, instant, metadata, money, one_of

reservations = Table(
    "reservations",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("subscription_id", ForeignKey("subscriptions.id"), nullable=False),
    Column("period_index", Integer, nullable=False),
    instant("period_start_at", nullable=False),
    instant("period_end_at", nullable=False),
    Column("merchant_uid", Text, nullable=False),
    Column("billing_key_id", ForeignKey("billing_keys.id"), nullable=False),
    *money(),
    Column("order_name", Text, nullable=False),
    # What the amount is made of, for an invoice that has to be opened for it after all.
    Column("lines", JSONB, nullable=False),
    instant("schedule_at", nullable=False),
    Column("status", Text, nullable=False, server_default=ReservationStatus.PLANNED),
    count("send_number"),
    instant("claimed_at"),
    instant("look_at"),
    instant("dispatched_at"),
    count("looks"),
    count("no_records"),
    # Whether somebody at PortOne's console has changed it.
    Column("by_others", Boolean, nullable=False, server_default=false()),
    Column("attempt_id", ForeignKey("payment_attempts.id")),
    Column("message", Text),
    instant("ended_at"),
    created(),
    CheckConstraint(one_of("status", ReservationStatus), name="status"),
    CheckConstraint("period_start_at < period_end_at", name="period"),
    CheckConstraint("schedule_at >= period_start_at", name="schedule"),
    # Whatever may still be executed is looked at until that is certain.
    CheckConstraint(f"({one_of('status', LOOKED_AT)}) = (look_at IS NOT NULL)", name="look"),
    CheckConstraint(f"({one_of('status', LIVE)}) = (ended_at IS NULL)", name="ended"),
    CheckConstraint(f"({one_of('status', ATTEMPTED)}) = (attempt_id IS NOT NULL)", name="attempt"),
    # One collector: at most one reservation of a subscription may be executed at any time.
    Index(
        "reservations_one_live_idx",
        "subscription_id",
        unique=True,
        postgresql_where=text(one_of("status", LIVE)),
    ),
    Index("reservations_period_idx", "subscription_id", "period_index"),
    Index(
        "reservations_look_idx",
        "look_at",
        postgresql_where=text(one_of("status", LOOKED_AT)),
    ),
)
