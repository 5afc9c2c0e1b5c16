"""The tables of what is said and kept: events out, hints and commands in, letters for people."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.db.columns import count, created, instant, metadata

events = Table(
    "events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("subscription_id", ForeignKey("subscriptions.id")),
    Column("name", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    created(),
    instant("relayed_at"),
    Index("events_unrelayed_idx", "id", postgresql_where=text("relayed_at IS NULL")),
    # How an invoice ended is told once, and one end of it only: paid, given up or void.
    Index(
        "events_one_end_idx",
        text("(data ->> 'invoice_id')"),
        unique=True,
        postgresql_where=text(
            "name IN ('invoice.paid', 'invoice.uncollectible', 'invoice.voided')"
        ),
    ),
)

hints = Table(
    "hints",
    metadata,
    # Somebody says that the gateway holds something; it only makes us look.
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("imp_uid", Text, nullable=False),
    Column("merchant_uid", Text),
    Column("said_status", Text, nullable=False),
    Column("cancellation_id", Text, nullable=False, server_default=text("''")),
    Column("command_id", Text),
    # Whether the merchant_uid it names is one of ours: those are looked at first.
    Column("known", Boolean, nullable=False),
    instant("next_read_at"),
    instant("dispatched_at"),
    count("reads"),
    # How often the same was said again; what is said during a reading is read again.
    count("repeats"),
    Column("finding", Text),
    instant("read_at"),
    created(),
    # What is said again is the same hint.
    UniqueConstraint("imp_uid", "said_status", "cancellation_id"),
    Index("hints_read_idx", "next_read_at", postgresql_where=text("next_read_at IS NOT NULL")),
    Index("hints_created_at_idx", "created_at"),
)

commands = Table(
    "commands",
    metadata,
    # A command that comes again gets its first result.
    Column("command_id", Text, primary_key=True),
    Column("task", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("result", JSONB, nullable=False),
    created(),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("attempt_id", ForeignKey("payment_attempts.id")),
    Column("refund_id", ForeignKey("refunds.id")),
    Column("cause", Text, nullable=False),
    Column("payload", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("resolution", Text),
    instant("resolved_at"),
    created(),
    CheckConstraint("kind IN ('attempt', 'message', 'payment', 'refund')", name="kind"),
    CheckConstraint("(kind = 'attempt') = (attempt_id IS NOT NULL)", name="attempt"),
    CheckConstraint("(kind = 'refund') = (refund_id IS NOT NULL)", name="refund"),
    CheckConstraint("resolution IN ('requeued', 'discarded')", name="resolution"),
    CheckConstraint("(resolution IS NULL) = (resolved_at IS NULL)", name="resolved"),
    Index("dead_letters_attempt_id_idx", "attempt_id"),
    Index("dead_letters_open_idx", "id", postgresql_where=text("resolved_at IS NULL")),
)

audit_log = Table(
    "audit_log",
    metadata,
    # Who did what by hand, and why; rows are added and never changed.
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("reason", Text),
    Column("details", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    created(),
)

gateway_holds = Table(
    "gateway_holds",
    metadata,
    # One row at most: the newest reason why nothing is sent.
    Column("id", SmallInteger, primary_key=True, server_default=text("1")),
    Column("cause", Text, nullable=False),
    instant("held_until", nullable=False),
    instant("raised_at", nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
