"""events to merchants' endpoints."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "endpoints",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secrets", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("event_names", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("allow_private", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("status", sa.Text(), server_default="enabled", nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "status IN ('disabled', 'enabled', 'removed')", name=op.f("endpoints_status_check")
        ),
        sa.CheckConstraint("char_length(url) BETWEEN 1 AND 2000", name=op.f("endpoints_url_check")),
        sa.CheckConstraint(
            "CASE WHEN status = 'removed' THEN cardinality(secrets) = 0 ELSE cardinality(secrets) BETWEEN 1 AND 4 END",
            name=op.f("endpoints_secrets_check"),
        ),
        sa.CheckConstraint(
            "cardinality(event_names) >= 1", name=op.f("endpoints_event_names_check")
        ),
        sa.CheckConstraint(
            "(disabled_at IS NULL) = (disabled_reason IS NULL) AND (status = 'enabled') = (disabled_at IS NULL)",
            name=op.f("endpoints_disabled_check"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("endpoints_pkey")),
    )
    op.create_index(
        "endpoints_one_url_idx",
        "endpoints",
        ["url"],
        unique=True,
        postgresql_where=sa.text("status <> 'removed'"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("endpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "status IN ('delivered', 'given_up', 'waiting')", name=op.f("deliveries_status_check")
        ),
        sa.CheckConstraint(
            "(status = 'waiting') = (next_try_at IS NOT NULL)",
            name=op.f("deliveries_next_try_check"),
        ),
        sa.CheckConstraint(
            "(status = 'delivered') = (delivered_at IS NOT NULL)",
            name=op.f("deliveries_delivered_check"),
        ),
        sa.CheckConstraint(
            "lease_until IS NULL OR status = 'waiting'", name=op.f("deliveries_lease_check")
        ),
        sa.CheckConstraint("failures >= 0 AND tries >= 0", name=op.f("deliveries_counts_check")),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["endpoints.id"], name=op.f("deliveries_endpoint_id_fkey")
        ),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("deliveries_event_id_fkey")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("deliveries_subscription_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("deliveries_pkey")),
        sa.UniqueConstraint(
            "endpoint_id", "event_id", name=op.f("deliveries_endpoint_id_event_id_key")
        ),
    )
    op.create_index(
        "deliveries_due_idx",
        "deliveries",
        ["endpoint_id", "next_try_at", "event_id"],
        unique=False,
        postgresql_where=sa.text("status = 'waiting'"),
    )
    op.create_index(
        "deliveries_given_up_idx",
        "deliveries",
        ["endpoint_id"],
        unique=False,
        postgresql_where=sa.text("status = 'given_up'"),
    )
    op.create_index(
        "deliveries_order_idx",
        "deliveries",
        ["subscription_id", "endpoint_id", "event_id"],
        unique=False,
        postgresql_where=sa.text("status = 'waiting' AND subscription_id IS NOT NULL"),
    )
    op.create_index(
        "deliveries_under_way_idx",
        "deliveries",
        ["endpoint_id"],
        unique=False,
        postgresql_where=sa.text("status = 'waiting' AND dispatched_at IS NOT NULL"),
    )

    op.create_index(
        "events_one_end_idx",
        "events",
        [sa.text("(data ->> 'invoice_id')")],
        unique=True,
        postgresql_where=sa.text(
            "name IN ('invoice.paid', 'invoice.uncollectible', 'invoice.voided')"
        ),
    )


def downgrade() -> None:
    """Take it back; what waits for an endpoint is then told on the stream only."""
    op.drop_index("events_one_end_idx", table_name="events")
    op.drop_table("deliveries")
    op.drop_table("endpoints")
