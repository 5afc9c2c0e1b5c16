"""The table of what the database says of itself: its mark, and whether it was set back."""

from sqlalchemy import BigInteger, CheckConstraint, Column, SmallInteger, Table, Text, Uuid, text

from shared.db.columns import created, instant, metadata

installation = Table(
    "installation",
    metadata,
    # One row at most, written when the database is marked first (``shared/billing/installation``).
    Column("id", SmallInteger, primary_key=True, server_default=text("1")),
    Column("installation_id", Uuid, nullable=False),
    Column("mark", BigInteger, nullable=False),
    instant("marked_at", nullable=False),
    # Since when, and why, nothing is charged: it is older than what was billed from. Only
    # ``dalmada recover`` takes this back.
    instant("restored_at"),
    Column("cause", Text),
    # When the numbers of rows leapt beyond those that were lost, in the recovery that is under way.
    instant("leapt_at"),
    # From when on charges may be lost, as a person has said; where nobody has, the mark says it.
    instant("recover_since"),
    instant("recovered_at"),
    created(),
    CheckConstraint("id = 1", name="one_row"),
    CheckConstraint("mark >= 0", name="mark"),
    CheckConstraint("(restored_at IS NULL) = (cause IS NULL)", name="restored"),
    CheckConstraint("leapt_at IS NULL OR restored_at IS NOT NULL", name="leapt"),
    CheckConstraint("recover_since IS NULL OR restored_at IS NOT NULL", name="recover_since"),
)
