"""forecasts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "forecasts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("events_until", sa.BigInteger(), nullable=False),
        sa.Column("rules", postgresql.JSONB(), nullable=False),
        sa.Column("totals", postgresql.JSONB(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.CheckConstraint("digest ~ '^[0-9a-f]{64}$'", name=op.f("forecasts_digest_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("forecasts_pkey")),
    )
    op.create_index("forecasts_day_idx", "forecasts", ["day", "made_at"], unique=False)
    op.create_table(
        "expected_charges",
        sa.Column("forecast_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("period_index", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tax_free", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("outlook", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("invoice_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "details",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "amount >= 0 AND tax_free BETWEEN 0 AND amount",
            name=op.f("expected_charges_money_check"),
        ),
        sa.CheckConstraint(
            "why IN ('again', 'buyer', 'catch_up', 'conversion', 'opened', 'renewal', 'retry')",
            name=op.f("expected_charges_why_check"),
        ),
        sa.CheckConstraint(
            "outlook IN ('charged', 'ends', 'faulty', 'settled', 'uncollectible', 'void', 'waits')",
            name=op.f("expected_charges_outlook_check"),
        ),
        sa.ForeignKeyConstraint(
            ["forecast_id"],
            ["forecasts.id"],
            name=op.f("expected_charges_forecast_id_fkey"),
            ondelete="CASCADE",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint(
            "forecast_id", "subscription_id", "period_index", name=op.f("expected_charges_pkey")
        ),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_table("expected_charges")
    op.drop_table("forecasts")
