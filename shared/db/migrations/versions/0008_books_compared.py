"""books compared."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "reconciliation_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), server_default="running", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("report", postgresql.JSONB(), nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("since < until", name=op.f("reconciliation_runs_window_check")),
        sa.CheckConstraint(
            "cause IN ('command', 'daily')", name=op.f("reconciliation_runs_cause_check")
        ),
        sa.CheckConstraint(
            "status IN ('done', 'failed', 'running')",
            name=op.f("reconciliation_runs_status_check"),
        ),
        sa.CheckConstraint(
            "(status = 'done') = (report IS NOT NULL) AND (status = 'running') = (finished_at IS NULL)",
            name=op.f("reconciliation_runs_finished_check"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("reconciliation_runs_pkey")),
    )
    op.create_index(
        "reconciliation_runs_done_idx",
        "reconciliation_runs",
        ["until"],
        unique=False,
        postgresql_where=sa.text("status = 'done'"),
    )
    op.create_index(
        "reconciliation_runs_one_daily_idx",
        "reconciliation_runs",
        ["until"],
        unique=True,
        postgresql_where=sa.text("cause = 'daily'"),
    )
    op.create_table(
        "gateway_records",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("imp_uid", sa.Text(), nullable=False),
        sa.Column("merchant_uid", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("usage", sa.Text(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("cancelled_amount", sa.BigInteger(), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("billing_key_id", sa.BigInteger(), nullable=True),
        sa.Column("of_our_shape", sa.Boolean(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=True),
        sa.Column("period_index", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "status IN ('cancelled', 'failed', 'paid', 'ready')",
            name=op.f("gateway_records_status_check"),
        ),
        sa.PrimaryKeyConstraint("run_id", "imp_uid", name=op.f("gateway_records_pkey")),
        prefixes=["UNLOGGED"],
    )
    op.create_index(
        "gateway_records_period_idx",
        "gateway_records",
        ["run_id", "subscription_id", "period_index"],
        unique=False,
        postgresql_where=sa.text("subscription_id IS NOT NULL"),
    )
    op.create_table(
        "discrepancies",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("imp_uid", sa.Text(), nullable=False),
        sa.Column("merchant_uid", sa.Text(), nullable=True),
        sa.Column("difference", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("repair", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("theirs", postgresql.JSONB(), nullable=True),
        sa.Column("ours", postgresql.JSONB(), nullable=True),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.Column("subscription_id", sa.Uuid(), nullable=True),
        sa.Column("found_by", sa.BigInteger(), nullable=False),
        sa.Column("seen_by", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "difference IN ('amount_differs', 'foreign', 'ours_only', 'refund_differs',"
            " 'status_differs', 'theirs_only', 'two_paid_for_one_period')",
            name=op.f("discrepancies_difference_check"),
        ),
        sa.CheckConstraint(
            "status IN ('dismissed', 'open', 'repaired', 'vanished', 'watched')",
            name=op.f("discrepancies_status_check"),
        ),
        sa.CheckConstraint(
            "repair IN ('adopt', 'mark', 'refund')", name=op.f("discrepancies_repair_check")
        ),
        sa.CheckConstraint(
            "owner IN ('finance', 'merchant', 'operator')", name=op.f("discrepancies_owner_check")
        ),
        sa.CheckConstraint(
            "theirs IS NOT NULL OR ours IS NOT NULL", name=op.f("discrepancies_sides_check")
        ),
        sa.CheckConstraint(
            "(status IN ('dismissed', 'repaired')) = (decided_at IS NOT NULL)",
            name=op.f("discrepancies_decided_check"),
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name=op.f("discrepancies_payment_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name=op.f("discrepancies_subscription_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["found_by"], ["reconciliation_runs.id"], name=op.f("discrepancies_found_by_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["seen_by"], ["reconciliation_runs.id"], name=op.f("discrepancies_seen_by_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("discrepancies_pkey")),
        sa.UniqueConstraint(
            "imp_uid", "difference", name=op.f("discrepancies_imp_uid_difference_key")
        ),
    )
    op.create_index(
        "discrepancies_looked_at_again_idx",
        "discrepancies",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status IN ('open', 'repaired', 'watched')"),
    )
    # Payments come in the order of their instants: a few bytes a hundred pages find a window.
    op.create_index(
        "payments_paid_at_idx", "payments", ["paid_at"], unique=False, postgresql_using="brin"
    )
    # Refunds end in about the order in which they are asked for.
    op.create_index(
        "refunds_settled_at_idx", "refunds", ["settled_at"], unique=False, postgresql_using="brin"
    )


def downgrade() -> None:
    """Take it back; what was found and decided is forgotten."""
    op.drop_index("refunds_settled_at_idx", table_name="refunds")
    op.drop_index("payments_paid_at_idx", table_name="payments")
    op.drop_table("discrepancies")
    op.drop_table("gateway_records")
    op.drop_table("reconciliation_runs")
