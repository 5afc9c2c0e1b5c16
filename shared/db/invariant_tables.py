"""The table of what was found by looking at the invariants, for metrics and for people."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from shared.db.columns import instant, metadata

invariant_checks = Table(
    "invariant_checks",
    metadata,
    # One row an invariant: when it was looked at last, and what it finds.
    Column("name", Text, primary_key=True),
    instant("checked_at", nullable=False),
    # How far a walk through its table has come, and when one came to the end last.
    Column("walked_to", BigInteger, nullable=False, server_default=text("0")),
    instant("walked_at"),
    # Subjects with since when each is so and since when it is known, oldest first.
    Column("findings", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    CheckConstraint("jsonb_typeof(findings) = 'array'", name="findings"),
    CheckConstraint("walked_to >= 0", name="walked_to"),
)
