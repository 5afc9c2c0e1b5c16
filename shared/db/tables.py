"""Every table, as SQLAlchemy Core sees it; the constraints that carry the promises stand here.

Instants are UTC (``timestamptz``), money is whole won (``bigint``), statuses are text with a check
made from the domain's enums, so that a status the domain does not know cannot be stored. What is
agreed stands in ``agreement_tables``, what is said and kept beside the billing in
``message_tables``, who is told over HTTP in ``endpoint_tables``.
"""

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
    Uuid,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.billing.attempt import INQUIRABLE, UNSETTLED, AttemptOrigin, AttemptStatus
from shared.billing.invoice import InvoiceStatus
from shared.billing.refund import (
    REASON_LENGTH_MAX,
    REFUND_INQUIRABLE,
    REFUND_UNSETTLED,
    RefundCause,
    RefundStatus,
    Requester,
)
from shared.billing.window import WINDOW_OPEN, WindowKind, WindowStatus
from shared.db.agreement_tables import (
    adjustments,
    agreement_changes,
    billing_keys,
    consents,
    subscriptions,
    trials,
)
from shared.db.columns import count, created, instant, metadata, money, one_of
from shared.db.endpoint_tables import deliveries, endpoints
from shared.db.forecast_tables import expected_charges, forecasts
from shared.db.installation_tables import installation
from shared.db.invariant_tables import invariant_checks
from shared.db.message_tables import (
    audit_log,
    commands,
    dead_letters,
    events,
    gateway_holds,
    hints,
)
from shared.db.reconciliation_tables import discrepancies, gateway_records, reconciliation_runs
from shared.db.reservation_tables import reservations

__all__ = [
    "adjustments",
    "agreement_changes",
    "audit_log",
    "billing_keys",
    "commands",
    "consents",
    "dead_letters",
    "deliveries",
    "discrepancies",
    "endpoints",
    "events",
    "expected_charges",
    "forecasts",
    "gateway_holds",
    "gateway_records",
    "hints",
    "installation",
    "invariant_checks",
    "invoices",
    "metadata",
    "one_of",
    "payment_attempts",
    "payments",
    "reconciliation_runs",
    "refunds",
    "reservations",
    "subscriptions",
    "trials",
    "windows",
]

