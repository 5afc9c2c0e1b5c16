"""a restored database."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "installation",
        sa.Column("id", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("installation_id", sa.Uuid(), nullable=False),
        sa.Column("mark", sa.BigInteger(), nullable=False),
        sa.Column("marked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("restored_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("leapt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recover_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recovered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("id = 1", name=op.f("installation_one_row_check")),
        sa.CheckConstraint("mark >= 0", name=op.f("installation_mark_check")),
        sa.CheckConstraint(
            "(restored_at IS NULL) = (cause IS NULL)", name=op.f("installation_restored_check")
        ),
        sa.CheckConstraint(
            "leapt_at IS NULL OR restored_at IS NOT NULL", name=op.f("installation_leapt_check")
        ),
        sa.CheckConstraint(
            "recover_since IS NULL OR restored_at IS NOT NULL",
            name=op.f("installation_recover_since_check"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("installation_pkey")),
    )


def downgrade() -> None:
    """Take it back; a database that was set back is not known as one any more."""
    op.drop_table("installation")
