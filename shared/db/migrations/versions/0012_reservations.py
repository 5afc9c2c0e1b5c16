"""charges that are reserved at PortOne."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "reservations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("period_index", sa.Integer(), nullable=False),
        sa.Column("period_start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_end_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("merchant_uid", sa.Text(), nullable=False),
        sa.Column("billing_key_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tax_free", sa.BigInteger(), nullable=False),
        sa.Column("order_name", sa.Text(), nullable=False),
        sa.Column("lines", postgresql.JSONB(), nullable=False),
        sa.Column("schedule_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), server_default="planned", nullable=False),
        sa.Column("send_number", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("look_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("looks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("no_records", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("by_others", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("attempt_id", sa.BigInteger(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(status IN ('collected', 'returning')) = (attempt_id IS NOT NULL)",
            name=op.f("reservations_attempt_check"),
        ),
        sa.CheckConstraint(
            "(status IN ('claimed', 'executed', 'planned', 'reserved', 'revoking', 'unknown')) = (ended_at IS NULL)",
            name=op.f("reservations_ended_check"),
        ),
        sa.CheckConstraint(
            "(status IN ('claimed', 'executed', 'planned', 'reserved', 'returning', 'revoking', 'unknown')) = (look_at IS NOT NULL)",
            name=op.f("reservations_look_check"),
        ),
        sa.CheckConstraint(
            "status IN ('claimed', 'collected', 'executed', 'planned', 'refused', 'reserved', 'returning', 'revoked', 'revoking', 'unknown')",
            name=op.f("reservations_status_check"),
        ),
        sa.CheckConstraint(
            "amount >= 0 AND tax_free BETWEEN 0 AND amount", name=op.f("reservations_money_check")
        ),
        sa.CheckConstraint(
            "period_start_at < period_end_at", name=op.f("reservations_period_check")
        ),
        sa.CheckConstraint(
            "schedule_at >= period_start_at", name=op.f("reservations_schedule_check")
        ),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["payment_attempts.id"], name=op.f("reservations_attempt_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["billing_key_id"], ["billing_keys.id"], name=op.f("reservations_billing_key_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name=op.f("reservations_subscription_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("reservations_pkey")),
    )
    op.create_index(
        "reservations_look_idx",
        "reservations",
        ["look_at"],
        unique=False,
        postgresql_where=sa.text(
            "status IN ('claimed', 'executed', 'planned', 'reserved', 'returning', 'revoking', 'unknown')"
        ),
    )
    op.create_index(
        "reservations_one_live_idx",
        "reservations",
        ["subscription_id"],
        unique=True,
        postgresql_where=sa.text(
            "status IN ('claimed', 'executed', 'planned', 'reserved', 'revoking', 'unknown')"
        ),
    )
    op.create_index(
        "reservations_period_idx", "reservations", ["subscription_id", "period_index"], unique=False
    )
    op.add_column(
        "payment_attempts", sa.Column("reserved_for", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "subscriptions", sa.Column("collect_by", sa.Text(), server_default="charge", nullable=False)
    )
    op.add_column(
        "subscriptions", sa.Column("reserving_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_index(
        "subscriptions_reserving_idx",
        "subscriptions",
        ["next_renewal_at"],
        unique=False,
        postgresql_where=sa.text("collect_by = 'reservation' AND status = 'active'"),
    )
    op.create_check_constraint(
        op.f("subscriptions_collect_by_check"),
        "subscriptions",
        "collect_by IN ('charge', 'reservation')",
    )


def downgrade() -> None:
    """Take it back; what PortOne holds reserved by then has to be revoked first."""
    op.drop_index(
        "subscriptions_reserving_idx",
        table_name="subscriptions",
        postgresql_where=sa.text("collect_by = 'reservation' AND status = 'active'"),
    )
    op.drop_column("subscriptions", "reserving_at")
    op.drop_column("subscriptions", "collect_by")
    op.drop_column("payment_attempts", "reserved_for")
    op.drop_index("reservations_period_idx", table_name="reservations")
    op.drop_index(
        "reservations_one_live_idx",
        table_name="reservations",
        postgresql_where=sa.text(
            "status IN ('claimed', 'executed', 'planned', 'reserved', 'revoking', 'unknown')"
        ),
    )
    op.drop_index(
        "reservations_look_idx",
        table_name="reservations",
        postgresql_where=sa.text(
            "status IN ('claimed', 'executed', 'planned', 'reserved', 'returning', 'revoking', 'unknown')"
        ),
    )
    op.drop_table("reservations")