invoices = Table(
    "invoices",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("subscription_id", ForeignKey("subscriptions.id"), nullable=False),
    Column("period_index", Integer, nullable=False),
    instant("period_start_at", nullable=False),
    instant("period_end_at", nullable=False),
    *money(),
    Column("order_name", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=InvoiceStatus.OPEN),
    count("attempts"),
    count("declines"),
    instant("next_attempt_at"),
    instant("dispatched_at"),
    instant("paid_at"),
    # What the amount is made of, in order (``shared/billing/lines.py``).
    Column("lines", JSONB, nullable=False),
    # Since when it is past due: declined for the first time, or without a method to charge.
    instant("past_due_at"),
    # When the buyer asked to be charged at once, and what our own schedule had planned by then;
    # the plan alone where dunning is switched off.
    instant("retry_asked_at"),
    instant("planned_attempt_at"),
    # From when the days of the period are counted where a pause has lengthened it.
    instant("counted_from"),
    # Set when the buyer's money is known to be with us although the rows end otherwise.
    Column("collection_stopped", Boolean, nullable=False, server_default=false()),
    Column("message", Text),
    created(),
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
    Column("key_generation", Integer, nullable=False, server_default=text("1")),
    *money(),
    Column("status", Text, nullable=False),
    instant("claimed_at", nullable=False),
    instant("lease_until", nullable=False),
    # When PortOne was to make the charge by itself, where it was reserved ahead.
    instant("reserved_for"),
    # On whose wish: by our own schedule, or by the buyer, whose tries use up none of our steps.
    Column("origin", Text, nullable=False, server_default=AttemptOrigin.SCHEDULE),
    instant("unknown_since"),
    instant("inquire_at"),
    instant("dispatched_at"),
    count("inquiries"),
    count("no_records"),
    Column("held_by_gateway", Boolean, nullable=False, server_default=false()),
    Column("imp_uid", Text),
    Column("receipt_url", Text),
    Column("message", Text),
    instant("settled_at"),
    created(),
    UniqueConstraint("merchant_uid"),
    UniqueConstraint("invoice_id", "number"),
    CheckConstraint(one_of("status", AttemptStatus), name="status"),
    CheckConstraint(one_of("origin", AttemptOrigin), name="origin"),
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

windows = Table(
    "windows",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("merchant_uid", Text, nullable=False),
    Column("billing_key_id", ForeignKey("billing_keys.id")),
    *money(),
    Column("order_name", Text, nullable=False),
    # What the buyer's browser is handed, without the buyer: they are the merchant's to add.
    Column("parameters", JSONB, nullable=False),
    instant("expires_at", nullable=False),
    instant("next_step_at"),
    instant("dispatched_at"),
    Column("imp_uid", Text),
    # When the buyer used it, by the gateway's clock: of two registrations the later one counts.
    instant("paid_at"),
    Column("message", Text),
    Column("command_id", Text, nullable=False),
    instant("settled_at"),
    created(),
    UniqueConstraint("merchant_uid"),
    CheckConstraint(one_of("kind", WindowKind), name="kind"),
    CheckConstraint(one_of("status", WindowStatus), name="status"),
    CheckConstraint("(kind = 'payment') = (billing_key_id IS NULL)", name="billing_key"),
    CheckConstraint("status <> 'confirmed' OR imp_uid IS NOT NULL", name="confirmed"),
    # An open window has a next step: to be prepared, or to expire; a replaced one, a last look.
    CheckConstraint(
        f"CASE WHEN {one_of('status', WINDOW_OPEN)} THEN next_step_at IS NOT NULL"
        " ELSE next_step_at IS NULL OR status = 'expired' END",
        name="next_step",
    ),
    Index(
        "windows_one_open_idx",
        "billing_key_id",
        unique=True,
        postgresql_where=text(one_of("status", WINDOW_OPEN)),
    ),
    Index(
        "windows_next_step_idx", "next_step_at", postgresql_where=text("next_step_at IS NOT NULL")
    ),
)

payments = Table(
    "payments",
    metadata,
    # Money that the gateway holds, one row a record of its book, and what of it went back.
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("imp_uid", Text, nullable=False),
    Column("merchant_uid", Text, nullable=False),
    Column("attempt_id", ForeignKey("payment_attempts.id")),
    Column("window_id", ForeignKey("windows.id")),
    *money(),
    Column("cancelled_amount", BigInteger, nullable=False, server_default=text("0")),
    Column("cancelled_tax_free", BigInteger, nullable=False, server_default=text("0")),
    instant("paid_at", nullable=False),
    created(),
    # One payment of the gateway can settle one attempt or window only.
    UniqueConstraint("imp_uid"),
    CheckConstraint("num_nonnulls(attempt_id, window_id) = 1", name="origin"),
    CheckConstraint(
        "cancelled_amount BETWEEN 0 AND amount"
        " AND cancelled_tax_free BETWEEN 0 AND least(cancelled_amount, tax_free)"
        " AND tax_free - cancelled_tax_free <= amount - cancelled_amount",
        name="cancelled",
    ),
    Index("payments_attempt_id_idx", "attempt_id"),
    # Payments come in the order of their instants: a few bytes a hundred pages find a window.
    Index("payments_paid_at_idx", "paid_at", postgresql_using="brin"),
)

refunds = Table(
    "refunds",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("payment_id", ForeignKey("payments.id"), nullable=False),
    *money(),
    Column("reason", Text, nullable=False),
    Column("requester", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("command_id", Text),
    Column("status", Text, nullable=False, server_default=RefundStatus.WAITING),
    # What could still be cancelled before this refund; kept until its fate is certain.
    Column("checksum", BigInteger),
    count("send_number"),
    instant("next_send_at"),
    instant("claimed_at"),
    instant("lease_until"),
    instant("unknown_since"),
    instant("inquire_at"),
    instant("dispatched_at"),
    count("inquiries"),
    Column("refusal", Text),
    Column("message", Text),
    Column("cancellation_id", Text),
    instant("settled_at"),
    created(),
    UniqueConstraint("command_id"),
    CheckConstraint("amount >= 1", name="amount"),
    CheckConstraint(f"char_length(reason) BETWEEN 1 AND {REASON_LENGTH_MAX}", name="reason"),
    CheckConstraint(one_of("requester", Requester), name="requester"),
    CheckConstraint(one_of("cause", RefundCause), name="cause"),
    CheckConstraint(one_of("status", RefundStatus), name="status"),
    CheckConstraint("checksum IS NULL OR checksum >= amount", name="checksum"),
    # Whatever may have been sent has the checksum under which it may be repeated.
    CheckConstraint(
        f"NOT ({one_of('status', REFUND_INQUIRABLE)}) OR checksum IS NOT NULL", name="in_flight"
    ),
    CheckConstraint("(status = 'waiting') = (next_send_at IS NOT NULL)", name="next_send"),
    CheckConstraint(
        f"({one_of('status', REFUND_INQUIRABLE)}) = (inquire_at IS NOT NULL)", name="inquire"
    ),
    # Two refunds under way at once could not be told apart in the gateway's sums.
    Index(
        "refunds_one_under_way_idx",
        "payment_id",
        unique=True,
        postgresql_where=text(f"{one_of('status', REFUND_UNSETTLED)} AND checksum IS NOT NULL"),
    ),
    # What an end or a late payment gives back is given back once.
    Index(
        "refunds_one_by_itself_idx",
        "payment_id",
        unique=True,
        postgresql_where=text("cause <> 'command'"),
    ),
    Index("refunds_payment_id_idx", "payment_id"),
    # Refunds end in about the order in which they are asked for.
    Index("refunds_settled_at_idx", "settled_at", postgresql_using="brin"),
    Index(
        "refunds_unsettled_idx",
        "status",
        postgresql_where=text(one_of("status", REFUND_UNSETTLED)),
    ),
    Index("refunds_send_idx", "next_send_at", postgresql_where=text("status = 'waiting'")),
    Index(
        "refunds_inquire_idx",
        "inquire_at",
        postgresql_where=text(one_of("status", REFUND_INQUIRABLE)),
    ),
)
