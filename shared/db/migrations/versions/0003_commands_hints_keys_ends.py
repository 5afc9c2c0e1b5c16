"""commands, hints, keys and ends."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column(
            "details",
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
        sa.PrimaryKeyConstraint("id", name=op.f("audit_log_pkey")),
    )
    op.create_table(
        "commands",
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("command_id", name=op.f("commands_pkey")),
    )
    op.create_table(
        "hints",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("imp_uid", sa.Text(), nullable=False),
        sa.Column("merchant_uid", sa.Text(), nullable=True),
        sa.Column("said_status", sa.Text(), nullable=False),
        sa.Column("cancellation_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("command_id", sa.Text(), nullable=True),
        sa.Column("known", sa.Boolean(), nullable=False),
        sa.Column("next_read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reads", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("repeats", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("finding", sa.Text(), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("hints_pkey")),
        sa.UniqueConstraint(
            "imp_uid",
            "said_status",
            "cancellation_id",
            name=op.f("hints_imp_uid_said_status_cancellation_id_key"),
        ),
    )
    op.create_index("hints_created_at_idx", "hints", ["created_at"], unique=False)
    op.create_index(
        "hints_read_idx",
        "hints",
        ["next_read_at"],
        unique=False,
        postgresql_where=sa.text("next_read_at IS NOT NULL"),
    )
    op.add_column(
        "billing_keys",
        sa.Column("generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
    )
    op.add_column("billing_keys", sa.Column("delete_reason", sa.Text(), nullable=True))
    op.add_column("billing_keys", sa.Column("delete_requester", sa.Text(), nullable=True))
    op.add_column(
        "billing_keys", sa.Column("delete_asked_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "billing_keys", sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_index(
        "billing_keys_deleting_idx",
        "billing_keys",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status = 'deleting'"),
    )
    op.alter_column("events", "subscription_id", existing_type=sa.UUID(), nullable=True)
    op.add_column(
        "subscriptions", sa.Column("cancel_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "subscriptions", sa.Column("canceled_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "subscriptions", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("subscriptions", sa.Column("cancel_reason", sa.Text(), nullable=True))
    op.add_column("subscriptions", sa.Column("cancel_requester", sa.Text(), nullable=True))
    op.add_column("subscriptions", sa.Column("cancel_refund", sa.Text(), nullable=True))
    op.add_column("subscriptions", sa.Column("cancel_late_payment", sa.Text(), nullable=True))
    op.add_column(
        "subscriptions", sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_index(
        "subscriptions_ending_idx",
        "subscriptions",
        ["cancel_at"],
        unique=False,
        postgresql_where=sa.text("cancel_at IS NOT NULL AND closed_at IS NULL"),
    )
    op.create_index(
        "subscriptions_unclosed_idx",
        "subscriptions",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status = 'canceled' AND closed_at IS NULL"),
    )
    op.drop_constraint(op.f("billing_keys_status_check"), "billing_keys", type_="check")
    op.create_check_constraint(
        op.f("billing_keys_status_check"),
        "billing_keys",
        "status IN ('active', 'dead', 'deleted', 'deleting', 'pending')",
    )
    op.create_check_constraint(
        op.f("billing_keys_generation_check"), "billing_keys", "generation >= 1"
    )
    op.create_check_constraint(
        op.f("billing_keys_delete_check"),
        "billing_keys",
        "status NOT IN ('deleting', 'deleted') OR (delete_reason IS NOT NULL AND delete_requester IN ('admin', 'customer'))",
    )
    op.create_check_constraint(
        op.f("subscriptions_cancel_check"),
        "subscriptions",
        "cancel_at IS NULL OR (num_nulls(cancel_reason, cancel_requester, cancel_refund, cancel_late_payment) = 0 AND cancel_requester IN ('admin', 'customer') AND cancel_refund IN ('full', 'none', 'pro_rata') AND cancel_late_payment IN ('full', 'none', 'pro_rata'))",
    )
    op.create_check_constraint(
        op.f("subscriptions_canceled_check"),
        "subscriptions",
        "canceled_at IS NULL OR status = 'canceled'",
    )
    op.create_check_constraint(
        op.f("subscriptions_closed_check"),
        "subscriptions",
        "closed_at IS NULL OR status = 'canceled'",
    )


def downgrade() -> None:
    """Take it back."""
    # What the tables before this revision cannot hold.
    op.execute("DELETE FROM events WHERE subscription_id IS NULL")
    op.drop_constraint(op.f("billing_keys_status_check"), "billing_keys", type_="check")
    op.execute("UPDATE billing_keys SET status = 'dead' WHERE status <> 'active'")
    op.create_check_constraint(
        op.f("billing_keys_status_check"), "billing_keys", "status IN ('active', 'dead')"
    )
    op.drop_index(
        "subscriptions_unclosed_idx",
        table_name="subscriptions",
        postgresql_where=sa.text("status = 'canceled' AND closed_at IS NULL"),
    )
    op.drop_index(
        "subscriptions_ending_idx",
        table_name="subscriptions",
        postgresql_where=sa.text("cancel_at IS NOT NULL AND closed_at IS NULL"),
    )
    op.drop_column("subscriptions", "dispatched_at")
    op.drop_column("subscriptions", "cancel_late_payment")
    op.drop_column("subscriptions", "cancel_refund")
    op.drop_column("subscriptions", "cancel_requester")
    op.drop_column("subscriptions", "cancel_reason")
    op.drop_column("subscriptions", "closed_at")
    op.drop_column("subscriptions", "canceled_at")
    op.drop_column("subscriptions", "cancel_at")
    op.alter_column("events", "subscription_id", existing_type=sa.UUID(), nullable=False)
    op.drop_index(
        "billing_keys_deleting_idx",
        table_name="billing_keys",
        postgresql_where=sa.text("status = 'deleting'"),
    )
    op.drop_column("billing_keys", "dispatched_at")
    op.drop_column("billing_keys", "delete_asked_at")
    op.drop_column("billing_keys", "delete_requester")
    op.drop_column("billing_keys", "delete_reason")
    op.drop_column("billing_keys", "generation")
    op.drop_index(
        "hints_read_idx", table_name="hints", postgresql_where=sa.text("next_read_at IS NOT NULL")
    )
    op.drop_index("hints_created_at_idx", table_name="hints")
    op.drop_table("hints")
    op.drop_table("commands")
    op.drop_table("audit_log")
