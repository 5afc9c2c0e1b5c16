"""the first renewal."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "billing_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("customer_uid", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("buyer_name", sa.Text(), nullable=True),
        sa.Column("buyer_email", sa.Text(), nullable=True),
        sa.Column("buyer_tel", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("status IN ('active', 'dead')", name=op.f("billing_keys_status_check")),
        sa.CheckConstraint(
            "char_length(buyer_name) BETWEEN 1 AND 16 AND char_length(buyer_email) BETWEEN 1 AND 64 AND char_length(buyer_tel) BETWEEN 1 AND 16",
            name=op.f("billing_keys_buyer_check"),
        ),
        sa.CheckConstraint(
            "char_length(customer_uid) BETWEEN 1 AND 80",
            name=op.f("billing_keys_customer_uid_check"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("billing_keys_pkey")),
        sa.UniqueConstraint("customer_uid", name=op.f("billing_keys_customer_uid_key")),
    )
    op.create_table(
        "gateway_holds",
        sa.Column("id", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("gateway_holds_one_row_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("gateway_holds_pkey")),
    )
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("billing_key_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tax_free", sa.BigInteger(), nullable=False),
        sa.Column("order_name", sa.Text(), nullable=False),
        sa.Column("interval_unit", sa.Text(), nullable=False),
        sa.Column("interval_count", sa.Integer(), nullable=False),
        sa.Column("anchor_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("next_period_index", sa.Integer(), nullable=False),
        sa.Column("next_renewal_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(status IN ('active', 'past_due')) = (next_renewal_at IS NOT NULL)",
            name=op.f("subscriptions_next_renewal_check"),
        ),
        sa.CheckConstraint(
            "interval_unit IN ('day', 'month', 'week', 'year')",
            name=op.f("subscriptions_interval_unit_check"),
        ),
        sa.CheckConstraint(
            "status IN ('active', 'canceled', 'past_due')", name=op.f("subscriptions_status_check")
        ),
        sa.CheckConstraint(
            "amount >= 0 AND tax_free BETWEEN 0 AND amount", name=op.f("subscriptions_money_check")
        ),
        sa.CheckConstraint(
            "char_length(order_name) BETWEEN 1 AND 40", name=op.f("subscriptions_order_name_check")
        ),
        sa.CheckConstraint("interval_count >= 1", name=op.f("subscriptions_interval_count_check")),
        sa.CheckConstraint(
            "next_period_index >= 0", name=op.f("subscriptions_next_period_index_check")
        ),
        sa.ForeignKeyConstraint(
            ["billing_key_id"], ["billing_keys.id"], name=op.f("subscriptions_billing_key_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("subscriptions_pkey")),
    )
    op.create_index(
        "subscriptions_billing_key_id_idx", "subscriptions", ["billing_key_id"], unique=False
    )
    op.create_index(
        "subscriptions_due_idx",
        "subscriptions",
        ["next_renewal_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('active', 'past_due')"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("relayed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("events_subscription_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("events_pkey")),
    )
    op.create_index(
        "events_unrelayed_idx",
        "events",
        ["id"],
        unique=False,
        postgresql_where=sa.text("relayed_at IS NULL"),
    )
    op.create_table(
        "invoices",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("period_index", sa.Integer(), nullable=False),
        sa.Column("period_start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_end_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tax_free", sa.BigInteger(), nullable=False),
        sa.Column("order_name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="open", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("declines", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "collection_stopped", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(status = 'open' AND NOT collection_stopped) OR next_attempt_at IS NULL",
            name=op.f("invoices_next_attempt_check"),
        ),
        sa.CheckConstraint(
            "(status = 'paid') = (paid_at IS NOT NULL)", name=op.f("invoices_paid_check")
        ),
        sa.CheckConstraint(
            "status IN ('open', 'paid', 'uncollectible', 'void')",
            name=op.f("invoices_status_check"),
        ),
        sa.CheckConstraint(
            "amount >= 0 AND tax_free BETWEEN 0 AND amount", name=op.f("invoices_money_check")
        ),
        sa.CheckConstraint("period_start_at < period_end_at", name=op.f("invoices_period_check")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("invoices_subscription_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("invoices_pkey")),
        sa.UniqueConstraint(
            "subscription_id",
            "period_index",
            name=op.f("invoices_subscription_id_period_index_key"),
        ),
    )
    op.create_index(
        "invoices_due_idx",
        "invoices",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("status = 'open' AND next_attempt_at IS NOT NULL"),
    )
    op.create_table(
        "payment_attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("send_number", sa.Integer(), nullable=False),
        sa.Column("merchant_uid", sa.Text(), nullable=False),
        sa.Column("billing_key_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tax_free", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("unknown_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("inquire_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("inquiries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("no_records", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("held_by_gateway", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("imp_uid", sa.Text(), nullable=True),
        sa.Column("receipt_url", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(status IN ('claimed', 'unknown')) = (inquire_at IS NOT NULL)",
            name=op.f("payment_attempts_inquire_check"),
        ),
        sa.CheckConstraint(
            "status <> 'paid' OR imp_uid IS NOT NULL", name=op.f("payment_attempts_paid_check")
        ),
        sa.CheckConstraint(
            "status IN ('claimed', 'declined', 'method_dead', 'paid', 'parked', 'unknown', 'void', 'waiting')",
            name=op.f("payment_attempts_status_check"),
        ),
        sa.CheckConstraint(
            "amount >= 0 AND tax_free BETWEEN 0 AND amount",
            name=op.f("payment_attempts_money_check"),
        ),
        sa.CheckConstraint(
            "number >= 1 AND send_number >= 1", name=op.f("payment_attempts_numbers_check")
        ),
        sa.ForeignKeyConstraint(
            ["billing_key_id"],
            ["billing_keys.id"],
            name=op.f("payment_attempts_billing_key_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoices.id"], name=op.f("payment_attempts_invoice_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("payment_attempts_pkey")),
        sa.UniqueConstraint(
            "invoice_id", "number", name=op.f("payment_attempts_invoice_id_number_key")
        ),
        sa.UniqueConstraint("merchant_uid", name=op.f("payment_attempts_merchant_uid_key")),
    )
    op.create_index(
        "payment_attempts_inquire_idx",
        "payment_attempts",
        ["inquire_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('claimed', 'unknown')"),
    )
    op.create_index(
        "payment_attempts_one_paid_idx",
        "payment_attempts",
        ["invoice_id"],
        unique=True,
        postgresql_where=sa.text("status = 'paid'"),
    )
    op.create_index(
        "payment_attempts_one_unsettled_idx",
        "payment_attempts",
        ["invoice_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('claimed', 'parked', 'unknown', 'waiting')"),
    )
    op.create_index(
        "payment_attempts_paid_imp_uid_idx",
        "payment_attempts",
        ["imp_uid"],
        unique=True,
        postgresql_where=sa.text("status = 'paid'"),
    )
    op.create_index(
        "payment_attempts_settled_idx",
        "payment_attempts",
        ["settled_at"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NOT NULL"),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.BigInteger(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column(
            "payload",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(kind = 'attempt') = (attempt_id IS NOT NULL)", name=op.f("dead_letters_attempt_check")
        ),
        sa.CheckConstraint("kind IN ('attempt', 'message')", name=op.f("dead_letters_kind_check")),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["payment_attempts.id"], name=op.f("dead_letters_attempt_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("dead_letters_pkey")),
    )
    op.create_index("dead_letters_attempt_id_idx", "dead_letters", ["attempt_id"], unique=False)


def downgrade() -> None:
    """Take it back."""
    op.drop_index("dead_letters_attempt_id_idx", table_name="dead_letters")
    op.drop_table("dead_letters")
    op.drop_index(
        "payment_attempts_settled_idx",
        table_name="payment_attempts",
        postgresql_where=sa.text("settled_at IS NOT NULL"),
    )
    op.drop_index(
        "payment_attempts_paid_imp_uid_idx",
        table_name="payment_attempts",
        postgresql_where=sa.text("status = 'paid'"),
    )
    op.drop_index(
        "payment_attempts_one_unsettled_idx",
        table_name="payment_attempts",
        postgresql_where=sa.text("status IN ('claimed', 'parked', 'unknown', 'waiting')"),
    )
    op.drop_index(
        "payment_attempts_one_paid_idx",
        table_name="payment_attempts",
        postgresql_where=sa.text("status = 'paid'"),
    )
    op.drop_index(
        "payment_attempts_inquire_idx",
        table_name="payment_attempts",
        postgresql_where=sa.text("status IN ('claimed', 'unknown')"),
    )
    op.drop_table("payment_attempts")
    op.drop_index(
        "invoices_due_idx",
        table_name="invoices",
        postgresql_where=sa.text("status = 'open' AND next_attempt_at IS NOT NULL"),
    )
    op.drop_table("invoices")
    op.drop_index(
        "events_unrelayed_idx", table_name="events", postgresql_where=sa.text("relayed_at IS NULL")
    )
    op.drop_table("events")
    op.drop_index(
        "subscriptions_due_idx",
        table_name="subscriptions",
        postgresql_where=sa.text("status IN ('active', 'past_due')"),
    )
    op.drop_index("subscriptions_billing_key_id_idx", table_name="subscriptions")
    op.drop_table("subscriptions")
    op.drop_table("gateway_holds")
    op.drop_table("billing_keys")
