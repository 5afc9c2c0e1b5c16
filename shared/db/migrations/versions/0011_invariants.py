"""invariants."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "invariant_checks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("walked_to", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("walked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "findings",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "jsonb_typeof(findings) = 'array'", name=op.f("invariant_checks_findings_check")
        ),
        sa.CheckConstraint("walked_to >= 0", name=op.f("invariant_checks_walked_to_check")),
        sa.PrimaryKeyConstraint("name", name=op.f("invariant_checks_pkey")),
    )
    # Counted every few seconds: those that have not ended, of all that ever were.
    op.create_index(
        "refunds_unsettled_idx",
        "refunds",
        ["status"],
        unique=False,
        postgresql_where=sa.text("status IN ('claimed', 'parked', 'unknown', 'waiting')"),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_index("refunds_unsettled_idx", table_name="refunds")
    op.drop_table("invariant_checks")
