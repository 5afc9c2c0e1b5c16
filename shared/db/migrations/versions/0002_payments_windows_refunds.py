"""payments, windows and refunds."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "windows",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("merchant_uid", sa.Text(), nullable=False),
        sa.Column("billing_key_id", sa.BigInteger(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tax_free", sa.BigInteger(), nullable=False),
        sa.Column("order_name", sa.Text(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_step_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("imp_uid", sa.Text(), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(kind = 'payment') = (billing_key_id IS NULL)", name=op.f("windows_billing_key_check")
        ),
        sa.CheckConstraint(
            "(status IN ('ready', 'requested')) = (next_step_at IS NOT NULL)",
            name=op.f("windows_next_step_check"),
        ),
        sa.CheckConstraint(
            "kind IN ('change', 'payment', 'register')", name=op.f("windows_kind_check")
        ),
        sa.CheckConstraint(
            "status <> 'confirmed' OR imp_uid IS NOT NULL", name=op.f("windows_confirmed_check")
        ),
        sa.CheckConstraint(
            "status IN ('confirmed', 'expired', 'failed', 'ready', 'requested')",
            name=op.f("windows_status_check"),
        ),
        sa.CheckConstraint(
            "amount >= 0 AND tax_free BETWEEN 0 AND amount", name=op.f("windows_money_check")
        ),
        sa.ForeignKeyConstraint(
            ["billing_key_id"], ["billing_keys.id"], name=op.f("windows_billing_key_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("windows_pkey")),
        sa.UniqueConstraint("merchant_uid", name=op.f("windows_merchant_uid_key")),
    )
    op.create_index(
        "windows_next_step_idx",
        "windows",
        ["next_step_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('ready', 'requested')"),
    )
    op.create_index(
        "windows_one_open_idx",
        "windows",
        ["billing_key_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('ready', 'requested')"),
    )
    op.create_table(
        "payments",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("imp_uid", sa.Text(), nullable=False),
        sa.Column("merchant_uid", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.BigInteger(), nullable=True),
        sa.Column("window_id", sa.Uuid(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tax_free", sa.BigInteger(), nullable=False),
        sa.Column("cancelled_amount", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "cancelled_tax_free", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "amount >= 0 AND tax_free BETWEEN 0 AND amount", name=op.f("payments_money_check")
        ),
        sa.CheckConstraint(
            "cancelled_amount BETWEEN 0 AND amount AND cancelled_tax_free BETWEEN 0 AND least(cancelled_amount, tax_free) AND tax_free - cancelled_tax_free <= amount - cancelled_amount",
            name=op.f("payments_cancelled_check"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(attempt_id, window_id) = 1", name=op.f("payments_origin_check")
        ),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["payment_attempts.id"], name=op.f("payments_attempt_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["window_id"], ["windows.id"], name=op.f("payments_window_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("payments_pkey")),
        sa.UniqueConstraint("imp_uid", name=op.f("payments_imp_uid_key")),
    )
    op.create_index("payments_attempt_id_idx", "payments", ["attempt_id"], unique=False)
    op.create_table(
        "refunds",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tax_free", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requester", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("command_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("checksum", sa.BigInteger(), nullable=True),
        sa.Column("send_number", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_send_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unknown_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("inquire_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("inquiries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("cancellation_id", sa.Text(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(status = 'waiting') = (next_send_at IS NOT NULL)",
            name=op.f("refunds_next_send_check"),
        ),
        sa.CheckConstraint(
            "(status IN ('claimed', 'unknown')) = (inquire_at IS NOT NULL)",
            name=op.f("refunds_inquire_check"),
        ),
        sa.CheckConstraint(
            "NOT (status IN ('claimed', 'unknown')) OR checksum IS NOT NULL",
            name=op.f("refunds_in_flight_check"),
        ),
        sa.CheckConstraint(
            "cause IN ('cancellation', 'command', 'late_payment')", name=op.f("refunds_cause_check")
        ),
        sa.CheckConstraint(
            "requester IN ('admin', 'customer')", name=op.f("refunds_requester_check")
        ),
        sa.CheckConstraint(
            "status IN ('claimed', 'done', 'parked', 'refused', 'unknown', 'void', 'waiting')",
            name=op.f("refunds_status_check"),
        ),
        sa.CheckConstraint(
            "amount >= 0 AND tax_free BETWEEN 0 AND amount", name=op.f("refunds_money_check")
        ),
        sa.CheckConstraint("amount >= 1", name=op.f("refunds_amount_check")),
        sa.CheckConstraint(
            "char_length(reason) BETWEEN 1 AND 256", name=op.f("refunds_reason_check")
        ),
        sa.CheckConstraint(
            "checksum IS NULL OR checksum >= amount", name=op.f("refunds_checksum_check")
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name=op.f("refunds_payment_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("refunds_pkey")),
        sa.UniqueConstraint("command_id", name=op.f("refunds_command_id_key")),
    )
    op.create_index(
        "refunds_inquire_idx",
        "refunds",
        ["inquire_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('claimed', 'unknown')"),
    )
    op.create_index(
        "refunds_one_by_itself_idx",
        "refunds",
        ["payment_id"],
        unique=True,
        postgresql_where=sa.text("cause <> 'command'"),
    )
    op.create_index(
        "refunds_one_under_way_idx",
        "refunds",
        ["payment_id"],
        unique=True,
        postgresql_where=sa.text(
            "status IN ('claimed', 'parked', 'unknown', 'waiting') AND checksum IS NOT NULL"
        ),
    )
    op.create_index("refunds_payment_id_idx", "refunds", ["payment_id"], unique=False)
    op.create_index(
        "refunds_send_idx",
        "refunds",
        ["next_send_at"],
        unique=False,
        postgresql_where=sa.text("status = 'waiting'"),
    )
    op.add_column("dead_letters", sa.Column("refund_id", sa.BigInteger(), nullable=True))
    op.add_column("dead_letters", sa.Column("resolution", sa.Text(), nullable=True))
    op.add_column(
        "dead_letters", sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_index(
        "dead_letters_open_idx",
        "dead_letters",
        ["id"],
        unique=False,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_foreign_key(
        op.f("dead_letters_refund_id_fkey"), "dead_letters", "refunds", ["refund_id"], ["id"]
    )
    op.add_column(
        "payment_attempts",
        sa.Column("key_generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
    )
    op.drop_index(
        "payment_attempts_paid_imp_uid_idx",
        table_name="payment_attempts",
        postgresql_where=sa.text("status = 'paid'"),
    )
    op.drop_constraint(op.f("dead_letters_kind_check"), "dead_letters", type_="check")
    op.create_check_constraint(
        op.f("dead_letters_kind_check"),
        "dead_letters",
        "kind IN ('attempt', 'message', 'payment', 'refund')",
    )
    op.create_check_constraint(
        op.f("dead_letters_refund_check"),
        "dead_letters",
        "(kind = 'refund') = (refund_id IS NOT NULL)",
    )
    op.create_check_constraint(
        op.f("dead_letters_resolution_check"),
        "dead_letters",
        "resolution IN ('requeued', 'discarded')",
    )
    op.create_check_constraint(
        op.f("dead_letters_resolved_check"),
        "dead_letters",
        "(resolution IS NULL) = (resolved_at IS NULL)",
    )
    # Money that came in before this table was kept.
    op.execute(
        """
        INSERT INTO payments (imp_uid, merchant_uid, attempt_id, amount, tax_free, paid_at)
        SELECT a.imp_uid, a.merchant_uid, a.id, a.amount, a.tax_free,
            coalesce(i.paid_at, a.settled_at, a.claimed_at)
        FROM payment_attempts a JOIN invoices i ON i.id = a.invoice_id
        WHERE a.status = 'paid' ORDER BY a.id
        """
    )


def downgrade() -> None:
    """Take it back."""
    op.execute("DELETE FROM dead_letters WHERE kind NOT IN ('attempt', 'message')")
    op.drop_constraint(op.f("dead_letters_kind_check"), "dead_letters", type_="check")
    op.create_check_constraint(
        op.f("dead_letters_kind_check"), "dead_letters", "kind IN ('attempt', 'message')"
    )
    op.create_index(
        "payment_attempts_paid_imp_uid_idx",
        "payment_attempts",
        ["imp_uid"],
        unique=True,
        postgresql_where=sa.text("status = 'paid'"),
    )
    op.drop_column("payment_attempts", "key_generation")
    op.drop_constraint(op.f("dead_letters_refund_id_fkey"), "dead_letters", type_="foreignkey")
    op.drop_index(
        "dead_letters_open_idx",
        table_name="dead_letters",
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.drop_column("dead_letters", "resolved_at")
    op.drop_column("dead_letters", "resolution")
    op.drop_column("dead_letters", "refund_id")
    op.drop_index(
        "refunds_send_idx", table_name="refunds", postgresql_where=sa.text("status = 'waiting'")
    )
    op.drop_index("refunds_payment_id_idx", table_name="refunds")
    op.drop_index(
        "refunds_one_under_way_idx",
        table_name="refunds",
        postgresql_where=sa.text(
            "status IN ('claimed', 'parked', 'unknown', 'waiting') AND checksum IS NOT NULL"
        ),
    )
    op.drop_index(
        "refunds_one_by_itself_idx",
        table_name="refunds",
        postgresql_where=sa.text("cause <> 'command'"),
    )
    op.drop_index(
        "refunds_inquire_idx",
        table_name="refunds",
        postgresql_where=sa.text("status IN ('claimed', 'unknown')"),
    )
    op.drop_table("refunds")
    op.drop_index("payments_attempt_id_idx", table_name="payments")
    op.drop_table("payments")
    op.drop_index(
        "windows_one_open_idx",
        table_name="windows",
        postgresql_where=sa.text("status IN ('ready', 'requested')"),
    )
    op.drop_index(
        "windows_next_step_idx",
        table_name="windows",
        postgresql_where=sa.text("status IN ('ready', 'requested')"),
    )
    op.drop_table("windows")
