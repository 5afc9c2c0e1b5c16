"""Every table, as SQLAlchemy Core sees it; the constraints that carry the promises stand here.

Instants are UTC (``timestamptz``), money is whole won (``bigint``), statuses are text with a check
made from the domain's enums, so that a status the domain does not know cannot be stored.
"""

import enum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.billing.attempt import INQUIRABLE, UNSETTLED, AttemptStatus
from shared.billing.calendar import IntervalUnit
from shared.billing.invoice import InvoiceStatus
from shared.billing.subscription import (
    BILLABLE,
    BUYER_EMAIL_LENGTH_MAX,
    BUYER_NAME_LENGTH_MAX,
    BUYER_TEL_LENGTH_MAX,
    CUSTOMER_UID_LENGTH_MAX,
    ORDER_NAME_LENGTH_MAX,
    BillingKeyStatus,
    SubscriptionStatus,
)

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)


def one_of(column: str, members: frozenset[enum.StrEnum] | type[enum.StrEnum]) -> str:
    """Return SQL that holds when ``column`` is one of ``members``, in a stable order."""
    values = ", ".join(f"'{value}'" for value in sorted(str(member) for member in members))
    return f"{column} IN ({values})"


def _instant(name: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _created() -> Column[object]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


def _count(name: str) -> Column[object]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


def _money() -> tuple[Column[object], Column[object], CheckConstraint]:
    return (
        Column("amount", BigInteger, nullable=False),
        Column("tax_free", BigInteger, nullable=False),
        CheckConstraint("amount >= 0 AND tax_free BETWEEN 0 AND amount", name="money"),
    )


billing_keys = Table(
    "billing_keys",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("customer_uid", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=BillingKeyStatus.ACTIVE),
    Column("buyer_name", Text),
    Column("buyer_email", Text),
    Column("buyer_tel", Text),
    _created(),
    UniqueConstraint("customer_uid"),
    CheckConstraint(one_of("status", BillingKeyStatus), name="status"),
    CheckConstraint(
        f"char_length(customer_uid) BETWEEN 1 AND {CUSTOMER_UID_LENGTH_MAX}", name="customer_uid"
    ),
    CheckConstraint(
        f"char_length(buyer_name) BETWEEN 1 AND {BUYER_NAME_LENGTH_MAX}"
        f" AND char_length(buyer_email) BETWEEN 1 AND {BUYER_EMAIL_LENGTH_MAX}"
        f" AND char_length(buyer_tel) BETWEEN 1 AND {BUYER_TEL_LENGTH_MAX}",
        name="buyer",
    ),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("billing_key_id", ForeignKey("billing_keys.id"), nullable=False),
    *_money(),
    Column("order_name", Text, nullable=False),
    Column("interval_unit", Text, nullable=False),
    Column("interval_count", Integer, nullable=False),
    _instant("anchor_at", nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=SubscriptionStatus.ACTIVE),
    Column("next_period_index", Integer, nullable=False),
    _instant("next_renewal_at"),
    _created(),
    CheckConstraint(one_of("status", SubscriptionStatus), name="status"),
    CheckConstraint(one_of("interval_unit", IntervalUnit), name="interval_unit"),
    CheckConstraint("interval_count >= 1", name="interval_count"),
    CheckConstraint("next_period_index >= 0", name="next_period_index"),
    CheckConstraint(
        f"char_length(order_name) BETWEEN 1 AND {ORDER_NAME_LENGTH_MAX}", name="order_name"
    ),
    # A billable subscription always has a next renewal: without one it would be missed for ever.
    CheckConstraint(
        f"({one_of('status', BILLABLE)}) = (next_renewal_at IS NOT NULL)", name="next_renewal"
    ),
    Index(
        "subscriptions_due_idx",
        "next_renewal_at",
        postgresql_where=text(one_of("status", BILLABLE)),
    ),
    Index("subscriptions_billing_key_id_idx", "billing_key_id"),
)

invoices = Table(
    "invoices",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("subscription_id", ForeignKey("subscriptions.id"), nullable=False),
    Column("period_index", Integer, nullable=False),
    _instant("period_start_at", nullable=False),
    _instant("period_end_at", nullable=False),
    *_money(),
    Column("order_name", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=InvoiceStatus.OPEN),
    _count("attempts"),
    _count("declines"),
    _instant("next_attempt_at"),
    _instant("dispatched_at"),
    _instant("paid_at"),
    # Set when the buyer's money is known to be with us although the rows end otherwise.
    Column("collection_stopped", Boolean, nullable=False, server_default=false()),
    Column("message", Text),
    _created(),
    # A period of a subscription is billed once, whoever opens it and however often.
    UniqueConstraint("subscription_id", "period_index"),
    CheckConstraint(one_of("status", InvoiceStatus), name="status"),
    CheckConstraint("period_start_at < period_end_at", name="period"),
    CheckConstraint("(status = 'paid') = (paid_at IS NOT NULL)", name="paid"),
    CheckConstraint(
        "(status = 'open' AND NOT collection_stopped) OR next_attempt_at IS NULL",
        name="next_attempt",
    ),
    Index(
        "invoices_due_idx",
        "next_attempt_at",
        postgresql_where=text("status = 'open' AND next_attempt_at IS NOT NULL"),
    ),
)

payment_attempts = Table(
    "payment_attempts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("invoice_id", ForeignKey("invoices.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("send_number", Integer, nullable=False),
    Column("merchant_uid", Text, nullable=False),
    Column("billing_key_id", ForeignKey("billing_keys.id"), nullable=False),
    *_money(),
    Column("status", Text, nullable=False),
    _instant("claimed_at", nullable=False),
    _instant("lease_until", nullable=False),
    _instant("unknown_since"),
    _instant("inquire_at"),
    _instant("dispatched_at"),
    _count("inquiries"),
    _count("no_records"),
    Column("held_by_gateway", Boolean, nullable=False, server_default=false()),
    Column("imp_uid", Text),
    Column("receipt_url", Text),
    Column("message", Text),
    _instant("settled_at"),
    _created(),
    UniqueConstraint("merchant_uid"),
    UniqueConstraint("invoice_id", "number"),
    CheckConstraint(one_of("status", AttemptStatus), name="status"),
    CheckConstraint("number >= 1 AND send_number >= 1", name="numbers"),
    CheckConstraint("status <> 'paid' OR imp_uid IS NOT NULL", name="paid"),
    # Whoever may still be asked about must be asked: no unknown attempt without an inquiry.
    CheckConstraint(f"({one_of('status', INQUIRABLE)}) = (inquire_at IS NOT NULL)", name="inquire"),
    Index(
        "payment_attempts_one_unsettled_idx",
        "invoice_id",
        unique=True,
        postgresql_where=text(one_of("status", UNSETTLED)),
    ),
    Index(
        "payment_attempts_one_paid_idx",
        "invoice_id",
        unique=True,
        postgresql_where=text("status = 'paid'"),
    ),
    # One payment of the gateway can settle one attempt only.
    Index(
        "payment_attempts_paid_imp_uid_idx",
        "imp_uid",
        unique=True,
        postgresql_where=text("status = 'paid'"),
    ),
    Index(
        "payment_attempts_inquire_idx",
        "inquire_at",
        postgresql_where=text(one_of("status", INQUIRABLE)),
    ),
    Index(
        "payment_attempts_settled_idx",
        "settled_at",
        postgresql_where=text("settled_at IS NOT NULL"),
    ),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("subscription_id", ForeignKey("subscriptions.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    _created(),
    _instant("relayed_at"),
    Index("events_unrelayed_idx", "id", postgresql_where=text("relayed_at IS NULL")),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("attempt_id", ForeignKey("payment_attempts.id")),
    Column("cause", Text, nullable=False),
    Column("payload", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _created(),
    CheckConstraint("kind IN ('attempt', 'message')", name="kind"),
    CheckConstraint("(kind = 'attempt') = (attempt_id IS NOT NULL)", name="attempt"),
    Index("dead_letters_attempt_id_idx", "attempt_id"),
)

gateway_holds = Table(
    "gateway_holds",
    metadata,
    # One row at most: the newest reason why nothing is sent.
    Column("id", SmallInteger, primary_key=True, server_default=text("1")),
    Column("cause", Text, nullable=False),
    _instant("held_until", nullable=False),
    _instant("raised_at", nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
