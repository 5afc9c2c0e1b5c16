"""The tables of what was foreseen: one row a forecast of a day, and one a charge that is due."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.billing.forecast import Outlook, Why
from shared.db.columns import instant, metadata, money, one_of

forecasts = Table(
    "forecasts",
    metadata,
    Column("id", Uuid, primary_key=True),
    # A day of Korea's.
    Column("day", Date, nullable=False),
    instant("made_at", nullable=False),
    Column("events_until", BigInteger, nullable=False),
    Column("rules", JSONB, nullable=False),
    Column("totals", JSONB, nullable=False),
    # SHA-256 of all of this and of every charge: whoever changes one of them shows.
    Column("digest", Text, nullable=False),
    CheckConstraint("digest ~ '^[0-9a-f]{64}$'", name="digest"),
    Index("forecasts_day_idx", "day", "made_at"),
)

expected_charges = Table(
    "expected_charges",
    metadata,
    # The sums, and with them the forecast, are known when the last of its charges is.
    Column(
        "forecast_id",
        ForeignKey("forecasts.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"),
        nullable=False,
    ),
    # Without a reference: it is kept of what was seen, whatever becomes of it.
    Column("subscription_id", Uuid, nullable=False),
    Column("period_index", Integer, nullable=False),
    instant("at", nullable=False),
    *money(),
    Column("why", Text, nullable=False),
    Column("outlook", Text, nullable=False),
    Column("note", Text),
    Column("invoice_id", BigInteger),
    Column("details", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    PrimaryKeyConstraint("forecast_id", "subscription_id", "period_index"),
    CheckConstraint(one_of("why", Why), name="why"),
    CheckConstraint(one_of("outlook", Outlook), name="outlook"),
)
