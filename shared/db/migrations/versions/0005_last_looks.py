"""last looks."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let a window that another one has replaced be looked at once more."""
    op.drop_constraint(op.f("windows_next_step_check"), "windows", type_="check")
    op.create_check_constraint(
        op.f("windows_next_step_check"),
        "windows",
        "CASE WHEN status IN ('ready', 'requested') THEN next_step_at IS NOT NULL"
        " ELSE next_step_at IS NULL OR status = 'expired' END",
    )
    op.drop_index("windows_next_step_idx", table_name="windows")
    op.create_index(
        "windows_next_step_idx",
        "windows",
        ["next_step_at"],
        postgresql_where=sa.text("next_step_at IS NOT NULL"),
    )


def downgrade() -> None:
    """Look at open windows only."""
    op.execute("UPDATE windows SET next_step_at = NULL WHERE status = 'expired'")
    op.drop_index("windows_next_step_idx", table_name="windows")
    op.create_index(
        "windows_next_step_idx",
        "windows",
        ["next_step_at"],
        postgresql_where=sa.text("status IN ('ready', 'requested')"),
    )
    op.drop_constraint(op.f("windows_next_step_check"), "windows", type_="check")
    op.create_check_constraint(
        op.f("windows_next_step_check"),
        "windows",
        "(status IN ('ready', 'requested')) = (next_step_at IS NOT NULL)",
    )
